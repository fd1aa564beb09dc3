mod ends;
mod halves;
mod names;
mod pauses;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::inner::LOOK_EVERY;
use super::*;
use crate::credential::Source;
use crate::credential::grant::{Grant, LoginFailed, REFRESH_TOKEN, Session};
use crate::credential::lifecycle::Exchanged;
use crate::credential::record::{Record, Sealer};
use crate::credential::store::memory::Memory;
use crate::credential::store::tests::Failing;
use crate::credential::store::{Commit, Entry, Owner, Store};

const HOUR: Duration = Duration::from_secs(3600);

/// How long a login takes here.
const TAKES: Duration = Duration::from_millis(500);

/// An identity provider behind a guest: rotates refresh tokens, and answers as it was told before.
#[derive(Default)]
struct Provider {
    planned: Mutex<VecDeque<Exchanged>>,
    /// The refresh tokens that it was asked with; empty for none.
    seen: Mutex<Vec<String>>,
    won: AtomicU32,
}

impl Provider {
    fn plan(&self, outcomes: impl IntoIterator<Item = Exchanged>) {
        self.planned.lock().unwrap().extend(outcomes);
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn answer(&self, how: Option<Exchanged>) -> Result<Session, LoginFailed> {
        match how {
            None | Some(Exchanged::Granted(_)) => {
                let number = self.won.fetch_add(1, Ordering::Relaxed) + 1;
                let secret = |name: &str| SecretValue::new(format!("{name}-{number}").into_bytes());
                let fields = [("access_token", secret("at")), (REFRESH_TOKEN, secret("rt"))];
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Ok(Session { fields, expires_in: Some(HOUR), ..Session::default() })
            }
            Some(how) => {
                let kind = match how {
                    Exchanged::Refused | Exchanged::Invalid => FaultKind::CredentialDead,
                    _ => FaultKind::Unavailable,
                };
                Err(LoginFailed { fault: Fault::new(kind, "as planned"), how })
            }
        }
    }
}

impl Login for Provider {
    fn is_alive(&self) -> bool {
        true
    }

    fn login<'a>(
        &'a self,
        grant: &'a Arc<Grant>,
        _: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Session, LoginFailed>> + Send + 'a>> {
        let token = grant.material.fields.get(REFRESH_TOKEN);
        let token = token.map(|token| String::from_utf8(token.expose().to_vec()).unwrap());
        self.seen.lock().unwrap().push(token.unwrap_or_default());
        let planned = self.planned.lock().unwrap().pop_front();
        Box::pin(async move {
            tokio::time::sleep(TAKES).await;
            self.answer(planned)
        })
    }
}

fn keeping(store: Arc<dyn Store>) -> Keeping {
    let key = SecretValue::new("07".repeat(32).into_bytes());
    Keeping { store, sealer: Arc::new(Sealer::with_key(&key).unwrap()) }
}

fn manager(kind: CredentialKind, seed: Source, keeping: Keeping, provider: &Arc<Provider>) -> Manager {
    manager_of("crm", kind, seed, keeping, provider)
}

fn manager_of(
    connector: &str,
    kind: CredentialKind,
    seed: Source,
    keeping: Keeping,
    provider: &Arc<Provider>,
) -> Manager {
    let fields = BTreeMap::from([(REFRESH_TOKEN.to_owned(), seed)]);
    let manager = Manager::new(Managed {
        connector: connector.into(),
        name: "login".into(),
        kind,
        fields: Arc::new(FixedFields::new(fields)),
        extra: Default::default(),
        login_time: LOGIN_TIME,
        keeping,
    });
    manager.add_login(Arc::clone(provider) as Arc<dyn Login>);
    manager
}

/// A login without a refresh token.
fn client(provider: &Arc<Provider>) -> Manager {
    manager(CredentialKind::ClientCredentials, Source::Value("unused".into()), Keeping::in_memory(), provider)
}

fn mortal(store: &Arc<dyn Store>, provider: &Arc<Provider>) -> Manager {
    manager(CredentialKind::RefreshToken, Source::Value("seed".into()), keeping(Arc::clone(store)), provider)
}

