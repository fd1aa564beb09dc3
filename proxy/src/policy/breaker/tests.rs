use proptest::prelude::*;

use super::*;
use crate::policy::Mode;

/// In the middle: no jitter.
const EVEN: u64 = u64::MAX / 2;
const GOOD: Outcome = Outcome::Success { took: Duration::ZERO };

struct Machine {
    breaker: CircuitBreaker,
    now: u64,
}

impl Machine {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self { breaker: CircuitBreaker::new(settings), now: 0 }
    }

    fn now(&self) -> Now {
        Now { mono: Moment(self.now), wall: 0 }
    }

    fn admit(&mut self, kind: Kind) -> Result<Pass, Refused> {
        self.breaker.admit(kind, self.now())
    }

    fn record(&mut self, pass: Pass, outcome: Outcome) {
        self.breaker.record(pass, outcome, EVEN, self.now());
    }

    /// Whether one read was let through and ended so.
    fn read(&mut self, outcome: Outcome) -> bool {
        let pass = self.admit(Kind::Read);
        pass.map(|pass| self.record(pass, outcome)).is_ok()
    }

    fn fail(&mut self, times: u32) {
        (0..times).for_each(|_| assert!(self.read(Outcome::Failure)));
    }

    fn state(&self) -> &'static str {
        self.breaker.view(self.now()).label()
    }

    /// When the next probe may go, from now.
    fn open_for(&self) -> u64 {
        match self.breaker.view(self.now()) {
            View::Open { probe_at, .. } => probe_at.0 - self.now,
            view => panic!("{view:?}"),
        }
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let mut machine = Machine::new();
    machine.fail(4);
    machine.read(GOOD);
    machine.fail(4);
    assert_eq!(machine.state(), "closed");
    machine.fail(1);
    assert_eq!(machine.state(), "open");
    let refused = machine.admit(Kind::Read).unwrap_err();
    let why = Why::Failures { consecutive: 5 };
    assert_eq!(refused, Refused::Open { why, retry_at: Moment(1000) });
}

#[test]
fn less_than_half_of_ten_opens_it_and_half_does_not() {
    let mut machine = Machine::new();
    for good in [true, false, true, false, true, false, true, false, true, false] {
        machine.read(if good { GOOD } else { Outcome::Failure });
    }
    assert_eq!(machine.state(), "closed");
    machine.read(Outcome::Failure);
    let why = Why::Rate { failed: 6, of: 11 };
    assert!(matches!(machine.breaker.view(machine.now()), View::Open { why: w, .. } if w == why));
}

#[test]
fn what_is_neutral_or_too_impatient_never_opens_it_and_interrupts_nothing() {
    let mut machine = Machine::new();
    for _ in 0..100 {
        machine.read(Outcome::Neutral);
        machine.read(Outcome::TimedOut { waited: Duration::from_millis(10) });
    }
    machine.fail(4);
    machine.read(Outcome::Neutral);
    assert_eq!(machine.state(), "closed");
    machine.read(Outcome::TimedOut { waited: Duration::from_secs(2) });
    assert_eq!(machine.state(), "open");
}

#[test]
fn slow_answers_open_it_though_they_succeed() {
    let mut machine = Machine::new();
    let slow = Outcome::Success { took: Duration::from_secs(20) };
    (0..9).for_each(|_| assert!(machine.read(slow)));
    assert_eq!(machine.state(), "closed");
    machine.read(slow);
    assert_eq!(machine.state(), "open");
}

#[test]
fn it_stays_open_for_a_second_then_twice_as_long_each_time_up_to_a_minute() {
    let mut machine = Machine::new();
    machine.fail(5);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(machine.open_for(), seconds * 1000);
        machine.now += seconds * 1000 - 1;
        assert!(!machine.read(GOOD));
        machine.now += 1;
        machine.fail(1);
    }
}

#[test]
fn the_jitter_is_a_quarter_either_way() {
    for (random, ms) in [(0, 750), (u64::MAX, 1250)] {
        let mut machine = Machine::new();
        machine.fail(4);
        let pass = machine.admit(Kind::Read).unwrap();
        machine.breaker.record(pass, Outcome::Failure, random, machine.now());
        assert_eq!(machine.open_for(), ms);
    }
}

