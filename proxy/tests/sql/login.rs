//! Who logs in, over what.

use std::sync::{Arc, Mutex};

use ferrata::egress::sql::{Login, LoginSource, SqlSettings, SqlUpstream};
use ferrata::fault::FaultKind;
use ferrata_test_postgres::{DATABASE, HOST, Options, PASSWORD, USER, server_or_skip};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::support::{Database, login, own_settings, read, select, soon, value};

#[tokio::test]
async fn a_rotated_password_needs_no_restart() {
    let Some(database) = Database::new("") else { return };
    database.execute("create role rotating login password 'password-one'");
    let password = Arc::new(Mutex::new("password-one".to_owned()));
    let source: LoginSource = {
        let password = Arc::clone(&password);
        Arc::new(move |_| {
            let password = Zeroizing::new(password.lock().unwrap().clone().into_bytes());
            Ok(Login { user: "rotating".into(), password, version: 1, accepted: Box::new(|| ()) })
        })
    };
    let upstream = database.upstream(|settings| settings.login = source);
    assert_eq!(value(&upstream, "select 1").await, 1);

    database.execute(
        "alter role rotating password 'password-two';
         select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rotating'",
    );
    let fault = select(&upstream, "select 1").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::CredentialDead, "{fault:?}");

    *password.lock().unwrap() = "password-two".to_owned();
    assert_eq!(value(&upstream, "select 1").await, 1);
    // An echo of either password is scrubbed.
    for secret in ["password-one", "password-two"] {
        let fault = select(&upstream, &format!("select '{secret}'::int")).await.unwrap_err();
        assert!(!format!("{fault:?}").contains(secret), "{fault:?}");
    }
}

#[tokio::test]
async fn a_login_that_cannot_be_read_is_said_as_it_is() {
    let Some(database) = Database::new("") else { return };
    let dead = ferrata::fault::Fault::new(FaultKind::CredentialDead, "The password's file is gone.");
    let upstream = database.upstream(|settings| settings.login = Arc::new(move |_| Err(dead.clone())));
    let fault = select(&upstream, "select 1").await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.message.as_str()),
        (FaultKind::CredentialDead, "The password's file is gone.")
    );

    let upstream = database.upstream(|settings| settings.database = "nowhere".into());
    assert_eq!(select(&upstream, "select 1").await.unwrap_err().code.as_deref(), Some("3D000"));
}

/// A certificate authority of the test's own, and a server's certificate from it.
fn certificates(name: &str) -> (CertificateDer<'static>, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.der().clone(), server.pem(), key.serialize_pem())
}

fn trusting(authority: Option<CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authority);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn tls_is_checked_bound_to_the_password_and_used_for_cancelling() {
    let (authority, chain, key) = certificates("localhost");
    // Only TLS gets in.
    let hba = "hostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl postgres nobody 127.0.0.1/32 reject\n";
    let options = Options { tls: Some((chain, key)), hba: Some(hba.to_owned()), ..Options::default() };
    let Some(server) = server_or_skip(&options) else { return };
    let upstream = |host: &str, tls| {
        let hosts = vec![(host.to_owned(), server.port())];
        SqlUpstream::new("shop", SqlSettings::new(hosts, DATABASE, login(USER, PASSWORD), tls)).unwrap()
    };

    let good = upstream("localhost", Some(trusting(Some(authority.clone()))));
    assert_eq!(value(&good, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").await, true);
    let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    let started = async { while value(&good, sleeping).await != 1 {} };
    tokio::select! {
        _ = good.query(read("select pg_sleep(600)", &[]), soon()) => panic!("it slept for ten minutes"),
        () = started => {}
    }
    while value(&good, sleeping).await != 0 {}

    for bad in [
        upstream("localhost", Some(trusting(None))),
        upstream(HOST, Some(trusting(Some(authority)))),
        SqlUpstream::new("shop", own_settings(&server)).unwrap(),
    ] {
        let fault = select(&bad, "select 1").await.unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Unavailable | FaultKind::PermissionDenied), "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_when_tls_is_asked_for() {
    let Some(database) = Database::new("") else { return };
    let upstream = database.upstream(|settings| settings.tls = Some(trusting(None)));
    let fault = select(&upstream, "select 1").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.message.contains("does not support TLS"), "{fault:?}");
}
