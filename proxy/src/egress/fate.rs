//! What became of what a run sent: of its latest request, and of a refresh token that went with an earlier one.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::credential::SecretValue;

/// What became of a run's latest request; of a login, of the one that may have spent its refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There was none, or it was never received.
    NotSent,
    NoAnswer,
    Answered(u16),
    /// The refresh token went with a request that may have been done, and others were sent after that: what became of them says nothing of it.
    Spent,
}

impl Fate {
    /// Whether the system may have done what was asked: a gateway that gave up says nothing of what is behind it.
    pub const fn may_be_done(self) -> bool {
        matches!(self, Self::NoAnswer | Self::Answered(200..=299 | 500 | 502 | 504) | Self::Spent)
    }
}

/// Where that is noted.
#[derive(Debug, Default)]
pub struct Fates(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    latest: Option<Fate>,
    /// Whether the latest carries the refresh token.
    carries: bool,
    /// Whether one before it did, and may have been done.
    spent: bool,
    /// What came in the refresh token's place.
    renewed: Option<SecretValue>,
}

impl Fates {
    fn with<T>(&self, work: impl FnOnce(&mut Noted) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request is about to be written, with the refresh token in it or not.
    pub fn begin(&self, carries: bool) {
        self.with(|noted| {
            noted.spent |= noted.carries && noted.latest.is_some_and(Fate::may_be_done);
            (noted.latest, noted.carries) = (None, carries);
        });
    }

    pub fn note(&self, fate: Fate) {
        self.with(|noted| noted.latest = Some(fate));
    }

    /// A refresh token was in the answer to the latest request. It counts if one went with that.
    pub fn renewed_by(&self, token: &SecretValue) {
        self.with(|noted| {
            if noted.carries {
                noted.renewed = Some(token.clone());
            }
        });
    }

    pub fn renewed(&self) -> Option<SecretValue> {
        self.with(|noted| noted.renewed.clone())
    }

    pub fn now(&self) -> Fate {
        self.with(|noted| if noted.spent { Fate::Spent } else { noted.latest.unwrap_or(Fate::NotSent) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_spent_the_refresh_token_is_not_forgotten_over_a_later_request() {
        for (first, then, is) in [
            (Fate::Answered(200), Fate::NotSent, Fate::Spent),
            (Fate::NoAnswer, Fate::Answered(403), Fate::Spent),
            (Fate::Answered(503), Fate::NotSent, Fate::NotSent),
            (Fate::NotSent, Fate::Answered(400), Fate::Answered(400)),
        ] {
            let fates = Fates::default();
            for (carries, fate) in [(true, first), (false, then)] {
                fates.begin(carries);
                fates.note(fate);
            }
            assert_eq!(fates.now(), is, "{first:?}, {then:?}");
        }
    }

    #[test]
    fn what_went_without_it_says_nothing_of_it() {
        let fates = Fates::default();
        fates.begin(false);
        fates.note(Fate::Answered(200));
        fates.renewed_by(&SecretValue::new(b"something else".to_vec()));
        fates.begin(true);
        fates.note(Fate::Answered(400));
        assert_eq!(fates.now(), Fate::Answered(400));
        assert!(fates.renewed().is_none());
        fates.renewed_by(&SecretValue::new(b"the next".to_vec()));
        assert!(fates.renewed().is_some());
    }
}
