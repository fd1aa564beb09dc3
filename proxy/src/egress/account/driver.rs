//! The one timer of an account: wakes those whose turn has come, and settles what was given up.
//!
//! A task that lives only while somebody waits or something is to be settled.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::core::Refusal;
use super::{Account, Leave, State, Wake};
use crate::policy::time::Moment;

impl Account {
    /// Sees to it that those who wait are looked at, now and whenever there is reason to.
    pub(super) fn drive(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            if state.driven {
                drop(state);
                return self.changed.notify_one();
            }
            // Without a runtime the process ends, and nobody waits.
            let Ok(runtime) = Handle::try_current() else { return };
            state.driven = true;
            runtime.spawn(Arc::clone(self).run());
        }
    }

    /// Something may have made room.
    pub(super) fn look_again(&self, state: &State) {
        if state.driven {
            self.changed.notify_one();
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(wake) = self.turn() {
            match self.clock.instant(wake) {
                Some(instant) => {
                    let _ = tokio::time::timeout_at(instant, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Wakes whoever can go; returns when to look again, and ends the driving when never.
    fn turn(self: &Arc<Self>) -> Option<Moment> {
        let (woken, next) = {
            let mut state = self.lock();
            let woken = state.core.poll(self.now());
            let next = state.core.next_wake();
            state.driven = next.is_some();
            (woken, next)
        };
        for (wake, result) in woken {
            tell(wake, result.map(|held| Leave::new(self, held, false)));
        }
        next
    }
}

/// One who has gone away gives back what it would have been given.
fn tell(wake: Wake, result: Result<Leave, Refusal>) {
    drop(wake.send(result));
}
