//! Reserved calls, case by case and against an oracle that is nothing but lists of what was reserved, asked and answered.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::booking::{MAX_BOOKED, MAX_BOOKINGS_OF_AGENT};
use super::oracle_tests::{Fact, arrivals, judge};
use super::tests::{ask, at, limits};
use super::*;
use crate::policy::Priority;

const WORKFLOWS: [&str; 3] = ["w0", "w1", "w2"];

fn owner(workflow: usize) -> Owner<'static> {
    Owner { agent: "agent", workflow: WORKFLOWS[workflow] }
}

fn step_of(workflow: usize) -> Asked<'static> {
    Asked { owner: Some(owner(workflow)), ..ask(1) }
}

fn book(
    limits: &mut Limits,
    workflow: usize,
    calls: u64,
    until: u64,
    now: u64,
) -> Result<BookingId, Refused> {
    let wanted = [Wanted { operation: "read".into(), cost: 1, calls }];
    limits.book(&owner(workflow), &wanted, Priority::Interactive, Moment(until), at(now))
}

/// Charged and answered at once.
fn pass(limits: &mut Limits, asked: &Asked, now: u64) {
    let charge = limits.try_acquire(asked, at(now)).unwrap();
    limits.answered(charge, at(now));
}

#[test]
fn what_is_reserved_is_there_when_others_have_used_up_the_rest() {
    let mut limits = limits(&["6/min"]);
    book(&mut limits, 0, 2, 50_000, 0).unwrap();
    for _ in 0..4 {
        pass(&mut limits, &ask(1), 0);
    }
    assert_eq!(limits.try_acquire(&ask(1), at(1)).unwrap_err().reason, Reason::Window);
    assert!(limits.try_acquire(&step_of(1), at(1)).is_err(), "another workflow has nothing of it");
    let usage = limits.usage(at(1));
    assert_eq!((usage[0].used, usage[0].reserved, usage[0].under_way), (6, 2, 0));
    pass(&mut limits, &step_of(0), 1);
    pass(&mut limits, &step_of(0), 2);
    assert!(limits.try_acquire(&step_of(0), at(3)).is_err(), "it has had its two");
    assert!(limits.bookings().is_empty());
}

#[test]
fn what_is_left_goes_back_when_its_time_is_over_and_when_it_is_given_back() {
    let mut limits = limits(&["4/min"]);
    book(&mut limits, 0, 2, 1_000, 0).unwrap();
    assert_eq!(limits.next_booking_end(), Some(Moment(1_000)));
    limits.end_bookings(at(999));
    assert_eq!(limits.usage(at(999))[0].reserved, 2);
    limits.end_bookings(at(1_000));
    assert_eq!((limits.usage(at(1_000))[0].used, limits.next_booking_end()), (0, None));
    book(&mut limits, 0, 2, 60_000, 1_000).unwrap();
    pass(&mut limits, &step_of(0), 1_000);
    assert_eq!(limits.unbook_all(&owner(0)), 1);
    assert_eq!(limits.usage(at(1_000))[0].used, 1);
}

#[test]
fn a_step_that_was_not_sent_after_all_can_be_made_again() {
    let mut limits = limits(&["4/min"]);
    book(&mut limits, 0, 1, 60_000, 0).unwrap();
    let charge = limits.try_acquire(&step_of(0), at(0)).unwrap();
    limits.never_sent(charge, at(0));
    assert_eq!(limits.usage(at(0))[0].reserved, 1);
    let charge = limits.try_acquire(&step_of(0), at(0)).unwrap();
    limits.unbook_all(&owner(0));
    limits.never_sent(charge, at(0));
    assert_eq!(limits.usage(at(0))[0].used, 0, "its booking had ended");
}

#[test]
fn all_operations_are_reserved_or_none() {
    let post = Wall { operation: Some("post".into()), ..super::tests::wall("2/min") };
    let mut limits = Limits::new(&WallSet::new([super::tests::wall("20/min"), post]).unwrap());
    let wanted = |operation: &str, calls| Wanted { operation: operation.into(), cost: 1, calls };
    let both = [wanted("read", 5), wanted("post", 2)];
    let refused = limits.book(&owner(0), &both, Priority::Interactive, Moment(60_000), at(0)).unwrap_err();
    assert_eq!((&*refused.wall.unwrap().name, refused.reason), ("2/min", Reason::TooLarge));
    assert!(limits.usage(at(0)).iter().all(|usage| usage.used == 0));
    let both = [wanted("read", 5), wanted("post", 1)];
    limits.book(&owner(0), &both, Priority::Interactive, Moment(60_000), at(0)).unwrap();
    let reserved: Vec<_> = limits.usage(at(0)).iter().map(|usage| usage.reserved).collect();
    assert_eq!(reserved, [1, 6], "the fullest first");
}

