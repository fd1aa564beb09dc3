use proptest::prelude::*;

use super::*;

const LATE: Moment = Moment(60_000);
const REFUSED: Failure = Failure::Refused { retry_after: None };
const THROTTLED: Failure = Failure::Throttled { retry_after: None };

fn decide(retry: &mut Retry, failure: Failure, random: u64, now: u64) -> Decision {
    let settings = Settings::default();
    let mut budget = RetryBudget::new(&settings.budget);
    retry.failed(failure, (&settings, &mut budget), random, Now { mono: Moment(now), wall: 0 })
}

fn first(repeat: Repeat, failure: Failure) -> Decision {
    decide(&mut Retry::new(repeat, LATE), failure, 0, 0)
}

#[test]
fn only_what_is_safe_is_sent_again() {
    use Repeat::{Idempotent, Keyed, Read, Twice};
    let again = Decision::Again { wait: Duration::ZERO };
    for repeat in [Read, Idempotent, Keyed, Twice] {
        for failure in [Failure::NeverSent, REFUSED, THROTTLED] {
            assert_eq!(first(repeat, failure), again, "{repeat:?} {failure:?}");
        }
    }
    for repeat in [Read, Idempotent, Keyed] {
        assert_eq!(first(repeat, Failure::Unclear), again, "{repeat:?}");
    }
    let end = Decision::End { why: End::Unsafe, outcome_unknown: true };
    assert_eq!(first(Twice, Failure::Unclear), end);
}

#[test]
fn a_write_that_may_have_run_once_stays_unknown_whatever_its_retries_met() {
    let mut retry = Retry::new(Repeat::Keyed, LATE);
    assert!(matches!(decide(&mut retry, Failure::Unclear, 0, 0), Decision::Again { .. }));
    assert!(matches!(decide(&mut retry, Failure::NeverSent, 0, 0), Decision::Again { .. }));
    let end = Decision::End { why: End::Attempts, outcome_unknown: true };
    assert_eq!(decide(&mut retry, THROTTLED, 0, 0), end);
}

#[test]
fn a_read_is_never_of_unknown_outcome() {
    let mut retry = Retry::new(Repeat::Read, LATE);
    decide(&mut retry, Failure::Unclear, 0, 0);
    decide(&mut retry, Failure::Unclear, 0, 0);
    let end = Decision::End { why: End::Attempts, outcome_unknown: false };
    assert_eq!(decide(&mut retry, Failure::Unclear, 0, 0), end);
}

#[test]
fn waits_double_from_their_base_up_to_the_cap() {
    let settings = Settings { attempts: 20, ..Settings::default() };
    let bound = |failure, failures| backoff(failure, failures, &settings, u64::MAX).as_secs_f64();
    let near = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-6, "{value} {wanted}");
    near(bound(Failure::NeverSent, 1), 0.05);
    near(bound(Failure::NeverSent, 3), 0.2);
    near(bound(THROTTLED, 1), 1.0);
    near(bound(THROTTLED, 2), 2.0);
    near(bound(THROTTLED, 9), 20.0);
    near(bound(THROTTLED, u32::MAX), 20.0);
    assert_eq!(backoff(THROTTLED, 5, &settings, 0), Duration::ZERO);
    near(backoff(THROTTLED, 1, &settings, u64::MAX / 2).as_secs_f64(), 0.5);
}

#[test]
fn what_the_system_asks_for_is_waited_for_in_full() {
    let failure = Failure::Throttled { retry_after: Some(Duration::from_secs(30)) };
    assert_eq!(first(Repeat::Twice, failure), Decision::Again { wait: Duration::from_secs(30) });
}

#[test]
fn no_wait_leads_to_the_deadline_or_past_it() {
    let asks = |secs| Failure::Refused { retry_after: Some(Duration::from_secs(secs)) };
    let end = Decision::End { why: End::Deadline { wait: Duration::from_secs(60) }, outcome_unknown: false };
    assert_eq!(first(Repeat::Read, asks(60)), end);
    assert!(matches!(first(Repeat::Read, asks(59)), Decision::Again { .. }));
}

#[test]
fn a_spent_budget_ends_it_and_an_observed_policy_only_says_so() {
    let mut settings = Settings::default();
    settings.budget.floor_per_second = 0.1;
    let mut budget = RetryBudget::new(&settings.budget);
    let mut fail = |mode| {
        let settings = Settings { mode, ..settings.clone() };
        let mut retry = Retry::new(Repeat::Read, LATE);
        retry.failed(REFUSED, (&settings, &mut budget), 0, Now::default())
    };
    let observed = End::Observed { wait: Duration::ZERO };
    assert_eq!(fail(Mode::Observe), Decision::End { why: observed, outcome_unknown: false });
    assert_eq!(fail(Mode::Enforce), Decision::Again { wait: Duration::ZERO });
    assert_eq!(fail(Mode::Enforce), Decision::End { why: End::Budget, outcome_unknown: false });
}

proptest! {
    #[test]
    fn a_wait_ends_before_the_deadline_and_is_no_shorter_than_asked(
        asked in prop::option::of(0_u64..100_000),
        throttled: bool,
        random: u64,
        now in 0_u64..60_000,
    ) {
        let retry_after = asked.map(Duration::from_millis);
        let failure = if throttled { Failure::Throttled { retry_after } } else { Failure::Refused { retry_after } };
        if let Decision::Again { wait } = decide(&mut Retry::new(Repeat::Read, LATE), failure, random, now) {
            prop_assert!(Moment(now) + wait < LATE);
            prop_assert!(wait >= retry_after.unwrap_or_default());
        }
    }
}
