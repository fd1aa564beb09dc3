//! The policies of one account together, at exact moments.

use super::*;
use crate::policy::limit::{Source, Wall, Wanted};

fn at(ms: u64) -> Now {
    Now { mono: Moment(ms), wall: 0 }
}

fn core(walls: &[&str]) -> Core<usize> {
    let wall = |text: &&str| Wall::new(text.parse().unwrap(), Source::Operator);
    Core::new(Settings::default(), &WallSet::new(walls.iter().map(wall)).unwrap())
}

fn request(deadline: u64) -> Request {
    Request {
        agent: "a".into(),
        operation: "find".into(),
        resource: None,
        cost: 1,
        priority: Priority::Interactive,
        kind: Kind::Read,
        deadline: Moment(deadline),
        bytes: 100,
        workflow: None,
    }
}

fn go(core: &mut Core<usize>, ms: u64) -> Held {
    match core.ask(&request(1_000_000), 0, at(ms)) {
        Asked::Goes(mut held) => {
            core.sent(&mut held, false, at(ms));
            held
        }
        other => panic!("{other:?}"),
    }
}

fn answer(core: &mut Core<usize>, held: Held, outcome: Outcome, ms: u64) {
    let answer = core.answered(held, at(ms));
    core.judged(answer, Some(outcome), 0, at(ms));
}

const WELL: Outcome = Outcome::Success { took: Duration::ZERO };

#[test]
fn who_waits_goes_when_the_window_has_room_again_and_not_before() {
    let mut core = core(&["1/s"]);
    let held = go(&mut core, 0);
    answer(&mut core, held, WELL, 100);
    assert!(matches!(core.ask(&request(5_000), 7, at(100)), Asked::Waits(_)));
    assert_eq!(core.next_wake(), Some(Moment(1_101)));
    assert!(core.poll(at(1_100)).is_empty());
    assert!(matches!(core.poll(at(1_101))[..], [(7, Ok(_))]));
}

#[test]
fn who_cannot_make_its_deadline_is_refused_at_once_and_told_when() {
    let mut core = core(&["1/s"]);
    let held = go(&mut core, 0);
    answer(&mut core, held, WELL, 0);
    match core.ask(&request(1_001), 0, at(0)) {
        Asked::Refused(Refusal::Wall { wall: Some(wall), waiting: queue::Refused::TooLate { turn } }) => {
            assert_eq!(wall.retry_at.map(|at| at.mono), Some(Moment(1_001)));
            assert_eq!(turn, Some(Moment(1_001)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(core.waiting(), (0, 0));
}

#[test]
fn a_call_that_is_given_up_counts_until_it_has_surely_arrived() {
    let mut core = core(&["1/s"]);
    let held = go(&mut core, 0);
    core.abandoned(held, None, 0, at(10));
    assert_eq!(core.places().0, 0);
    assert!(matches!(core.ask(&request(60_000), 7, at(10)), Asked::Waits(_)));
    assert_eq!(core.next_wake(), Some(Moment(1_010)));
    assert!(core.poll(at(1_010)).is_empty());
    assert_eq!(core.next_wake(), Some(Moment(1_010 + 1_001)));
    assert_eq!(core.poll(at(1_010 + 1_001)).len(), 1);
}

#[test]
fn a_breaker_that_opened_while_somebody_waited_takes_nothing_from_the_wall() {
    let mut core = core(&["6/s"]);
    let held: Vec<_> = (0..6).map(|_| go(&mut core, 0)).collect();
    assert!(matches!(core.ask(&request(60_000), 7, at(0)), Asked::Waits(_)));
    let answers: Vec<_> = held.into_iter().map(|held| core.answered(held, at(0))).collect();
    for answer in answers {
        core.judged(answer, Some(Outcome::Failure), 0, at(1_000));
    }
    assert!(matches!(core.poll(at(1_001))[..], [(7, Err(Refusal::Breaker(_)))]));
    assert_eq!(core.walls(at(1_001))[0].used, 0);
}

#[test]
fn a_newcomer_does_not_overtake_who_waits() {
    let mut core = core(&["1/s"]);
    let held = go(&mut core, 0);
    answer(&mut core, held, WELL, 0);
    assert!(matches!(core.ask(&request(60_000), 1, at(0)), Asked::Waits(_)));
    assert!(matches!(core.ask(&request(60_000), 2, at(1_001)), Asked::Waits(_)));
    assert!(matches!(core.poll(at(1_001))[..], [(1, Ok(_))]));
}

const OWNER: Owner<'_> = Owner { agent: "a", workflow: "w" };

fn book(core: &mut Core<usize>, calls: u64, until: u64, ms: u64) {
    let wanted = [Wanted { operation: "find".into(), cost: 1, calls }];
    core.limits().book(&OWNER, &wanted, Priority::Interactive, Moment(until), at(ms)).unwrap();
}

fn step() -> Request {
    Request { workflow: Some("w".into()), ..request(1_000_000) }
}

#[test]
fn a_step_that_was_reserved_goes_before_those_who_wait() {
    let mut core = core(&["2/min"]);
    book(&mut core, 1, 30_000, 0);
    let held = go(&mut core, 0);
    answer(&mut core, held, WELL, 0);
    assert!(matches!(core.ask(&request(1_000_000), 1, at(0)), Asked::Waits(_)));
    assert!(matches!(core.ask(&step(), 2, at(0)), Asked::Goes(_)));
    assert!(matches!(core.ask(&step(), 3, at(0)), Asked::Waits(_)), "it had reserved one");
}

#[test]
fn a_step_that_waits_for_a_short_wall_goes_when_that_has_room_whatever_else_is_full() {
    let mut core = core(&["1/s", "2/min"]);
    book(&mut core, 1, 30_000, 0);
    let held = go(&mut core, 0);
    answer(&mut core, held, WELL, 0);
    assert!(matches!(core.ask(&request(1_000_000), 1, at(0)), Asked::Waits(_)));
    assert!(matches!(core.ask(&step(), 2, at(0)), Asked::Waits(_)));
    assert!(matches!(core.poll(at(1_001))[..], [(2, Ok(_))]));
}

#[test]
fn who_waits_goes_when_a_reservation_is_over() {
    let mut core = core(&["2/min"]);
    book(&mut core, 1, 30_000, 0);
    let held = go(&mut core, 0);
    answer(&mut core, held, WELL, 0);
    assert!(matches!(core.ask(&request(1_000_000), 1, at(0)), Asked::Waits(_)));
    assert_eq!(core.next_wake(), Some(Moment(30_000)));
    assert!(core.poll(at(29_999)).is_empty());
    assert!(matches!(core.poll(at(30_000))[..], [(1, Ok(_))]));
    assert_eq!(core.next_wake(), None);
}
