use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use zeroize::Zeroizing;

use super::*;
use crate::call::{Deadline, Subject, UserToken};
use crate::config::CredentialKind;
use crate::credential::lifecycle::Exchanged;
use crate::credential::{
    Credentials, Exchange, FixedFields, Grant, Keeping, LOGIN_TIME, Login, LoginFailed, Managed, SecretValue,
    Session, Source,
};
use crate::fault::{Fault, FaultKind};

/// Of what is won.
const LIFE: Duration = Duration::from_secs(3600);

/// Longer than any rest after a failure.
const LATER: Duration = Duration::from_secs(600);

/// An identity provider that the operator can have mended.
#[derive(Default)]
struct Provider {
    is_mended: AtomicBool,
    grants_too_little: bool,
}

impl Provider {
    fn mend(&self) {
        self.is_mended.store(true, Ordering::Relaxed);
    }

    /// Users are refused by what their tokens say.
    fn answer(&self, grant: &Grant) -> Result<Session, LoginFailed> {
        let fields = BTreeMap::from([("access_token".to_owned(), SecretValue::new(b"won".to_vec()))]);
        let won = Session { fields, expires_in: Some(LIFE), ..Session::default() };
        let subject = grant.material.fields.get("subject_token").map(|token| token.expose().to_vec());
        let code = subject.and_then(|token| String::from_utf8(token).ok()).filter(|code| code != "good");
        match code {
            _ if self.is_mended.load(Ordering::Relaxed) => Ok(won),
            Some(code) => {
                let fault = Fault::new(FaultKind::CredentialDead, "It is refused.").with_code(code);
                Err(LoginFailed { fault, how: Exchanged::Refused })
            }
            None if self.grants_too_little => Ok(Session { lacks: Some("it lacks".to_owned()), ..won }),
            None => Ok(won),
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
        Box::pin(async { self.answer(grant) })
    }
}

fn fixed(token: Source) -> Credential {
    let fields = FixedFields::new(BTreeMap::from([("token".to_owned(), token)]));
    Credential::fixed("login".into(), Vec::new(), Vec::new(), false, Arc::new(fields))
}

fn unused() -> Arc<FixedFields> {
    Arc::new(FixedFields::new(BTreeMap::new()))
}

fn logged_in(credential: Credential, provider: &Arc<Provider>) -> Credentials {
    let credentials = Credentials::new([credential]);
    credentials.add_login(&(Arc::clone(provider) as Arc<dyn Login>));
    credentials
}

/// Won by a login without a refresh token.
fn won(provider: &Arc<Provider>) -> Credentials {
    let managed = Managed {
        connector: "crm".into(),
        name: "login".into(),
        kind: CredentialKind::ClientCredentials,
        fields: unused(),
        extra: Default::default(),
        login_time: LOGIN_TIME,
        keeping: Keeping::in_memory(),
    };
    logged_in(fixed(Source::Value("unused".to_owned())).managed(managed), provider)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn alarms(credential: &Credential) -> Vec<&'static str> {
    credential.alarms().into_iter().map(|(label, _)| label).collect()
}

/// The alarm is the only one, stands in the status, and is told once, however often it is looked for.
#[track_caller]
fn is_told_once(credential: &Credential, alarm: &str, state: &str) {
    assert_eq!(alarms(credential), [alarm]);
    let status = credential.status();
    assert_eq!((&status["alarms"], &status["state"]), (&serde_json::json!([alarm]), &state.into()));
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        credential.tell_alarms("crm");
        credential.tell_alarms("crm");
    });
    let counted = recorder.handle().render();
    let counted: Vec<_> = counted.lines().filter(|line| line.starts_with("ferrata")).collect();
    let labels = format!(r#"connector="crm",credential="login",alarm="{alarm}""#);
    assert_eq!(counted, [format!("{}{{{labels}}} 1", metric::CREDENTIAL_ALARMS)]);
}

/// Nothing is to be told, and that was noticed.
#[track_caller]
fn is_over(credential: &Credential) {
    assert_eq!(alarms(credential), [""; 0]);
    credential.tell_alarms("crm");
}

