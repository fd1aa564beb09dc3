mod others;

use std::time::Duration;

use super::*;
use crate::policy::time::{Moment, Now};

/// The earliest that jitter allows, and the middle.
const EARLY: u64 = 0;
const EVEN: u64 = u64::MAX / 2;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

const TOKEN: Settings = Settings { keep_alive: true, mortal: true };
const LOGIN: Settings = Settings { keep_alive: false, mortal: false };

/// A driver that does what it is told, and a clock.
struct Driven {
    life: Lifecycle,
    ms: u64,
    random: u64,
}

fn terms(life_ms: u64) -> Terms {
    Terms { life: Some(Duration::from_millis(life_ms)), ..Terms::default() }
}

fn kept(version: u64, age_ms: u64, terms: Terms) -> Latest {
    Latest::Kept(Kept { version, age: Duration::from_millis(age_ms), terms })
}

impl Driven {
    fn new(settings: Settings) -> Self {
        Self { life: Lifecycle::new(settings), ms: 0, random: EARLY }
    }

    /// With the first version in hand.
    fn holding(settings: Settings, terms: Terms) -> Self {
        let mut driven = Self::new(settings);
        driven.serve(0);
        driven.opened(Loaded::Nothing);
        assert_eq!(driven.granted(terms), Step::Rest);
        assert_eq!(driven.serve(0), Serving::Token(1));
        driven
    }

    fn now(&self) -> Now {
        Now { mono: Moment(self.ms), wall: 0 }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.ms = ms;
        self
    }

    fn start(&mut self) -> Option<Step> {
        self.life.start(self.now())
    }

    fn opened(&mut self, loaded: Loaded) -> Step {
        assert_eq!(self.start(), Some(Step::Load));
        self.life.loaded(loaded, self.random, self.now())
    }

    /// From the step that begins to the one that sends.
    fn begun(&mut self, unfinished: bool) -> Step {
        let _ = self.start();
        self.life.began(Began::Ours { unfinished }, self.random, self.now())
    }

    fn exchanged(&mut self, exchanged: Exchanged) -> Step {
        self.life.exchanged(exchanged, self.random, self.now())
    }

    fn granted(&mut self, terms: Terms) -> Step {
        assert!(matches!(self.begun(false), Step::Exchange { .. }));
        assert!(matches!(self.exchanged(Exchanged::Granted(terms)), Step::Commit { .. }));
        self.committed(Committed::Durable)
    }

    fn committed(&mut self, committed: Committed) -> Step {
        self.life.committed(committed, self.random, self.now())
    }

    /// One run that fails so.
    fn failed(&mut self, exchanged: Exchanged) -> Step {
        assert!(matches!(self.begun(false), Step::Exchange { again: false, .. }));
        self.exchanged(exchanged)
    }

    fn serve(&mut self, takes_ms: u64) -> Serving {
        self.life.serve(Duration::from_millis(takes_ms), self.now())
    }

    fn wake(&self) -> Option<u64> {
        self.life.wake(self.now()).map(|moment| moment.0)
    }

    fn events(&mut self) -> Vec<Event> {
        self.life.events(self.now())
    }
}

const DOWN: Exchanged = Exchanged::Unavailable { retry_after: None };

#[test]
fn a_token_is_refreshed_between_65_and_80_hundredths_of_its_life() {
    for (random, due) in [(0, 2_340_000), (u64::MAX, 2_880_000)] {
        let mut driven = Driven::new(TOKEN);
        driven.random = random;
        driven.opened(Loaded::Nothing);
        driven.granted(terms(HOUR));
        assert_eq!(driven.wake(), Some(due));
        assert_eq!(driven.at(due - 1).start(), None);
        assert_eq!(driven.at(due).start(), Some(Step::Begin { version: 1 }));
        // Meanwhile the old one serves.
        assert_eq!(driven.serve(0), Serving::Token(1));
    }
}

#[test]
fn a_token_serves_until_half_a_minute_and_the_calls_time_before_its_end() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    assert_eq!(driven.at(HOUR - 60_001).serve(30_000), Serving::Token(1));
    assert_eq!(driven.at(HOUR - 60_000).serve(30_000), Serving::Wait);
    assert_eq!(driven.at(HOUR - 30_001).serve(0), Serving::Token(1));
    assert_eq!(driven.at(HOUR - 30_000).serve(0), Serving::Wait);
}

