//! What is judged of calls that are refused: for a wall, by a breaker, for maintenance; and of what they are told.

use super::rules::{BUCKETS, KEPT_OUT, UNWRITTEN};
use super::{Departure, Facts, Judge};
use crate::agenda::Ms;
use crate::plan::{self, Wall};

impl Judge {
    /// A call is refused for this wall, or the part of it that its sidecar has, and told when to come back.
    pub fn refused(&mut self, call: Facts, (wall, limit): (&Wall, u64), retry_at: Ms, now: Ms) {
        if !self.knows_the_day(call.sidecar, wall, now) {
            return;
        }
        if matches!(self.keeping, plan::Keeping::Shared(_)) {
            return self.refused_by_all(call, wall, retry_at, now);
        }
        let side = &self.sides[call.sidecar];
        // With nothing on its disk, a sidecar lets a short window pass before it believes that nothing was spent.
        let has_begun =
            matches!(self.keeping, plan::Keeping::Memory) || wall.span > UNWRITTEN || now > wall.span;
        if side.troubled || !call.interactive || !has_begun {
            return;
        }
        let promised = self.promised(Some(call.sidecar), wall, now);
        let due = due(&side.departures, promised, (wall, limit), now);
        let latest = due + bucket(wall) + 1;
        self.verdict.check("refused-late", (due..=latest).contains(&retry_at), || {
            format!(
                "refused at {now} ms until {retry_at}, and {due} to {latest} would be right ({limit} of {})",
                wall.text
            )
        });
    }

    /// Whether that sidecar can know when the wall's day ends.
    pub(super) fn knows_the_day(&self, sidecar: usize, wall: &Wall, now: Ms) -> bool {
        wall.midnight.is_none() || self.has_right_clock(sidecar, now)
    }

    pub(super) fn has_right_clock(&self, sidecar: usize, now: Ms) -> bool {
        !self.set.iter().any(|(whose, at)| *whose == sidecar && *at <= now)
    }

    /// A declared maintenance keeps a call out, until it ends.
    pub fn kept_out_by_maintenance(&mut self, call: Facts, ends: Ms, now: Ms) {
        if self.has_right_clock(call.sidecar, now) {
            let is_right = self.maintenance.as_ref().is_some_and(|m| m.contains(&now) && m.end == ends);
            self.verdict.check("maintenance", is_right, || {
                format!("call {} was told at {now} ms of a maintenance until {ends} ms", call.id)
            });
        }
    }

    /// A breaker keeps a call out.
    pub fn kept_out(&mut self, call: Facts, now: Ms) {
        let last = self.sides[call.sidecar].last_try;
        self.verdict.check("breaker", now < last + KEPT_OUT, || {
            format!("call {} was kept out at {now} ms, and nothing was tried since {last} ms", call.id)
        });
    }
}

/// The latest moment at which what arrived then may still count: buckets count as a whole.
pub(super) fn leaves_surely(wall: &Wall, arrived: Ms) -> Ms {
    wall.leaves(arrived) + bucket(wall) + 1
}

/// How much later than it must a wall may let go what it counts. A day ends when it ends.
pub(super) fn bucket(wall: &Wall) -> Ms {
    if wall.midnight.is_some() { 0 } else { wall.span / BUCKETS }
}

/// When there is room for one more before the wall, if what is under way is answered now, and what is promised leaves.
pub(super) fn due<'a>(
    departures: impl IntoIterator<Item = &'a Departure>,
    promised: u64,
    (wall, limit): (&Wall, u64),
    now: Ms,
) -> Ms {
    // What came at a span's first moment may have come at the last one of the span before; a day's first moment is that day's.
    let free = |end: Ms| wall.leaves(end) + Ms::from(wall.midnight.is_none());
    let ends = departures.into_iter().map(|d| free(d.end.unwrap_or(now).min(now)));
    let mut ends: Vec<Ms> = ends.filter(|end| *end > now).collect();
    ends.extend((0..promised).map(|_| free(now)));
    ends.sort_unstable();
    // Room for one more is there when all but `limit - 1` are out of the window.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    ends.len().checked_sub(limit).and_then(|over| ends.get(over)).copied().unwrap_or(now)
}
