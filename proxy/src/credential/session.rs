//! What a login yields, kept until it expires or is refused; one login at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::{Material, SecretValue};
use crate::fault::Fault;

/// How long before its expiry a session is no longer used, so that it does not expire on the way.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// How long a session is used when the system does not say how long it lasts.
const LIFETIME_WHEN_UNSAID: Duration = Duration::from_secs(30 * 60);

/// The outcome of one login.
#[derive(Debug)]
pub struct Session {
    pub fields: BTreeMap<String, SecretValue>,
    pub expires_in: Option<Duration>,
    /// By upstream; already checked against the operator's patterns.
    pub base_urls: BTreeMap<String, String>,
}

/// How long everybody is told of a failed login instead of trying again: those who waited for it do not each spend an attempt, which
/// with a wrong password would lock the account.
const FAILURE_SHARED: Duration = Duration::from_secs(1);

/// The session of one credential. The lock is held during a login, so that everybody who needs one waits for the same.
#[derive(Default)]
pub struct Sessions(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failed>,
}

struct Held {
    material: Arc<Material>,
    use_until: Instant,
}

struct Failed {
    fault: Fault,
    until: Instant,
}

impl Sessions {
    /// The session in force, or that of a new login.
    pub async fn current<L>(&self, login: impl FnOnce() -> L) -> Result<Arc<Material>, Fault>
    where
        L: Future<Output = Result<Session, Fault>> + Send + 'static,
    {
        let state = Arc::clone(&self.0).lock_owned().await;
        match &state.held {
            Some(h) if Instant::now() < h.use_until => Ok(Arc::clone(&h.material)),
            _ => log_in(state, login).await,
        }
    }

    /// The session that was made last, unless one is being made now.
    pub fn peek(&self) -> Option<Arc<Material>> {
        self.0.try_lock().ok()?.held.as_ref().map(|held| Arc::clone(&held.material))
    }

    /// A session that is newer than the refused one; logs in only if nobody else has.
    pub async fn renew<L>(&self, refused: u64, login: impl FnOnce() -> L) -> Result<Arc<Material>, Fault>
    where
        L: Future<Output = Result<Session, Fault>> + Send + 'static,
    {
        let mut state = Arc::clone(&self.0).lock_owned().await;
        match &mut state.held {
            Some(h) if h.material.version > refused => return Ok(Arc::clone(&h.material)),
            // Nobody else should be refused with it.
            Some(h) => h.use_until = Instant::now(),
            None => {}
        }
        log_in(state, login).await
    }
}

/// One login, unless one has just failed. It is a task of its own: whoever asked for it may go away, and the others still wait for it.
async fn log_in<L>(
    mut state: OwnedMutexGuard<State>,
    login: impl FnOnce() -> L,
) -> Result<Arc<Material>, Fault>
where
    L: Future<Output = Result<Session, Fault>> + Send + 'static,
{
    if let Some(failed) = state.failed.as_ref().filter(|f| Instant::now() < f.until) {
        return Err(failed.fault.clone());
    }
    let login = login();
    let task = tokio::spawn(async move { state.settle(login.await) });
    task.await.map_err(Fault::internal)?
}

impl State {
    fn settle(&mut self, outcome: Result<Session, Fault>) -> Result<Arc<Material>, Fault> {
        match outcome {
            Ok(session) => {
                self.failed = None;
                Ok(self.replace(session))
            }
            Err(fault) => {
                let until = Instant::now() + FAILURE_SHARED;
                self.failed = Some(Failed { fault: fault.clone(), until });
                Err(fault)
            }
        }
    }

    fn replace(&mut self, session: Session) -> Arc<Material> {
        let version = self.held.as_ref().map_or(1, |h| h.material.version + 1);
        let lifetime = session.expires_in.unwrap_or(LIFETIME_WHEN_UNSAID);
        // A very short life is used for half of it rather than never.
        let usable = lifetime.saturating_sub(EXPIRY_MARGIN).max(lifetime / 2);
        let material = Arc::new(Material::new(version, session.fields, session.base_urls));
        self.held = Some(Held { material: Arc::clone(&material), use_until: Instant::now() + usable });
        material
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn session() -> Session {
        let fields = BTreeMap::new();
        Session { fields, expires_in: Some(Duration::from_secs(3600)), base_urls: BTreeMap::new() }
    }

    /// How long the logins of these tests take.
    const LOGIN: Duration = Duration::from_millis(500);

    fn counted<R: Send + 'static>(
        logins: &Arc<AtomicU32>,
        outcome: R,
    ) -> impl Future<Output = R> + Send + use<R> {
        logins.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(LOGIN).await;
            outcome
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_one_login_until_it_expires() {
        let (sessions, logins) = (Sessions::default(), Arc::new(AtomicU32::new(0)));
        let login = || counted(&logins, Ok(session()));
        let many = futures_util::future::join_all((0..50).map(|_| sessions.current(login))).await;
        assert!(many.into_iter().all(|m| m.unwrap().version == 1));
        tokio::time::advance(Duration::from_secs(3569)).await;
        assert_eq!(sessions.current(login).await.unwrap().version, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(sessions.current(login).await.unwrap().version, 2);
        assert_eq!(logins.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_version_is_renewed_once() {
        let sessions = Sessions::default();
        sessions.current(|| async { Ok(session()) }).await.unwrap();
        let renew = || sessions.renew(1, || async { Ok(session()) });
        let both = futures_util::future::join(renew(), renew()).await;
        assert_eq!((both.0.unwrap().version, both.1.unwrap().version), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_login_is_one_attempt_for_all_who_waited() {
        let (sessions, logins) = (Sessions::default(), Arc::new(AtomicU32::new(0)));
        let wrong = || counted(&logins, Err(Fault::new(FaultKind::CredentialDead, "wrong password")));
        let many = futures_util::future::join_all((0..64).map(|_| sessions.current(wrong))).await;
        assert!(many.into_iter().all(|m| m.unwrap_err().message == "wrong password"));
        assert!(sessions.renew(1, wrong).await.is_err());
        assert_eq!(logins.load(Ordering::Relaxed), 1);
        tokio::time::advance(FAILURE_SHARED).await;
        assert_eq!(sessions.current(|| counted(&logins, Ok(session()))).await.unwrap().version, 1);
        assert_eq!(logins.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_goes_on_when_the_one_who_asked_goes_away() {
        let (sessions, logins) = (Sessions::default(), Arc::new(AtomicU32::new(0)));
        let login = || counted(&logins, Ok(session()));
        let impatient = tokio::time::timeout(LOGIN / 2, sessions.current(login));
        let (impatient, patient) = tokio::join!(impatient, sessions.current(login));
        assert!(impatient.is_err());
        assert_eq!(patient.unwrap().version, 1);
        assert_eq!(logins.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_session_is_not_used_again_when_its_renewal_fails() {
        let sessions = Sessions::default();
        sessions.current(|| async { Ok(session()) }).await.unwrap();
        let away = || async { Err(Fault::new(FaultKind::Unavailable, "away")) };
        assert!(sessions.renew(1, away).await.is_err());
        assert_eq!(sessions.current(away).await.unwrap_err().kind, FaultKind::Unavailable);
    }
}
