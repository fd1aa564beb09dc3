//! What somebody must look after at a credential: each thing stands in the status for as long as it is so, and is told once, in log and metric. What the
//! lifecycle knows it tells by itself, at its own times.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::Credential;
use super::lifecycle::Event;
use super::manager::Status;
use crate::telemetry::metric;

/// What stands at the operator's cannot be used.
const UNREADABLE: &str = "unreadable";

/// The system does not accept what is in hand, and there is nothing newer.
pub(super) const REFUSED: &str = "refused";

/// The provider granted less than the connector's tools need.
const INSUFFICIENT: &str = "insufficient";

/// Sessions of users fail, and not for their own tokens' sake.
const USERS_FAILING: &str = "users_failing";

/// The operator's secrets are older than they should be: told once a day.
pub(super) const ROTATION_DUE: &str = "rotation_due";

/// A store lost the record. Said for a day.
pub(super) const RECORD_LOST: &str = "record_lost";
const LOST_FOR_MILLIS: i64 = 86_400_000;

/// What is told here, and by nobody else.
const TOLD_HERE: [&str; 4] = [UNREADABLE, REFUSED, INSUFFICIENT, USERS_FAILING];

/// A label, and why: the operator's to read.
pub(super) type Alarm = (&'static str, String);

impl Credential {
    /// All that is so now.
    pub(super) fn alarms(&self) -> Vec<Alarm> {
        let unreadable = self.problem().map(|reason| (UNREADABLE, reason));
        let refused = self.is_refused().then(|| (REFUSED, "the system does not accept it".to_owned()));
        let due = self.rotation.as_ref().and_then(|rotation| rotation.due(self.made().at));
        let due = due.filter(|due| *due <= Timestamp::now());
        let due = due.map(|due| (ROTATION_DUE, format!("it should have been replaced by {due:.0}")));
        let users = self.users.as_ref().and_then(|users| users.trouble());
        let users = users.map(|(why, _)| (USERS_FAILING, why));
        let known = self.manager().map(|manager| of_lifecycle(&manager.status()));
        unreadable
            .into_iter()
            .chain(refused)
            .chain(due)
            .chain(users)
            .chain(known.into_iter().flatten())
            .collect()
    }

    /// Tells what has come since it was asked last.
    pub(super) fn tell_alarms(&self, connector: &str) {
        let alarms = self.alarms();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let credential = &self.name;
        for (alarm, reason) in alarms.iter().filter(|(label, _)| TOLD_HERE.contains(label)) {
            if !told.contains(alarm) {
                tracing::error!(%connector, %credential, alarm, %reason, "somebody must look after the credential");
                let labels = [("connector", connector.to_owned()), ("credential", credential.to_string())];
                let labels = labels.into_iter().chain([("alarm", (*alarm).to_owned())]).collect::<Vec<_>>();
                metrics::counter!(metric::CREDENTIAL_ALARMS, &labels).increment(1);
            }
        }
        *told = alarms.into_iter().map(|(label, _)| label).collect::<BTreeSet<_>>();
    }

    /// A system did not accept that version, and there is nothing newer. Of a user's session that is the user's matter.
    pub fn note_refused(&self, version: u64) {
        if self.users.is_none() {
            self.refused.store(version, Ordering::Relaxed);
        }
    }

    /// A system accepted that version.
    pub fn note_accepted(&self, version: u64) {
        let _ = self.refused.compare_exchange(version, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether what would be used now was refused when it was used last.
    pub(super) fn is_refused(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        let current = match &self.manager {
            Some(manager) => manager.known().next().map(|material| material.version),
            None => self.fields.current().ok().map(|material| material.version),
        };
        refused != 0 && current == Some(refused)
    }
}

fn of_lifecycle(status: &Status) -> Vec<Alarm> {
    let view = &status.view;
    let reason = || status.last_error.as_ref().map(|(fault, _)| fault.message.clone()).unwrap_or_default();
    let ends = view.refresh_ends.map(|threshold| {
        let left = view.refresh_life_left.unwrap_or_default();
        let why =
            format!("the refresh token ends in {} h: somebody must consent again", left.as_secs() / 3600);
        (Event::RefreshTokenEnds { threshold, left }.label(), why)
    });
    let state = match status.state() {
        state @ ("dead" | "failing" | "lapsed") => Some((state, reason())),
        _ => None,
    };
    let lacks = status.lacks.clone().map(|lacks| (INSUFFICIENT, lacks));
    let lost = status.lost_at.filter(|at| status.at.wall.saturating_sub(*at) < LOST_FOR_MILLIS);
    let lost =
        lost.map(|_| (RECORD_LOST, "the shared state had lost its record, and got it back".to_owned()));
    state.into_iter().chain(lacks).chain(ends).chain(lost).collect()
}

#[cfg(test)]
mod tests;