#[tokio::test(start_paused = true)]
async fn a_fixed_secret_that_is_refused_is_told_until_it_is_accepted_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let credential = fixed(Source::File(file.clone()));
    let refuse = || {
        let version = credential.configured().unwrap().version;
        assert_eq!(credential.other_than(version).unwrap_err().kind, FaultKind::CredentialDead);
        version
    };
    let version = refuse();
    is_told_once(&credential, REFUSED, "refused");
    credential.note_accepted(version);
    is_over(&credential);
    refuse();
    is_told_once(&credential, REFUSED, "refused");
    std::fs::write(&file, "the second").unwrap();
    tokio::time::advance(LATER).await;
    is_over(&credential);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_while_fresh_is_told_and_one_that_was_only_old_is_not() {
    let credentials = won(&Arc::default());
    let credential = credentials.get("login").unwrap();
    let renew = async |version| credentials.renew(credential, None, version, soon()).await;
    let old = credentials.current(credential, None, soon()).await.unwrap().version;
    let fresh = renew(old).await.unwrap().version;
    is_over(credential);
    let fault = renew(fresh).await.unwrap_err();
    assert!(fault.kind == FaultKind::CredentialDead && fault.message.contains("fresh as it is"), "{fault}");
    is_told_once(credential, REFUSED, "refused");
    // It may come into force late.
    credential.note_accepted(fresh);
    is_over(credential);
    renew(fresh).await.unwrap_err();
    is_told_once(credential, REFUSED, "refused");
    tokio::time::sleep(LATER).await;
    assert_ne!(renew(fresh).await.unwrap().version, fresh);
    is_over(credential);
}

#[test]
fn what_is_granted_is_held_against_what_is_needed() {
    let credential = fixed(Source::Value("unused".to_owned()));
    let credential = credential.needing(["read", "write", "post"].map(str::to_owned).to_vec());
    let lacking = |granted: &[&str]| {
        let granted: Vec<_> = granted.iter().map(|scope| (*scope).to_owned()).collect();
        credential.lacking(Some(&granted))
    };
    assert_eq!(lacking(&["post", "more", "write", "read"]), None);
    assert_eq!(lacking(&["read"]).unwrap(), "it was not granted the scope `write`, `post`");
    // Providers that say nothing granted what was asked for (RFC 6749, 5.1).
    assert_eq!(credential.lacking(None), None);
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_too_little_is_told_until_there_is_enough() {
    let provider = Arc::new(Provider { grants_too_little: true, ..Provider::default() });
    let credentials = won(&provider);
    let credential = credentials.get("login").unwrap();
    let fault = credentials.current(credential, None, soon()).await.unwrap_err();
    assert!(fault.kind == FaultKind::CredentialDead && fault.message.contains("it lacks"), "{fault}");
    is_told_once(credential, INSUFFICIENT, "insufficient");
    provider.mend();
    tokio::time::sleep(LIFE).await;
    credentials.current(credential, None, soon()).await.unwrap();
    is_over(credential);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_fail_for_the_clients_sake_are_told_and_those_that_fail_for_their_users_sake_are_not() {
    let provider = Arc::new(Provider::default());
    let exchange = Exchange {
        connector: "crm".into(),
        name: "login".into(),
        kind: CredentialKind::TokenExchange,
        fields: unused(),
        login_time: LOGIN_TIME,
    };
    let credentials = logged_in(fixed(Source::Value("unused".to_owned())).of_users(exchange), &provider);
    let credential = credentials.get("login").unwrap();
    let call = async |user: &str, token: &str| {
        let expires = u64::try_from(Timestamp::now().as_second()).unwrap() + 2 * LATER.as_secs();
        let token = UserToken { text: Zeroizing::new(token.to_owned()), expires };
        let subject = Subject::verified("https://id.example", user, None, token);
        credentials.current(credential, Some(&subject), soon()).await.map(|_| ()).map_err(|fault| fault.kind)
    };
    assert_eq!(call("ann", "good").await, Ok(()));
    assert_eq!(call("eve", "invalid_grant").await, Err(FaultKind::PermissionDenied));
    is_over(credential);
    assert_eq!(call("bob", "invalid_client").await, Err(FaultKind::CredentialDead));
    is_told_once(credential, USERS_FAILING, "failing");
    let why = credential.alarms().remove(0).1;
    assert!(why.starts_with("1 of 3 users' sessions fail: "), "{why}");
    provider.mend();
    tokio::time::sleep(LATER).await;
    assert_eq!(call("bob", "invalid_client").await, Ok(()));
    is_over(credential);
}
