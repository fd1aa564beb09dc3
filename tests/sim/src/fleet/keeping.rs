//! What a run does around the calls: carries counts to disks, lets sidecars die and begin anew.

use super::{Call, Event, Fleet, State};

impl Fleet {
    pub(super) fn writes(&mut self, sidecar: usize) {
        let (at, takes) = (self.agenda.now(), self.rng.u64(1..=30));
        if self.sidecars[sidecar].begin_writing(at) {
            self.agenda.enter(at + takes, Event::Written { sidecar, life: self.sidecars[sidecar].life });
        }
    }

    pub(super) fn written(&mut self, sidecar: usize, life: u32) {
        let at = self.agenda.now();
        let side = &mut self.sidecars[sidecar];
        if !side.dead && side.life == life {
            side.end_writing(at);
            self.pump(sidecar);
        }
    }

    /// All its calls are gone with it. What it has sent arrives all the same.
    pub(super) fn dies(&mut self, crash: usize) {
        let (at, crash) = (self.agenda.now(), self.plan.crashes[crash].clone());
        let side = &mut self.sidecars[crash.sidecar];
        if side.dead {
            return;
        }
        side.die(at, self.rng.bool());
        self.judge.dies(crash.sidecar, at);
        let of_it =
            |call: &&mut Call| call.facts.sidecar == crash.sidecar && !matches!(call.state, State::Ended);
        for call in self.calls.iter_mut().filter(of_it) {
            call.state = State::Ended;
            self.judge.ends(call.facts, false, at);
        }
        self.agenda.enter(at + crash.down, Event::Lives { sidecar: crash.sidecar });
    }

    /// A process begins, and takes up what the one before it wrote.
    pub(super) fn lives(&mut self, sidecar: usize) {
        self.sidecars[sidecar].revive(self.agenda.now());
        self.pump(sidecar);
    }
}
