//! Sandboxes that are kept for the next run, for a while.
//!
//! One that has served somebody is for that caller only, because a guest can remember; one that has served nobody is for whoever comes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::Caller;

/// How long a sandbox waits for its next run. Longer than the pauses within an agent's task; short, because the slots are everybody's.
const IDLE_LIFETIME: Duration = Duration::from_secs(30);

/// Idle sandboxes, the one that was used longest ago first.
pub struct Idle<S>(Mutex<State<S>>);

struct State<S> {
    kept: VecDeque<Kept<S>>,
    /// Whether a task waits to end those that have waited too long.
    swept: bool,
}

struct Kept<S> {
    served: Option<Caller>,
    until: Instant,
    sandbox: S,
}

impl<S: Send + 'static> Idle<S> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { kept: VecDeque::new(), swept: false })))
    }

    /// The sandbox that this caller used last, or else one that has served nobody.
    pub fn take(&self, caller: &Caller) -> Option<S> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = |who| state.kept.iter().rposition(|kept| kept.served.as_ref() == who);
        let at = last(Some(caller)).or_else(|| last(None))?;
        state.kept.remove(at).map(|kept| kept.sandbox)
    }

    /// Keeps a sandbox, for at most [`IDLE_LIFETIME`].
    pub fn keep(self: &Arc<Self>, served: Option<Caller>, sandbox: S) {
        let kept = Kept { served, until: Instant::now() + IDLE_LIFETIME, sandbox };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.push_back(kept);
        if !std::mem::replace(&mut state.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Ends the oldest until at most `most` are left.
    pub fn shrink(&self, most: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = state.kept.len().saturating_sub(most);
        let ended: Vec<_> = state.kept.drain(..surplus).collect();
        // To unmap a sandbox takes longer than anybody should wait for the lock.
        drop(state);
        drop(ended);
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.len()
    }

    /// How many have served somebody.
    #[cfg(test)]
    pub fn served(&self) -> usize {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.iter().filter(|kept| kept.served.is_some()).count()
    }

    /// Ends those that have waited too long; when the next will have, if there is one.
    fn expire(&self) -> Option<Instant> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let expired = state.kept.iter().take_while(|kept| kept.until <= now).count();
        let ended: Vec<_> = state.kept.drain(..expired).collect();
        let next = state.kept.front().map(|kept| kept.until);
        state.swept = next.is_some();
        drop(state);
        drop(ended);
        next
    }
}

async fn sweep<S: Send + 'static>(idle: Weak<Idle<S>>) {
    while let Some(next) = idle.upgrade().and_then(|idle| idle.expire()) {
        tokio::time::sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_is_only_for_the_caller_that_it_served() {
        let idle = Idle::new();
        let (alice, bob) = (Caller::agent("alice"), Caller::agent("bob"));
        idle.keep(Some(alice.clone()), "old of alice");
        idle.keep(Some(bob.clone()), "of bob");
        idle.keep(Some(alice.clone()), "of alice");
        assert_eq!(idle.take(&alice), Some("of alice"));
        idle.shrink(1);
        assert_eq!((idle.take(&alice), idle.take(&bob)), (None, Some("of bob")));
        assert_eq!(idle.take(&bob), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_served_nobody_is_for_whoever_has_none() {
        let idle = Idle::new();
        let (alice, bob) = (Caller::agent("alice"), Caller::agent("bob"));
        idle.keep(Some(alice.clone()), "of alice");
        idle.keep(None, "new");
        assert_eq!((idle.take(&alice), idle.is_empty()), (Some("of alice"), false));
        assert_eq!((idle.take(&bob), idle.is_empty()), (Some("new"), true));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_to_call_for_an_idle_one_to_end() {
        let idle = Idle::new();
        for round in 0..2 {
            idle.keep(Some(Caller::agent("a")), 1);
            tokio::time::sleep(IDLE_LIFETIME / 2).await;
            idle.keep(Some(Caller::agent("a")), 2);
            tokio::time::sleep(IDLE_LIFETIME * 3 / 4).await;
            assert_eq!(idle.len(), 1, "round {round}");
            tokio::time::sleep(IDLE_LIFETIME / 2).await;
            assert_eq!(idle.len(), 0, "round {round}");
        }
    }
}
