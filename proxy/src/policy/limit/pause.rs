//! Pauses that the system asked for, for those who were not there when it did: other sidecars, and the next process.

use std::sync::Arc;

use super::Limits;
use crate::policy::Mode;
use crate::policy::time::{Moment, Now};

/// Most pauses that wait to be told to a store: more of them are kept by this process alone.
pub const MAX_PAUSES: usize = 64;

/// One scope that is closed. Without an operation it is the upstream, without a resource all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub operation: Option<Arc<str>>,
    pub resource: Option<Arc<str>>,
    pub until: Moment,
}

impl Limits {
    /// The pauses that the store has not heard of. Who cannot tell them there gives them [back](Self::pauses_untold).
    pub fn pauses(&mut self) -> Vec<Pause> {
        std::mem::take(&mut self.pauses)
    }

    pub fn pauses_untold(&mut self, pauses: Vec<Pause>) {
        pauses.into_iter().for_each(|pause| self.tell(pause));
    }

    /// The store should hear of it now.
    pub(super) fn tell(&mut self, pause: Pause) {
        if self.scopes.has_store() && self.pauses.len() < MAX_PAUSES {
            self.pauses.push(pause);
            self.scopes.press();
        }
    }

    /// The store knows of a pause.
    pub fn hear(&mut self, pause: &Pause, now: Now) {
        if self.throttles == Mode::Enforce && now.mono < pause.until {
            let scope = self.scopes.named(pause.operation.as_deref(), pause.resource.as_deref(), now);
            if let Some(scope) = self.scopes.get_mut(scope) {
                scope.gate.close_until(pause.until, now.mono);
            }
        }
    }
}