#[test]
fn half_of_a_wall_stays_for_those_who_reserve_nothing() {
    let mut limits = limits(&["10/min"]);
    assert_eq!(book(&mut limits, 0, 6, 9_000, 0).unwrap_err().reason, Reason::TooLarge);
    book(&mut limits, 0, 3, 9_000, 0).unwrap();
    book(&mut limits, 1, 2, 5_000, 0).unwrap();
    let refused = book(&mut limits, 2, 3, 60_000, 0).unwrap_err();
    assert_eq!((refused.reason, refused.retry_at), (Reason::Booked, Some(at(9_000))));
    let refused = book(&mut limits, 2, 2, 60_000, 0).unwrap_err();
    assert_eq!(refused.retry_at, Some(at(5_000)));
    book(&mut limits, 2, 2, 60_000, 5_000).unwrap();
}

#[test]
fn short_walls_pacing_and_calls_under_way_are_waited_for() {
    let mut limits = limits(&["1/s", "1 concurrent", "20/min"]);
    book(&mut limits, 0, 3, 60_000, 0).unwrap();
    let charge = limits.try_acquire(&step_of(0), at(0)).unwrap();
    assert_eq!(limits.try_acquire(&step_of(0), at(0)).unwrap_err().reason, Reason::Concurrent);
    limits.answered(charge, at(10));
    let refused = limits.try_acquire(&step_of(0), at(10)).unwrap_err();
    assert_eq!((&*refused.wall.unwrap().name, refused.retry_at), ("1/s", Some(at(1_011))));
    assert_eq!(limits.forecast(&step_of(0), 0, 0, at(10)), Some(Moment(1_011)));
    pass(&mut limits, &step_of(0), 1_011);
}

#[test]
fn what_others_use_outside_is_not_reserved_away() {
    let mut limits = limits(&["10/min"]);
    book(&mut limits, 0, 2, 60_000, 0).unwrap();
    let seen = |used| Observation {
        about: About::Upstream,
        window: None,
        limit: None,
        remaining: None,
        used: Some(used),
        resets_at: None,
        asked_at: Moment(0),
    };
    limits.learn(&seen(11), at(0));
    assert_eq!(limits.try_acquire(&step_of(0), at(0)).unwrap_err().reason, Reason::Window);
    limits.learn(&seen(4), at(1));
    pass(&mut limits, &step_of(0), 1);
}

#[test]
fn a_wall_that_came_later_is_paid_when_the_step_is_made() {
    let mut limits = limits(&["10/min"]);
    book(&mut limits, 0, 2, 60_000, 0).unwrap();
    let more = WallSet::new([super::tests::wall("10/min"), super::tests::wall("1/h")]).unwrap();
    limits.reconfigure(&more);
    pass(&mut limits, &step_of(0), 0);
    let refused = limits.try_acquire(&step_of(0), at(0)).unwrap_err();
    assert_eq!(&*refused.wall.unwrap().name, "1/h");
    limits.reconfigure(&WallSet::new([super::tests::wall("5/h")]).unwrap());
    limits.unbook_all(&owner(0));
    assert_eq!(limits.usage(at(0))[0].used, 1);
}

#[test]
fn agents_have_so_many_bookings_and_a_life_has_an_end() {
    let mut limits = limits(&[]);
    for _ in 0..MAX_BOOKINGS_OF_AGENT {
        book(&mut limits, 0, 1, u64::MAX, 0).unwrap();
    }
    let refused = book(&mut limits, 1, 1, u64::MAX, 0).unwrap_err();
    let end = Moment(0) + MAX_BOOKED;
    assert_eq!((refused.reason, refused.retry_at.unwrap().mono), (Reason::Overloaded, end));
    book(&mut limits, 1, 1, u64::MAX, end.0).unwrap();
}

