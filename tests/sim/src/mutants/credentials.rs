//! Mistakes in the life of a credential.

use super::{Mutant, mutant};

/// The life of a credential with one mistake each.
pub const CREDENTIAL_MUTANTS: &[Mutant] = &[
    mutant(
        "refreshed-too-late",
        "a token is refreshed when it no longer serves",
        1,
        &[("credential/lifecycle/plan.rs", "const REFRESH_FROM: u32 = 65;", "const REFRESH_FROM: u32 = 95;")],
    ),
    mutant(
        "end-ignored",
        "a token serves for half a minute after its end",
        5,
        &[(
            "credential/lifecycle/plan.rs",
            "        !self.refused && self.expires.is_none_or(in_time)",
            "        let _ = in_time;\n        !self.refused && self.expires.is_none_or(|end| now < end + MARGIN)",
        )],
    ),
    mutant(
        "age-ignored",
        "what was won long ago counts as new when it is taken up",
        5,
        &[(
            "credential/lifecycle/plan.rs",
            "let end_of = |life: Duration| now + life.saturating_sub(kept.age);",
            "let end_of = |life: Duration| now + life;",
        )],
    ),
    mutant(
        "lock-ignored",
        "a refresh is made although somebody else is at it",
        0,
        &[(
            "credential/lifecycle/run.rs",
            "Began::Newer(_) | Began::Held => self.stand_by(Step::Rest, random, now),",
            "Began::Newer(_) => self.stand_by(Step::Rest, random, now),\n            Began::Held => self.exchange(false, now),",
        )],
    ),
    mutant(
        "lock-too-short",
        "a refresh is made under a lock that ends before the login does",
        205,
        &[(
            "credential/lifecycle/lock.rs",
            "login_time.saturating_add(STORE_TIME)",
            "login_time.min(Duration::ZERO)",
        )],
    ),
    mutant(
        "newer-ignored",
        "what somebody else won meanwhile is not taken up, and the token before it is spent",
        5,
        &[
            (
                "credential/lifecycle/run.rs",
                "Began::Newer(latest) if latest.version() > self.version => {",
                "Began::Newer(latest) if latest.version() > self.version + 1 => {",
            ),
            (
                "credential/lifecycle/run.rs",
                "Began::Newer(_) | Began::Held => self.stand_by(Step::Rest, random, now),",
                "Began::Newer(_) => self.exchange(false, now),\n            Began::Held => self.stand_by(Step::Rest, random, now),",
            ),
        ],
    ),
    mutant(
        "served-before-written",
        "a new token serves before its record is durable",
        4,
        &[(
            "credential/lifecycle/run.rs",
            "self.granted = Some((self.of_family(terms, sent), sent));\n                self.commit()",
            "self.granted = Some((self.of_family(terms, sent), sent));\n                let kept = Kept { version: self.version + 1, age: Duration::ZERO, terms };\n                self.held = Some(Held::new(&kept, random, now.mono));\n                self.commit()",
        )],
    ),
    mutant(
        "grant-forgotten",
        "what was granted is given up when the store is away",
        1,
        &[(
            "credential/lifecycle/run.rs",
            "                self.pause = Some(Pause { until: now.mono + wait, why: Some(Failure::Store) });\n            }\n        }\n        self.go(Work::Nothing, Step::Rest)",
            "                self.pause = Some(Pause { until: now.mono + wait, why: Some(Failure::Store) });\n                self.granted = None;\n            }\n        }\n        self.go(Work::Nothing, Step::Rest)",
        )],
    ),
    mutant(
        "not-repeated",
        "what nobody knows the outcome of waits for the next attempt",
        132,
        &[(
            "credential/lifecycle/run.rs",
            "Exchanged::Unknown if !again => self.exchange(true, now),",
            "Exchanged::Unknown if !again && self.version > u64::MAX / 2 => self.exchange(true, now),",
        )],
    ),
    mutant(
        "pauses-do-not-grow",
        "a provider in trouble is asked as often after the tenth failure as after the first",
        26,
        &[(
            "credential/lifecycle/wait.rs",
            "base.saturating_mul(2_u32.saturating_pow(in_a_row.saturating_sub(1)))",
            "base.min(cap.max(base)).saturating_mul(in_a_row.min(1))",
        )],
    ),
    mutant(
        "invalid-resent",
        "a token that the provider calls invalid is sent again after a pause",
        0,
        &[(
            "credential/lifecycle/run.rs",
            "            (Work::Rereading, _) => self.bury(),",
            "            (Work::Rereading, _) => {\n                self.invalid = None;\n                self.fail(Failure::Refused, None, Step::Release { spent: false }, random, now)\n            }",
        )],
    ),
    mutant(
        "death-kept-secret",
        "nobody is told that a refresh token is dead",
        0,
        &[(
            "credential/lifecycle/alarm.rs",
            "self.dead = self.dead.or(Some(false));",
            "self.dead = self.dead.or(Some(true));",
        )],
    ),
    mutant(
        "failure-kept-secret",
        "nobody is told of the first failure",
        2,
        &[(
            "credential/lifecycle/alarm.rs",
            "lapses, told_first: false, told: 0",
            "lapses, told_first: true, told: 0",
        )],
    ),
    mutant(
        "wait-kept-secret",
        "nobody is told that nothing serves while somebody else has the lock",
        5,
        &[(
            "credential/lifecycle/run.rs",
            "self.alarms.failed(Failure::Held, self.held.as_ref(), now.mono);",
            "let _ = Failure::Held;",
        )],
    ),
    mutant(
        "parts-kept-secret",
        "nobody is told how the life that is left runs out",
        9,
        &[(
            "credential/lifecycle/alarm.rs",
            "const LEFT: [u8; 3] = [50, 25, 10];",
            "const LEFT: [u8; 3] = [50, 25, 25];",
        )],
    ),
    mutant(
        "end-forgotten",
        "the end of a refresh token that stays is forgotten when an answer does not repeat it",
        19,
        &[("credential/lifecycle/run.rs", "held.filter(|_| terms.is_same)", "held.filter(|_| false)")],
    ),
    mutant(
        "end-told-late",
        "the end of a refresh token is announced when it is there",
        0,
        &[(
            "credential/lifecycle/alarm.rs",
            "Threshold::Day => DAY.min(family / DAY_SHARE),",
            "Threshold::Day => DAY.min(family / DAY_SHARE) / 100,",
        )],
    ),
];
