//! What is used of each wall, and when it will be hit at the present rate: for `/status`, metrics and faults.

use std::sync::Arc;

use super::Limits;
use super::meter::Meter;
use super::scope::Scope;
use super::walls::Wall;
use super::window::Window;
use crate::policy::time::{Moment, Now};

/// Most walls that are listed: those of resources are shown fullest first.
const MAX_LISTED: usize = 256;

/// One wall before one scope.
#[derive(Clone, Debug)]
pub struct WallUsage {
    pub wall: Arc<Wall>,
    /// The resource, for a wall that is per one.
    pub resource: Option<Arc<str>>,
    /// Cost that counts now, others' use as far as it is known included; calls, for a wall on those under way.
    pub used: u64,
    /// The part of it whose answer is not there.
    pub under_way: u64,
    /// The part of it that workflows have reserved, and not sent.
    pub reserved: u64,
    /// The limit that holds now.
    pub limit: u64,
    /// Whether it is lower than configured because somebody else uses the quota, and when it rises by a step.
    pub rises_at: Option<Now>,
    /// When the wall will be hit at the present rate; none if it will not.
    pub exhausted_at: Option<Now>,
    /// When all that is used now is free again; none for calls under way.
    pub free_at: Option<Now>,
    /// Until when the system asked for a pause here.
    pub closed_until: Option<Now>,
    /// What an observed wall would have refused.
    pub would_have_refused: u64,
}

impl Limits {
    /// Every wall that has something to say, at most 256: those without a resource first, then the fullest.
    pub fn usage(&mut self, now: Now) -> Vec<WallUsage> {
        let mut found = Vec::new();
        for scope in self.scopes.iter_mut() {
            scope.advance(now);
            found.extend(scope.meters.iter().map(|meter| of(scope, meter, now)));
        }
        found.sort_by_key(|u| {
            (u.resource.is_some(), std::cmp::Reverse(u.used.saturating_mul(1_000) / u.limit.max(1)))
        });
        found.truncate(MAX_LISTED);
        found
    }
}

fn of(scope: &Scope, meter: &Meter, now: Now) -> WallUsage {
    let at = |mono: Moment| Now { mono, wall: now.wall_at(mono) };
    WallUsage {
        wall: Arc::clone(&meter.wall),
        resource: scope.resource.clone(),
        used: meter.used(now),
        under_way: meter.window.held().saturating_sub(meter.booked()),
        reserved: meter.booked(),
        limit: meter.limit(),
        rises_at: meter.learned.lowered().map(|(_, next)| at(next)),
        exhausted_at: exhausted_at(meter, now).map(at),
        free_at: meter.window.room_at(0, now).map(at),
        closed_until: scope.gate.closed_until(now.mono).map(at),
        would_have_refused: meter.would_have_refused,
    }
}

/// Follows the present rate through what leaves the window on the way.
fn exhausted_at(meter: &Meter, now: Now) -> Option<Moment> {
    let span = meter.wall.quota.span_ms()?;
    let (used, limit) = (meter.used(now), meter.limit());
    if used >= limit {
        return Some(now.mono);
    }
    let per_ms = meter.rate.per_ms(span, now.mono);
    let hit =
        |free: u64| (per_ms > 0.0).then(|| Moment(now.mono.0.saturating_add((free as f64 / per_ms) as u64)));
    let mut free = limit - used;
    if let Window::Rolling(rolling) = &meter.window {
        for (at, cost) in rolling.steps() {
            if hit(free)? < at {
                return hit(free);
            }
            free = free.saturating_add(cost);
        }
    }
    let ends = meter.window.counts_until(now)?;
    hit(free).filter(|&at| at < ends)
}