#[test]
fn on_disk_it_counts_as_spent_after_a_crash_and_as_free_after_an_orderly_end() {
    let walls = WallSet::new([super::tests::wall("100/h")]).unwrap();
    let begin = || Limits::kept(&walls, Keeping::Disk { since: Moment(0) });
    let mut limits = begin();
    assert_eq!(book(&mut limits, 0, 20, 600_000, 0).unwrap_err().reason, Reason::Reserving);
    let due = limits.to_write(at(0));
    due.iter().for_each(|reservation| limits.written(reservation));
    book(&mut limits, 0, 20, 600_000, 0).unwrap();
    pass(&mut limits, &step_of(0), 0);
    let mut crashed = begin();
    assert!(crashed.restore(&due[0].written, 0, at(0)));
    assert_eq!(crashed.usage(at(0))[0].used, 20);
    let mut restarted = begin();
    limits.last_words(at(0)).iter().for_each(|written| assert!(restarted.restore(written, 0, at(0))));
    assert_eq!(restarted.usage(at(0))[0].used, 1);
}

#[test]
fn a_lease_that_is_over_holds_no_reservation() {
    let leases = Leases::for_calls_of(Duration::from_secs(30));
    let mut limits =
        Limits::kept(&WallSet::new([super::tests::wall("100/h")]).unwrap(), Keeping::Shared(leases));
    assert_eq!(book(&mut limits, 0, 4, 600_000, 0).unwrap_err().reason, Reason::Reserving);
    let asks = limits.exchange(at(0));
    assert_eq!(asks[0].moved.want, 4);
    limits.exchanged(&asks, &[Answer { granted: 4, ..Answer::default() }], Moment(0), at(0));
    book(&mut limits, 0, 4, 600_000, 0).unwrap();
    pass(&mut limits, &step_of(0), leases.lease_ms - 1);
    let refused = limits.try_acquire(&step_of(0), at(leases.lease_ms)).unwrap_err();
    assert_eq!(refused.reason, Reason::Reserving);
    limits.end_bookings(at(leases.hold_ms() - 1));
    assert_eq!(limits.bookings().len(), 1);
    limits.end_bookings(at(leases.hold_ms()));
    assert!(limits.bookings().is_empty());
}

/// What one workflow has left, and until when.
struct Reserved {
    workflow: usize,
    left: u64,
    away: u64,
    until: u64,
}

/// The naive limiter: walls by limit and window, and everything that counts.
#[derive(Default)]
struct Oracle {
    walls: Vec<(u64, u64)>,
    facts: BTreeMap<u64, Fact>,
    reserved: Vec<Reserved>,
}

impl Oracle {
    fn booked(&self, window: u64) -> u64 {
        if window > 10_000 { self.reserved.iter().map(|r| r.left).sum() } else { 0 }
    }

    fn used(&self, window: u64, now: u64) -> u64 {
        let counts = |f: &&Fact| f.answered.is_none_or(|t| now <= t + window);
        self.facts.values().filter(counts).map(|f| f.cost).sum::<u64>() + self.booked(window)
    }

    fn has_room(&self, cost: u64, now: u64, of: impl Fn(u64) -> bool) -> bool {
        let mut walls = self.walls.iter().filter(|(_, window)| of(*window));
        walls.all(|&(limit, window)| self.used(window, now) + cost <= limit)
    }

    fn may_book(&self, calls: u64, now: u64) -> bool {
        let long = |window| window > 10_000;
        let mut walls = self.walls.iter().filter(|(_, window)| long(*window));
        self.has_room(calls, now, long)
            && walls.all(|&(limit, window)| self.booked(window) + calls <= (limit / 2).max(1))
    }

    fn end(&mut self, now: u64) {
        self.reserved.retain(|r| r.until > now && r.left + r.away > 0);
    }

