//! Sessions of users: each is won with its user's own token, serves that user alone, and ends with the newest of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::fixed::FixedFields;
use super::grant::{INVALID_GRANT, Login};
use super::keeping::Keeping;
use super::manager::{Managed, Manager};
use super::{Material, SecretValue};
use crate::call::{Deadline, Subject, UserToken};
use crate::config::CredentialKind;
use crate::fault::{Fault, FaultKind};

/// Most users of one credential whose sessions are kept; whoever used theirs longest ago gets a new one when they come again.
const MAX_USERS: usize = 512;

/// Longest time between two looks at what has ended.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How often a newer token of a user whose token was refused is tried at once: some agents make one for every call.
const ANEW_EVERY: Duration = Duration::from_secs(5);

/// The field of a grant that holds the user's token.
const SUBJECT_TOKEN: &str = "subject_token";

/// The field of a grant that says for whom an assertion is.
const SUBJECT: &str = "subject";

/// With what users' sessions are won.
pub struct Exchange {
    pub connector: Arc<str>,
    /// The credential's name.
    pub name: Arc<str>,
    /// `token-exchange`, or `jwt-bearer` with each user as its subject.
    pub kind: CredentialKind,
    /// What the operator configured.
    pub fields: Arc<FixedFields>,
    pub login_time: Duration,
}

/// The sessions of all users of one credential. They differ by issuer, tenant and name: upstream and scopes are the credential's.
pub struct Users {
    exchange: Exchange,
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Subject, Session>,
    logins: Vec<Arc<dyn Login>>,
    /// Counts uses, to tell which was longest ago.
    uses: u64,
    /// Whether a task lets go of what has ended.
    is_swept: bool,
}

struct Session {
    manager: Arc<Manager>,
    /// Of the newest token of its user, in seconds since 1970.
    until: u64,
    used: u64,
    /// When a newer token was last worth a login at once.
    anew: Option<Instant>,
}

impl Users {
    pub fn new(exchange: Exchange) -> Arc<Self> {
        Self::at_most(MAX_USERS, exchange)
    }

    fn at_most(most: usize, exchange: Exchange) -> Arc<Self> {
        Arc::new(Self { exchange, most, state: Mutex::default() })
    }

    /// Wires one more who can log in.
    pub fn add_login(&self, login: &Arc<dyn Login>) {
        let mut state = self.state();
        state.logins.retain(|login| login.is_alive());
        state.logins.push(Arc::clone(login));
        state.sessions.values().for_each(|session| session.manager.add_login(Arc::clone(login)));
    }

    /// The secrets that a request for that user may be written with now. Without a user there are none: nobody else's would do.
    pub async fn current(
        self: &Arc<Self>,
        subject: Option<&Subject>,
        deadline: Deadline,
    ) -> Result<Arc<Material>, Fault> {
        self.session(subject)?.current(deadline).await.map_err(|fault| self.about_user(fault))
    }

    /// The same after a system did not accept `version`.
    pub async fn renew(
        self: &Arc<Self>,
        subject: Option<&Subject>,
        version: u64,
        deadline: Deadline,
    ) -> Result<Arc<Material>, Fault> {
        self.session(subject)?.renew(version, deadline).await.map_err(|fault| self.about_user(fault))
    }

    /// All secrets of that user that are known now.
    pub fn known(&self, subject: Option<&Subject>) -> Vec<Arc<Material>> {
        let state = self.state();
        let session = subject.and_then(|subject| state.sessions.get(subject));
        session.into_iter().flat_map(|session| session.manager.known()).collect()
    }

    /// Why sessions fail that do not fail for their own users' sake, with when that was, in milliseconds since 1970.
    pub fn trouble(&self) -> Option<(String, i64)> {
        let state = self.state();
        let failing = state.sessions.values().map(|session| session.manager.status());
        let failing = failing.filter(|status| status.view.failing.is_some()).filter_map(|s| s.last_error);
        let failing = failing.filter(|(fault, _)| !self.is_of_user(fault)).collect::<Vec<_>>();
        let (fault, at) = failing.iter().max_by_key(|(_, at)| *at)?;
        let (failing, all) = (failing.len(), state.sessions.len());
        Some((format!("{failing} of {all} users' sessions fail: {}", fault.message), *at))
    }

