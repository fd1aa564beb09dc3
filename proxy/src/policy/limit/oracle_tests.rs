//! The limiter against an oracle that is nothing but a list of what was asked and answered, and against a judge that sees arrivals only.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{ask, at, limits};
use super::*;

/// What one charge did.
#[derive(Clone, Copy)]
pub(super) struct Fact {
    pub cost: u64,
    pub sent: u64,
    pub answered: Option<u64>,
}

/// The naive limiter.
#[derive(Default)]
struct Oracle {
    walls: Vec<(u64, u64)>,
    facts: BTreeMap<u64, Fact>,
}

impl Oracle {
    fn used(&self, window: u64, now: u64, unanswered_since: Option<u64>) -> u64 {
        let counts = |f: &&Fact| f.answered.or(unanswered_since).is_none_or(|t| now <= t + window);
        self.facts.values().filter(counts).map(|f| f.cost).sum()
    }

    fn admits(&self, cost: u64, now: u64, unanswered_since: Option<u64>) -> bool {
        self.walls.iter().all(|&(limit, window)| self.used(window, now, unanswered_since) + cost <= limit)
    }

    /// When it would admit, if all that is under way were answered now.
    fn retry_at(&self, cost: u64, now: u64) -> u64 {
        let ends = |window: u64| self.facts.values().map(move |f| f.answered.unwrap_or(now) + window + 1);
        let mut moments: Vec<u64> = self.walls.iter().flat_map(|&(_, window)| ends(window)).collect();
        moments.sort_unstable();
        moments.into_iter().filter(|&t| t >= now).find(|&t| self.admits(cost, t, Some(now))).unwrap()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask(u64),
    Answer(usize),
    Refund(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u64..700).prop_map(Step::Wait),
        1 => (0u64..20_000).prop_map(Step::Wait),
        6 => (1u64..4).prop_map(Step::Ask),
        4 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::Refund),
    ];
    prop::collection::vec(step, 1..200)
}

/// What is left of the quota if the judge never sees more than `limit` in any closed span of `window`.
pub(super) fn judge(arrivals: &mut [(u64, u64)], limit: u64, window: u64) {
    arrivals.sort_unstable();
    let mut first = 0;
    let mut sum = 0;
    for &(time, cost) in arrivals.iter() {
        sum += cost;
        while arrivals[first].0 + window < time {
            sum -= arrivals[first].1;
            first += 1;
        }
        assert!(sum <= limit, "{sum} of {limit} arrived within {window} ms until {time}");
    }
}

