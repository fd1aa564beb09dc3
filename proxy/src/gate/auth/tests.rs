//! Tokens against a real issuer: its keys behind an address, signed by keys that are made here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use tokio::net::TcpListener;

use super::keys::{FETCH, REFETCH_UNKNOWN};
use super::*;

/// An identity provider with one key at a time.
struct Issuer {
    address: SocketAddr,
    key: Mutex<(String, rcgen::KeyPair)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Value>,
    fetched: AtomicUsize,
    down: std::sync::atomic::AtomicBool,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        let issuer = Self { address, key: Mutex::new(pair("k1")), shared };
        issuer.publish();
        issuer
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Another key takes the old one's place.
    fn rotate(&self, id: &str) {
        *self.key.lock().unwrap() = pair(id);
        self.publish();
    }

    fn publish(&self) {
        let keys = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }, self.jwk()] });
        *self.shared.keys.lock().unwrap() = keys;
    }

    fn jwk(&self) -> Value {
        let key = self.key.lock().unwrap();
        let (x, y) = key.1.public_key_raw()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": key.0, "x": x, "y": y })
    }

    fn fetched(&self) -> usize {
        self.shared.fetched.load(Ordering::Relaxed)
    }

    /// The configuration of a listener that takes its tokens.
    fn jwt(&self) -> config::Jwt {
        serde_json::from_value(json!({
            "issuer": self.url(), "audience": "ferrata", "jwks": format!("{}/keys", self.url()),
        }))
        .unwrap()
    }

    fn authenticator(&self) -> Authenticator {
        let agent = config::Agent { auth: Auth::Jwt(self.jwt()), ..config::Agent::default() };
        Authenticator::new(&agent).unwrap()
    }

    /// Claims of a good token.
    fn claims(&self) -> Value {
        json!({ "iss": self.url(), "aud": ["other", "ferrata"], "sub": "ann", "azp": "support", "exp": now() + 600 })
    }

    fn sign(&self, claims: &Value) -> String {
        let key = self.key.lock().unwrap();
        let header = Header { kid: Some(key.0.clone()), ..Header::new(Algorithm::ES256) };
        sign(&header, claims, &key.1)
    }
}