#[test]
fn a_short_life_gives_up_a_tenth_at_most() {
    let mut driven = Driven::holding(TOKEN, terms(10_000));
    assert_eq!(driven.at(8_999).serve(30_000), Serving::Token(1));
    assert_eq!(driven.at(9_000).serve(0), Serving::Wait);
}

#[test]
fn life_counts_from_before_the_token_was_asked_for() {
    let mut driven = Driven::new(TOKEN);
    driven.opened(Loaded::Nothing);
    let _ = driven.life.began(Began::Ours { unfinished: false }, EARLY, driven.now());
    driven.at(4_000).exchanged(Exchanged::Granted(terms(10_000)));
    driven.at(5_000).committed(Committed::Durable);
    assert_eq!(driven.wake(), Some(6_500));
    assert_eq!(driven.at(9_000).serve(0), Serving::Wait);
}

#[test]
fn a_token_of_unsaid_life_is_refreshed_and_serves_on() {
    for life in [None, Some(Duration::ZERO)] {
        let mut driven = Driven::holding(TOKEN, Terms { life, ..Terms::default() });
        assert_eq!(driven.wake(), Some(30 * 60_000 * 65 / 100));
        assert_eq!(driven.at(9 * HOUR).serve(60_000), Serving::Token(1));
    }
}

#[test]
fn a_refresh_token_that_ends_first_is_not_waited_out() {
    let short = Terms { refresh_life: Some(Duration::from_mins(10)), ..terms(HOUR) };
    assert_eq!(Driven::holding(TOKEN, short).wake(), Some(390_000));
}

#[test]
fn what_a_process_before_won_is_used_at_its_age() {
    let mut driven = Driven::new(TOKEN);
    assert_eq!(driven.opened(Loaded::Found(kept(7, HOUR / 2, terms(HOUR)))), Step::Rest);
    assert_eq!(driven.serve(0), Serving::Token(7));
    assert_eq!(driven.wake(), Some(540_000));
    let mut driven = Driven::new(TOKEN);
    let step = driven.opened(Loaded::Found(kept(7, 2 * HOUR, terms(HOUR))));
    assert_eq!(step, Step::Begin { version: 7 });
}

#[test]
fn a_login_that_nobody_uses_lapses_and_a_refresh_token_does_not() {
    let mut driven = Driven::holding(LOGIN, terms(HOUR));
    assert_eq!(driven.wake(), Some(2_340_000));
    driven.at(2_340_000).granted(terms(HOUR));
    assert_eq!(driven.wake(), None);
    assert_eq!(driven.at(9 * HOUR).start(), None);
    assert_eq!(driven.serve(0), Serving::Wait);
    assert_eq!(driven.start(), Some(Step::Begin { version: 2 }));
    assert_eq!(Driven::new(TOKEN).wake(), Some(0));
    assert_eq!(Driven::new(LOGIN).wake(), None);
}

#[test]
fn a_provider_that_is_down_is_asked_again_at_growing_intervals_while_the_old_token_serves() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.random = EVEN;
    let (mut at, mut waits) = (2_340_000, Vec::new());
    for _ in 0..8 {
        assert_eq!(driven.at(at).failed(DOWN), Step::Release { spent: false });
        driven.events();
        assert_eq!(driven.serve(0), Serving::Token(1));
        let next = driven.life.view(driven.now()).next_attempt.unwrap();
        waits.push(next.as_secs_f64().round());
        at += u64::try_from(next.as_millis()).unwrap();
    }
    assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    driven.at(at).granted(terms(HOUR));
    assert_eq!(driven.events(), [Event::Recovered]);
}

#[test]
fn a_provider_says_when_to_come_back() {
    let mut driven = Driven::new(TOKEN);
    driven.opened(Loaded::Nothing);
    let asked = Some(Duration::from_secs(90));
    driven.failed(Exchanged::RateLimited { retry_after: asked });
    let failing = Serving::Failing { why: Failure::RateLimited, retry_at: Moment(90_750) };
    assert_eq!(driven.serve(0), failing);
    assert_eq!(driven.at(90_749).start(), None);
    assert_eq!(driven.at(90_750).serve(0), Serving::Wait);
}

#[test]
fn an_unknown_outcome_is_tried_once_more_at_once() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000);
    assert_eq!(driven.failed(Exchanged::Unknown), Step::Exchange { version: 1, again: true });
    assert_eq!(driven.exchanged(Exchanged::Unknown), Step::Release { spent: true });
    assert_eq!(driven.start(), None);
    // The intent is still there: that was the grace retry, and there is no second at once.
    driven.at(2_341_000);
    assert_eq!(driven.begun(true), Step::Exchange { version: 1, again: true });
    assert_eq!(driven.exchanged(Exchanged::Unknown), Step::Release { spent: true });
}

