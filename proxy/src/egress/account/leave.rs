//! What a request holds while it is under way. However it ends, also when its agent goes away in the middle, everything is given back.

use std::sync::Arc;
use std::time::Duration;

use super::Account;
use super::core::{Held, Unjudged};
use crate::policy::breaker::Outcome;
use crate::policy::time::Moment;

/// Leave to send one request. Dropping it is giving the request up.
#[derive(Debug)]
pub struct Leave {
    account: Arc<Account>,
    held: Option<Held>,
    again: bool,
    sent: Option<Sent>,
}

/// On whose behalf something went out, and when.
#[derive(Debug)]
struct Sent {
    at: Moment,
    agent: Arc<str>,
    workflow: Option<Arc<str>>,
}

/// An answer that nobody has judged yet. Dropping it judges it by its status alone.
#[derive(Debug)]
pub struct Pending {
    account: Arc<Account>,
    answer: Option<Unjudged>,
    by_status: Outcome,
    pub sent_at: Moment,
    pub took: Duration,
}

impl Leave {
    pub(super) fn new(account: &Arc<Account>, held: Held, again: bool) -> Self {
        Self { account: Arc::clone(account), held: Some(held), again, sent: None }
    }

    pub(super) fn retrying(mut self, again: bool) -> Self {
        self.again = again;
        self
    }

    /// The first byte is about to go out: from now on it counts, unless it turns out that there was no connection.
    pub fn sent(&mut self, agent: &Arc<str>, workflow: Option<&Arc<str>>) {
        let at = self.account.now().mono;
        self.sent = Some(Sent { at, agent: Arc::clone(agent), workflow: workflow.cloned() });
    }

    /// The answer is there. Room is made at once; what it means is said to what is returned.
    pub fn answered(mut self, by_status: impl FnOnce(Duration) -> Outcome) -> Pending {
        let now = self.account.now();
        let sent_at = self.sent.as_ref().map_or(now.mono, |sent| sent.at);
        let took = now.mono.since(sent_at);
        let answer = self.held.take().map(|mut held| {
            let mut state = self.account.lock();
            self.note(&mut state, &mut held);
            let answer = state.core.answered(held, now);
            self.account.look_again(&state);
            answer
        });
        Pending { account: Arc::clone(&self.account), answer, by_status: by_status(took), sent_at, took }
    }

    /// There is no answer. `left_us`: it may have arrived all the same. `outcome`: what that says of the system, if anything.
    pub fn failed(mut self, left_us: bool, outcome: Option<Outcome>) {
        self.give_back(left_us, outcome);
    }

    /// How long ago it was sent.
    pub fn waited(&self) -> Duration {
        let now = self.account.now().mono;
        self.sent.as_ref().map_or(Duration::ZERO, |sent| now.since(sent.at))
    }

    /// Counts what went out.
    fn note(&self, state: &mut super::State, held: &mut Held) {
        state.core.sent(held, self.again, self.account.now());
        if let Some(Sent { agent, workflow, .. }) = &self.sent {
            state.ledger.note(agent, workflow.as_ref(), held.operation(), held.cost());
        }
    }

    fn give_back(&mut self, left_us: bool, outcome: Option<Outcome>) {
        let Some(mut held) = self.held.take() else { return };
        let (random, now) = (rand::random(), self.account.now());
        let mut state = self.account.lock();
        if left_us {
            self.note(&mut state, &mut held);
            state.core.abandoned(held, outcome, random, now);
        } else {
            state.core.never_sent(held, outcome, random, now);
        }
        let due = state.core.next_wake().is_some();
        drop(state);
        if due {
            self.account.drive();
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let left_us = self.sent.is_some();
        self.give_back(left_us, None);
    }
}

impl Pending {
    /// What the answer meant.
    pub fn judge(mut self, outcome: Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: Outcome) {
        if let Some(answer) = self.answer.take() {
            let now = self.account.now();
            self.account.lock().core.judged(answer, Some(outcome), rand::random(), now);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.record(self.by_status);
    }
}
