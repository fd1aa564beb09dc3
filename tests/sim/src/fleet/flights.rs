//! Requests on their way to the upstream, and its answers on their way back.

use std::time::Duration;

use super::{Event, Fleet, State};
use crate::agenda::Ms;
use crate::egress::account::core::Held;
use crate::judge::Facts;
use crate::policy::breaker::Outcome;
use crate::policy::limit::{About, Observation};
use crate::policy::retry::Failure;
use crate::upstream::Reply;

impl Fleet {
    pub(super) fn arrives(&mut self, id: usize, attempt: u32) {
        let at = self.agenda.now();
        let (reply, took) = self.upstream.arrive(at);
        // Unless it was refused, it may have been done, whatever is heard of it.
        let executed = !matches!(reply, Reply::TooMany { .. });
        self.judge.arrives(self.calls[id].facts, executed, at);
        if let Reply::Done { used: Some(used) } = reply {
            self.judge.shows(id, (used, self.upstream.used_by_others()), at);
        }
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
            Reply::Done { .. } => Outcome::Success { took },
            Reply::TooMany { .. } => Outcome::Neutral,
            Reply::ServerError | Reply::Silence => Outcome::Failure,
        };
        if let Reply::TooMany { retry_after } = reply {
            let wait = retry_after.map(Duration::from_millis);
            let _ = core.throttled(About::Upstream, wait, departed, now);
            self.judge.hears_throttle(facts.sidecar, retry_after, (sent_at, self.agenda.now()));
        }
        let answer = core.answered(held, now);
        core.judged(answer, Some(outcome), random, now);
        self.judge.settles(facts, false, self.agenda.now());
        match reply {
            Reply::Done { used } => {
                self.judge.hears(facts.sidecar, true, self.agenda.now());
                if let Some(used) = used {
                    self.learns(facts, used, sent_at);
                }
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

    /// The answer to what was sent then tells how much of a wall is used.
    fn learns(&mut self, facts: Facts, used: u64, sent_at: Ms) {
        let Some(wall) = self.plan.shows.and_then(|wall| self.plan.walls.get(wall)) else { return };
        let side = &mut self.sidecars[facts.sidecar];
        let (now, asked_at) = (side.now(self.agenda.now()), side.now(sent_at).mono);
        let resets_at = wall.midnight.map(|_| side.now(wall.leaves(sent_at)).mono);
        side.core.learn(
            &Observation {
                about: About::Upstream,
                window: Some(Duration::from_millis(wall.span)),
                limit: Some(wall.count),
                remaining: Some(wall.count - used),
                used: None,
                resets_at,
                asked_at,
            },
            now,
        );
        self.judge.hears_use(facts, sent_at, self.agenda.now());
    }
}