#[test]
fn a_lock_lost_between_the_two_leaves_the_intent() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000).failed(Exchanged::Unknown);
    assert_eq!(driven.exchanged(Exchanged::Overtaken), Step::Release { spent: true });
    driven.at(2_350_000);
    assert_eq!(driven.failed(Exchanged::Overtaken), Step::Release { spent: false });
    assert_eq!(driven.events(), []);
}

#[test]
fn an_invalid_token_is_dead_unless_somebody_has_a_newer_one() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    assert_eq!(driven.at(2_340_000).failed(Exchanged::Invalid), Step::Load);
    let newer = Loaded::Found(kept(2, 0, terms(HOUR)));
    assert_eq!(driven.life.loaded(newer, EARLY, driven.now()), Step::Release { spent: false });
    assert_eq!(driven.serve(0), Serving::Token(2));

    assert_eq!(driven.at(4_680_000).failed(Exchanged::Invalid), Step::Load);
    assert_eq!(driven.life.loaded(newer, EARLY, driven.now()), Step::Bury { version: 3 });
    assert_eq!(driven.life.buried(Committed::Durable, EARLY, driven.now()), Step::Rest);
    assert_eq!(driven.events(), [Event::Dead]);
    // What it won last serves to its end.
    assert_eq!(driven.serve(0), Serving::Token(2));
    assert_eq!(driven.at(2_340_000 + HOUR).serve(0), Serving::Dead);
    assert_eq!((driven.at(90 * DAY).start(), driven.wake(), driven.events()), (None, None, vec![]));
}

#[test]
fn a_token_that_is_invalid_is_not_sent_again_when_the_store_cannot_tell() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000).failed(Exchanged::Invalid);
    let step = driven.life.loaded(Loaded::Unavailable, EARLY, driven.now());
    assert_eq!(step, Step::Release { spent: true });
    assert_eq!(driven.serve(0), Serving::Token(1));
    assert_eq!(driven.at(2_341_000).begun(true), Step::Bury { version: 2 });
}

#[test]
fn a_new_seed_begins_a_new_family() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000).failed(Exchanged::Invalid);
    let _ = driven.life.loaded(Loaded::Nothing, EARLY, driven.now());
    let _ = driven.life.buried(Committed::Durable, EARLY, driven.now());
    driven.events();
    driven.life.refused(1, driven.now());
    assert_eq!(driven.serve(0), Serving::Dead);
    driven.life.reseeded();
    assert_eq!(driven.serve(0), Serving::Wait);
    assert_eq!(driven.opened(Loaded::Nothing), Step::Begin { version: 0 });
    driven.granted(terms(HOUR));
    assert_eq!(driven.serve(0), Serving::Token(1));
    assert_eq!(driven.events(), [Event::Recovered]);
}

#[test]
fn what_is_learned_of_an_old_seed_says_nothing_of_the_new_one() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000);
    assert!(matches!(driven.begun(false), Step::Exchange { .. }));
    driven.life.reseeded();
    assert_eq!(driven.exchanged(Exchanged::Invalid), Step::Release { spent: false });
    assert_eq!(driven.opened(Loaded::Nothing), Step::Begin { version: 0 });
    driven.life.reseeded();
    // Too late for the run under way.
    let _ = driven.life.began(Began::Newer(kept(9, 0, terms(HOUR))), EARLY, driven.now());
    assert_eq!(driven.serve(0), Serving::Token(9));
    assert_eq!(driven.opened(Loaded::Nothing), Step::Begin { version: 0 });
}

#[test]
fn a_login_whose_secrets_changed_is_made_anew_once_it_is_used() {
    let mut driven = Driven::new(LOGIN);
    driven.life.reconfigured();
    assert_eq!(driven.wake(), None);
    let mut driven = Driven::holding(LOGIN, terms(HOUR));
    driven.life.reconfigured();
    driven.granted(terms(HOUR));
    driven.life.reconfigured();
    assert_eq!((driven.start(), driven.serve(0)), (None, Serving::Token(2)), "nobody has used it");
    assert_eq!(driven.start(), Some(Step::Begin { version: 2 }));
}

