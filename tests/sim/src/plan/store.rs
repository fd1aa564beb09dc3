//! What one seed decides about the store that a fleet shares: how long what it grants is good for, and what goes wrong with it.

use fastrand::Rng;

use super::{LONGEST_CALL, MINUTE, Mood, SECOND};
use crate::agenda::Ms;

/// Least step of a clock: less is lost among the times that messages take.
const LEAST_STEP: i64 = 1_000;

/// One store.
#[derive(Clone, Debug)]
pub struct Store {
    /// How long a lease is good for, how long the store waits beyond that for what was spent last, and how long the share for emergencies is
    /// good for after the lease.
    pub lease: Ms,
    pub tail: Ms,
    pub emergency: Ms,
    /// Longest way of a message to or from it.
    pub latency: Ms,
    /// Of a hundred questions, those that are lost on their way; and of a hundred answers, although what was asked is done.
    pub lost_percent: u64,
    pub faults: Vec<StoreFault>,
    /// Sidecars below this one never die and are never cut off. A store that was wiped, or whose clock was set, knows nothing of it: somebody must
    /// be there who does. Without such a fault nobody need be, and it is 0.
    pub last_witness: u64,
}

/// Something that is wrong with it for a while.
#[derive(Clone, Debug)]
pub struct StoreFault {
    pub from: Ms,
    pub to: Ms,
    pub kind: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between it and this sidecar.
    Cut { sidecar: usize },
    /// It is away.
    Away,
    /// It has lost everything.
    Wiped,
    /// It takes longer: beyond 100 ms nobody waits for the answer.
    Slow { by: Ms },
    /// Its clock is set.
    Set { by: i64 },
}

impl Store {
    /// One with which nothing goes wrong.
    pub(super) fn well() -> Self {
        Self {
            lease: 10 * SECOND,
            tail: LONGEST_CALL + 5 * SECOND,
            emergency: 30 * SECOND,
            latency: 5,
            lost_percent: 0,
            faults: Vec::new(),
            last_witness: 0,
        }
    }

    pub(super) fn of(rng: &mut Rng, mood: Mood, length: Ms, sidecars: u64) -> Self {
        let (most, until) = match mood {
            Mood::Calm => (2, mood.troubled_until(length)),
            Mood::Crowded => (1, length),
            Mood::Mixed => (4, length),
        };
        let faults: Vec<_> = (0..rng.u8(0..=most)).map(|_| fault(rng, until, sidecars)).collect();
        let forgets = faults.iter().any(|f| matches!(f.kind, Fault::Wiped | Fault::Set { .. }));
        let last_witness = u64::from(forgets);
        let is_witness = |sidecar: usize| forgets && sidecar == 0;
        let faults =
            faults.into_iter().filter(|f| !matches!(f.kind, Fault::Cut { sidecar } if is_witness(sidecar)));
        Self {
            lease: rng.u64(2..=10) * SECOND,
            tail: LONGEST_CALL + 5 * SECOND,
            emergency: rng.u64(5..=30) * SECOND,
            latency: rng.u64(1..=40),
            lost_percent: rng.u64(0..=10),
            faults: faults.collect(),
            last_witness,
        }
    }
}

fn fault(rng: &mut Rng, until: Ms, sidecars: u64) -> StoreFault {
    let from = rng.u64(0..until);
    let kind = match rng.u8(0..6) {
        0 | 1 => Fault::Cut { sidecar: usize::try_from(rng.u64(0..sidecars)).unwrap_or(0) },
        2 => Fault::Away,
        3 => Fault::Wiped,
        4 => Fault::Slow { by: rng.u64(20..=3_000) },
        _ => {
            let by = rng.i64(LEAST_STEP..=3_600_000);
            Fault::Set { by: if rng.bool() { by } else { -by } }
        }
    };
    let lasts = match kind {
        Fault::Wiped | Fault::Set { .. } => 0,
        _ => rng.u64(50..=MINUTE + 30 * SECOND),
    };
    StoreFault { from, to: from + lasts, kind }
}
