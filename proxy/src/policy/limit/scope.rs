//! Walls that stand at one place, and the gate before them.

use std::sync::Arc;

use super::grant::Keeping;
use super::learn::Gate;
use super::meter::Meter;
use super::walls::Wall;
use crate::policy::time::Now;

/// Walls that are passed together.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub gate: Gate,
    pub meters: Vec<Meter>,
    /// Whether it is among those of which a store should hear.
    pub due: bool,
    /// Whose it is, if it is a resource's.
    pub resource: Option<Arc<str>>,
}

impl Scope {
    pub fn advance(&mut self, now: Now) {
        for meter in &mut self.meters {
            meter.advance(now);
        }
    }

    pub fn is_empty(&mut self, keeping: Keeping, now: Now) -> bool {
        self.advance(now);
        self.gate.is_empty(now.mono) && self.meters.iter().all(|m| m.is_empty(keeping, now))
    }

    /// Puts other walls here; those of the same kind go on counting, also when they are enforced from now on, or only observed.
    pub fn replace(&mut self, walls: &[Arc<Wall>], since: u32, keeping: Keeping) {
        let mut old = std::mem::take(&mut self.meters);
        let mut take = |wall: &Arc<Wall>, in_any_mode: bool| {
            let same = |m: &Meter| m.wall.quota.same_kind(&wall.quota);
            let found = old.iter().position(|m| same(m) && (in_any_mode || m.wall.mode == wall.mode))?;
            let mut meter = old.swap_remove(found);
            meter.replace(Arc::clone(wall), keeping);
            Some(meter)
        };
        let same_mode: Vec<_> = walls.iter().map(|wall| take(wall, false)).collect();
        for (wall, meter) in walls.iter().zip(same_mode) {
            let meter = meter.or_else(|| take(wall, true));
            self.meters.push(meter.unwrap_or_else(|| Meter::new(Arc::clone(wall), since, keeping)));
        }
    }
}
