//! What is judged of somebody else who uses the same quota, once that has shown: by a refusal where there should have been room.

use super::refusals::leaves_surely;
use super::shared::{HEARD_BY_ALL, NEWS};
use super::{Departure, Facts, Judge};
use crate::agenda::Ms;
use crate::plan::Keeping;

/// What is left of a wall after such a refusal, and how much of it comes back with each step, in tenths.
const LEFT: u64 = 7;
const STEP: u64 = 1;
const WHOLE: u64 = 10;

/// Shortest and longest time between two steps; in between it is the wall's own.
const STEPS: (Ms, Ms) = (10_000, 600_000);

/// What all that share a wall learned from one refusal.
#[derive(Debug)]
pub(super) struct Lowered {
    at: Ms,
    /// When the last refusal of any was heard: it may have lowered the wall once more.
    last: Ms,
}

/// What an answer tells: how much was used when its request arrived.
#[derive(Debug)]
pub(super) struct Shown {
    ours: u64,
    others: u64,
    at: Ms,
}

/// What an answer told of others' use.
#[derive(Debug)]
pub(super) struct Heard {
    sent_at: Ms,
    at: Ms,
    /// From when on everybody knows, and until when it surely counts.
    known: Ms,
    until: Ms,
    others: u64,
    /// Of ours, those that had arrived by then.
    arrived: u64,
}

impl Judge {
    /// A request has arrived, and its answer tells how much is used now; so much of it is others'.
    pub fn shows(&mut self, id: usize, (used, others): (u64, u64), now: Ms) {
        self.shown.insert(id, Shown { ours: used - others, others, at: now });
    }

    /// A sidecar hears that answer.
    pub fn hears_use(&mut self, call: Facts, sent_at: Ms, now: Ms) {
        let Some(Shown { ours: arrived, others, at }) = self.shown.remove(&call.id) else { return };
        if others > 0 {
            // What it lets through is less than the walls.
            (self.sides[call.sidecar].troubled, self.sides[call.sidecar].throttled) = (true, true);
        }
        let is_newer = self.heard.as_ref().is_none_or(|heard| sent_at > heard.sent_at);
        // Sidecars that have a part each hear of others' use what may be their fellows'.
        if self.parts > 1 || !is_newer {
            return;
        }
        let Some((wall, _)) = self.shows.and_then(|wall| self.walls.get(wall)) else { return };
        let (_, heard) = self.sharing(call.sidecar);
        let known = now + if heard > 0 { NEWS } else { 0 };
        let until = wall.leaves(at);
        self.heard = Some(Heard { sent_at, at: now, known, until, others, arrived });
    }

    /// A request leaves: all of ours and what others use fit, but for what was under way when that was heard.
    pub(super) fn leaves_room(&mut self, call: Facts, now: Ms) {
        let Some((wall, _)) = self.shows.and_then(|wall| self.walls.get(wall)) else { return };
        let Some(Heard { at, known, until, others, arrived, .. }) = &self.heard else { return };
        let were_together = self.cut_off.iter().all(|(from, to)| now < *from || to < at);
        if now <= *known || now >= *until || !were_together || *others == 0 {
            return;
        }
        let all = || self.sides.iter().flat_map(|side| &side.departures);
        let counted =
            |d: &&Departure| d.left <= *known && d.end.is_none_or(|end| leaves_surely(wall, end) >= *at);
        let shared = matches!(self.keeping, Keeping::Shared(_));
        let held = if shared { self.may_be_held(usize::MAX, wall, *known) } else { 0 };
        let under_way = (all().filter(counted).count() as u64).saturating_sub(*arrived) + held;
        let ours = all().filter(|d| d.end.is_none_or(|end| wall.leaves(end) > now)).count() as u64;
        let (others, most) = (*others, wall.count + under_way);
        self.verdict.check("outsider", ours + others <= most, || {
            format!(
                "call {} left at {now} ms as number {ours} of ours beside {others} of others, and {under_way} were under way (of {})",
                call.id, wall.text
            )
        });
    }

    /// Who shares what is learned: each sidecar is for itself, unless there is a store.
    fn sharing(&self, sidecar: usize) -> (usize, Ms) {
        match self.keeping {
            Keeping::Shared(_) => (0, HEARD_BY_ALL),
            Keeping::Memory | Keeping::Disk => (sidecar, 0),
        }
    }

    /// A sidecar is refused what it sent at that time. What was under way when the last refusal was heard shows nothing new.
    pub(super) fn lowers(&mut self, sidecar: usize, sent_at: Ms, now: Ms) {
        // With more than one wall, nobody can tell from outside which it is; and who was told what others use is not surprised.
        let ([(wall, _)], None) = (&self.walls[..], self.shows) else { return };
        let step = wall.span.clamp(STEPS.0, STEPS.1);
        let (who, heard) = self.sharing(sidecar);
        let lowered = self.lowered.entry(who).or_insert(Lowered { at: now, last: now });
        // While it has not come back as a whole, the lowest limit that was learned is not known here.
        if now > lowered.at + (WHOLE - LEFT + 1) * step && sent_at > lowered.last + heard {
            lowered.at = now;
        }
        lowered.last = now;
    }

    /// A request leaves, and so few have left since all know.
    pub(super) fn keeps_to_less(&mut self, call: Facts, now: Ms) {
        let [(wall, _)] = &self.walls[..] else { return };
        let (who, heard) = self.sharing(call.sidecar);
        let Some(&Lowered { at, .. }) = self.lowered.get(&who) else { return };
        let known = at + heard;
        // Who was away, or began anew, knows what the store does; and that may have forgotten.
        let were_together = self.cut_off.iter().all(|(from, to)| now < *from || *to < at);
        if now <= known || !were_together {
            return;
        }
        let steps = (now + heard - at) / wall.span.clamp(STEPS.0, STEPS.1);
        let whole = wall.count / self.parts;
        let most = (whole * LEFT / WHOLE).max(1) + steps * (whole * STEP / WHOLE).max(1);
        if most >= whole {
            return;
        }
        let recent = |d: &&Departure| d.left > known && wall.leaves(d.left) > now;
        let sides = self.sides.iter().enumerate();
        let sharing = sides.filter(|(sidecar, _)| heard > 0 || *sidecar == call.sidecar);
        let left: usize =
            sharing.map(|(_, side)| side.departures.iter().rev().take_while(recent).count()).sum();
        self.verdict.check("learned", left as u64 <= most, || {
            format!(
                "{left} requests left until {now} ms, and {most} are what is left of {} since {at} ms",
                wall.text
            )
        });
    }

    /// A process begins anew: what it had not written down is lost.
    pub(super) fn forgets_others(&mut self, sidecar: usize) {
        if !matches!(self.keeping, Keeping::Shared(_)) {
            self.lowered.remove(&sidecar);
            self.heard = None;
        }
    }
}
