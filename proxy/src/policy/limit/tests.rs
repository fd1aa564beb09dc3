//! What the limiter does, case by case. That it does so always is [`super::oracle_tests`]'s.

use super::*;
use crate::policy::Priority;

const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

pub(super) fn at(ms: u64) -> Now {
    Now { mono: Moment(ms), wall: START.saturating_add_unsigned(ms) }
}

pub(super) fn wall(text: &str) -> Wall {
    Wall::new(text.parse().unwrap(), Source::Operator)
}

pub(super) fn limits(walls: &[&str]) -> Limits {
    Limits::new(&WallSet::new(walls.iter().map(|w| wall(w))).unwrap())
}

pub(super) fn ask(cost: u64) -> Asked<'static> {
    Asked { operation: "read", resource: None, cost, priority: Priority::Interactive, owner: None }
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
    let ask = |operation, resource| Asked {
        operation,
        resource,
        cost: 1,
        priority: Priority::Interactive,
        owner: None,
    };
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
fn an_observed_wall_that_is_enforced_goes_on_counting() {
    let set = |wall: Wall| WallSet::new([wall]).unwrap();
    for keeping in [Keeping::Memory, Keeping::Disk { since: Moment(0) }] {
        let mut limits = Limits::kept(&set(Wall { mode: Mode::Observe, ..wall("10/min") }), keeping);
        spend(&mut limits, 8, 0);
        limits.reconfigure(&set(wall("10/min")));
        serve(&mut limits, keeping, at(1));
        spend(&mut limits, 1, 1);
        serve(&mut limits, keeping, at(2));
        spend(&mut limits, 1, 2);
        serve(&mut limits, keeping, at(3));
        assert_eq!(refuse(&mut limits, 1, 3).reason, Reason::Window, "{keeping:?}");
        limits.reconfigure(&set(Wall { mode: Mode::Observe, ..wall("10/min") }));
        spend(&mut limits, 1, 4);
        assert_eq!(limits.usage(at(4))[0].used, 11);
    }
}

#[test]
fn what_was_sent_is_not_given_back() {
    let mut limits = limits(&["1/min"]);
    let charge = pass(&mut limits, 0);
    limits.never_sent(charge, at(10));
    let mut charge = pass(&mut limits, 10);
    limits.sent(&mut charge);
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

/// What a store does that gives everybody what is asked for, and a share for emergencies.
fn serve(limits: &mut Limits, keeping: Keeping, now: Now) {
    if let Keeping::Disk { .. } = keeping {
        let due = limits.to_write(now);
        return due.iter().for_each(|reservation| limits.written(reservation));
    }
    let asks = limits.exchange(now);
    let answer = |ask: &Ask| Answer { granted: ask.moved.want, emergency: 1, ..Answer::default() };
    let answers: Vec<_> = asks.iter().map(answer).collect();
    limits.exchanged(&asks, &answers, now.mono, now);
}

#[test]
fn resources_that_a_store_keeps_are_forgotten_too() {
    let leases = Leases { lease_ms: 10_000, tail_ms: 10_000, emergency_ms: 60_000 };
    for keeping in [Keeping::Disk { since: Moment(0) }, Keeping::Shared(leases)] {
        let set = WallSet::new([Wall { per: Some("channel".into()), ..wall("9/min") }]).unwrap();
        let mut limits = Limits::kept(&set, keeping);
        let ask = |limits: &mut Limits, name: &str, ms| {
            let asked = Asked { resource: Some(name), ..ask(1) };
            limits
                .try_acquire(&asked, at(ms))
                .map(|charge| limits.answered(charge, at(ms)))
                .map_err(|r| r.reason)
        };
        for n in 0..MAX_RESOURCES {
            assert_eq!(ask(&mut limits, &n.to_string(), 0), Err(Reason::Reserving), "{n}");
            serve(&mut limits, keeping, at(0));
            assert_eq!(ask(&mut limits, &n.to_string(), 0), Ok(()), "{n}");
        }
        for _ in 0..MAX_RESOURCES / 32 {
            serve(&mut limits, keeping, at(5_000));
        }
        assert_eq!(ask(&mut limits, "one more", 5_000), Err(Reason::Overloaded), "{keeping:?}");
        // The store should hear of the one that makes way.
        assert_ne!(ask(&mut limits, "0", 70_000), Err(Reason::Overloaded), "{keeping:?}");
        assert_eq!(ask(&mut limits, "one more", 70_000), Err(Reason::Reserving), "{keeping:?}");
        let due = limits.scopes.take_due();
        assert_eq!(due.iter().collect::<std::collections::BTreeSet<_>>().len(), due.len(), "{keeping:?}");
    }
}

#[test]
fn a_throttle_closes_what_it_names_and_nothing_else() {
    let mut limits = limits(&["100/min"]);
    let about = About::Resource { operation: "post", resource: "a" };
    limits.throttled(about, Some(Duration::from_secs(3)), Moment(0), at(0));
    let mut go = |operation, resource, ms| {
        let asked = Asked { operation, resource, cost: 1, priority: Priority::Interactive, owner: None };
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
fn a_count_that_makes_no_sense_closes_the_wall_and_opens_nothing() {
    for (limit, used) in [(None, u64::MAX), (Some(u64::MAX), u64::MAX), (Some(u64::MAX), u64::MAX - 5)] {
        let mut limits = limits(&["10/min"]);
        spend(&mut limits, 5, 0);
        limits.learn(&Observation { limit, used: Some(used), ..seen(0, 1) }, at(2));
        assert_eq!(refuse(&mut limits, 10, 3).reason, Reason::Window, "{limit:?} {used}");
        assert_eq!(refuse(&mut limits, 1, 60_001).retry_at, Some(at(60_003)), "{limit:?} {used}");
        spend(&mut limits, 5, 60_003);
    }
}

#[test]
fn what_the_other_replicas_may_use_is_nobody_elses_use() {
    let set = WallSet::new([wall("100/min")]).unwrap().divided(4).unwrap();
    let mut limits = Limits::new(&set);
    spend(&mut limits, 10, 0);
    let stated = |remaining| Observation { limit: Some(100), ..seen(remaining, 1) };
    limits.learn(&stated(15), at(2));
    let usage = limits.usage(at(2)).remove(0);
    assert_eq!((usage.used, usage.limit), (10, 25), "85 are used, and three others may use 75 of them");
    limits.learn(&stated(5), at(3));
    assert_eq!(limits.usage(at(3))[0].used, 20, "ten are nobody's");
}

#[test]
fn what_left_while_an_answer_was_on_its_way_is_nobody_elses_use() {
    let mut limits = limits(&["20/min"]);
    limits.learn(&seen(20, 0), at(0));
    spend(&mut limits, 19, 0);
    // Sent when the window was nearly full, answered when it was empty again.
    let charge = pass(&mut limits, 59_900);
    limits.answered(charge, at(60_100));
    limits.learn(&seen(0, 59_900), at(60_100));
    assert_eq!(limits.usage(at(60_100))[0].used, 1);
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
