//! The part of a wall that a store lets this process spend.
//!
//! A wall that is kept outside of this process is spent in grants: what is granted was counted by the store before, so that neither a
//! crash nor another sidecar can make it be spent twice.

use std::time::Duration;

use crate::policy::time::Moment;

/// Where a wall's count is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// Here, and nowhere else.
    #[default]
    Memory,
    /// Blocks are written down before they are spent. A restart knows nothing of windows up to [`UNWRITTEN_MS`], and waits for one.
    Disk {
        /// When this process began.
        since: Moment,
    },
    /// A store that many sidecars share grants pieces.
    Shared(Leases),
}

/// How long what a shared store granted may be used, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leases {
    /// To be spent, since the store was last heard.
    pub lease_ms: u64,
    /// For the answer to what was spent last: so long after the lease the store holds what it heard nothing of.
    pub tail_ms: u64,
    /// The share for emergencies, since the lease ended.
    pub emergency_ms: u64,
}

impl Leases {
    /// How long a store holds what it granted to a sidecar that it no longer hears.
    pub fn hold_ms(&self) -> u64 {
        self.lease_ms.saturating_add(self.tail_ms)
    }
}

/// Longer than a call by so much that its answer is reported too.
const TAIL_BEYOND_CALLS_MS: u64 = 10_000;

impl Leases {
    /// A lease outlasts the failover of a store; its tail is longer than any call; the share for emergencies lasts until somebody has looked.
    pub fn for_calls_of(longest: Duration) -> Self {
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let tail_ms = longest_ms.saturating_add(TAIL_BEYOND_CALLS_MS);
        Self { lease_ms: 10_000, tail_ms, emergency_ms: 600_000 }
    }
}

/// Longest window that is not written down, in milliseconds: waiting for it after a restart costs less than writing all the time.
pub const UNWRITTEN_MS: u64 = 2_000;

/// A block is this part of the limit: what a crash may waste.
const BLOCKS: u64 = 100;

/// What may be spent of one wall without asking.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    spendable: u64,
    /// Granted for when the store is away.
    emergency: u64,
    /// The largest weight that was refused for want of it.
    wanted: u64,
    /// Spent since the last exchange.
    spent: u64,
    /// Of calls under way, the most that there were at once since then.
    peak: u64,
    peak_since: Moment,
    /// Answered since the last exchange, and when the last of it was.
    arrived: u64,
    arrived_at: Moment,
    /// What the store said last: that nothing is left until then, and how much is used by all.
    denied_until: Moment,
    used: u64,
    used_until: Moment,
    /// Until when the store remembers what it said.
    known_until: Moment,
    /// Whether an exchange is under way.
    asking: bool,
}

/// Which parts of a grant may be spent now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Valid {
    pub leased: bool,
    pub emergency: bool,
    /// Whether the store has not answered for so long that nothing is left to wait with.
    pub away: bool,
}

/// What an exchange moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub arrived: u64,
    pub arrived_at: Moment,
    /// Everything granted that is kept: to be spent, or under way.
    pub outstanding: u64,
    pub emergency: u64,
    pub want: u64,
    /// Whether the store said something of this wall that it must still know.
    pub known: bool,
}

impl Grant {
    fn available(&self, valid: Valid) -> u64 {
        let leased = if valid.leased { self.spendable } else { 0 };
        leased + if valid.emergency { self.emergency } else { 0 }
    }

    pub fn covers(&self, weight: u64, valid: Valid) -> bool {
        weight <= self.available(valid)
    }

    /// Notes that so much was refused.
    pub fn miss(&mut self, weight: u64) {
        self.wanted = self.wanted.max(weight);
    }

    pub fn take(&mut self, weight: u64, valid: Valid) {
        self.spent += weight;
        let leased = if valid.leased { weight.min(self.spendable) } else { 0 };
        self.spendable -= leased;
        self.emergency = self.emergency.saturating_sub(weight - leased);
    }

    pub fn put_back(&mut self, weight: u64) {
        self.spendable += weight;
    }

    /// The same for what was not sent: there was no demand for it.
    pub fn untake(&mut self, weight: u64) {
        self.put_back(weight);
        self.spent = self.spent.saturating_sub(weight);
    }

    /// So many calls are under way.
    pub fn holds(&mut self, held: u64) {
        self.peak = self.peak.max(held);
    }

    pub fn arrived(&mut self, weight: u64, now: Moment) {
        self.arrived += weight;
        self.arrived_at = self.arrived_at.max(now);
    }