pub(super) fn arrivals(facts: &BTreeMap<u64, Fact>, seed: u64) -> Vec<(u64, u64)> {
    let arrival = |(id, f): (&u64, &Fact)| {
        let span = f.answered.unwrap_or(f.sent) - f.sent;
        // Spread, with both ends often: there the windows are decided.
        let place = match (id ^ seed) % 4 {
            0 => 0,
            1 => span,
            _ => (id.wrapping_mul(2_654_435_761) ^ seed) % (span + 1),
        };
        (f.sent + place, f.cost)
    };
    facts.iter().map(arrival).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_decides_as_a_list_of_timestamps_does(
        a in (3u64..12, 1u64..4), b in (6u64..30, 5u64..30), steps in steps(), seed in any::<u64>(),
    ) {
        let mut limits = limits(&[&format!("{}/{}s", a.0, a.1), &format!("{}/{}s", b.0, b.1)]);
        let mut oracle = Oracle { walls: vec![(a.0, a.1 * 1_000), (b.0, b.1 * 1_000)], ..Oracle::default() };
        if a.1 == b.1 {
            oracle.walls = vec![(a.0.min(b.0), a.1 * 1_000)];
        }
        let (mut now, mut open, mut next) = (0, Vec::new(), 0);
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Ask(cost) => match limits.try_acquire(&ask(cost), at(now)) {
                    Ok(mut charge) => {
                        prop_assert!(oracle.admits(cost, now, None), "let through at {now}");
                        limits.sent(&mut charge);
                        oracle.facts.insert(next, Fact { cost, sent: now, answered: None });
                        open.push((next, charge));
                        next += 1;
                    }
                    Err(refused) => {
                        prop_assert!(!oracle.admits(cost, now, None), "refused at {now}: {refused:?}");
                        let retry = refused.retry_at.unwrap();
                        prop_assert_eq!(retry.mono.0, oracle.retry_at(cost, now));
                        prop_assert_eq!(retry.wall, at(retry.mono.0).wall);
                        prop_assert!(refused.used + cost > refused.limit);
                    }
                },
                Step::Answer(which) if !open.is_empty() => {
                    let (id, charge) = open.swap_remove(which % open.len());
                    limits.answered(charge, at(now));
                    oracle.facts.get_mut(&id).unwrap().answered = Some(now);
                }
                Step::Refund(which) if !open.is_empty() => {
                    let (id, mut charge) = open.swap_remove(which % open.len());
                    charge.sent = false;
                    limits.never_sent(charge, at(now));
                    oracle.facts.remove(&id);
                }
                Step::Answer(_) | Step::Refund(_) => {}
            }
        }
        for (id, charge) in open {
            limits.answered(charge, at(now));
            oracle.facts.get_mut(&id).unwrap().answered = Some(now);
        }
        for (limit, window) in oracle.walls {
            judge(&mut arrivals(&oracle.facts, seed), limit, window);
        }
    }

    #[test]
    fn a_refusal_says_exactly_when(spent in prop::collection::vec((0u64..400, 1u64..4), 1..40), cost in 1u64..8) {
        let mut limits = limits(&["9/3s", "20/7s"]);
        let mut now = 0;
        for (wait, cost) in spent {
            now += wait;
            if let Ok(charge) = limits.try_acquire(&ask(cost), at(now)) {
                limits.answered(charge, at(now));
            }
        }
        if let Err(refused) = limits.clone().try_acquire(&ask(cost), at(now)) {
            let retry = refused.retry_at.unwrap().mono.0;
            prop_assert!(limits.clone().try_acquire(&ask(cost), at(retry - 1)).is_err());
            prop_assert!(limits.try_acquire(&ask(cost), at(retry)).is_ok());
        }
    }

    #[test]
    fn buckets_are_never_early_and_at_most_one_bucket_late(
        spent in prop::collection::vec((0u64..3_000, 1u64..600, 0u64..2_000), 1..120), cost in 1u64..600, seed in any::<u64>(),
    ) {
        const LIMIT: u64 = 5_000;
        const WINDOW: u64 = 60_000;
        let bucket = WINDOW.div_ceil(288);
        let mut limits = limits(&["5000/min"]);
        let mut oracle = Oracle { walls: vec![(LIMIT, WINDOW)], ..Oracle::default() };
        let mut now = 0;
        for (id, (wait, cost, answer)) in spent.into_iter().enumerate() {
            now += wait;
            if let Ok(charge) = limits.try_acquire(&ask(cost), at(now)) {
                let sent = now;
                now += answer;
                limits.answered(charge, at(now));
                oracle.facts.insert(id as u64, Fact { cost, sent, answered: Some(now) });
            }
        }
        if let Err(refused) = limits.clone().try_acquire(&ask(cost), at(now)) {
            let retry = refused.retry_at.unwrap().mono.0;
            let exact = if oracle.admits(cost, now, None) { now } else { oracle.retry_at(cost, now) };
            prop_assert!((exact..=exact + bucket).contains(&retry), "{exact} {retry}");
            prop_assert!(limits.clone().try_acquire(&ask(cost), at(retry - 1)).is_err());
            prop_assert!(limits.try_acquire(&ask(cost), at(retry)).is_ok());
        }
        judge(&mut arrivals(&oracle.facts, seed), LIMIT, WINDOW);
    }

    #[test]
    fn a_day_never_sees_more_than_its_own(
        steps in prop::collection::vec((0u64..7_200_000, 0u64..3_600_000, any::<bool>()), 1..200),
    ) {
        // New York, over the night on which an hour is skipped.
        let begin = "2026-03-07T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let now = |ms: u64| Now { mono: Moment(ms), wall: begin.saturating_add_unsigned(ms) };
        let day_of = |ms: u64| {
            let local = jiff::Timestamp::from_millisecond(now(ms).wall).unwrap().in_tz("America/New_York").unwrap();
            local.date()
        };
        let mut limits = limits(&["10/day America/New_York"]);
        let mut days: BTreeMap<_, u64> = BTreeMap::new();
        let (mut ms, mut open): (u64, Vec<(u64, u64, Charge)>) = (0, Vec::new());
        for (wait, answer, late) in steps {
            ms += wait;
            for (sent, answered, charge) in std::mem::take(&mut open) {
                if answered > ms {
                    open.push((sent, answered, charge));
                    continue;
                }
                limits.answered(charge, now(answered.max(ms)));
                *days.entry(day_of(if late { answered } else { sent })).or_default() += 1;
            }
            match limits.try_acquire(&ask(1), now(ms)) {
                Ok(charge) => open.push((ms, ms + answer, charge)),
                Err(refused) => {
                    let retry = refused.retry_at.unwrap();
                    prop_assert_eq!(day_of(retry.mono.0 - 1), day_of(ms));
                    prop_assert_ne!(day_of(retry.mono.0), day_of(ms));
                }
            }
        }
        prop_assert!(days.values().all(|&n| n <= 10), "{days:?}");
    }
}
