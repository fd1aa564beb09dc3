//! One credential, seen from outside: its status, its gauges and the age of the operator's secrets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Credential;
use super::alarms::{REFUSED, ROTATION_DUE};
use super::manager::instant;
use crate::telemetry::metric;

const SECONDS_PER_DAY: u64 = 86_400;

impl Credential {
    /// How it stands, as JSON: never a value.
    pub(super) fn status(&self) -> Value {
        let configured = self.fields.current();
        let mut status = self.manager().map_or_else(
            || {
                json!({
                    "state": "good",
                    "version": configured.as_ref().ok().map(|material| material.version),
                })
            },
            |manager| manager.status().to_json(),
        );
        let (now, made) = (Timestamp::now(), self.made());
        let age = self.rotation.as_ref().and_then(|rotation| rotation.age(made.at, now));
        let due = self.rotation.as_ref().and_then(|rotation| rotation.due(made.at));
        if let Some(users) = self.users() {
            status["users"] = users.count().into();
            if let Some((why, at)) = users.trouble() {
                status["state"] = "failing".into();
                (status["last_error"], status["last_error_at"]) = (why.into(), instant(at).into());
            }
        }
        // The lifecycle knows nothing of these.
        if matches!(status["state"].as_str(), Some("good" | "unused")) {
            if configured.is_err() {
                status["state"] = "unreadable".into();
            } else if self.is_refused() {
                status["state"] = REFUSED.into();
            }
        }
        status["alarms"] = self.alarms().into_iter().map(|(label, _)| label).collect();
        status["kind"] = self.kind.name().into();
        status["problem"] = self.problem().into();
        status["secrets_age_days"] = age.map(|age| age.as_secs() / SECONDS_PER_DAY).into();
        status["secrets_age_doubt"] = made.doubt.filter(|_| self.rotation.is_some()).as_deref().into();
        status["secrets_due_at"] = due.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).into();
        status
    }

    /// Says, once a day, that the operator's secrets should have been replaced.
    pub(super) fn look_at_age(&self, connector: &str) {
        let (now, made) = (Timestamp::now(), self.made().at);
        let Some(rotation) = self.rotation.as_ref().filter(|r| r.must_be_told(made, now)) else { return };
        let (credential, alarm) = (&self.name, ROTATION_DUE);
        let days = rotation.age(made, now).unwrap_or_default().as_secs() / SECONDS_PER_DAY;
        tracing::warn!(%connector, %credential, alarm, days, "the secrets are older than they should be: replace them");
        let (connector, credential) = (connector.to_owned(), credential.to_string());
        metrics::counter!(metric::CREDENTIAL_ALARMS, "connector" => connector, "credential" => credential, "alarm" => alarm)
            .increment(1);
    }

    /// Brings what is measured of it up to date.
    pub(super) fn measure(&self, connector: &str) {
        let Some(manager) = self.manager() else { return };
        let view = manager.status().view;
        let labels = || [("connector", connector.to_owned()), ("credential", self.name.to_string())];
        if let Some(left) = view.life_left {
            metrics::gauge!(metric::CREDENTIAL_LEFT, &labels()).set(left.as_secs_f64());
        }
        if let Some(left) = view.refresh_life_left {
            metrics::gauge!(metric::CREDENTIAL_REFRESH_LEFT, &labels()).set(left.as_secs_f64());
        }
        metrics::gauge!(metric::CREDENTIAL_DEAD, &labels()).set(f64::from(u8::from(view.is_dead)));
    }
}
