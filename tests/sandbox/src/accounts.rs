//! An identity provider as companies run one: access tokens of short life, refresh tokens that are good for one use, and a consent that an
//! administrator can take back.
//!
//! `POST /token` (RFC 6749, section 6) and `GET /whoami`. A refresh token that comes twice takes its family along, which RFC 9700 asks for
//! (section 4.14.2): nobody can tell the thief from the owner.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::sandbox::lock;
use crate::{Answer, Clock, Failure, Request, System};

/// The client that it knows.
pub const CLIENT_ID: &str = "ferrata";
pub const CLIENT_SECRET: &str = "the-s3cret-of-the-client";

/// Whom its tokens stand for.
pub const ACCOUNT: &str = "support-bot@acme.example";

/// The stand-in.
#[derive(Debug)]
pub struct Accounts {
    clock: Clock,
    /// Of an access token.
    life: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tokens of both kinds so far: each has another number, and so another name.
    made: u64,
    /// What consents began, by number; true while the consent holds.
    families: Vec<bool>,
    access: HashMap<String, Token>,
    refresh: HashMap<String, Token>,
    reused: usize,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    family: usize,
    /// Since the Unix epoch. A refresh token ends when it is used.
    ends: Option<Duration>,
}

impl Accounts {
    /// Whose access tokens live for `life`.
    pub fn new(clock: Clock, life: Duration) -> Self {
        Self { clock, life, state: Mutex::default() }
    }

    /// An administrator consents: the first refresh token of a family.
    pub fn consent(&self) -> String {
        let mut state = self.state();
        state.families.push(true);
        let family = state.families.len() - 1;
        state.refresh_token(family)
    }

    /// Takes back every consent: no token that came of one is good any more.
    pub fn revoke(&self) {
        self.state().families.fill(false);
    }

    /// Access tokens so far.
    pub fn granted(&self) -> usize {
        self.state().access.len()
    }

    /// How often a refresh token came that had been used.
    pub fn reused(&self) -> usize {
        self.state().reused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn token(&self, request: &Request) -> Answer {
        let fields: HashMap<_, _> = form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if (field("client_id"), field("client_secret")) != (CLIENT_ID, CLIENT_SECRET) {
            return answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_client" }));
        }
        if field("grant_type") != "refresh_token" {
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": "unsupported_grant_type" }));
        }
        let Some((access, refresh)) =
            self.state().refreshed(field("refresh_token"), self.clock.now(), self.life)
        else {
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" }));
        };
        let granted = json!({
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.life.as_secs(),
            "scope": "read",
        });
        answer(StatusCode::OK, &granted)
    }

    fn whoami(&self, request: &Request) -> Answer {
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let state = self.state();
        let good = |token: &&Token| {
            state.families[token.family] && token.ends.is_some_and(|end| self.clock.now() < end)
        };
        match bearer.and_then(|bearer| state.access.get(bearer)).filter(good) {
            Some(_) => answer(StatusCode::OK, &json!({ "name": ACCOUNT })),
            None => answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" })),
        }
    }
}

impl State {
    /// The next pair, for a refresh token that is good.
    fn refreshed(&mut self, token: &str, now: Duration, life: Duration) -> Option<(String, String)> {
        let used = self.refresh.get_mut(token)?;
        let family = used.family;
        if used.ends.replace(now).is_some() {
            self.reused += 1;
            self.families[family] = false;
        }
        if !self.families[family] {
            return None;
        }
        let access = self.name("access");
        self.access.insert(access.clone(), Token { family, ends: Some(now + life) });
        Some((access, self.refresh_token(family)))
    }

    fn refresh_token(&mut self, family: usize) -> String {
        let token = self.name("refresh");
        self.refresh.insert(token.clone(), Token { family, ends: None });
        token
    }

    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-token-{:08}-of-acme", self.made)
    }
}

impl System for Accounts {
    const BASE_PATH: &'static str = "";

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn answer(&self, request: &Request) -> Answer {
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/token") => self.token(request),
            (&Method::GET, "/whoami") => self.whoami(request),
            _ => answer(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
        }
    }

    fn refuse(&self, failure: &Failure) -> Answer {
        match failure {
            Failure::RateLimited { .. } => {
                answer(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": "slow_down" }))
            }
            Failure::Code(code) => answer(StatusCode::BAD_REQUEST, &json!({ "error": code })),
            _ => answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "error": "temporarily_unavailable" })),
        }
    }

    fn control(&self, action: &str, _: &Map<String, Value>) -> Option<Value> {
        match action {
            "consent" => Some(json!({ "refresh_token": self.consent() })),
            "revoke" => {
                self.revoke();
                Some(json!({}))
            }
            _ => None,
        }
    }
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    fn accounts() -> Accounts {
        Accounts::new(Clock::frozen(Duration::from_secs(1_000)), LIFE)
    }

    fn refresh(accounts: &Accounts, token: &str) -> Result<(String, String), String> {
        let body = format!(
            "grant_type=refresh_token&refresh_token={token}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
        );
        let answer = ask(accounts, Method::POST, "/token", HeaderMap::new(), body);
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        text("access_token").zip(text("refresh_token")).ok_or_else(|| text("error").unwrap_or_default())
    }

    fn is_good(accounts: &Accounts, token: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        ask(accounts, Method::GET, "/whoami", headers, String::new())["name"] == ACCOUNT
    }

    fn ask(accounts: &Accounts, method: Method, path: &str, headers: HeaderMap, body: String) -> Value {
        let (path, query) = (path.to_owned(), String::new());
        let answer = accounts.answer(&Request { method, path, query, headers, body: body.into() });
        serde_json::from_slice(answer.body()).unwrap()
    }

    #[test]
    fn an_access_token_ends_and_a_refresh_token_is_good_once() {
        let accounts = accounts();
        let seed = accounts.consent();
        let (first, next) = refresh(&accounts, &seed).unwrap();
        assert!(is_good(&accounts, &first) && !is_good(&accounts, &seed));
        accounts.clock.advance(LIFE);
        assert!(!is_good(&accounts, &first));
        let (second, newest) = refresh(&accounts, &next).unwrap();
        assert!(is_good(&accounts, &second));
        // Used again: the whole family is dead.
        assert_eq!(refresh(&accounts, &next).unwrap_err(), "invalid_grant");
        assert_eq!(refresh(&accounts, &newest).unwrap_err(), "invalid_grant");
        assert!(!is_good(&accounts, &second));
        assert_eq!((accounts.granted(), accounts.reused()), (2, 1));
    }

    #[test]
    fn a_consent_that_is_taken_back_is_the_end_of_its_tokens_and_another_begins_anew() {
        let accounts = accounts();
        let (access, next) = refresh(&accounts, &accounts.consent()).unwrap();
        accounts.revoke();
        assert!(!is_good(&accounts, &access));
        assert_eq!(refresh(&accounts, &next).unwrap_err(), "invalid_grant");
        assert!(refresh(&accounts, &accounts.consent()).is_ok());
    }
}
