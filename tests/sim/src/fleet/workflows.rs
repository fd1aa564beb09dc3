//! Tasks of several steps: reserved before the first, made one by one, and given back.

use std::time::Duration;

use super::{Event, Fleet, LOOK_EVERY, OPERATION, priority, workflow_name};
use crate::policy::limit::{Owner, Reason, Wanted};

impl Fleet {
    pub(super) fn reserves(&mut self, workflow: usize) {
        let (at, planned) = (self.agenda.now(), self.plan.workflows[workflow].clone());
        let (agent, name) = (&self.plan.agents[planned.agent], workflow_name(workflow));
        let (sidecar, owner) = (agent.sidecar, Owner { agent: &agent.name, workflow: &name });
        let (side, priority) = (&mut self.sidecars[sidecar], priority(agent.background));
        if side.dead {
            return;
        }
        let now = side.now(at);
        let wanted = [Wanted { operation: OPERATION.into(), cost: 1, calls: planned.steps }];
        let until = now.mono + Duration::from_millis(planned.life);
        self.judge.wants(workflow, sidecar, planned.steps, at);
        match side.core.limits().book(&owner, &wanted, priority, until, now) {
            Ok(_) => {
                self.judge.reserves(workflow, sidecar, planned.steps, (at, at + planned.life));
                for _ in 0..planned.steps {
                    if self.rng.u64(0..100) < planned.makes_percent {
                        let step_at = at + self.rng.u64(0..planned.life);
                        self.agenda.enter(step_at, Event::Goes { workflow });
                    }
                }
                if let Some(after) = planned.gives_back {
                    self.agenda.enter(at + after, Event::GivesBack { workflow });
                }
            }
            // The disk is being written to.
            Err(refused) if refused.reason == Reason::Reserving && at < planned.from + LOOK_EVERY => {
                self.agenda.enter(at + 10, Event::Reserves { workflow });
            }
            Err(_) => {}
        }
        self.pump(sidecar);
    }

    pub(super) fn gives_back(&mut self, workflow: usize) {
        let (agent, name) = (&self.plan.agents[self.plan.workflows[workflow].agent], workflow_name(workflow));
        let sidecar = agent.sidecar;
        self.judge.gives_back(workflow);
        let owner = Owner { agent: &agent.name, workflow: &name };
        self.sidecars[sidecar].core.limits().unbook_all(&owner);
        self.pump(sidecar);
    }
}
