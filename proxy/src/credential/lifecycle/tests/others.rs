//! While somebody else is at it, and while the store does not say.

use super::*;

#[test]
fn a_credential_does_not_lapse_in_silence_while_somebody_else_is_at_it() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.events();
    let mut told = Vec::new();
    // Looks again every tenth of a second for an hour, from when a refresh is due.
    while driven.ms < 2 * HOUR {
        if driven.start().is_some() {
            assert_eq!(driven.life.began(Began::Held, driven.random, driven.now()), Step::Rest);
        }
        let (at, events) = (driven.ms, driven.events());
        told.extend(events.into_iter().map(|event| (at, event)));
        driven.ms = driven.wake().unwrap().max(driven.ms + 1);
    }
    let [(first, Event::FirstFailure(Failure::Held)), (last, Event::Lapsed)] = told[..] else {
        panic!("{told:?}");
    };
    // Not before it serves no more, and soon after.
    assert!(first == last && (HOUR - 30_000..HOUR + 1_000).contains(&first), "{told:?}");
    let somebodys = kept(2, 0, terms(HOUR));
    driven.start();
    driven.life.began(Began::Newer(somebodys), driven.random, driven.now());
    assert_eq!(driven.events(), [Event::Recovered]);
}

#[test]
fn the_end_of_a_refresh_token_that_stays_is_remembered_though_it_is_not_said_again() {
    let life = Duration::from_millis(30 * DAY);
    let mut driven = Driven::holding(TOKEN, Terms { refresh_life: Some(life), ..terms(20 * DAY) });
    driven.at(16 * DAY);
    driven.granted(Terms { is_same: true, ..terms(20 * DAY) });
    let left = driven.life.view(driven.now()).refresh_life_left;
    assert_eq!(left, Some(Duration::from_millis(14 * DAY)));
    driven.events();
    driven.at(23 * DAY + 1);
    let told = driven.events();
    assert!(matches!(told[..], [Event::RefreshTokenEnds { threshold: Threshold::Week, .. }]), "{told:?}");
    // Of a new one nobody knows.
    driven.at(36 * DAY);
    driven.granted(terms(HOUR));
    assert_eq!(driven.life.view(driven.now()).refresh_life_left, None);
}

#[test]
fn a_lock_that_may_have_been_taken_is_given_back_when_the_store_does_not_say() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000);
    assert_eq!(driven.start(), Some(Step::Begin { version: 1 }));
    let step = driven.life.began(Began::Unavailable, EARLY, driven.now());
    assert_eq!(step, Step::Release { spent: true });
}

#[test]
fn what_may_have_been_spent_is_not_called_unspent_when_the_secrets_are_replaced_meanwhile() {
    for (outcome, spent) in [(Exchanged::Unknown, true), (Exchanged::Refused, false)] {
        let mut driven = Driven::holding(TOKEN, terms(HOUR));
        driven.at(2_340_000);
        driven.begun(false);
        driven.life.reconfigured();
        assert_eq!(driven.exchanged(outcome), Step::Release { spent });
    }
}

#[test]
fn a_store_that_is_away_is_no_provider_that_is_down() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.at(2_340_000);
    driven.failed(Exchanged::StoreAway);
    assert_eq!(driven.events(), [Event::FirstFailure(Failure::Store)]);
}

#[test]
fn a_family_that_others_began_or_found_dead_is_taken_up_as_it_is() {
    let mut driven = Driven::holding(TOKEN, terms(HOUR));
    driven.life.reseeded();
    assert_eq!(driven.opened(Loaded::Found(kept(4, 0, terms(HOUR)))), Step::Rest);
    assert_eq!(driven.serve(0), Serving::Token(4));
    let mut driven = Driven::new(TOKEN);
    assert_eq!(driven.opened(Loaded::Found(Latest::Dead { version: 4 })), Step::Rest);
    assert_eq!((driven.serve(0), driven.events()), (Serving::Dead, vec![Event::Dead]));
    // With another client secret, say, it is worth one attempt.
    driven.life.reconfigured();
    assert_eq!(driven.start(), Some(Step::Begin { version: 4 }));
}