fn pair(id: &str) -> (String, rcgen::KeyPair) {
    (id.to_owned(), rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
}

fn sign(header: &Header, claims: &Value, key: &rcgen::KeyPair) -> String {
    let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
    jsonwebtoken::encode(header, claims, &key).unwrap()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let here = format!("http://{}", request.headers()["host"].to_str().unwrap());
            let body = match request.uri().path() {
                "/keys" => {
                    shared.fetched.fetch_add(1, Ordering::Relaxed);
                    shared.keys.lock().unwrap().clone()
                }
                _ => json!({ "issuer": here, "jwks_uri": format!("{here}/keys") }),
            };
            let mut response = Response::new(Full::<Bytes>::from(body.to_string()));
            if shared.down.load(Ordering::Relaxed) {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            async move { Ok::<_, Infallible>(response) }
        });
        let io = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

async fn identify(authenticator: &Authenticator, token: &str) -> Result<Caller, Unauthorized> {
    authenticator.identify(Presented { bearer: Some(token), subject: None }).await
}

#[tokio::test]
async fn a_good_token_names_agent_and_user() {
    let issuer = Issuer::start().await;
    let auth = issuer.authenticator();
    let token = issuer.sign(&issuer.claims());
    let caller = identify(&auth, &token).await.unwrap();
    let subject = caller.subject.clone().unwrap();
    assert_eq!((&*caller.agent, subject.name(), subject.issuer()), ("support", "ann", &*issuer.url()));
    assert!(!format!("{caller:?}").contains(&token), "a token is for no log");
    // What was checked once is known.
    assert_eq!(identify(&auth, &token).await.unwrap(), caller);
    assert_eq!(issuer.fetched(), 1);

    let mut claims = issuer.claims();
    claims["sub"] = json!("support");
    let itself = identify(&auth, &issuer.sign(&claims)).await.unwrap();
    assert_eq!(itself, Caller::agent("support"), "nobody but the agent itself");
}

#[tokio::test]
async fn each_mistake_of_a_token_is_said_and_nothing_of_the_token() {
    let issuer = Issuer::start().await;
    let auth = issuer.authenticator();
    let with = |claim: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[claim] = value;
        issuer.sign(&claims)
    };
    let without = |claim: &str| {
        let mut claims = issuer.claims();
        claims.as_object_mut().unwrap().remove(claim);
        issuer.sign(&claims)
    };
    let good = issuer.sign(&issuer.claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let (_, stranger) = pair("k1");
    let of_stranger = sign(
        &Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) },
        &issuer.claims(),
        &stranger,
    );
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(issuer.claims().to_string())
    );
    // The public key, taken for a shared secret.
    let shared = EncodingKey::from_secret(stranger.public_key_pem().as_bytes());
    let hs256 = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &issuer.claims(), &shared).unwrap();
    let crit = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::ES256) };
    let crit = sign(&crit, &issuer.claims(), &stranger);
    for (token, why) in [
        ("abc".to_owned(), "no signed JWT"),
        (unsigned, "no signed JWT"),
        (hs256, "algorithm"),
        (crit, "crit"),
        (of_stranger, "signature"),
        (format!("{message}.AAAA"), "signature"),
        (with("exp", json!(now() - 60)), "expired"),
        (with("nbf", json!(now() + 60)), "not valid yet"),
        (with("iss", json!("https://evil.example")), "another issuer"),
        (with("aud", json!("other")), "another audience"),
        (without("exp"), "`exp`"),
        (without("iss"), "`iss`"),
        (without("aud"), "`aud`"),
        (without("sub"), "`sub`"),
        (without("azp"), "names no agent"),
        (with("sub", json!("")), "a name"),
        (with("azp", json!("a\nb")), "a name"),
        ("x".repeat(17 << 10), "longer"),
    ] {
        match identify(&auth, &token).await {
            Err(Unauthorized::Refused(said)) => {
                assert!(said.contains(why), "{why}: {said}");
                assert!(!said.contains("evil"), "{said}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    assert_eq!(auth.identify(Presented::default()).await, Err(Unauthorized::Missing));
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_but_not_by_everybody() {
    let issuer = Issuer::start().await;
    let auth = issuer.authenticator();
    let old = issuer.sign(&issuer.claims());
    identify(&auth, &old).await.unwrap();
    issuer.rotate("k2");
    let new = issuer.sign(&issuer.claims());
    // It has just been asked.
    assert!(matches!(identify(&auth, &new).await, Err(Unauthorized::Refused(why)) if why.contains("no key")));
    tokio::time::pause();
    tokio::time::advance(REFETCH_UNKNOWN).await;
    tokio::time::resume();
    identify(&auth, &new).await.unwrap();
    assert_eq!(issuer.fetched(), 2);
    // Its key is gone, and with it what was known of its tokens.
    assert!(identify(&auth, &old).await.is_err());
    for made_up in ["k3", "k4"] {
        issuer.rotate(made_up);
        assert!(identify(&auth, &issuer.sign(&issuer.claims())).await.is_err());
    }
    assert_eq!(issuer.fetched(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_away_takes_no_key_along() {
    let issuer = Issuer::start().await;
    let auth = issuer.authenticator();
    issuer.shared.down.store(true, Ordering::Relaxed);
    let token = issuer.sign(&issuer.claims());
    assert_eq!(identify(&auth, &token).await, Err(Unauthorized::Unavailable), "nobody can say");
    issuer.shared.down.store(false, Ordering::Relaxed);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    identify(&auth, &token).await.unwrap();
    issuer.shared.down.store(true, Ordering::Relaxed);
    let mut claims = issuer.claims();
    claims["sub"] = json!("eve");
    assert!(identify(&auth, &issuer.sign(&claims)).await.is_ok());
}

#[tokio::test]
async fn while_an_issuer_says_nothing_everybody_waits_for_one_fetch() {
    let issuer = Issuer::start().await;
    // Connections to it are made, and nobody is there to answer.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let jwks = Some(format!("http://{}/keys", silent.local_addr().unwrap()));
    let agent =
        config::Agent { auth: Auth::Jwt(config::Jwt { jwks, ..issuer.jwt() }), ..config::Agent::default() };
    let auth = Authenticator::new(&agent).unwrap();
    let token = issuer.sign(&issuer.claims());
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let waiting = (0..8).map(|_| identify(&auth, &token));
    for answer in futures_util::future::join_all(waiting).await {
        assert_eq!(answer, Err(Unauthorized::Unavailable));
    }
    assert!(began.elapsed() <= FETCH + Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test]
async fn keys_may_be_in_a_file_or_where_the_issuer_says() {
    let issuer = Issuer::start().await;
    let token = issuer.sign(&issuer.claims());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.shared.keys.lock().unwrap().to_string()).unwrap();
    for jwks in [Some(file.path().display().to_string()), None] {
        let jwt = config::Jwt { jwks, ..issuer.jwt() };
        let agent = config::Agent { auth: Auth::Jwt(jwt), ..config::Agent::default() };
        identify(&Authenticator::new(&agent).unwrap(), &token).await.unwrap();
    }
    assert_eq!(issuer.fetched(), 1);
}

#[tokio::test]
async fn a_users_token_comes_beside_the_agents() {
    let issuer = Issuer::start().await;
    let agent = config::Agent { users: Some(issuer.jwt()), ..config::Agent::default() };
    let auth = Authenticator::new(&agent).unwrap();
    let token = issuer.sign(&issuer.claims());
    let present = |subject| Presented { bearer: None, subject };
    let caller = auth.identify(present(Some(token.as_str()))).await.unwrap();
    assert_eq!((&*caller.agent, caller.subject.unwrap().name()), ("default", "ann"));
    assert_eq!(auth.identify(present(None)).await.unwrap(), Caller::anonymous());
    assert!(matches!(auth.identify(present(Some("x"))).await, Err(Unauthorized::SubjectRefused(_))));
    let without = Authenticator::open();
    assert!(matches!(without.identify(present(Some(&token))).await, Err(Unauthorized::SubjectRefused(_))));
}
