//! Telling people: alarms in the log and in metrics.

use super::inner::{DEAD, Inner};
use crate::credential::lifecycle::Event;
use crate::telemetry::metric;

impl Inner {
    /// Connector and credential, as metrics are labelled.
    pub(super) fn labels(&self) -> [String; 2] {
        [self.managed.connector.to_string(), self.managed.name.to_string()]
    }

    /// Says what is due to be said.
    pub(super) fn tell(&self) {
        let (events, reason) = {
            let mut state = self.state();
            let events = state.life.events(self.clock.now());
            (events, state.last_error.as_ref().map(|(fault, _)| fault.message.clone()))
        };
        for event in events {
            self.tell_of(event, reason.as_deref().unwrap_or_default());
        }
    }

    fn tell_of(&self, event: Event, reason: &str) {
        let (connector, credential) = (&self.managed.connector, &self.managed.name);
        let alarm = event.label();
        if !self.managed.extra.load().is_empty() {
            // One user's session: what several have in common is the credential's to say.
            tracing::info!(%connector, %credential, event = alarm, %reason, "a user's session");
            return;
        }
        match event {
            Event::Recovered => {
                tracing::info!(%connector, %credential, "the credential is refreshed again");
                return;
            }
            Event::Dead => tracing::error!(%connector, %credential, alarm, "the credential is dead: {DEAD}"),
            Event::RefreshTokenEnds { left, .. } => {
                let hours = left.as_secs() / 3600;
                tracing::error!(%connector, %credential, alarm, hours, "the refresh token ends soon: somebody must consent again");
            }
            Event::FirstFailure(why) => {
                let why = why.label();
                tracing::warn!(%connector, %credential, alarm, why, %reason, "the credential could not be refreshed");
            }
            Event::LifeLeft { percent } => {
                tracing::warn!(%connector, %credential, alarm, percent, %reason, "the credential can still not be refreshed, and so much is left of it");
            }
            Event::Lapsed => {
                tracing::error!(%connector, %credential, alarm, %reason, "the credential has lapsed, and cannot be refreshed");
            }
        }
        let [connector, credential] = self.labels();
        metrics::counter!(metric::CREDENTIAL_ALARMS, "connector" => connector, "credential" => credential, "alarm" => alarm)
            .increment(1);
    }
}