fn memory() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

async fn token(manager: &Manager) -> String {
    let material = manager.current(soon()).await.unwrap();
    assert!(!material.fields.contains_key(REFRESH_TOKEN), "a refresh token is no request's to carry");
    String::from_utf8(material.fields["access_token"].expose().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_one_login() {
    let provider = Arc::new(Provider::default());
    let manager = client(&provider);
    let many = futures_util::future::join_all((0..50).map(|_| token(&manager))).await;
    assert!(many.into_iter().all(|token| token == "at-1"));
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_refreshed_in_the_background_while_the_old_one_serves() {
    let provider = Arc::new(Provider::default());
    let manager = client(&provider);
    token(&manager).await;
    let asked = async {
        // Nobody waits in all that time.
        for _ in 0..50 * 60 {
            let before = Instant::now();
            token(&manager).await;
            assert_eq!(Instant::now(), before);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    asked.await;
    assert_eq!((token(&manager).await.as_str(), provider.seen().len()), ("at-2", 2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_version_is_renewed_once() {
    let provider = Arc::new(Provider::default());
    let manager = client(&provider);
    let first = manager.current(soon()).await.unwrap();
    let renew = || manager.renew(first.version, soon());
    let (one, other) = tokio::join!(renew(), renew());
    assert_eq!((one.unwrap().version, other.unwrap().version), (2, 2));
    assert_eq!(provider.seen().len(), 2);
    // Fresh as it is, it is not its age that is wrong.
    assert_eq!(manager.renew(2, soon()).await.unwrap_err().kind, FaultKind::CredentialDead);
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_is_one_attempt_for_all_who_waited_and_for_a_while_after() {
    let provider = Arc::new(Provider::default());
    provider.plan([Exchanged::Refused]);
    let manager = client(&provider);
    let many = futures_util::future::join_all((0..64).map(|_| manager.current(soon()))).await;
    assert!(many.into_iter().all(|m| m.unwrap_err().message == "as planned"));
    assert_eq!(manager.current(soon()).await.unwrap_err().kind, FaultKind::CredentialDead);
    assert_eq!(provider.seen().len(), 1);
    // A quarter more than a second at most.
    tokio::time::sleep(Duration::from_millis(1_250)).await;
    assert_eq!(token(&manager).await, "at-1");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_is_unavailable_with_a_time_to_come_back() {
    let provider = Arc::new(Provider::default());
    provider.plan([Exchanged::Unavailable { retry_after: None }]);
    let manager = client(&provider);
    let fault = manager.current(soon()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.retry_at.is_some());
    assert_eq!(manager.status().state(), "failing");
}

#[tokio::test(start_paused = true)]
async fn a_login_goes_on_when_the_one_who_asked_goes_away() {
    let provider = Arc::new(Provider::default());
    let manager = client(&provider);
    let impatient = manager.current(Deadline::after(TAKES / 2)).await;
    assert_eq!(impatient.unwrap_err().kind, FaultKind::DeadlineExceeded);
    assert_eq!(token(&manager).await, "at-1");
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_refresh_is_made_with_the_token_of_the_one_before_also_after_a_restart() {
    let (store, provider) = (memory(), Arc::new(Provider::default()));
    let first = mortal(&store, &provider);
    assert_eq!(token(&first).await, "at-1");
    tokio::time::sleep(HOUR).await;
    drop(first);
    let second = mortal(&store, &provider);
    // What the one before won serves on, and only its end is a reason to refresh.
    assert_eq!(token(&second).await, "at-2");
    assert_eq!(provider.seen(), ["seed", "rt-1"]);
    tokio::time::sleep(HOUR).await;
    assert_eq!((token(&second).await.as_str(), provider.seen().len()), ("at-3", 3));
    assert_eq!(provider.seen()[2], "rt-2");
}

#[tokio::test(start_paused = true)]
async fn who_opens_it_need_not_ask() {
    let provider = Arc::new(Provider::default());
    let manager = mortal(&memory(), &provider);
    manager.open();
    tokio::time::sleep(HOUR).await;
    assert_eq!(provider.seen(), ["seed", "rt-1"]);
    assert_eq!(manager.status().view.version, 2);
}

#[tokio::test(start_paused = true)]
async fn sidecars_share_what_one_of_them_wins() {
    let (store, provider) = (memory(), Arc::new(Provider::default()));
    let fleet: Vec<_> = (0..16).map(|_| mortal(&store, &provider)).collect();
    fleet.iter().for_each(Manager::open);
    for _ in 0..10 {
        let tokens = futures_util::future::join_all(fleet.iter().map(token)).await;
        assert_eq!(tokens.len(), 16);
        tokio::time::sleep(HOUR / 2).await;
    }
    let seen = provider.seen();
    let unique: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "a token was spent twice: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_nobody_finished_is_the_grace_retry_and_then_the_end() {
    let (store, provider) = (memory(), Arc::new(Provider::default()));
    let key = format!(
        "crm/login/{}",
        keeping(Arc::clone(&store)).sealer.name(&SecretValue::new(b"seed".to_vec())).unwrap()
    );
    // A process that was killed after it had sent.
    store.begin(&key, 0, Owner(7), Duration::from_secs(1)).await.unwrap();
    provider.plan([Exchanged::Invalid]);
    let manager = mortal(&store, &provider);
    let dead = manager.current(soon()).await.unwrap_err();
    assert_eq!(dead.kind, FaultKind::CredentialDead);
    assert!(dead.message.contains("consent again"), "{dead}");
    tokio::time::sleep(100 * HOUR).await;
    assert_eq!(provider.seen(), ["seed"], "dead is not tried again");
    assert_eq!(manager.status().state(), "dead");
    // Others find it dead without asking the provider, after a restart too.
    let other = mortal(&store, &provider);
    assert_eq!(other.current(soon()).await.unwrap_err().kind, FaultKind::CredentialDead);
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_tried_once_more_at_once_with_the_same_token() {
    let provider = Arc::new(Provider::default());
    provider.plan([Exchanged::Unknown]);
    let manager = mortal(&memory(), &provider);
    assert_eq!(token(&manager).await, "at-1");
    assert_eq!(provider.seen(), ["seed", "seed"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_seed_in_the_file_begins_a_new_family_and_the_old_one_serves_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let (store, provider) = (memory(), Arc::new(Provider::default()));
    let seed = Source::File(path.clone());
    let manager = manager(CredentialKind::RefreshToken, seed, keeping(store), &provider);
    assert_eq!(token(&manager).await, "at-1");
    std::fs::write(folder.path().join("new"), "second").unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(token(&manager).await, "at-1");
    tokio::time::sleep(LOOK_EVERY + TAKES + TAKES).await;
    assert_eq!(token(&manager).await, "at-2");
    assert_eq!(provider.seen(), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_serves_only_when_its_record_is_durable() {
    let provider = Arc::new(Provider::default());
    let store: Arc<dyn Store> = Arc::new(Failing(Memory::default(), AtomicU32::new(7)));
    let manager = mortal(&store, &provider);
    // Not at once: it may be a hiccup.
    assert_eq!(manager.current(soon()).await.unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(manager.status().view.failing.map(|(.., since)| since >= Duration::from_secs(2)), Some(true));
    // It is written again and again, and never won anew.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(token(&manager).await, "at-1");
    assert_eq!(provider.seen(), ["seed"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_it_is_scrubbed_and_its_status_holds_no_value() {
    let provider = Arc::new(Provider::default());
    let manager = mortal(&memory(), &provider);
    token(&manager).await;
    let known: Vec<_> = manager.known().collect();
    let knows = |field: &str, value: &[u8]| {
        known.iter().any(|material| material.fields.get(field).is_some_and(|secret| secret.expose() == value))
    };
    assert!(knows("access_token", b"at-1") && knows(REFRESH_TOKEN, b"rt-1"));
    let status = manager.status().to_json().to_string();
    assert!(
        !status.contains("at-1") && !status.contains("rt-1") && status.contains("next_refresh_at"),
        "{status}"
    );
}
