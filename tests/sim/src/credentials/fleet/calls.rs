//! Calls of agents: each is sent with what serves, or waits for it.

use std::time::Duration;

use super::{Call, Event, Fleet, RENEWALS};
use crate::credential::lifecycle::{Renewal, Serving};
use crate::credentials::judge::Denied;

impl Fleet {
    pub(super) fn calls(&mut self, sidecar: usize) {
        let at = self.agenda.now();
        let deadline = at + self.rng.u64(self.plan.patience.0..=self.plan.patience.1);
        let next = at + self.rng.u64(1..=2 * self.plan.every);
        if next < self.plan.length {
            self.agenda.enter(next, Event::Calls { sidecar });
        }
        if self.sidecars[sidecar].dead {
            return;
        }
        let life = self.sidecars[sidecar].life;
        self.calls.push(Call { sidecar, life, deadline, with: None, renewed: 0, open: true });
        let call = self.calls.len() - 1;
        self.agenda.enter(deadline, Event::Deadline { call });
        self.serve(call, true);
        self.pump(sidecar);
    }

    /// Sends a call with what serves now, or lets it wait.
    pub(super) fn serve(&mut self, id: usize, is_first: bool) {
        let at = self.agenda.now();
        let Call { sidecar, deadline, .. } = self.calls[id];
        let it = &mut self.sidecars[sidecar];
        let now = it.now(at);
        let serving = it.core.serve(Duration::from_millis(deadline - at), now);
        if is_first {
            self.judge.asked(sidecar, serving, it.in_hand, &self.provider, at);
        }
        match serving {
            Serving::Token(version) => {
                let with = it.in_hand.filter(|in_hand| in_hand.version == version);
                self.calls[id].with = with;
                if with.is_none() {
                    return self.denied(id, Denied::Unknown);
                }
                let arrives = at + self.latency();
                self.agenda.enter(arrives, Event::Arrives { call: id });
            }
            Serving::Wait => it.waiting.push(id),
            Serving::Failing { .. } => self.denied(id, Denied::Failing),
            Serving::Dead => self.denied(id, Denied::Dead),
        }
    }

    pub(super) fn arrives(&mut self, id: usize) {
        let at = self.agenda.now();
        let Some(with) = self.calls[id].with else { return };
        let taken = self.provider.takes(with.tokens.access, at);
        self.judge.used(self.calls[id].sidecar, with, taken, &self.provider, at);
        let back = self.latency();
        self.agenda.enter(at + back, Event::Answered { call: id, taken });
    }

    pub(super) fn answered(&mut self, id: usize, taken: bool) {
        let call = self.calls[id];
        let it = &mut self.sidecars[call.sidecar];
        if !call.open || it.dead || it.life != call.life {
            return;
        }
        if taken {
            self.calls[id].open = false;
            return;
        }
        let now = it.now(self.agenda.now());
        let Some(with) = call.with else { return };
        if call.renewed == RENEWALS || it.core.refused(with.version, now) == Renewal::Futile {
            return self.denied(id, Denied::Refused);
        }
        self.calls[id].renewed += 1;
        self.serve(id, false);
        self.pump(call.sidecar);
    }

    pub(super) fn denied(&mut self, id: usize, how: Denied) {
        let call = &mut self.calls[id];
        if !std::mem::take(&mut call.open) {
            return;
        }
        let it = &mut self.sidecars[call.sidecar];
        it.waiting.retain(|waiting| *waiting != id);
        if !it.dead && it.life == call.life {
            self.judge.denied(call.sidecar, how, &self.provider, self.agenda.now());
        }
    }
}
