//! The limiter against an oracle that is nothing but a list of what was asked and answered, and against a judge that sees arrivals only.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

fn at(ms: u64) -> Now {
    Now { mono: Moment(ms), wall: START.saturating_add_unsigned(ms) }
}

fn wall(text: &str) -> Wall {
    Wall::new(text.parse().unwrap(), Source::Operator)
}

fn limits(walls: &[&str]) -> Limits {
    Limits::new(&WallSet::new(walls.iter().map(|w| wall(w))).unwrap())
}

fn ask(cost: u64) -> Asked<'static> {
    Asked { operation: "read", resource: None, cost, priority: Priority::Interactive }
}

fn pass(limits: &mut Limits, ms: u64) -> Charge {
    limits.try_acquire(&ask(1), at(ms)).unwrap()
}

fn refuse(limits: &mut Limits, cost: u64, ms: u64) -> Refused {
    limits.try_acquire(&ask(cost), at(ms)).unwrap_err()
}

fn spend(limits: &mut Limits, count: u64, ms: u64) {
    for _ in 0..count {
        let charge = pass(limits, ms);
        limits.answered(charge, at(ms));
    }
}

/// What one charge did.
#[derive(Clone, Copy)]
struct Fact {
    cost: u64,
    sent: u64,
    answered: Option<u64>,
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
fn judge(arrivals: &mut [(u64, u64)], limit: u64, window: u64) {
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

fn arrivals(facts: &BTreeMap<u64, Fact>, seed: u64) -> Vec<(u64, u64)> {
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
                        limits.sent(&mut charge, at(now));
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

#[test]
fn all_windows_are_taken_or_none() {
    let mut limits = limits(&["2/s", "3/min"]);
    spend(&mut limits, 2, 0);
    let refused = refuse(&mut limits, 1, 500);
    assert_eq!((&*refused.wall.unwrap().name, refused.used, refused.limit), ("2/s", 2, 2));
    spend(&mut limits, 1, 1_001);
    let refused = refuse(&mut limits, 1, 2_500);
    assert_eq!(
        (&*refused.wall.unwrap().name, refused.used),
        ("3/min", 3),
        "refusals took nothing from the minute"
    );
    assert_eq!(refused.retry_at, Some(at(60_001)));
}

#[test]
fn walls_of_an_operation_and_of_a_resource_stand_beside_each_other() {
    let post = |text| Wall { operation: Some("post".into()), ..wall(text) };
    let set =
        WallSet::new([wall("5/min"), post("3/min"), Wall { per: Some("channel".into()), ..post("1/s") }])
            .unwrap();
    let mut limits = Limits::new(&set);
    let ask = |operation, resource| Asked { operation, resource, cost: 1, priority: Priority::Interactive };
    let mut go = |operation, resource, ms| match limits.try_acquire(&ask(operation, resource), at(ms)) {
        Ok(charge) => {
            limits.answered(charge, at(ms));
            "ok".to_owned()
        }
        Err(refused) => refused.wall.unwrap().name.to_string(),
    };
    assert_eq!(go("post", Some("a"), 0), "ok");
    assert_eq!(go("post", Some("a"), 1), "1/s");
    assert_eq!(go("post", Some("b"), 1), "ok");
    assert_eq!(go("post", Some("a"), 2_000), "ok");
    assert_eq!(go("post", Some("c"), 2_000), "3/min");
    assert_eq!(go("read", None, 2_000), "ok");
    assert_eq!(go("read", Some("a"), 2_000), "ok");
    assert_eq!(go("read", None, 2_000), "5/min");
}

#[test]
fn calls_under_way_are_capped_whatever_they_cost() {
    let mut limits = limits(&["2 concurrent"]);
    let first = limits.try_acquire(&ask(50), at(0)).unwrap();
    let second = pass(&mut limits, 0);
    let refused = refuse(&mut limits, 1, 0);
    assert_eq!((refused.reason, refused.retry_at), (Reason::Concurrent, None));
    limits.never_sent(first, at(1));
    let third = pass(&mut limits, 1);
    limits.answered(second, at(2));
    limits.answered(third, at(2));
    assert_eq!(limits.usage(at(2))[0].used, 0);
}

#[test]
fn paced_calls_are_apart() {
    let mut limits = limits(&["5/s paced"]);
    spend(&mut limits, 1, 0);
    let refused = refuse(&mut limits, 1, 1);
    assert_eq!((refused.reason, refused.retry_at), (Reason::Paced, Some(at(200))));
    spend(&mut limits, 1, 200);
}

#[test]
fn the_last_fifth_is_for_people() {
    let mut limits = limits(&["20/min"]);
    let batch = Asked { priority: Priority::Background, ..ask(1) };
    for _ in 0..16 {
        let charge = limits.try_acquire(&batch, at(0)).unwrap();
        limits.answered(charge, at(0));
    }
    let refused = limits.try_acquire(&batch, at(0)).unwrap_err();
    assert_eq!((refused.reason, refused.used, refused.limit), (Reason::Reserved, 16, 20));
    assert_eq!(refused.retry_at, Some(at(60_001)));
    spend(&mut limits, 4, 0);
    assert_eq!(refuse(&mut limits, 1, 0).reason, Reason::Window);
}

#[test]
fn what_is_larger_than_the_wall_is_never_admitted_and_says_so() {
    let mut limits = limits(&["20/min"]);
    let refused = refuse(&mut limits, 21, 0);
    assert_eq!((refused.reason, refused.retry_at), (Reason::TooLarge, None));
    assert_eq!(limits.forecast(&ask(21), 0, 0, at(0)), None);
    let batch = Asked { priority: Priority::Background, ..ask(18) };
    assert!(limits.try_acquire(&batch, at(0)).is_ok(), "larger than a batch's part, and the wall is empty");
}

#[test]
fn an_observed_wall_counts_and_lets_pass() {
    let observed = Wall { mode: Mode::Observe, ..wall("2/min") };
    let mut limits = Limits::new(&WallSet::new([observed]).unwrap());
    spend(&mut limits, 5, 0);
    let usage = &limits.usage(at(0))[0];
    assert_eq!((usage.used, usage.would_have_refused), (5, 3));
}

#[test]
fn what_was_sent_is_not_given_back() {
    let mut limits = limits(&["1/min"]);
    let charge = pass(&mut limits, 0);
    limits.never_sent(charge, at(10));
    let mut charge = pass(&mut limits, 10);
    limits.sent(&mut charge, at(10));
    limits.never_sent(charge, at(20));
    assert_eq!(refuse(&mut limits, 1, 20).retry_at, Some(at(60_021)));
}

#[test]
fn a_new_configuration_forgets_nothing() {
    let mut limits = limits(&["20/min", "100/h"]);
    spend(&mut limits, 10, 0);
    let under_way = pass(&mut limits, 0);
    limits.reconfigure(&WallSet::new([wall("11/min"), wall("2 concurrent")]).unwrap());
    assert_eq!(refuse(&mut limits, 1, 1).used, 11);
    limits.answered(under_way, at(2));
    let used: Vec<_> = limits.usage(at(2)).iter().map(|u| u.used).collect();
    assert_eq!(used, [11, 0]);
    limits.reconfigure(&WallSet::new([wall("50000/min")]).unwrap());
    assert_eq!(limits.usage(at(3))[0].used, 11);
}

#[test]
fn the_forecast_counts_those_ahead() {
    let mut limits = limits(&["10/min"]);
    assert_eq!(limits.forecast(&ask(1), 0, 9, at(0)), Some(Moment(0)));
    spend(&mut limits, 10, 5_000);
    assert_eq!(limits.forecast(&ask(1), 0, 0, at(5_000)), Some(Moment(65_001)));
    assert_eq!(limits.forecast(&ask(1), 0, 9, at(5_000)), Some(Moment(65_001)));
    assert_eq!(limits.forecast(&ask(1), 0, 10, at(5_000)), Some(Moment(125_001)));
}

#[test]
fn resources_are_bounded_and_none_that_counts_is_forgotten() {
    let set = WallSet::new([Wall { per: Some("channel".into()), ..wall("1/min") }]).unwrap();
    let mut limits = Limits::new(&set);
    let ask = |limits: &mut Limits, name: &str, ms| {
        let asked = Asked { resource: Some(name), ..ask(1) };
        limits.try_acquire(&asked, at(ms)).map(|charge| limits.answered(charge, at(ms))).map_err(|r| r.reason)
    };
    for n in 0..MAX_RESOURCES {
        ask(&mut limits, &n.to_string(), n as u64).unwrap();
    }
    assert_eq!(ask(&mut limits, "one more", 10_000), Err(Reason::Overloaded));
    assert_eq!(ask(&mut limits, "0", 60_000), Err(Reason::Window));
    assert_eq!(ask(&mut limits, "one more", 60_100), Ok(()));
    assert_eq!(ask(&mut limits, "8000", 60_100), Err(Reason::Window));
}

#[test]
fn a_throttle_closes_what_it_names_and_nothing_else() {
    let mut limits = limits(&["100/min"]);
    let about = About::Resource { operation: "post", resource: "a" };
    limits.throttled(about, Some(Duration::from_secs(3)), Moment(0), at(0));
    let mut go = |operation, resource, ms| {
        let asked = Asked { operation, resource, cost: 1, priority: Priority::Interactive };
        limits.try_acquire(&asked, at(ms)).map(drop).map_err(|r| (r.reason, r.retry_at))
    };
    assert_eq!(go("post", Some("a"), 2_999), Err((Reason::Throttled, Some(at(3_000)))));
    assert_eq!(go("post", Some("b"), 0), Ok(()));
    assert_eq!(go("read", Some("a"), 0), Ok(()));
    assert_eq!(go("post", Some("a"), 3_000), Ok(()));
}

#[test]
fn a_throttle_is_capped_and_one_without_a_time_grows() {
    let mut limits = limits(&[]);
    limits.throttled(About::Upstream, Some(Duration::from_secs(1 << 40)), Moment(0), at(0));
    assert_eq!(refuse(&mut limits, 1, 0).retry_at, Some(at(3_600_000)));
    let mut limits = self::limits(&[]);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        limits.throttled(About::Upstream, None, Moment(now), at(now));
        let until = refuse(&mut limits, 1, now).retry_at.unwrap().mono.0;
        waits.push((until - now) / 1_000);
        now = until;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    now += 60_000;
    limits.throttled(About::Upstream, None, Moment(now), at(now));
    assert_eq!(
        refuse(&mut limits, 1, now).retry_at,
        Some(at(now + 1_000)),
        "calm for as long as it was closed"
    );
}

#[test]
fn an_unexpected_throttle_lowers_the_limit_once_and_steps_lead_back() {
    let mut limits = limits(&["100/min"]);
    spend(&mut limits, 10, 0);
    let second = Some(Duration::from_secs(1));
    let lowered = limits.throttled(About::Operation("read"), second, Moment(0), at(5)).unwrap();
    assert_eq!((&*lowered.wall.name, lowered.from, lowered.to), ("100/min", 100, 70));
    assert!(limits.throttled(About::Upstream, second, Moment(4), at(6)).is_none(), "was under way");
    assert_eq!(limits.throttled(About::Upstream, second, Moment(7), at(8)).unwrap().to, 49);
    let limit = |limits: &mut Limits, ms| limits.usage(at(ms))[0].limit;
    assert_eq!(limit(&mut limits, 60_007), 49);
    assert_eq!(limit(&mut limits, 60_008), 59);
    assert_eq!(limit(&mut limits, 120_008), 69);
    assert_eq!(limit(&mut limits, 360_008), 100);
    for n in 0..20 {
        limits.throttled(About::Upstream, second, Moment(400_000 + n), at(400_000 + n));
    }
    assert_eq!(limit(&mut limits, 400_020), 10, "the floor");
}

fn seen(remaining: u64, asked_at: u64) -> Observation<'static> {
    let about = About::Upstream;
    let (window, limit, used, resets_at) = (None, None, None, None);
    Observation {
        about,
        window,
        limit,
        remaining: Some(remaining),
        used,
        resets_at,
        asked_at: Moment(asked_at),
    }
}

#[test]
fn the_upstreams_count_holds_where_it_is_higher() {
    let mut limits = limits(&["100/min", "5 concurrent"]);
    spend(&mut limits, 10, 0);
    let used = |limits: &mut Limits, ms| limits.usage(at(ms))[0].used;
    limits.learn(&seen(95, 0), at(1));
    assert_eq!(used(&mut limits, 1), 10);
    limits.learn(&seen(20, 2), at(3));
    assert_eq!(used(&mut limits, 3), 80);
    limits.learn(&seen(60, 1), at(4));
    assert_eq!(used(&mut limits, 4), 80, "an older answer");
    limits.learn(&Observation { resets_at: Some(Moment(30_000)), ..seen(0, 5) }, at(6));
    let refused = refuse(&mut limits, 1, 7);
    assert_eq!((refused.used, refused.retry_at), (100, Some(at(30_000))));
    limits.learn(&Observation { limit: Some(50), ..seen(50, 40_000) }, at(40_001));
    assert_eq!((used(&mut limits, 40_001), limits.usage(at(40_001))[0].limit), (10, 50));
    assert_eq!(limits.usage(at(200_000))[0].limit, 100, "nothing is stated for ever");
}

#[test]
fn a_wall_that_nobody_configured_closes_until_it_resets() {
    let mut limits = limits(&[]);
    limits.learn(&Observation { resets_at: Some(Moment(9_000)), ..seen(0, 0) }, at(1_000));
    assert_eq!(refuse(&mut limits, 1, 1_000).retry_at, Some(at(9_000)));
}

#[test]
fn the_usage_says_when_a_wall_will_be_hit() {
    let mut limits = limits(&["1000/h"]);
    for second in 0..600 {
        spend(&mut limits, 1, second * 1_000);
    }
    let usage = limits.usage(at(600_000)).remove(0);
    let hit = usage.exhausted_at.unwrap().mono.0 / 1_000;
    assert!((990..=1_010).contains(&hit), "{hit}");
    assert_eq!(limits.usage(at(1_200_000))[0].exhausted_at, None);
}