#[test]
fn one_probe_at_a_time_and_two_successes_close_it() {
    let mut machine = Machine::new();
    machine.fail(5);
    machine.now = 1000;
    assert_eq!(machine.state(), "half_open");
    let probe = machine.admit(Kind::Read).unwrap();
    let refused = machine.admit(Kind::Read).unwrap_err();
    assert_eq!(refused.wait(machine.now()), Duration::from_secs(1));
    machine.record(probe, GOOD);
    assert_eq!(machine.state(), "half_open");
    assert!(machine.read(GOOD));
    assert_eq!(machine.state(), "closed");
}

#[test]
fn a_probe_that_is_given_up_or_too_impatient_frees_its_place() {
    let mut machine = Machine::new();
    machine.fail(5);
    machine.now = 1000;
    let probe = machine.admit(Kind::Read).unwrap();
    machine.breaker.abandon(probe);
    assert!(machine.read(Outcome::TimedOut { waited: Duration::from_millis(10) }));
    assert!(machine.read(GOOD));
    assert_eq!(machine.state(), "half_open");
}

#[test]
fn a_system_that_only_answers_no_such_record_is_let_back_in() {
    let mut machine = Machine::new();
    machine.fail(5);
    machine.now = 1000;
    (0..4).for_each(|_| assert!(machine.read(Outcome::Neutral)));
    assert_eq!(machine.state(), "half_open");
    machine.read(Outcome::Neutral);
    assert_eq!(machine.state(), "closed");
}

#[test]
fn a_write_is_the_probe_only_when_no_read_comes() {
    let mut machine = Machine::new();
    machine.fail(5);
    machine.now = 1000;
    let refused = machine.admit(Kind::Write).unwrap_err();
    assert_eq!(refused.wait(machine.now()), Duration::from_secs(5));
    machine.now = 6000;
    assert!(machine.admit(Kind::Write).is_ok());

    let mut writes_only = Machine::new();
    for _ in 0..5 {
        let pass = writes_only.admit(Kind::Write).unwrap();
        writes_only.record(pass, Outcome::Failure);
    }
    writes_only.now = 1000;
    assert!(writes_only.admit(Kind::Write).is_ok());
}

#[test]
fn what_was_sent_before_says_nothing_about_now() {
    let mut machine = Machine::new();
    let passes: Vec<_> = (0..20).map(|_| machine.admit(Kind::Read).unwrap()).collect();
    machine.fail(5);
    machine.now = 1000;
    for pass in passes {
        machine.record(pass, Outcome::Failure);
    }
    assert_eq!(machine.state(), "half_open");
    assert!(machine.read(GOOD) && machine.read(GOOD));
    assert_eq!(machine.state(), "closed");
}

#[test]
fn after_a_minute_of_calm_it_starts_small_again() {
    for (calm, seconds) in [(59_999, 2), (60_000, 1)] {
        let mut machine = Machine::new();
        machine.fail(5);
        machine.now = 1000;
        assert!(machine.read(GOOD) && machine.read(GOOD));
        machine.now += calm;
        machine.fail(5);
        assert_eq!(machine.open_for(), seconds * 1000);
    }
}

#[test]
fn an_observed_breaker_lets_all_through_and_says_what_it_would_have_done() {
    let mut machine = Machine::with(Settings { mode: Mode::Observe, ..Settings::default() });
    machine.fail(5);
    let pass = machine.admit(Kind::Read).unwrap();
    assert!(matches!(pass.observed, Some(Refused::Open { .. })));
    assert!(machine.breaker.refusal(Kind::Read, machine.now()).is_none());
    machine.record(pass, GOOD);
    machine.now = 1000;
    assert!(machine.read(GOOD) && machine.read(GOOD));
    assert_eq!(machine.state(), "closed");
}

#[test]
fn one_class_leaves_the_others_alone_and_classes_are_bounded() {
    let mut breakers = Breakers::new(Settings::default(), Vec::new());
    let now = Now::default();
    for _ in 0..5 {
        let pass = breakers.admit("search", Kind::Read, now).unwrap();
        breakers.record("search", pass, Outcome::Failure, EVEN, now);
    }
    assert!(breakers.refusal("search", Kind::Read, now).is_some());
    assert!(breakers.refusal("get", Kind::Read, now).is_none());
    for class in 0..1000 {
        let pass = breakers.admit(&class.to_string(), Kind::Read, now).unwrap();
        breakers.abandon(&class.to_string(), pass);
    }
    assert_eq!(breakers.view(now).count(), MAX_CLASSES + 1);
}