#[test]
fn a_refused_login_rests_and_is_tried_again_for_who_asks() {
    let mut driven = Driven::new(LOGIN);
    driven.serve(0);
    driven.opened(Loaded::Nothing);
    assert_eq!(driven.failed(Exchanged::Invalid), Step::Release { spent: false });
    assert_eq!(driven.serve(0), Serving::Failing { why: Failure::Refused, retry_at: Moment(750) });
    assert_eq!(driven.events(), [Event::FirstFailure(Failure::Refused)]);
    assert_eq!((driven.at(9 * HOUR).wake(), driven.start()), (None, None));
    assert_eq!(driven.serve(0), Serving::Wait);
    assert!(driven.start().is_some());
}

#[test]
fn a_refused_token_is_renewed_once_and_serves_nobody_meanwhile() {
    let mut driven = Driven::holding(LOGIN, terms(HOUR));
    assert_eq!(driven.life.refused(1, driven.now()), Renewal::Serve);
    assert_eq!(driven.life.refused(1, driven.now()), Renewal::Serve);
    assert_eq!(driven.serve(0), Serving::Wait);
    driven.granted(terms(HOUR));
    // Late news of the old version, and news of the new one that cannot be about its age.
    assert_eq!(driven.life.refused(1, driven.now()), Renewal::Serve);
    driven.at(59_999);
    assert_eq!(driven.life.refused(2, driven.now()), Renewal::Futile);
    assert_eq!((driven.serve(0), driven.start()), (Serving::Token(2), None));
}

#[test]
fn endless_refusals_cost_a_refresh_each_minute() {
    let mut driven = Driven::holding(LOGIN, terms(HOUR));
    let mut refreshes = 0;
    for second in 0..600 {
        driven.at(second * 1_000);
        let Serving::Token(version) = driven.serve(0) else { panic!("{second}") };
        driven.life.refused(version, driven.now());
        if driven.serve(0) == Serving::Wait {
            driven.granted(terms(HOUR));
            refreshes += 1;
        }
    }
    assert_eq!(refreshes, 10);
}

#[test]
fn nothing_serves_before_it_is_durable() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000).begun(false);
    let _ = driven.exchanged(Exchanged::Granted(terms(HOUR)));
    assert_eq!(driven.serve(0), Serving::Token(1));
    assert_eq!(driven.committed(Committed::Unavailable), Step::Rest);
    assert_eq!((driven.serve(0), driven.wake()), (Serving::Token(1), Some(2_340_000)));
    driven.events();
    assert_eq!(driven.wake(), Some(2_340_075));
    assert_eq!(driven.at(2_340_075).start(), Some(Step::Commit { version: 2 }));
    driven.committed(Committed::Durable);
    assert_eq!(driven.serve(0), Serving::Token(2));
}

#[test]
fn a_store_with_a_hiccup_is_waited_for_and_one_that_is_away_is_not() {
    let mut driven = Driven::new(TOKEN);
    driven.opened(Loaded::Unavailable);
    assert_eq!(driven.serve(0), Serving::Wait);
    driven.at(750).opened(Loaded::Unavailable);
    assert_eq!(driven.at(1_999).serve(0), Serving::Wait);
    let away = Serving::Failing { why: Failure::Store, retry_at: Moment(2_250) };
    assert_eq!(driven.at(2_000).serve(0), away);
}

#[test]
fn who_loses_the_race_takes_what_the_winner_won() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000);
    driven.start();
    driven.life.began(Began::Held, EARLY, driven.now());
    assert_eq!(driven.wake(), Some(2_340_075));
    driven.at(2_340_075).start();
    let newer = Began::Newer(kept(2, 50, terms(HOUR)));
    assert_eq!(driven.life.began(newer, EARLY, driven.now()), Step::Rest);
    assert_eq!((driven.serve(0), driven.events()), (Serving::Token(2), vec![]));
}

/// After a 401, before it could win anything itself: somebody else had won the second version so long ago.
fn refused_and_given(age_ms: u64, version: u64, life: u64) -> Driven {
    let mut driven = Driven::holding(TOKEN, terms(life));
    driven.at(600_000);
    assert_eq!(driven.life.refused(1, driven.now()), Renewal::Serve);
    assert_eq!(driven.start(), Some(Step::Begin { version: 1 }));
    driven.life.began(Began::Newer(kept(version, age_ms, terms(life))), EARLY, driven.now());
    assert_eq!(driven.serve(0), Serving::Token(version));
    driven
}

