//! Saying now and then what is known: a store that a fleet shares may forget it, and a refresh token that it gives out then has been spent.

use std::sync::Arc;

use tokio::time::Instant;

use super::inner::{Inner, LOOK_EVERY};
use crate::credential::alarms::RECORD_LOST;
use crate::credential::store::{Entry, in_time};
use crate::telemetry::metric;

impl Inner {
    /// Vouches for the newest record, at most as often as files are looked at.
    pub(super) async fn vouch(&self) {
        let Some(key) = self.must_vouch() else { return };
        let known = match self.known_entry(&key) {
            Ok(Some(entry)) => entry,
            Ok(None) => return,
            Err(reason) => {
                tracing::warn!(credential = %self.managed.name, %reason, "nobody can be told of a credential's record");
                return;
            }
        };
        // A store that is away is said to be so when it is needed.
        let told = self.managed.keeping.store.vouch(&key, known, self.lock_time());
        if let Ok(true) = in_time(told).await {
            self.tell_of_loss();
        }
    }

    fn must_vouch(&self) -> Option<Arc<str>> {
        let mut state = self.state();
        let (key, _) = state.record.as_ref().filter(|_| self.managed.is_mortal())?;
        let key = key.clone();
        let now = Instant::now();
        let is_due = state.vouched.is_none_or(|at| now >= at + LOOK_EVERY);
        is_due.then(|| state.vouched = Some(now)).map(|()| key)
    }

    fn known_entry(&self, key: &str) -> Result<Option<Entry>, String> {
        let now = self.clock.now();
        let state = self.state();
        let (Some((_, record)), Some((version, _))) = (&state.record, &state.held) else { return Ok(None) };
        let sealed = self.managed.keeping.sealer.seal(key, record)?;
        let age = state.life.view(now).age.unwrap_or_default();
        Ok(Some(Entry { version: *version, sealed, age }))
    }

    fn tell_of_loss(&self) {
        let (connector, credential) = (&self.managed.connector, &self.managed.name);
        let alarm = RECORD_LOST;
        self.state().lost_at = Some(self.clock.now().wall);
        tracing::error!(%connector, %credential, alarm, "the shared state had lost the credential's record, and got it back: it must keep what it is given");
        let [connector, credential] = self.labels();
        metrics::counter!(metric::CREDENTIAL_ALARMS, "connector" => connector, "credential" => credential, "alarm" => alarm)
            .increment(1);
    }
}