    fn step(&mut self, workflow: usize) -> Option<&mut Reserved> {
        let own = self.reserved.iter_mut().filter(|r| r.workflow == workflow && r.left > 0);
        own.min_by_key(|r| r.until)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask(Option<usize>),
    Answer(usize),
    Refund(usize),
    Book(usize, u64, u64),
    GiveBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..3_000).prop_map(Step::Wait),
        1 => (0u64..60_000).prop_map(Step::Wait),
        6 => prop::option::of(0usize..3).prop_map(Step::Ask),
        4 => any::<usize>().prop_map(Step::Answer),
        2 => any::<usize>().prop_map(Step::Refund),
        2 => (0usize..3, 1u64..8, 1u64..90_000).prop_map(|(w, calls, life)| Step::Book(w, calls, life)),
        1 => (0usize..3).prop_map(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_reserves_as_lists_of_everything_do(
        a in (4u64..16, 11u64..60), b in (10u64..40, 30u64..200), short in (1u64..6, 1u64..10), steps in steps(), seed in any::<u64>(),
    ) {
        let walls = [a, b, short];
        let mut limits = limits(&walls.map(|(limit, seconds)| format!("{limit}/{seconds}s")).each_ref().map(String::as_str));
        let mut oracle = Oracle { walls: walls.map(|(limit, s)| (limit, s * 1_000)).to_vec(), ..Oracle::default() };
        if a.1 == b.1 {
            oracle.walls = vec![(a.0.min(b.0), a.1 * 1_000), (short.0, short.1 * 1_000)];
        }
        let (mut now, mut open, mut next) = (0, Vec::new(), 0);
        for step in steps {
            oracle.end(now);
            limits.end_bookings(at(now));
            match step {
                Step::Wait(ms) => now += ms,
                Step::Ask(workflow) => {
                    let asked = workflow.map_or(ask(1), step_of);
                    let is_reserved = workflow.and_then(|w| oracle.step(w)).is_some();
                    let admits = oracle.has_room(1, now, |window| !is_reserved || window <= 10_000);
                    prop_assert_eq!(limits.has_booked(&asked, at(now)), is_reserved);
                    match limits.try_acquire(&asked, at(now)) {
                        Ok(mut charge) => {
                            prop_assert!(admits, "let through at {now}");
                            limits.sent(&mut charge);
                            let from = workflow.and_then(|w| oracle.step(w)).map(|r| {
                                (r.left, r.away) = (r.left - 1, r.away + 1);
                                (r.workflow, r.until)
                            });
                            oracle.facts.insert(next, Fact { cost: 1, sent: now, answered: None });
                            open.push((next, from, charge));
                            next += 1;
                        }
                        Err(refused) => prop_assert!(!admits, "refused at {now}: {refused:?}"),
                    }
                }
                Step::Answer(which) if !open.is_empty() => {
                    let (id, from, charge) = open.swap_remove(which % open.len());
                    limits.answered(charge, at(now));
                    oracle.facts.get_mut(&id).unwrap().answered = Some(now);
                    if let Some(r) = oracle.reserved.iter_mut().find(|r| Some((r.workflow, r.until)) == from) {
                        r.away -= 1;
                    }
                }
                Step::Refund(which) if !open.is_empty() => {
                    let (id, from, mut charge) = open.swap_remove(which % open.len());
                    charge.sent = false;
                    limits.never_sent(charge, at(now));
                    oracle.facts.remove(&id);
                    if let Some(r) = oracle.reserved.iter_mut().find(|r| Some((r.workflow, r.until)) == from) {
                        (r.left, r.away) = (r.left + 1, r.away - 1);
                    }
                }
                Step::Answer(_) | Step::Refund(_) => {}
                // Two that end at once could not be told apart by the oracle.
                Step::Book(_, _, life) if oracle.reserved.iter().any(|r| r.until == now + life) => {}
                Step::Book(workflow, calls, life) => match book(&mut limits, workflow, calls, now + life, now) {
                    Ok(_) => {
                        prop_assert!(oracle.may_book(calls, now), "reserved at {now}");
                        oracle.reserved.push(Reserved { workflow, left: calls, away: 0, until: now + life });
                    }
                    Err(refused) if refused.reason == Reason::Overloaded => {
                        prop_assert!(oracle.reserved.len() >= MAX_BOOKINGS_OF_AGENT);
                    }
                    Err(refused) => {
                        prop_assert!(!oracle.may_book(calls, now), "not reserved at {now}: {refused:?}");
                        let has_room = oracle.has_room(calls, now, |window| window > 10_000);
                        if let (Reason::Booked, Some(retry), true) = (refused.reason, refused.retry_at, has_room) {
                            let again = |ms| book(&mut limits.clone(), workflow, calls, ms + 1, ms);
                            prop_assert!(again(retry.mono.0 - 1).is_err());
                            prop_assert!(again(retry.mono.0).is_ok());
                        }
                    }
                },
                Step::GiveBack(workflow) => {
                    let of_it = oracle.reserved.iter().filter(|r| r.workflow == workflow);
                    let left: u64 = of_it.map(|r| r.left).sum();
                    prop_assert_eq!(limits.unbook_all(&owner(workflow)), left);
                    oracle.reserved.retain(|r| r.workflow != workflow);
                }
            }
        }
        for (id, _, charge) in open {
            limits.answered(charge, at(now));
            oracle.facts.get_mut(&id).unwrap().answered = Some(now);
        }
        limits.end_bookings(at(now + 90_000));
        prop_assert!(limits.usage(at(now + 400_000)).iter().all(|wall| wall.used == 0 && wall.reserved == 0));
        for (limit, window) in oracle.walls {
            judge(&mut arrivals(&oracle.facts, seed), limit, window);
        }
    }
}
