//! What one seed decides about the walls: over spans of any beginning, and from midnight to midnight of a day that ends in the run.

use fastrand::Rng;

use super::{MINUTE, SECOND};
use crate::agenda::Ms;

/// Nominal length of a day. The one that ends in a run may be an hour longer: summer time ends with it.
const DAY: Ms = 24 * 60 * MINUTE;

/// When that day ends, somewhere, after [`Wall::EPOCH`]; and walls there, small enough to be met on either side of midnight.
const NIGHTS: [(i64, [(u64, &str); 2]); 3] = [
    (23 * HOUR, [(60, "60/day Europe/Berlin"), (240, "240/day Europe/Berlin")]),
    (24 * HOUR, [(60, "60/day UTC"), (240, "240/day UTC")]),
    (18 * HOUR + HOUR / 2, [(60, "60/day Asia/Kolkata"), (240, "240/day Asia/Kolkata")]),
];
const HOUR: i64 = 3_600_000;

/// How long it takes to use up a wall by the day, if the agents are as busy as with others: runs are not much longer.
const FELT_OVER: Ms = 2 * MINUTE;

/// At most `count` in any window of `span`, or on any day.
#[derive(Clone, Debug)]
pub struct Wall {
    pub count: u64,
    pub span: Ms,
    pub text: &'static str,
    /// When in the run the day ends that it counts by; the next one ends long after the run.
    pub midnight: Option<Ms>,
}

impl Wall {
    /// When a run begins that has no wall by the day, in milliseconds since 1970: on the day on which summer time ends in Europe.
    pub(super) const EPOCH: i64 = 1_792_886_400_000;

    /// When what came then is no longer in the window, or on the day, of what comes next.
    pub fn leaves(&self, came: Ms) -> Ms {
        match self.midnight {
            None => came + self.span,
            Some(midnight) if came < midnight => midnight,
            Some(midnight) => midnight + self.span,
        }
    }

    /// The span over which it is met.
    pub(super) fn felt_over(&self) -> Ms {
        if self.midnight.is_some() { FELT_OVER } else { self.span }
    }
}

/// The midnight of a run, if it has one.
pub(super) struct Night {
    pub at: Ms,
    /// What right clocks show when the run begins.
    pub epoch: i64,
    walls: [(u64, &'static str); 2],
}

impl Night {
    pub fn of(rng: &mut Rng, length: Ms) -> Self {
        let (ends, walls) = NIGHTS[rng.usize(..NIGHTS.len())];
        let at = rng.u64(length / 5..length / 5 * 4);
        Self { at, epoch: (Wall::EPOCH + ends).saturating_sub_unsigned(at), walls }
    }

    /// A run without one.
    pub fn epoch_of(night: Option<&Self>) -> i64 {
        night.map_or(Wall::EPOCH, |night| night.epoch)
    }
}

/// A short one, and perhaps a long one or one by the day: small enough to be met, large enough to be divided. `is_short`: windows are over soon.
pub(super) fn walls(rng: &mut Rng, night: Option<&Night>, is_short: bool) -> Vec<Wall> {
    // Of the last two nothing can be reserved: they are waited for.
    let short =
        [("20/min", 20, MINUTE), ("60/min", 60, MINUTE), ("8/s", 8, SECOND), ("30/10s", 30, 10 * SECOND)];
    let kinds = if is_short && rng.bool() { 2 } else { short.len() };
    // Beyond 4 096 a wall is counted in buckets.
    let long = [("150/5min", 150, 5 * MINUTE), ("400/h", 400, 60 * MINUTE), ("5000/5min", 5_000, 5 * MINUTE)];
    let wall = |(text, count, span): (&'static str, u64, Ms)| Wall { count, span, text, midnight: None };
    let mut walls = vec![wall(short[rng.usize(..kinds)])];
    if let Some(night) = night {
        let (count, text) = night.walls[rng.usize(..night.walls.len())];
        let by_day = Wall { count, span: DAY, text, midnight: Some(night.at) };
        // Alone, it is met by a crowd.
        if rng.u8(0..3) == 0 {
            return vec![by_day];
        }
        walls.push(by_day);
    } else if is_short {
        return walls;
    } else if rng.bool() {
        walls.push(wall(long[rng.usize(..long.len())]));
    }
    // Alone, so that it is met.
    if rng.u8(0..8) == 0 {
        walls = vec![wall(long[2])];
    }
    walls
}