    /// Of a wall that asked no store until now: so much has arrived, and counts there as if it did now.
    pub fn after(self, arrived: u64) -> Self {
        Self { arrived, arrived_at: Moment(u64::MAX), ..self }
    }

    /// When the store said that there is nothing before.
    pub fn denied_until(&self, now: Moment) -> Option<Moment> {
        (now < self.denied_until).then_some(self.denied_until)
    }

    /// What all sidecars used when the store last said so, as long as that is news.
    pub fn used(&self, now: Moment) -> u64 {
        if now < self.used_until { self.used } else { 0 }
    }

    /// Whether a shared store has been told of everything. The share for emergencies may be forgotten: the store takes it back when it hears of
    /// the wall the next time.
    pub fn is_told(&self) -> bool {
        self.arrived == 0 && self.spendable == 0 && !self.asking
    }

    /// Whether a new block is due on disk.
    pub fn is_low(&self, limit: u64) -> bool {
        self.spendable <= block(limit) / 2 || self.spendable < self.wanted
    }

    /// How much to write down as spendable from now on.
    pub fn to_write(&self, limit: u64) -> u64 {
        block(limit).max(self.wanted).max(self.spendable)
    }

    /// So much is on disk as spendable, beyond what was when it was begun to be written.
    pub fn written(&mut self, more: u64) {
        self.spendable += more;
        self.wanted = 0;
    }

    pub fn spendable(&self) -> u64 {
        self.spendable
    }

    /// Whether something was refused for want of it.
    pub fn is_missed(&self) -> bool {
        self.wanted > 0
    }

    /// Whether the store should hear of it.
    pub fn is_due(&self) -> bool {
        self.arrived > 0 || self.wanted > 0 || self.spent > 0 || self.spendable > 0
    }

    /// Whether the store was ever told of it.
    pub fn is_known(&self) -> bool {
        self.known_until > Moment(0)
    }

    /// Begins an exchange. Keeps what one second will need at the present pace, and gives the rest back.
    pub fn exchange(&mut self, held: u64, elapsed_ms: u64, valid: Valid, now: Moment) -> Moved {
        let per_second = self.spent.saturating_mul(1_000) / elapsed_ms.clamp(100, 10_000);
        let dry = self.wanted > 0;
        let need = if dry { self.wanted.max(per_second.saturating_mul(2)) } else { per_second };
        self.moves(need, held, valid, now)
    }

    /// The same for places of calls under way, which come back with each answer: keeps as many as were taken at once within the last second.
    pub fn exchange_places(&mut self, held: u64, valid: Valid, now: Moment) -> Moved {
        let more = if self.wanted > 0 { self.wanted.max(self.peak) } else { 0 };
        let need = self.peak.saturating_add(more).saturating_sub(held);
        if now.0 >= self.peak_since.0.saturating_add(PEAK_MS) {
            (self.peak, self.peak_since) = (held, now);
        }
        self.moves(need, held, valid, now)
    }

    fn moves(&mut self, need: u64, held: u64, valid: Valid, now: Moment) -> Moved {
        if !valid.leased {
            self.expire();
        }
        self.spendable = self.spendable.min(need);
        let moved = Moved {
            arrived: self.arrived,
            arrived_at: self.arrived_at.min(now),
            outstanding: self.spendable + held,
            emergency: self.emergency,
            want: need - self.spendable,
            known: now < self.known_until,
        };
        (self.arrived, self.arrived_at) = (0, Moment(0));
        (self.spent, self.wanted, self.asking) = (0, 0, true);
        moved
    }

    /// The store no longer stands for what it granted.
    pub fn expire(&mut self) {
        (self.spendable, self.emergency) = (0, 0);
    }

    /// What the store answered. `used` is what all have spent and hold.
    pub fn exchanged(&mut self, answer: &super::Answer, span_ms: u64, asked_at: Moment, now: Moment) {
        self.asking = false;
        self.spendable += answer.granted;
        self.emergency += answer.emergency;
        let wait = answer.retry_in_ms.filter(|_| answer.granted == 0);
        self.denied_until = wait.map_or(Moment(0), |ms| Moment(now.0.saturating_add(ms)));
        (self.used, self.used_until) = (answer.used, Moment(now.0.saturating_add(NEWS_MS)));
        self.known_until = Moment(asked_at.0.saturating_add(span_ms));
    }
}

/// How long the store's count is shown after it was heard, in milliseconds; what is in use is asked for every second.
const NEWS_MS: u64 = 5_000;

/// How long it is remembered how many places were taken at once, in milliseconds: exchanges may follow each other within some.
const PEAK_MS: u64 = 1_000;

fn block(limit: u64) -> u64 {
    (limit / BLOCKS).max(1)
}