    /// Users with a session.
    pub fn count(&self) -> usize {
        self.state().sessions.len()
    }

    fn session(self: &Arc<Self>, subject: Option<&Subject>) -> Result<Arc<Manager>, Fault> {
        let (Some(subject), Some(token)) = (subject, subject.and_then(Subject::token)) else {
            let name = &self.exchange.name;
            let message =
                format!("The credential `{name}` is each user's own, and this call is for no user.");
            return Err(Fault::new(FaultKind::PermissionDenied, message));
        };
        let now = now();
        if token.expires <= now {
            let message = "The token of the user for whom this call is has expired.";
            return Err(Fault::new(FaultKind::PermissionDenied, message));
        }
        let mut state = self.state();
        state.uses += 1;
        let used = state.uses;
        let session = state.sessions.get_mut(subject).filter(|session| session.until > now);
        if let Some(session) = session {
            session.used = used;
            if session.until < token.expires {
                self.take_newer(session, subject, token);
            }
            return Ok(Arc::clone(&session.manager));
        }
        state.make_room(self.most, subject, now);
        let manager = Arc::new(self.manager(subject, token));
        state.logins.iter().for_each(|login| manager.add_login(Arc::clone(login)));
        let session = Session { manager: Arc::clone(&manager), until: token.expires, used, anew: None };
        state.sessions.insert(subject.clone(), session);
        if !std::mem::replace(&mut state.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        Ok(manager)
    }

    /// With a newer token a session may last longer; it need not be won anew for that.
    fn take_newer(&self, session: &mut Session, subject: &Subject, token: &UserToken) {
        session.until = token.expires;
        let anew = session.anew.is_none_or(|at| at.elapsed() >= ANEW_EVERY);
        if anew {
            session.anew = Some(Instant::now());
        }
        session.manager.take_newer(self.extra(subject, token), anew);
    }

    fn extra(&self, subject: &Subject, token: &UserToken) -> BTreeMap<String, SecretValue> {
        let (field, value) = match self.exchange.kind {
            CredentialKind::TokenExchange => {
                (SUBJECT_TOKEN, SecretValue::new(token.text.as_bytes().to_vec()))
            }
            // Who it is, is no secret: a system may well answer with it.
            _ => (SUBJECT, SecretValue::public(subject.name().as_bytes().to_vec())),
        };
        BTreeMap::from([(field.to_owned(), value)])
    }

    fn manager(&self, subject: &Subject, token: &UserToken) -> Manager {
        let Exchange { connector, name, kind, fields, login_time } = &self.exchange;
        Manager::new(Managed {
            connector: Arc::clone(connector),
            name: Arc::clone(name),
            kind: *kind,
            fields: Arc::clone(fields),
            extra: ArcSwap::from_pointee(self.extra(subject, token)),
            login_time: *login_time,
            keeping: Keeping::in_memory(),
        })
    }

    /// Lets go of what has ended. How long until the next look; none if nothing is left to look at.
    fn look(&self) -> Option<Duration> {
        let (mut state, now) = (self.state(), now());
        state.forget_ended(now);
        let next = state.sessions.values().map(|session| session.until - now).min();
        state.is_swept = next.is_some();
        next.map(|seconds| Duration::from_secs(seconds).min(SWEEP_EVERY))
    }

    /// That a user's token is refused is about the user, and nobody has to renew a credential for it.
    fn about_user(&self, mut fault: Fault) -> Fault {
        if self.is_of_user(&fault) {
            fault.kind = FaultKind::PermissionDenied;
        }
        fault
    }

    fn is_of_user(&self, fault: &Fault) -> bool {
        let is_of_user = |code: &str| match self.exchange.kind {
            CredentialKind::TokenExchange => code == INVALID_GRANT || REFUSED_SUBJECT.contains(&code),
            _ => code == INVALID_GRANT,
        };
        fault.kind == FaultKind::CredentialDead && fault.code.as_deref().is_some_and(is_of_user)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of what has ended, though nobody comes to see it: a session must not be refreshed with a token that has expired.
async fn sweep(users: Weak<Users>) {
    while let Some(wait) = users.upgrade().and_then(|users| users.look()) {
        tokio::time::sleep(wait).await;
    }
}

impl State {
    fn forget_ended(&mut self, now: u64) {
        self.sessions.retain(|_, session| session.until > now);
    }

    /// So that one more, of that user, is not one too many.
    fn make_room(&mut self, most: usize, subject: &Subject, now: u64) {
        self.forget_ended(now);
        self.sessions.remove(subject);
        if self.sessions.len() >= most {
            let longest_ago = self.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(subject) = longest_ago.map(|(subject, _)| subject.clone()) {
                self.sessions.remove(&subject);
            }
        }
    }
}

/// What a token endpoint says of a subject's token in an exchange, or of what is wanted for it (RFC 8693, 2.2.2).
const REFUSED_SUBJECT: [&str; 2] = ["invalid_request", "invalid_target"];

/// Seconds since 1970, as tokens count.
fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use zeroize::Zeroizing;

    use super::*;
    use crate::credential::grant::{Grant, LoginFailed, Session as Won};
    use crate::credential::lifecycle::Exchanged;

    /// Refuses each login with a code.
    struct Refusing(&'static str);

    impl Login for Refusing {
        fn is_alive(&self) -> bool {
            true
        }

        fn login<'a>(
            &'a self,
            _: &'a Arc<Grant>,
            _: Deadline,
        ) -> Pin<Box<dyn Future<Output = Result<Won, LoginFailed>> + Send + 'a>> {
            let fault = Fault::new(FaultKind::CredentialDead, "It is refused.").with_code(self.0);
            Box::pin(async move { Err(LoginFailed { fault, how: Exchanged::Refused }) })
        }
    }

    /// Answers each login with the user's token behind a word, and notes it.
    #[derive(Default)]
    struct Desk(Mutex<Vec<String>>);

    impl Login for Desk {
        fn is_alive(&self) -> bool {
            true
        }

        fn login<'a>(
            &'a self,
            grant: &'a Arc<Grant>,
            _: Deadline,
        ) -> Pin<Box<dyn Future<Output = Result<Won, LoginFailed>> + Send + 'a>> {
            let token = grant.material.fields[SUBJECT_TOKEN].expose().to_vec();
            self.0.lock().unwrap().push(String::from_utf8(token.clone()).unwrap());
            let won = SecretValue::new([b"session-of-", &token[..]].concat());
            let fields = BTreeMap::from([("access_token".to_owned(), won)]);
            let expires_in = Some(Duration::from_secs(3600));
            Box::pin(async move { Ok(Won { fields, expires_in, ..Won::default() }) })
        }
    }

    fn exchange(kind: CredentialKind) -> Exchange {
        Exchange {
            connector: "crm".into(),
            name: "login".into(),
            kind,
            fields: Arc::new(FixedFields::new(BTreeMap::new())),
            login_time: Duration::from_secs(1),
        }
    }

    fn users(most: usize) -> (Arc<Users>, Arc<Desk>) {
        let users = Users::at_most(most, exchange(CredentialKind::TokenExchange));
        let desk = Arc::new(Desk::default());
        let login: Arc<dyn Login> = desk.clone();
        users.add_login(&login);
        (users, desk)
    }

    fn user(name: &str, tenant: Option<&str>, token: &str, lives: u64) -> Subject {
        let token = UserToken { text: Zeroizing::new(token.to_owned()), expires: now() + lives };
        Subject::verified("https://id.example", name, tenant, token)
    }

    async fn won(users: &Arc<Users>, subject: &Subject) -> String {
        let deadline = Deadline::after(Duration::from_secs(5));
        let material = users.current(Some(subject), deadline).await.unwrap();
        String::from_utf8(material.fields["access_token"].expose().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_user_has_a_session_of_their_own_and_one_login() {
        let (users, desk) = users(9);
        let (ann, bob) = (user("ann", None, "a", 60), user("bob", None, "b", 60));
        let ann_elsewhere = user("ann", Some("east"), "e", 60);
        for (subject, session) in
            [(&ann, "session-of-a"), (&bob, "session-of-b"), (&ann_elsewhere, "session-of-e")]
        {
            assert_eq!(
                (won(&users, subject).await, won(&users, subject).await),
                (session.into(), session.into())
            );
        }
        assert_eq!(*desk.0.lock().unwrap(), ["a", "b", "e"]);
        let known: Vec<_> = users.known(Some(&bob)).iter().map(|m| m.fields.len()).collect();
        assert_eq!(known.first(), Some(&1));
        assert!(users.known(None).is_empty());
    }

    #[tokio::test]
    async fn without_a_user_nobody_elses_session_serves() {
        let (users, desk) = users(9);
        won(&users, &user("ann", None, "a", 60)).await;
        let deadline = Deadline::after(Duration::from_secs(5));
        for nobody in [None, Some(Subject::new("https://id.example", "ann")), Some(user("ann", None, "a", 0))]
        {
            let fault = users.current(nobody.as_ref(), deadline).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::PermissionDenied);
        }
        assert_eq!(desk.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_users_token_that_is_refused_is_that_users_matter_and_a_clients_is_the_operators() {
        use CredentialKind::{JwtBearer, TokenExchange};
        use FaultKind::{CredentialDead, PermissionDenied};
        for (kind, code, fault) in [
            (TokenExchange, "invalid_grant", PermissionDenied),
            (TokenExchange, "invalid_request", PermissionDenied),
            (TokenExchange, "invalid_target", PermissionDenied),
            (TokenExchange, "invalid_client", CredentialDead),
            (JwtBearer, "invalid_grant", PermissionDenied),
            (JwtBearer, "invalid_request", CredentialDead),
        ] {
            let users = Users::new(exchange(kind));
            let login: Arc<dyn Login> = Arc::new(Refusing(code));
            users.add_login(&login);
            let ann = user("ann", None, "a", 60);
            let refused = users.current(Some(&ann), Deadline::after(Duration::from_secs(5))).await;
            assert_eq!(refused.unwrap_err().kind, fault, "{kind:?} {code}");
        }
    }

    #[tokio::test]
    async fn a_session_ends_with_the_newest_token_and_is_not_won_anew_for_it() {
        let (users, desk) = users(9);
        let deadline = Deadline::after(Duration::from_secs(5));
        for (token, lives) in [("first", 60), ("longer", 120), ("shorter", 30)] {
            assert_eq!(won(&users, &user("ann", None, token, lives)).await, "session-of-first");
        }
        assert_eq!(*desk.0.lock().unwrap(), ["first"]);
        // What must be won anew is won with the newest.
        let ann = user("ann", None, "longer", 120);
        let refused = users.current(Some(&ann), deadline).await.unwrap().version;
        users.renew(Some(&ann), refused, deadline).await.unwrap();
        assert_eq!(*desk.0.lock().unwrap(), ["first", "longer"]);
        users.state().forget_ended(now() + 119);
        assert_eq!(users.count(), 1);
        users.state().forget_ended(now() + 121);
        assert_eq!(users.count(), 0);
    }

    #[tokio::test]
    async fn among_too_many_the_one_used_longest_ago_is_let_go() {
        let (users, desk) = users(2);
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| user(name, None, name, 60));
        for subject in [&ann, &bob, &ann, &eve, &ann] {
            won(&users, subject).await;
        }
        assert_eq!((users.count(), desk.0.lock().unwrap().join(" ")), (2, "ann bob eve".to_owned()));
        won(&users, &bob).await;
        assert_eq!(desk.0.lock().unwrap().last().unwrap(), "bob");
    }
}
