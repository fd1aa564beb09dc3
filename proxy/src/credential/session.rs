//! What a login yields, kept until it expires or is refused; one login at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
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

/// The session of one credential. The lock is held during a login, so that everybody who needs one waits for the same.
#[derive(Default)]
pub struct Sessions(Mutex<Option<Held>>);

struct Held {
    material: Arc<Material>,
    use_until: Instant,
}

impl Sessions {
    /// The session in force, or that of a new login.
    pub async fn current<L>(&self, login: impl FnOnce() -> L) -> Result<Arc<Material>, Fault>
    where
        L: Future<Output = Result<Session, Fault>>,
    {
        let mut held = self.0.lock().await;
        match &*held {
            Some(h) if Instant::now() < h.use_until => Ok(Arc::clone(&h.material)),
            _ => Ok(replace(&mut held, login().await?)),
        }
    }

    /// The session that was made last, unless one is being made now.
    pub fn peek(&self) -> Option<Arc<Material>> {
        self.0.try_lock().ok()?.as_ref().map(|held| Arc::clone(&held.material))
    }

    /// A session that is newer than the refused one; logs in only if nobody else has.
    pub async fn renew<L>(&self, refused: u64, login: impl FnOnce() -> L) -> Result<Arc<Material>, Fault>
    where
        L: Future<Output = Result<Session, Fault>>,
    {
        let mut held = self.0.lock().await;
        match &*held {
            Some(h) if h.material.version > refused => Ok(Arc::clone(&h.material)),
            _ => Ok(replace(&mut held, login().await?)),
        }
    }
}

fn replace(held: &mut Option<Held>, session: Session) -> Arc<Material> {
    let version = held.as_ref().map_or(1, |h| h.material.version + 1);
    let lifetime = session.expires_in.unwrap_or(LIFETIME_WHEN_UNSAID);
    // A very short life is used for half of it rather than never.
    let usable = lifetime.saturating_sub(EXPIRY_MARGIN).max(lifetime / 2);
    let material = Arc::new(Material::new(version, session.fields, session.base_urls));
    *held = Some(Held { material: Arc::clone(&material), use_until: Instant::now() + usable });
    material
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn session() -> Session {
        let fields = BTreeMap::new();
        Session { fields, expires_in: Some(Duration::from_secs(3600)), base_urls: BTreeMap::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_one_login_until_it_expires() {
        let (sessions, logins) = (Sessions::default(), AtomicU32::new(0));
        let login = || async {
            logins.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(session())
        };
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
}
