//! What is judged, and the figures of the contract that it is judged by.

use crate::agenda::Ms;
use crate::verdict::Invariants;

/// The invariants, by the name that is printed.
pub const INVARIANTS: Invariants = &[
    ("wall", "never more of ours in any window than the wall lets through, as the upstream sees them arrive"),
    ("day", "nor on any day of a wall that counts from midnight to midnight"),
    (
        "refused-late",
        "what is refused for a wall is told a time that is never early and at most one bucket late",
    ),
    (
        "throttle",
        "after a throttle has reached a sidecar, nothing leaves it for the closed scope before its time",
    ),
    (
        "learned",
        "a refusal shows that somebody else uses the quota: from then on all keep to seven tenths, and a tenth more each window",
    ),
    (
        "outsider",
        "once an answer shows what others use, no more of ours leave than fit beside it and were under way",
    ),
    ("pause", "what the upstream told one sidecar of a fleet, no other transgresses a moment later"),
    ("budget", "retries stay within their share of the traffic"),
    ("twice", "nothing that must not be repeated is executed twice"),
    ("deadline", "nothing is delivered after its deadline"),
    ("ends", "every call ends, once"),
    ("room", "when all is over, no charge, place or waiter is left"),
    ("starving", "an agent that keeps waiting gets its share"),
    ("reserved", "a step that its workflow has reserved is neither refused nor kept waiting by the wall"),
    ("isolated", "calls end to the millisecond as they do when no other upstream hangs"),
    ("in-vain", "nothing waits that the upstream could have taken"),
    ("under-way", "never more of ours under way at once than may be"),
    ("used-again", "when a store that was lost, cut off or wiped is well again, its quota is used again"),
    (
        "full",
        "sixteen sidecars that want more use more than 95 % of 100 000 in 24 hours, and not one too many",
    ),
    ("understood", "the sidecars and the store's script understand each other"),
    ("maintenance", "while a declared maintenance lasts nothing leaves, and who asks is told its end"),
    ("breaker", "while an upstream is down it gets probes, and not the traffic; it is found again"),
];

/// Of a wall that many share and nobody keeps back from, so much at least is used.
pub(super) const FULL_PERCENT: u64 = 96;

/// A wall that is counted in buckets has at least this many.
pub(super) const BUCKETS: u64 = 96;

/// How long a system is left alone that does not say how long it wants to be.
pub(super) const UNTOLD: Ms = 1_000;

/// Walls up to this long are not kept on a disk.
pub(super) const UNWRITTEN: Ms = 2_000;

/// How long after it can no longer count a request is remembered.
pub(super) const LOOKED_BACK: Ms = 60_000;

/// How long after it was given up a call still counts as under way: it may not have arrived yet.
pub(super) const STRAGGLES: Ms = 1_000;

/// Failures in a row after which an upstream is left alone, but for probes.
pub(super) const FAILURES: u32 = 5;

/// Least time between two probes, on average.
pub(super) const BETWEEN_PROBES: Ms = 500;

/// Nobody is kept out for longer than this without another try: the longest pause, and a probe's patience.
pub(super) const KEPT_OUT: Ms = 130_000;

/// Walls up to this long are waited for by calls that were reserved, too.
pub(super) const WAITED_FOR: Ms = 10_000;

/// Of so many background calls that waited, one at least must have gone.
pub(super) const ENOUGH: u64 = 20;

/// How far one agent may be ahead of another while both wait.
pub(super) const LEAD: i64 = 3;

/// Retries: a fifth of the traffic over ten seconds, and one per second in any case.
pub(super) const BUDGET_WINDOW: Ms = 10_000;
pub(super) const BUDGET_FLOOR: u64 = 10;
pub(super) const BUDGET_PART: u64 = 5;
