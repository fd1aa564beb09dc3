//! Walls and policies: what they name must exist, and connectors that share an account must agree.

use std::collections::BTreeMap;

use super::Found;
use crate::config::{Breaker, Bulkhead, Config, Connector, Limits, Queue, Retry, Upstream};
use crate::policy::breaker::Maintenance;
use crate::policy::limit::quota::Quota;

/// What one connector says of its walls.
pub(super) fn limits(at: &str, connector: &Connector, found: &mut Found) {
    for (upstream, limits) in &connector.limits {
        let at = format!("{at}/limits/{upstream}");
        if !connector.upstreams.contains_key(upstream) {
            let known: Vec<_> = connector.upstreams.keys().map(String::as_str).collect();
            found.add(&at, format!("there is no upstream `{upstream}`; there is: {}", known.join(", ")));
        }
        for (i, wall) in limits.walls().iter().enumerate() {
            let at = format!("{at}{}/{i}", limits.list_pointer());
            if let Err(reason) = wall.text().parse::<Quota>() {
                found.add(if wall.is_scoped() { format!("{at}/wall") } else { at.clone() }, reason);
            }
            if wall.per().is_some() && wall.operation().is_none() {
                found.add(format!("{at}/per"), "a wall per resource is about one `operation`: name it");
            }
        }
    }
}

/// What no range of a schema can say of the policies.
pub(super) fn policies(at: &str, upstream: &Upstream, found: &mut Found) {
    for (i, window) in upstream.maintenance.iter().enumerate() {
        if let Err(reason) = Maintenance::parse(window) {
            found.add(format!("{at}/maintenance/{i}"), reason);
        }
    }
    let Breaker { window, open, max_open, .. } = upstream.breaker;
    if window.0.is_zero() || open.0.is_zero() {
        found.add(format!("{at}/breaker"), "`window` and `open` are longer than nothing");
    }
    if max_open.0 < open.0 {
        found.add(format!("{at}/breaker/max_open"), "is shorter than `open`");
    }
    if upstream.retry.cap.0 < upstream.retry.base.0 {
        found.add(format!("{at}/retry/cap"), "is shorter than `base`");
    }
}

/// One account has one set of walls, whoever spends from it.
pub(super) fn shared_accounts(config: &Config, found: &mut Found) {
    let mut first: BTreeMap<(&str, &str), Party<'_>> = BTreeMap::new();
    for (connector, c) in &config.connectors {
        for (name, upstream) in &c.upstreams {
            let Some(account) = &upstream.account else { continue };
            let party = Party { connector, upstream, limits: c.limits.get(name) };
            match first.get(&(account.as_str(), name.as_str())) {
                None => drop(first.insert((account, name), party)),
                Some(other) => party.agree(other, account, name, found),
            }
        }
    }
}

/// One connector that spends from an account.
struct Party<'a> {
    connector: &'a str,
    upstream: &'a Upstream,
    limits: Option<&'a Limits>,
}

impl Party<'_> {
    /// What only one of both says holds for both.
    fn agree(&self, other: &Self, account: &str, name: &str, found: &mut Found) {
        let at = format!("/connectors/{}", self.connector);
        let against = |what: &str| {
            format!(
                "`{}` spends from the same account `{account}` and says something else: {what} must be the same",
                other.connector
            )
        };
        if let (Some(ours), Some(theirs)) = (self.limits, other.limits)
            && ours != theirs
        {
            found.add(format!("{at}/limits/{name}"), against("its walls"));
        }
        let (ours, theirs) = (self.upstream, other.upstream);
        for (policy, contradict) in [
            ("breaker", contradict(&ours.breaker, &theirs.breaker, &Breaker::default())),
            ("retry", contradict(&ours.retry, &theirs.retry, &Retry::default())),
            ("queue", contradict(&ours.queue, &theirs.queue, &Queue::default())),
            ("bulkhead", contradict(&ours.bulkhead, &theirs.bulkhead, &Bulkhead::default())),
            ("maintenance", contradict(&ours.maintenance, &theirs.maintenance, &Vec::new())),
        ] {
            if contradict {
                found.add(format!("{at}/upstreams/{name}/{policy}"), against(&format!("`{policy}`")));
            }
        }
    }
}

/// What is as by default was not said.
fn contradict<T: PartialEq>(ours: &T, theirs: &T, default: &T) -> bool {
    ours != theirs && ours != default && theirs != default
}
