//! Mistakes in the policies before an upstream.

use super::{Mutant, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant(
        "window-off-by-one",
        "a wall lets one more through than it should",
        1,
        &[(
            "policy/limit/meter.rs",
            "if ours.saturating_add(weight) > ceiling {",
            "if ours.saturating_add(weight) > ceiling + 1 {",
        )],
    ),
    mutant(
        "window-too-short",
        "a charge is forgotten a fiftieth of the window early",
        1,
        &[(
            "policy/limit/rolling.rs",
            "Moment(end.saturating_add(self.window))",
            "Moment(end.saturating_add(self.window - self.window / 50))",
        )],
    ),
    mutant(
        "charge-dropped-at-answer",
        "a charge is given back when the answer is there",
        0,
        &[(
            "policy/limit/mod.rs",
            "meter.arrived(charge.cost, charge.generation, now);",
            "meter.release(charge.cost, charge.generation);",
        )],
    ),
    mutant(
        "charge-dropped-at-abandonment",
        "a call that is given up has its charge given back",
        2,
        &[
            ("policy/limit/mod.rs", "charge.sent = true;", "charge.sent = false;"),
            (
                "egress/account/core.rs",
                "self.stragglers.push_back((now.mono + STRAGGLER, charge));",
                "self.limits.never_sent(charge, now);",
            ),
        ],
    ),
    mutant(
        "charge-not-returned",
        "what was never sent, or was given up, is charged for ever",
        1,
        &[(
            "egress/account/core.rs",
            "self.stragglers.push_back((now.mono + STRAGGLER, charge));",
            "let _ = charge;",
        )],
    ),
    mutant(
        "straggler-ignored",
        "a request that is still on its way is not waited for when its call is given up",
        5,
        &[(
            "egress/account/core.rs",
            "self.stragglers.push_back((now.mono + STRAGGLER, charge));",
            "self.limits.answered(charge, now);",
        )],
    ),
    mutant(
        "budget-ignored",
        "retries have no budget",
        30,
        &[
            (
                "policy/retry/budget.rs",
                "let free = self.retried() + u64::from(self.reserved) < self.allowed(now.mono);",
                "let free = true;",
            ),
            ("policy/retry/budget.rs", "if self.retried() >= self.allowed(now.mono) {", "if false {"),
        ],
    ),
    mutant(
        "unsafe-retried",
        "what may have been done is done again",
        4,
        &[(
            "policy/retry/mod.rs",
            "if failure == Failure::Unclear && self.repeat == Repeat::Twice {",
            "if false {",
        )],
    ),
    mutant(
        "throttle-cut-short",
        "the system's pause is kept for half of its time",
        32,
        &[(
            "policy/limit/mod.rs",
            "gate.close(retry_after, now);",
            "gate.close(retry_after.map(|wait| wait / 2), now);",
        )],
    ),
    mutant(
        "refused-until-too-early",
        "a refusal names a time that is early by 10 ms",
        2,
        &[(
            "policy/limit/mod.rs",
            "retry_at: stop.until.map(|mono| Now { mono, wall: now.wall_at(mono) }),",
            "retry_at: stop.until.map(|mono| Now { mono: Moment(mono.0 - 10), wall: now.wall_at(mono) }),",
        )],
    ),
    mutant(
        "breaker-never-opens",
        "failures in a row mean nothing",
        18,
        &[(
            "policy/breaker/circuit.rs",
            "if consecutive >= self.settings.consecutive {",
            "if consecutive >= self.settings.consecutive + 1_000 {",
        )],
    ),
    mutant(
        "maintenance-ignored",
        "a system is asked although it is known to be down",
        4,
        &[(
            "policy/breaker/mod.rs",
            "maintenance::end(&self.maintenance, now.wall)",
            "maintenance::end(&[], now.wall)",
        )],
    ),
    mutant(
        "probe-never-freed",
        "a probe whose caller went away keeps everybody out",
        5,
        &[(
            "policy/breaker/circuit.rs",
            "            *probing = false;\n        }\n    }\n\n    fn record_closed",
            "            *probing = true;\n        }\n    }\n\n    fn record_closed",
        )],
    ),
    mutant(
        "place-leaked",
        "the bulkhead's places are not given back",
        0,
        &[("policy/bulkhead.rs", "self.used = self.used.saturating_sub(1);", "")],
    ),
    mutant(
        "newcomers-overtake",
        "whoever comes may go before those who wait",
        5,
        &[(
            "egress/account/core.rs",
            "if self.queue.usage().0 > 0 && !self.limits.has_booked(&limit_asked(request), now) {",
            "if false {",
        )],
    ),
    mutant(
        "loudest-first",
        "the agent that went last goes first again",
        2,
        &[(
            "policy/queue/ring.rs",
            "_ => self.lanes.push_back(lane),",
            "_ => { lane.deficit = 1_000; self.lanes.push_front(lane) }",
        )],
    ),
    mutant(
        "asleep",
        "nobody is woken when a window has room again",
        3,
        &[(
            "egress/account/core.rs",
            "[straggler, booking, self.queue.next_deadline(), opens]",
            "[straggler, booking, self.queue.next_deadline(), opens.and(None)]",
        )],
    ),
    mutant(
        "background-starves",
        "background work never takes from what is kept for people",
        369,
        &[("egress/account/core.rs", "if now.mono >= asking.pressing_at {", "if false {")],
    ),
    mutant(
        "reservation-not-charged",
        "what is reserved is free for everybody else",
        2,
        &[("policy/limit/meter.rs", "self.window.hold(cost);", "")],
    ),
    mutant(
        "reservation-spent-twice",
        "a workflow makes more calls than it reserved, without charge",
        102,
        &[("policy/limit/booking.rs", "part.left -= 1;", "")],
    ),
    mutant(
        "reservation-not-returned",
        "what is left of a reservation never goes back",
        2,
        &[("policy/limit/booking.rs", "parts().for_each(|part| self.give_part_back(part));", "")],
    ),
    mutant(
        "reservation-ignored",
        "a call that was reserved asks like any other",
        2,
        &[(
            "policy/limit/mod.rs",
            "if let Some(place) = self.booked(asked, now) {",
            "if let Some(place) = self.booked(asked, now).filter(|_| false) {",
        )],
    ),
    mutant(
        "reservation-kept-to-oneself",
        "what a sidecar has reserved, the store leases to others",
        45,
        &[(
            "policy/limit/kept.rs",
            "(meter.limit(), meter.window.held())",
            "(meter.limit(), meter.window.held() - meter.booked())",
        )],
    ),
    mutant(
        "day-by-the-clock-alone",
        "a clock that is set forward begins a new day",
        2,
        &[(
            "policy/limit/calendar.rs",
            "Some(p) if now.wall >= p.end && now.mono >= self.end => {",
            "Some(p) if now.wall >= p.end => {",
        )],
    ),
    mutant(
        "midnight-forgets",
        "what is under way at midnight does not count on the next day",
        31,
        &[
            (
                "policy/limit/calendar.rs",
                "self.done = std::mem::take(&mut self.carried);",
                "self.done = std::mem::take(&mut self.carried);\n                self.held = 0;",
            ),
            (
                "policy/limit/calendar.rs",
                "        self.release(cost);\n        self.record(cost);",
                "        if self.held >= cost {\n            self.release(cost);\n            self.record(cost);\n        }",
            ),
        ],
    ),
    mutant(
        "use-overlooked",
        "what others use is not counted although the answers tell it",
        96,
        &[(
            "policy/limit/meter.rs",
            "self.outside.see(others, resets, seen.asked_at, now.mono);",
            "let _ = (others, resets);",
        )],
    ),
    mutant(
        "refusal-teaches-nothing",
        "who is refused although there was room goes on as before",
        1,
        &[(
            "policy/limit/learn.rs",
            "(self.limit(configured) * LOWERED_PERCENT / 100).max(floor)",
            "self.limit(configured).max(floor)",
        )],
    ),
    mutant(
        "restart-forgets",
        "what was granted when a process died is not counted by the next one",
        0,
        &[("policy/limit/kept.rs", "rolling.record(written.open, now.mono);", "")],
    ),
    mutant(
        "spent-before-written",
        "more is spent than was on disk before",
        2,
        &[(
            "policy/limit/kept.rs",
            "grant.written(reservation.more);",
            "grant.written(reservation.more * 3);",
        )],
    ),
    mutant(
        "leases-uncounted",
        "the store does not count what it has leased to others",
        8,
        &[("state/exchange.lua", "held = held + int(value)", "held = held")],
    ),
    mutant(
        "silent-forgotten",
        "the store takes for unspent what it has leased to a sidecar that it does not hear",
        8,
        &[
            ("state/exchange.lua", "ends = heard[id] + hold +", "ends = heard[id] +"),
            ("state/exchange.lua", "spent = spent + count(wall, int(value), ends)", "spent = spent"),
        ],
    ),
    mutant(
        "question-dropped",
        "what a sidecar told the store and got no answer to is not told again",
        8,
        &[(
            "state/lease.rs",
            "        if self.talk.is_answered() {\n            if now.mono < self.due_at",
            "        if true {\n            if now.mono < self.due_at",
        )],
    ),
    mutant(
        "arrivals-antedated",
        "the store counts arrivals a second too early",
        8,
        &[(
            "state/exchange.lua",
            "count(wall, wall.arrived, now - wall.age)",
            "count(wall, wall.arrived, now - wall.age - 1000)",
        )],
    ),
    mutant(
        "wipe-unnoticed",
        "a store that was wiped is believed to know everything",
        130,
        &[
            (
                "state/exchange.lua",
                "known_epoch ~= epoch and wiped == 0 then",
                "known_epoch ~= epoch and false then",
            ),
            ("state/exchange.lua", "if wall.known and not counts.v then", "if false then"),
        ],
    ),
    mutant(
        "clock-believed",
        "whoever sets the store's clock forward empties its windows",
        171,
        &[("state/exchange.lua", "if now > anchor + mono + JITTER_MS then", "if false then")],
    ),
    mutant(
        "wipe-unforgiven",
        "a store that was wiped never grants anything again",
        8,
        &[
            ("state/exchange.lua", "blind = math.max(blind, wiped + lasts)", "blind = now + lasts"),
            ("state/exchange.lua", "'w', text(wiped),", "'w', '0',"),
        ],
    ),
    mutant(
        "store-given-up",
        "a store that did not answer once is not asked again for an hour",
        14,
        &[(
            "state/lease.rs",
            "self.not_before = now.mono + self.pause;",
            "self.not_before = now.mono + self.pause * 72_000;",
        )],
    ),
    mutant(
        "pause-kept-to-oneself",
        "what the system asked one sidecar for, the store does not tell the others",
        113,
        &[(
            "state/exchange.lua",
            "string.sub(names, int(length) + 1), till - now }",
            "string.sub(names, int(length) + 1), 0 }",
        )],
    ),
    mutant(
        "learned-by-oneself",
        "that somebody else uses the quota, the store does not tell the others",
        336,
        &[("state/exchange.lua", "if low > 0 and low < limit then limit", "if false then limit")],
    ),
    mutant(
        "refused-for-too-long",
        "the store names a time that is late by the window",
        137,
        &[(
            "state/exchange.lua",
            "if excess <= 0 then return int(at) - now end",
            "if excess <= 0 then return int(at) - now + wall.window end",
        )],
    ),
];
