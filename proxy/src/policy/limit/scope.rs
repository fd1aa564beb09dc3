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

    /// Puts other walls here; those of the same kind go on counting.
    pub fn replace(&mut self, walls: &[Arc<Wall>], since: u32, keeping: Keeping) {
        let mut old = std::mem::take(&mut self.meters);
        for wall in walls {
            let same =
                old.iter().position(|m| m.wall.quota.same_kind(&wall.quota) && m.wall.mode == wall.mode);
            let meter = same.map(|i| old.swap_remove(i)).map(|mut meter| {
                meter.replace(Arc::clone(wall));
                meter
            });
            self.meters.push(meter.unwrap_or_else(|| Meter::new(Arc::clone(wall), since, keeping)));
        }
    }
}
