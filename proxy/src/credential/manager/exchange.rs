//! The step of a run that asks the provider: with what, and what its answer becomes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Managed;
use super::inner::Inner;
use super::run::Run;
use crate::call::Deadline;
use crate::credential::grant::{Grant, Login, LoginFailed, REFRESH_TOKEN, Session};
use crate::credential::lifecycle::lock::{self, STORE_TIME};
use crate::credential::lifecycle::{Exchanged, Step, Terms};
use crate::credential::record::Record;
use crate::credential::store::in_time;
use crate::credential::{Material, SecretValue};
use crate::fault::Fault;
use crate::telemetry::metric;

/// How soon a login that broke off is made again, at most.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

impl Run<'_> {
    pub(super) async fn exchange(&mut self) -> Step {
        let outcome = match self.is_still_ours().await {
            Ok(()) => self.log_in().await,
            Err(how) => Err(how),
        };
        let exchanged = match outcome {
            Ok(session) => self.won(session),
            Err(how) => how,
        };
        self.count(exchanged);
        self.answer(|life, random, now| life.exchanged(exchanged, random, now))
    }

    /// Asked right before something is sent: a pause may have cost the lock, or so much of it that a login would outlast it.
    async fn is_still_ours(&self) -> Result<(), Exchanged> {
        let Managed { keeping, login_time, .. } = &self.inner.managed;
        let (asked, needed) = (Instant::now(), lock::needed(*login_time));
        let holds = in_time(keeping.store.holds(&self.family.key, self.owner, needed)).await;
        match holds {
            // An answer may have waited for a process that was stopped.
            Ok(true) if asked.elapsed() <= STORE_TIME => Ok(()),
            Ok(_) => Err(Exchanged::Overtaken),
            Err(reason) => {
                self.store_failed(&reason);
                Err(Exchanged::StoreAway)
            }
        }
    }

    async fn log_in(&self) -> Result<Session, Exchanged> {
        let failed = |LoginFailed { fault, how }| {
            self.inner.note_error(fault);
            how
        };
        let gone = || LoginFailed {
            fault: Fault::internal("nobody is there to log in"),
            how: Exchanged::Unavailable { retry_after: None },
        };
        let login = self.inner.newest_login().ok_or_else(gone).map_err(failed)?;
        let grant = Arc::new(self.grant());
        // Bounded by the login itself, which knows whether something was sent; this is for one that does not keep to it.
        let deadline = Deadline::after(self.inner.managed.login_time);
        login.login(&grant, deadline).await.map_err(failed)
    }

    /// The operator's fields, with the newest refresh token in the place of the seed.
    fn grant(&self) -> Grant {
        let managed = &self.inner.managed;
        let newest = self.refresh_token();
        let configured = &self.family.configured;
        let extra = managed.extra.load();
        let material = if newest.is_none() && extra.is_empty() {
            Arc::clone(configured)
        } else {
            let mut fields = configured.fields.clone();
            fields.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
            fields.extend(newest.map(|token| (REFRESH_TOKEN.to_owned(), token)));
            Arc::new(Material::new(configured.version, fields, configured.base_urls.clone()))
        };
        let public =
            managed.fields.plain().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Grant { credential: Arc::clone(&managed.name), kind: managed.kind, public, material }
    }

    /// The newest of this family; none if it is not that kind of credential.
    fn refresh_token(&self) -> Option<SecretValue> {
        if !self.inner.managed.is_mortal() {
            return None;
        }
        let state = self.inner.state();
        let record = state.record.as_ref().filter(|(key, _)| *key == self.family.key);
        let newest = record.and_then(|(_, record)| record.refresh_token.clone());
        newest.or_else(|| self.family.configured.fields.get(REFRESH_TOKEN).cloned())
    }

    fn is_lost_with_the_process(&self, newest: &SecretValue) -> bool {
        let is_other = self.refresh_token().is_some_and(|token| token.expose() != newest.expose());
        is_other && !self.inner.managed.keeping.store.is_durable()
    }

    /// A login's answer becomes a record. A provider that names no new refresh token goes on with the old.
    fn won(&mut self, mut session: Session) -> Exchanged {
        let rotated = session.fields.remove(REFRESH_TOKEN).filter(|_| self.inner.managed.is_mortal());
        if rotated.as_ref().is_some_and(|token| self.is_lost_with_the_process(token)) {
            let credential = &self.inner.managed.name;
            tracing::warn!(%credential, "the provider replaces refresh tokens, and the newest ends with this process: leave out `rotates: false`");
        }
        if session.fields.is_empty() {
            return self.broken_off(rotated, session.lacks);
        }
        let (life, refresh_life, is_same) =
            (session.expires_in, session.refresh_expires_in, rotated.is_none());
        self.candidate = Some(Record {
            refresh_token: rotated.or_else(|| self.refresh_token()),
            fields: session.fields,
            base_urls: session.base_urls,
            lacks: session.lacks,
            ..Record::default()
        });
        Exchanged::Granted(Terms { life, refresh_life, family_life: None, is_same })
    }

    /// A login that won no more than the next refresh token: what is in hand goes on for what is left of it, and if that is too little, nothing
    /// serves until the login is made again.
    fn broken_off(&mut self, rotated: Option<SecretValue>, lacks: Option<String>) -> Exchanged {
        let now = self.inner.clock.now();
        let state = self.inner.state();
        let held = state.record.as_ref().filter(|(key, _)| *key == self.family.key).map(|(_, record)| record);
        let in_hand = held.filter(|_| state.life.serves(AGAIN_AFTER, now));
        let (life, record) = match in_hand {
            Some(record) => {
                let (fields, base_urls) = (record.fields.clone(), record.base_urls.clone());
                let record = Record { fields, base_urls, lacks: record.lacks.clone(), ..Record::default() };
                (state.life.view(now).life_left, record)
            }
            None => (Some(AGAIN_AFTER), Record { lacks, ..Record::default() }),
        };
        drop(state);
        let is_same = rotated.is_none();
        let refresh_token = rotated.or_else(|| self.refresh_token());
        self.candidate = Some(Record { refresh_token, ..record });
        Exchanged::Granted(Terms { life, is_same, ..Terms::default() })
    }

    fn count(&self, exchanged: Exchanged) {
        let outcome = match exchanged {
            Exchanged::Granted(_) => "granted",
            Exchanged::Overtaken => "overtaken",
            Exchanged::StoreAway => "store_away",
            Exchanged::Unknown => "unknown",
            Exchanged::Unavailable { .. } => "unavailable",
            Exchanged::RateLimited { .. } => "rate_limited",
            Exchanged::Refused => "refused",
            Exchanged::Invalid => "invalid",
        };
        let [connector, credential] = self.inner.labels();
        metrics::counter!(metric::CREDENTIAL_REFRESHES, "connector" => connector, "credential" => credential, "outcome" => outcome)
            .increment(1);
    }
}

impl Inner {
    fn newest_login(&self) -> Option<Arc<dyn Login>> {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.iter().rev().find(|login| login.is_alive()).map(Arc::clone)
    }
}
