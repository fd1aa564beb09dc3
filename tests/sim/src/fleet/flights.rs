//! Requests on their way to the upstream, and its answers on their way back.

use std::time::Duration;

use super::{Event, Fleet, State};
use crate::egress::account::core::Held;
use crate::policy::breaker::Outcome;
use crate::policy::limit::About;
use crate::policy::retry::Failure;
use crate::upstream::Reply;

impl Fleet {
    pub(super) fn arrives(&mut self, id: usize, attempt: u32) {
        let at = self.agenda.now();
        let (reply, took) = self.upstream.arrive(at);
        // Unless it was refused, it may have been done, whatever is heard of it.
        let executed = !matches!(reply, Reply::TooMany { .. });
        self.judge.arrives(self.calls[id].facts, executed, at);
        let latency = &self.plan.latency;
        let late = self.rng.u64(0..100) < latency.tail_percent;
        let most = if late { latency.tail } else { latency.most };
        let back = self.rng.u64(latency.least..=most.max(latency.least));
        if reply != Reply::Silence {
            self.agenda.enter(at + took + back, Event::Answers { call: id, attempt, reply });
        }
    }

    /// What is held for this sending, if it is still under way.
    fn lands(&mut self, id: usize, attempt: u32) -> Option<Held> {
        let call = &mut self.calls[id];
        match &mut call.state {
            State::Flies(held) if call.attempt == attempt => held.take(),
            _ => None,
        }
    }

    pub(super) fn unreachable(&mut self, id: usize, attempt: u32) {
        let Some(held) = self.lands(id, attempt) else { return };
        let (facts, random) = (self.calls[id].facts, self.rng.u64(..));
        let now = self.now(facts.sidecar);
        self.sidecars[facts.sidecar].core.never_sent(held, Some(Outcome::Failure), random, now);
        self.judge.came_to_nothing(facts, self.agenda.now());
        self.judge.hears(facts.sidecar, false, self.agenda.now());
        self.failed(id, Failure::NeverSent);
    }

    pub(super) fn answers(&mut self, id: usize, attempt: u32, reply: Reply) {
        let Some(held) = self.lands(id, attempt) else { return };
        let (facts, random) = (self.calls[id].facts, self.rng.u64(..));
        let sent_at = self.calls[id].sent_at;
        let now = self.now(facts.sidecar);
        let took = Duration::from_millis(self.agenda.now() - sent_at);
        let departed = self.sidecars[facts.sidecar].now(sent_at).mono;
        let core = &mut self.sidecars[facts.sidecar].core;
        let outcome = match reply {
            Reply::Done => Outcome::Success { took },
            Reply::TooMany { .. } => Outcome::Neutral,
            Reply::ServerError | Reply::Silence => Outcome::Failure,
        };
        if let Reply::TooMany { retry_after } = reply {
            let wait = retry_after.map(Duration::from_millis);
            let _ = core.throttled(About::Upstream, wait, departed, now);
            self.judge.hears_throttle(facts.sidecar, retry_after, self.agenda.now());
        }
        let answer = core.answered(held, now);
        core.judged(answer, Some(outcome), random, now);
        self.judge.settles(facts, false, self.agenda.now());
        match reply {
            Reply::Done => {
                self.judge.hears(facts.sidecar, true, self.agenda.now());
                self.ends(id, true);
            }
            Reply::TooMany { retry_after } => {
                let retry_after = retry_after.map(Duration::from_millis);
                self.failed(id, Failure::Throttled { retry_after });
            }
            Reply::ServerError | Reply::Silence => {
                self.judge.hears(facts.sidecar, false, self.agenda.now());
                self.failed(id, Failure::Unclear);
            }
        }
        self.pump(facts.sidecar);
    }
}
