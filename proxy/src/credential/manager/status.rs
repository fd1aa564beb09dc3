//! Where a credential stands, for the status page and the metrics. Never a value.

use std::time::Duration;

use serde_json::{Value, json};

use super::inner::Inner;
use crate::credential::lifecycle::View;
use crate::fault::Fault;
use crate::policy::time::Now;

/// A credential's state at a moment.
#[derive(Clone, Debug)]
pub struct Status {
    pub view: View,
    /// Why what is in hand cannot be used, as the end of a sentence.
    pub lacks: Option<String>,
    /// What failed last, and when, in milliseconds since 1970.
    pub last_error: Option<(Fault, i64)>,
    /// When a store had lost the record.
    pub lost_at: Option<i64>,
    /// When all that is said to be so is so.
    pub at: Now,
}

impl Inner {
    pub(super) fn status(&self) -> Status {
        let (at, state) = (self.clock.now(), self.state());
        let (last_error, lost_at) = (state.last_error.clone(), state.lost_at);
        Status { view: state.life.view(at), lacks: state.lacks.clone(), last_error, lost_at, at }
    }
}

impl Status {
    /// One word.
    pub fn state(&self) -> &'static str {
        match self.view {
            View { is_dead: true, .. } => "dead",
            _ if self.lacks.is_some() => "insufficient",
            View { failing: Some(_), .. } => "failing",
            View { version: 0, age: None, .. } => "unused",
            View { life_left: Some(Duration::ZERO), .. } => "lapsed",
            _ => "good",
        }
    }

    /// The members of the status that only a credential with a life has.
    pub fn to_json(&self) -> Value {
        let View { version, age, life_left, refresh_life_left, next_attempt, failing, .. } = self.view;
        let error = self.last_error.as_ref();
        json!({
            "state": self.state(),
            "version": version,
            "age_seconds": age.map(|age| age.as_secs()),
            "expires_at": life_left.and_then(|left| self.after(left)),
            "refresh_token_expires_at": refresh_life_left.and_then(|left| self.after(left)),
            "next_refresh_at": next_attempt.and_then(|wait| self.after(wait)),
            "refreshing": self.view.is_refreshing,
            "failures": failing.map(|(_, in_a_row, _)| in_a_row),
            "failing": failing.map(|(why, ..)| why.label()),
            "last_error": error.map(|(fault, _)| &fault.message).or(self.lacks.as_ref()),
            "last_error_at": error.and_then(|(_, at)| instant(*at)),
        })
    }

    fn after(&self, wait: Duration) -> Option<String> {
        instant(self.at.wall_at(self.at.mono + wait))
    }
}

pub(in crate::credential) fn instant(millis: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