#[test]
fn what_somebody_else_won_long_before_a_401_is_not_what_came_of_it() {
    for (age_ms, version, then) in
        [(599_000, 2, Renewal::Serve), (1_000, 2, Renewal::Futile), (1_000, 3, Renewal::Serve)]
    {
        let mut driven = refused_and_given(age_ms, version, HOUR);
        let renewal = driven.life.refused(version, driven.now());
        assert_eq!(renewal, then, "version {version}, {age_ms} ms old");
    }
}

#[test]
fn a_token_of_short_life_may_be_refused_for_its_age_past_half_of_it() {
    let mut driven = refused_and_given(0, 2, 10_000);
    driven.at(604_999);
    assert_eq!(driven.life.refused(2, driven.now()), Renewal::Futile);
    driven.at(605_000);
    assert_eq!(driven.life.refused(2, driven.now()), Renewal::Serve);
    assert_eq!(driven.start(), Some(Step::Begin { version: 2 }));
}

#[test]
fn alarms_come_at_first_failure_and_at_half_a_quarter_and_a_tenth_of_what_was_left() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    let (first, end) = (2_340_000, HOUR - 30_000);
    driven.at(first).failed(DOWN);
    assert_eq!(driven.events(), [Event::FirstFailure(Failure::Provider)]);
    let left = end - first;
    for (percent, at) in
        [(50, first + left / 2), (25, first + left / 100 * 75), (10, first + left / 100 * 90)]
    {
        driven.at(at - 1).failed(DOWN);
        assert_eq!(driven.events(), []);
        assert_eq!(driven.at(at).events(), [Event::LifeLeft { percent }]);
    }
    assert_eq!(driven.at(end - 1).events(), []);
    assert_eq!(driven.at(end).events(), [Event::Lapsed]);
    assert_eq!(driven.events(), []);
    driven.at(end + 70_000).granted(terms(HOUR));
    assert_eq!(driven.events(), [Event::Recovered]);
}

#[test]
fn a_refresh_tokens_end_is_announced_a_week_and_a_day_before() {
    let lasting =
        |days: u64| Terms { refresh_life: Some(Duration::from_millis(days * DAY)), ..terms(400 * DAY) };
    let mut driven = Driven::new(TOKEN);
    driven.opened(Loaded::Found(kept(1, 0, lasting(90))));
    assert_eq!(driven.at(83 * DAY - 1).events(), []);
    let ends = |threshold, hours| [Event::RefreshTokenEnds { threshold, left: Duration::from_hours(hours) }];
    assert_eq!(driven.at(83 * DAY).events(), ends(Threshold::Week, 168));
    assert_eq!(driven.at(89 * DAY).events(), ends(Threshold::Day, 24));
    assert_eq!(driven.life.view(driven.now()).refresh_ends, Some(Threshold::Day));
    // Its successor lasts: that is told of again when its time comes.
    driven.granted(lasting(90));
    assert_eq!((driven.events(), driven.life.view(driven.now()).refresh_ends), (vec![], None));
    assert_eq!(driven.at(172 * DAY).events(), ends(Threshold::Week, 168));
}

#[test]
fn a_family_of_short_life_is_announced_at_a_quarter_and_at_a_tenth() {
    let day = Terms { refresh_life: Some(Duration::from_millis(DAY)), ..terms(HOUR) };
    let mut driven = Driven::holding(TOKEN, day);
    assert_eq!(driven.at(18 * HOUR - 1).events(), []);
    assert!(matches!(driven.at(18 * HOUR).events()[..], [Event::RefreshTokenEnds { .. }]));
    // Refreshing does not lengthen the family's life, and so does not silence what comes.
    driven.granted(Terms { refresh_life: Some(Duration::from_millis(5 * HOUR)), ..terms(HOUR) });
    assert_eq!(driven.events(), []);
    assert_eq!(
        driven.at(18 * HOUR + 5 * HOUR - 144 * 60_000).events(),
        [Event::RefreshTokenEnds { threshold: Threshold::Day, left: Duration::from_mins(144) }]
    );
}

#[test]
fn a_run_that_breaks_off_blocks_nobody() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000).begun(false);
    driven.life.abandon(EARLY, driven.now());
    assert_eq!(driven.events(), [Event::FirstFailure(Failure::Unknown)]);
    assert_eq!(driven.at(2_340_750).start(), Some(Step::Begin { version: 1 }));
}
