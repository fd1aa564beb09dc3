//! Systems that break the rules of HTTP: each call ends as a typed fault, and the next one works.

use ferrata_tests::connectors::{self, GUEST_TOKEN};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Outcome;
use ferrata_tests::rude::{Manner, Rude};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::{done, fault, idle};

/// For calls whose answer never ends. Tests do not measure it.
const TIMEOUT_MS: u64 = 400;

/// A request to another system would be seen by the second upstream.
struct Scene {
    rude: Rude,
    other: Upstream,
    ferrata: Ferrata,
}

impl Scene {
    async fn start() -> Self {
        let (rude, other) = (Rude::start(None).await.unwrap(), Upstream::start().await.unwrap());
        // What one exchange comes to: a second one would hide it.
        let once = json!({ "attempts": 1 });
        let api = json!({ "url": rude.url(), "max_response": "64KiB", "retry": once });
        let ferrata = probe(&other, api).await;
        Self { rude, other, ferrata }
    }

    async fn read(&self) -> Outcome {
        read(&self.ferrata).await
    }

    /// What a call comes to in the face of that; afterwards everything is as before.
    async fn meets(&self, manner: Manner) -> Outcome {
        self.rude.next(manner);
        let outcome = self.read().await;
        assert_eq!(done(self.read().await), json!({ "text": "fine" }), "after {outcome:?}");
        idle(&self.ferrata).await;
        outcome
    }
}

async fn probe(other: &Upstream, api: Value) -> Ferrata {
    let setup = Setup::new().unwrap();
    let mut connector = connectors::probe(&setup, other).unwrap();
    connector["upstreams"]["api"] = api;
    Ferrata::start(setup.connector("probe", connector)).await.unwrap()
}

async fn read(ferrata: &Ferrata) -> Outcome {
    ferrata.mcp().call("probe_read", json!({})).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let scene = Scene::start().await;
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".to_vec();
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n".to_vec();
    for manner in [
        Manner::Reset(begun.clone()),
        Manner::Leave(begun),
        Manner::Leave(chunk),
        Manner::Leave(Vec::new()),
        Manner::Leave(b"220 mail.example ESMTP\r\n".to_vec()),
    ] {
        let unanswered = fault(scene.meets(manner).await, "unavailable");
        assert_eq!(unanswered.data["outcome"], "unknown", "{unanswered:?}");
    }
}

#[tokio::test]
async fn bytes_beyond_an_answer_are_not_the_answer_of_the_next_call() {
    let scene = Scene::start().await;
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let two = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345{forged}");
    let first = scene.meets(Manner::Say(two.into_bytes())).await;
    assert_eq!(done(first), json!({ "text": "12345" }));
}

#[tokio::test]
async fn a_length_that_is_said_twice_is_no_answer() {
    let scene = Scene::start().await;
    let torn = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n123456".to_vec();
    fault(scene.meets(Manner::Leave(torn)).await, "unavailable");
}

#[tokio::test]
async fn headers_have_an_end() {
    let scene = Scene::start().await;
    for endless in [
        Manner::Endless("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n"),
        Manner::Endless("HTTP/1.1 200 OK\r\nx-long: ", "and longer "),
    ] {
        fault(scene.meets(endless).await, "unavailable");
    }
    scene.rude.is_left_by(2).await.unwrap();
}

#[tokio::test]
async fn a_body_has_a_largest_size_whatever_it_announces() {
    let scene = Scene::start().await;
    for endless in [
        Manner::Endless("HTTP/1.1 200 OK\r\n\r\n", "and more "),
        Manner::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "5\r\n12345\r\n"),
        Manner::Endless("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "and more "),
    ] {
        let large = fault(scene.meets(endless).await, "schema_mismatch");
        assert!(large.sentence.contains("65536"), "{large:?}");
    }
    scene.rude.is_left_by(3).await.unwrap();
}

#[tokio::test]
async fn a_drip_ends_with_the_deadline() {
    let scene = Scene::start().await;
    scene.rude.next(Manner::Drip("HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n"));
    let hints = Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(TIMEOUT_MS))]);
    let late = scene.ferrata.mcp().call_with("probe_read", json!({}), hints).await.unwrap();
    fault(late, "deadline_exceeded");
    scene.rude.is_left_by(1).await.unwrap();
    assert_eq!(done(scene.read().await), json!({ "text": "fine" }));
    idle(&scene.ferrata).await;
}

#[tokio::test]
async fn a_secret_is_found_however_an_answer_is_cut() {
    let scene = Scene::start().await;
    let echo = format!("you are Bearer {GUEST_TOKEN}, it seems");
    for size in [1, 7, echo.len()] {
        let chunks = echo.as_bytes().chunks(size).map(|chunk| String::from_utf8_lossy(chunk).into_owned());
        let chunks: String = chunks.map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        let cut = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
        let told = done(scene.meets(Manner::Say(cut.into_bytes())).await);
        assert_eq!(told, json!({ "text": "you are Bearer [redacted], it seems" }), "{size}");
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let scene = Scene::start().await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let there = scene.other.url();
        let away = format!("HTTP/1.1 {status}\r\nlocation: {there}/read/x\r\ncontent-length: 4\r\n\r\naway");
        assert_eq!(done(scene.meets(Manner::Say(away.into_bytes())).await), json!({ "text": "away" }));
    }
    assert_eq!(scene.other.seen().len(), 0, "a redirect was followed");
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_not_passed_on() {
    let scene = Scene::start().await;
    let packed = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00";
    fault(scene.meets(Manner::Say(packed.to_vec())).await, "schema_mismatch");
}

/// A server's side of TLS with a certificate for that name that speaks these protocols, and the authority's certificate as PEM.
pub fn certificate(name: &str, protocols: &[&str]) -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

#[tokio::test]
async fn a_certificate_is_from_a_trusted_authority_and_for_the_right_name() {
    let other = Upstream::start().await.unwrap();
    for (name, trusted, expected) in [
        ("localhost", true, "ok"),
        ("localhost", false, "unavailable"),
        ("elsewhere.example", true, "unavailable"),
    ] {
        let (tls, authority) = certificate(name, &[]);
        let rude = Rude::start(Some(tls)).await.unwrap();
        let setup = Setup::new().unwrap();
        let mut connector = connectors::probe(&setup, &other).unwrap();
        let api = &mut connector["upstreams"]["api"];
        api["url"] = format!("https://localhost:{}", rude.port()).into();
        if trusted {
            api["ca"] = json!(setup.file("authority.pem", authority).unwrap());
        }
        let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
        let outcome = read(&ferrata).await;
        assert_eq!(outcome.kind(), expected, "{name}, {trusted}: {outcome:?}");
        if let Outcome::Fault(fault) = outcome {
            assert_eq!(fault.data["outcome"], "not_sent", "{fault:?}");
        }
        idle(&ferrata).await;
    }
}
