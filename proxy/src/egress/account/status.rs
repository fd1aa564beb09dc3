//! What goes on at an account, for people (`/status`) and for metrics. Resources and callers are shown, and are no label of a metric.

use std::collections::BTreeSet;
use std::sync::Arc;

use metrics::{counter, gauge};
use serde_json::{Map, Value, json};

use super::core::Observed;
use super::ledger::Spent;
use super::{Account, State};
use crate::policy::Mode;
use crate::policy::breaker::View;
use crate::policy::limit::booking::{Booking, Part};
use crate::policy::limit::{Source, Wall, WallUsage};
use crate::policy::time::Now;
use crate::telemetry::metric;

/// What a wall is called in metrics: the operation that it is about, if it is about one, and its text.
pub fn wall_label(wall: Option<&Wall>) -> String {
    match wall {
        None => String::new(),
        Some(Wall { operation: Some(operation), name, .. }) => format!("{operation} {name}"),
        Some(wall) => wall.name.to_string(),
    }
}

impl Account {
    /// The walls that take the cost of an exchange of that operation, as metrics call them. `of_one`: it is about a resource of its own.
    pub fn walls_before(&self, operation: &str, of_one: bool) -> Vec<String> {
        let state = self.lock();
        let about = |wall: &&Arc<Wall>| {
            let concerned = wall.operation.as_deref().is_none_or(|about| about == operation);
            concerned && (of_one || wall.per.is_none()) && wall.quota.span_ms().is_some()
        };
        state.walls.iter().filter(about).map(|wall| wall_label(Some(wall))).collect()
    }

    /// Everything about it, as JSON.
    pub fn status(&self) -> Value {
        let (now, mut state) = (self.now(), self.lock());
        let walls = state.core.walls(now);
        let reservations = reservations(state.core.limits().bookings(), now);
        let state = &*state;
        let (waiting, bytes) = state.core.waiting();
        let (under_way, places) = state.core.places();
        let Observed { breaker, bulkhead, queue } = state.core.observed();
        let maintenance = state.core.breakers().in_maintenance(now).map(|refused| refused.wait(now));
        json!({
            "account": *self.name.account,
            "upstream": *self.name.upstream,
            "connectors": state.parties.keys().map(|name| &**name).collect::<Vec<_>>(),
            "walls": walls.iter().map(|usage| wall(usage, state)).collect::<Vec<_>>(),
            "reservations": reservations,
            "breakers": breakers(state, now),
            "maintenance_until": maintenance.map(|wait| time(now.wall + wait.as_millis() as i64)),
            "waiting": { "calls": waiting, "bytes": bytes },
            "under_way": { "requests": under_way, "most": places },
            "would_have_refused": { "breaker": breaker, "bulkhead": bulkhead, "queue": queue },
        })
    }

    /// Brings the gauges up to date.
    pub fn measure(&self) {
        let (now, mut state) = (self.now(), self.lock());
        let labels =
            [("account", self.name.account.to_string()), ("upstream", self.name.upstream.to_string())];
        let mut seen = BTreeSet::new();
        for usage in state.core.walls(now) {
            let label = wall_label(Some(&usage.wall));
            // Of a wall per resource, the fullest comes first.
            if seen.insert(label.clone()) {
                let labels = [labels.as_slice(), &[("wall", label)]].concat();
                gauge!(metric::WALL_USED, &labels).set(usage.used as f64);
                gauge!(metric::WALL_LIMIT, &labels).set(usage.limit as f64);
                counter!(metric::WALL_OBSERVED, &labels).absolute(usage.would_have_refused);
            }
        }
        for (operation, view) in state.core.breakers().view(now) {
            let labels = [labels.as_slice(), &[("operation", operation.to_string())]].concat();
            gauge!(metric::BREAKER_STATE, &labels).set(match view {
                View::Closed => 0.0,
                View::HalfOpen { .. } => 1.0,
                View::Open { .. } => 2.0,
            });
        }
        let Observed { breaker, bulkhead, queue } = state.core.observed();
        for (policy, times) in [("breaker", breaker), ("bulkhead", bulkhead), ("queue", queue)] {
            let labels = [labels.as_slice(), &[("policy", policy.to_owned())]].concat();
            counter!(metric::POLICY_OBSERVED, &labels).absolute(times);
        }
        gauge!(metric::WAITING, &labels).set(state.core.waiting().0 as f64);
        gauge!(metric::UNDER_WAY, &labels).set(state.core.places().0 as f64);
    }
}

fn wall(usage: &WallUsage, state: &State) -> Value {
    let at = |now: Option<Now>| now.map(|now| time(now.wall));
    let wall = &usage.wall;
    json!({
        "wall": *wall.name,
        "operation": wall.operation.as_deref(),
        "per": wall.per.as_deref(),
        "resource": usage.resource.as_deref(),
        "mode": if wall.mode == Mode::Enforce { "enforce" } else { "observe" },
        "source": match &wall.source { Source::Operator => "the operator", Source::Connector(source) => source },
        "used": usage.used,
        "limit": usage.limit,
        "under_way": usage.under_way,
        "reserved": usage.reserved,
        "exhausted_at": at(usage.exhausted_at),
        "free_at": at(usage.free_at),
        "closed_until": at(usage.closed_until),
        "lowered_until": at(usage.rises_at),
        "would_have_refused": usage.would_have_refused,
        "spent_since_start": (usage.resource.is_none()).then(|| json!({
            "agents": spent(state.ledger.agents(), wall),
            "workflows": spent(state.ledger.workflows(), wall),
        })),
    })
}

/// What each one's requests have cost of those that the wall is about.
fn spent<'a>(by: impl Iterator<Item = (&'a Arc<str>, &'a Spent)>, wall: &Wall) -> Map<String, Value> {
    let cost = |spent: &Spent| match &wall.operation {
        None => spent.values().sum(),
        Some(operation) => spent.get(operation).copied().unwrap_or_default(),
    };
    let spent = by.map(|(name, spent)| (name.to_string(), cost(spent)));
    spent.filter(|(_, cost)| *cost > 0).map(|(name, cost)| (name, cost.into())).collect()
}

/// What workflows have reserved and not used.
fn reservations(bookings: &[Booking], now: Now) -> Vec<Value> {
    let part = |part: &Part| json!({ "operation": *part.operation, "calls": part.left });
    let shown = bookings.iter().map(|booking| {
        json!({
            "agent": *booking.agent,
            "workflow": *booking.workflow,
            "until": time(now.wall_at(booking.until)),
            "left": booking.parts.iter().map(part).collect::<Vec<_>>(),
        })
    });
    shown.collect()
}

fn breakers(state: &State, now: Now) -> Vec<Value> {
    let at = |moment| time(now.wall_at(moment));
    let shown = state.core.breakers().view(now).map(|(operation, view)| {
        let (why, next) = match view {
            View::Closed => (None, None),
            View::Open { why, probe_at, .. } => (Some(why), Some(at(probe_at))),
            View::HalfOpen { why, .. } => (Some(why), Some(at(now.mono))),
        };
        json!({
            "operation": **operation,
            "state": view.label(),
            "reason": why.map(|why| why.to_string()),
            "next_probe_at": next,
        })
    });
    shown.collect()
}

fn time(wall: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(wall).ok().map(|at| at.to_string())
}
