//! What the judge is told of a call that is refused.

use super::Fleet;
use crate::agenda::Ms;
use crate::egress::account::core::Refusal;
use crate::judge::Facts;
use crate::policy::breaker;
use crate::policy::limit::{Reason, Refused};

impl Fleet {
    pub(super) fn refused(&mut self, id: usize, refusal: &Refusal) {
        let facts = self.calls[id].facts;
        let at = self.agenda.now();
        match refusal {
            Refusal::Breaker(breaker::Refused::Maintenance { ends }) => {
                let ends =
                    ends.saturating_sub(self.plan.epoch).saturating_sub(self.sidecars[facts.sidecar].skew);
                self.judge.kept_out_by_maintenance(facts, Ms::try_from(ends).unwrap_or(0), at);
            }
            Refusal::Breaker(breaker::Refused::Open { .. }) => self.judge.kept_out(facts, at),
            Refusal::Wall { wall: Some(refused), .. } => {
                let span = refused.wall.as_ref().and_then(|wall| wall.quota.span_ms());
                self.judge.refused_by_a_wall(facts, span, at);
                self.judge_wall(facts, refused, at);
            }
            _ => {}
        }
        self.ends(id, false);
    }

    fn judge_wall(&mut self, facts: Facts, refused: &Refused, at: Ms) {
        let (Reason::Window, Some(wall), Some(retry_at)) = (refused.reason, &refused.wall, refused.retry_at)
        else {
            return;
        };
        let share = |planned: &&crate::plan::Wall| {
            planned.count / self.plan.parts() == wall.quota.count
                && Some(planned.span) == wall.quota.span_ms()
        };
        if let Some(planned) = self.plan.walls.iter().find(share) {
            let retry_at = self.sidecars[facts.sidecar].at(retry_at.mono);
            self.judge.refused(facts, (planned, wall.quota.count), retry_at, at);
        }
    }
}