#[test]
fn maintenance_answers_with_its_end() {
    let window = Maintenance::parse("1970-01-01T00:00/1970-01-01T01:00 UTC").unwrap();
    let mut breakers = Breakers::new(Settings::default(), vec![window]);
    let now = Now { mono: Moment(7), wall: 600_000 };
    let refused = breakers.admit("get", Kind::Read, now).unwrap_err();
    assert_eq!(refused, Refused::Maintenance { ends: 3_600_000 });
    assert_eq!(refused.wait(now), Duration::from_secs(3000));
}

/// What a closed breaker does, decided over a plain list of what happened since it was closed.
fn oracle(events: &[(u64, Outcome)]) -> bool {
    let settings = Settings::default();
    let sample = |(at, outcome): &(u64, Outcome)| match outcome {
        Outcome::Success { took } => Some((*at, true, *took >= settings.slow_after)),
        Outcome::Failure => Some((*at, false, false)),
        Outcome::TimedOut { waited } if *waited >= settings.timeout_floor => {
            Some((*at, false, *waited >= settings.slow_after))
        }
        _ => None,
    };
    let samples: Vec<_> = events.iter().filter_map(sample).collect();
    let Some(&(now, last_good, last_slow)) = samples.last() else { return false };
    let in_a_row = samples.iter().rev().take_while(|(_, good, _)| !good).count();
    let recent: Vec<_> = samples.iter().filter(|(at, ..)| at / 1000 + 30 > now / 1000).collect();
    let (all, good) = (recent.len(), recent.iter().filter(|(_, good, _)| *good).count());
    let slow = recent.iter().filter(|(.., slow)| *slow).count();
    let shares = all >= 10 && (good * 2 < all || slow * 5 >= all * 4);
    (!last_good || last_slow) && (in_a_row >= 5 || shares)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let secs = Duration::from_secs;
    prop_oneof![
        5 => Just(GOOD),
        3 => Just(Outcome::Failure),
        1 => Just(Outcome::Neutral),
        3 => (0_u64..40).prop_map(move |s| Outcome::Success { took: secs(s) }),
        1 => (0_u64..30).prop_map(move |s| Outcome::TimedOut { waited: secs(s) }),
    ]
}

proptest! {
    #[test]
    fn it_opens_exactly_when_a_list_of_events_says_so(
        events in prop::collection::vec((0_u64..4000, outcome()), 0..120),
    ) {
        let (mut machine, mut seen) = (Machine::new(), Vec::new());
        for (wait, outcome) in events {
            machine.now += wait;
            if machine.state() != "closed" {
                break;
            }
            machine.read(outcome);
            seen.push((machine.now, outcome));
            prop_assert_eq!(machine.state() == "open", oracle(&seen), "{:?}", seen);
        }
    }

    #[test]
    fn however_it_is_used_it_probes_once_at_a_time_and_never_shuts_for_good(
        steps in prop::collection::vec((0_u64..3000, 0_u8..4, outcome()), 0..200),
    ) {
        let (mut machine, mut out) = (Machine::new(), Vec::new());
        for (wait, step, outcome) in steps {
            machine.now += wait;
            let was = machine.state();
            match step {
                0 | 1 => {
                    let kind = if step == 0 { Kind::Read } else { Kind::Write };
                    let admitted = machine.admit(kind);
                    prop_assert!(was != "closed" || admitted.is_ok());
                    prop_assert!(was != "open" || admitted.is_err());
                    out.extend(admitted);
                }
                2 => if let Some(pass) = out.pop() { machine.record(pass, outcome) },
                _ => if let Some(pass) = out.pop() { machine.breaker.abandon(pass) },
            }
        }
        out.into_iter().for_each(|pass| machine.breaker.abandon(pass));
        machine.now += 80_000;
        prop_assert!(machine.admit(Kind::Write).is_ok());
    }
}
