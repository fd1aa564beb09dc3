//! The grants of OAuth 2, and a login of a system's own.

use ferrata_sdk::oauth::{ClientAuth, TokenEndpoint};
use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Harness, post};

const TOKEN: Operation = Operation::post("login", "oauth.token", "/oauth/token");
const RECORDS: Operation = Operation::get("api", "records", "/records");
const GRANTS: &[&str] = &["client-credentials", "refresh-token", "jwt-bearer", "token-exchange"];

/// Lists records.
#[input]
struct List {}

fn list(cx: &Cx<NoSettings>, _: List) -> Result<Page<u32>, Fault> {
    cx.request(&RECORDS).bearer("login.access_token").send()?.json()
}

fn crm(authenticate: ferrata_sdk::Authenticate<NoSettings>) -> Harness<NoSettings, WithLogin> {
    let connector = Connector::new("crm", "1.0.0")
        .upstream(Upstream::http("api"))
        .upstream(Upstream::http("login"))
        .credential(Credential::login("login", "api", GRANTS).also_for("login").field("access_token"))
        .operations(&[TOKEN])
        .tool(tool("list", &RECORDS, list))
        .login(authenticate);
    Harness::new(connector)
}

fn by_body(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    TokenEndpoint::new(TOKEN).login(cx, login)
}

fn by_header(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    TokenEndpoint::new(TOKEN).client_auth(ClientAuth::Basic).login(cx, login)
}

fn granted() -> Answer {
    let answer = json!({ "access_token": "at-1", "refresh_token": "rt-2", "expires_in": 3600, "scope": "read write", "token_type": "Bearer" });
    Answer::json(200, answer)
}

#[test]
fn tokens_are_captured_and_what_is_known_about_them_is_said() {
    let mut crm = crm(by_body);
    let form =
        "grant_type=client_credentials&scope=read+write&client_id=c1&client_secret={{login.client_secret}}";
    crm.expect(post("/oauth/token").body(form).answer(granted()));
    let grant = json!({ "kind": "client-credentials", "client_id": "c1", "scope": "read write" });
    let session = crm.authenticate("login", grant).unwrap();
    let secrets = [("access_token", "at-1"), ("refresh_token", "rt-2")];
    assert_eq!(session.secrets, secrets.map(|(field, value)| (field.to_owned(), value.to_owned())));
    assert_eq!(session.expires_in, Some(Duration::from_secs(3600)));
    assert_eq!(session.scopes.unwrap(), ["read", "write"]);
}

#[test]
fn a_client_may_authenticate_by_header_and_keep_its_id_in_a_file() {
    let mut crm = crm(by_header);
    let request = post("/oauth/token")
        .header("authorization", "Basic base64({{login.client_id;form}}:{{login.client_secret;form}})");
    let form = "grant_type=refresh_token&refresh_token={{login.refresh_token}}";
    crm.expect(request.body(form).answer(granted()));
    crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap();
}

#[test]
fn an_assertion_is_signed_by_the_host_and_needs_no_secret() {
    let mut crm = crm(by_body);
    let form =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={{jwt(login.key,{})}}";
    crm.expect(post("/oauth/token").body(form).answer(granted()));
    crm.authenticate("login", json!({ "kind": "jwt-bearer" })).unwrap();
}

fn public_client(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    TokenEndpoint::new(TOKEN).client_auth(ClientAuth::None).login(cx, login)
}

#[test]
fn the_operator_says_how_the_client_authenticates() {
    let assertion = "client_id=c1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={{jwt(login.client_key,{})}}";
    for (method, client) in [
        ("private_key_jwt", assertion),
        ("client_secret_post", "client_id=c1&client_secret={{login.client_secret}}"),
        ("none", "client_id=c1"),
    ] {
        let mut crm = crm(by_header);
        crm.expect(
            post("/oauth/token").body(&format!("grant_type=client_credentials&{client}")).answer(granted()),
        );
        let grant = json!({ "kind": "client-credentials", "client_id": "c1", "client_auth": method });
        crm.authenticate("login", grant).unwrap();
    }
    let mut crm = crm(public_client);
    let request = post("/oauth/token")
        .header("authorization", "Basic base64(c1:{{login.client_secret;form}})")
        .body("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={{jwt(login.key,{})}}");
    crm.expect(request.answer(granted()));
    let grant = json!({ "kind": "jwt-bearer", "client_id": "c1", "client_auth": "client_secret_basic" });
    crm.authenticate("login", grant).unwrap();
    let grant = json!({ "kind": "client-credentials", "client_id": "c1", "client_auth": "tls_client_auth" });
    assert_eq!(crm.authenticate("login", grant).unwrap_err().path(), Some("/client_auth"));
}

#[test]
fn a_token_is_exchanged_for_what_the_operator_asks() {
    let mut crm = crm(public_client);
    let form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={{login.subject_token}}\
        &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&audience=crm&scope=read&client_id=c1";
    crm.expect(post("/oauth/token").body(form).answer(granted()));
    let token_type = "urn:ietf:params:oauth:token-type:jwt";
    let grant = json!({ "kind": "token-exchange", "client_id": "c1", "subject_token_type": token_type, "audience": "crm", "scope": "read" });
    crm.authenticate("login", grant).unwrap();
}

fn with_scope_claimed(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    TokenEndpoint::new(TOKEN).claims(&["scope"]).login(cx, login)
}

#[test]
fn an_assertion_claims_what_the_endpoint_wants_there() {
    let mut crm = crm(with_scope_claimed);
    let form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={{jwt(login.key,{\"scope\":\"read\"})}}&scope=read";
    crm.expect(post("/oauth/token").body(form).answer(granted()));
    crm.authenticate("login", json!({ "kind": "jwt-bearer", "scope": "read" })).unwrap();
}

#[test]
fn an_answer_that_names_no_scopes_granted_what_was_asked_for() {
    let mut crm = crm(by_body);
    let answer = json!({ "access_token": "at", "expires_in": "3600", "refresh_token_expires_in": 86_400 });
    crm.expect(post("/oauth/token").answer(Answer::json(200, answer)));
    let grant = json!({ "kind": "client-credentials", "client_id": "c1", "scope": "read" });
    let session = crm.authenticate("login", grant).unwrap();
    assert_eq!(session.scopes.unwrap(), ["read"]);
    assert_eq!(session.expires_in, Some(Duration::from_secs(3600)));
    assert_eq!(session.refresh_expires_in, Some(Duration::from_secs(86_400)));
}

#[test]
fn a_refusal_under_another_status_is_one_and_a_page_of_something_on_the_way_is_not() {
    let refusal = json!({ "error": "bad_refresh_token" });
    for status in [200, 401, 403] {
        let mut crm = crm(by_body);
        crm.expect(post("/oauth/token").answer(Answer::json(status, refusal.clone())));
        let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
        assert_eq!((fault.kind(), fault.code()), (FaultKind::Rejected, Some("bad_refresh_token")));
    }
    let mut crm = crm(by_body);
    crm.expect(post("/oauth/token").answer(Answer::status(403)));
    let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unavailable);
}

#[test]
fn a_refused_grant_is_final_and_keeps_its_code() {
    let mut crm = crm(by_body);
    let refusal = json!({ "error": "invalid_grant", "error_description": "expired" });
    crm.expect(post("/oauth/token").answer(Answer::json(400, refusal)));
    let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
    assert_eq!((fault.kind(), fault.code()), (FaultKind::Rejected, Some("invalid_grant")));
    assert_eq!(fault.upstream_text(), Some("expired"));
}

#[test]
fn a_provider_that_is_down_is_not_a_dead_credential() {
    for down in [Answer::status(502), Answer::json(400, json!({ "error": "temporarily_unavailable" }))] {
        let mut crm = crm(by_body);
        crm.expect(post("/oauth/token").answer(down));
        let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unavailable);
    }
}

#[test]
fn an_answer_without_a_token_is_no_session() {
    let mut crm = crm(by_body);
    crm.expect(post("/oauth/token").answer(Answer::json(200, json!({ "access_token": null }))));
    let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::SchemaMismatch, Some("/access_token")));
}

#[test]
fn an_unknown_grant_is_refused() {
    let fault = crm(by_body).authenticate("login", json!({ "kind": "password" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::InvalidArguments, Some("/kind")));
}

/// A system that says where the account is, and does not say how long a token lasts.
fn at_instance(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    let endpoint = TokenEndpoint::new(TOKEN).lifetime(Duration::from_hours(2));
    endpoint.refresh_lifetime(Duration::from_hours(90 * 24)).base_url("api", "/instance_url").login(cx, login)
}

#[test]
fn what_an_answer_leaves_out_or_adds_is_said_of_the_endpoint() {
    let mut crm = crm(at_instance);
    let answer = json!({ "access_token": "at", "instance_url": "https://eu7.crm.example" });
    crm.expect(post("/oauth/token").answer(Answer::json(200, answer)));
    let session = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap();
    assert_eq!(session.base_urls, [("api".to_owned(), "https://eu7.crm.example".to_owned())]);
    assert_eq!(session.expires_in, Some(Duration::from_hours(2)));
    assert_eq!(session.refresh_expires_in, None, "there is no new refresh token");

    crm.expect(post("/oauth/token").answer(granted()));
    let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
    assert_eq!((fault.kind(), fault.path()), (FaultKind::SchemaMismatch, Some("/instance_url")));
}

/// A system that answers 200 whatever it means, and puts a user's tokens aside.
fn ok_false(response: &Response) -> Verdict {
    #[answer]
    struct Said {
        ok: bool,
        error: Option<String>,
    }
    match response.json() {
        Ok(Said { ok: false, error: Some(error) }) => match error.as_str() {
            "invalid_refresh_token" => oauth::refused("invalid_grant", Some(error)),
            "internal_error" => Verdict::Transient,
            code => oauth::refused(code, None),
        },
        _ => Verdict::by_status(response),
    }
}

fn of_user(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    let endpoint = TokenEndpoint::new(TOKEN).classify(ok_false);
    endpoint.tokens("/authed_user/access_token", "/authed_user/refresh_token").login(cx, login)
}

#[test]
fn a_system_that_refuses_in_its_own_words_is_understood() {
    let mut crm = crm(of_user);
    let refused = |error| Answer::json(200, json!({ "ok": false, "error": error }));
    for (answer, kind, code) in [
        ("invalid_refresh_token", FaultKind::Rejected, Some("invalid_grant")),
        ("bad_client_secret", FaultKind::Rejected, Some("bad_client_secret")),
        ("internal_error", FaultKind::Unavailable, None),
    ] {
        crm.expect(post("/oauth/token").answer(refused(answer)));
        let fault = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap_err();
        assert_eq!((fault.kind(), fault.code()), (kind, code));
    }
    let answer = json!({ "ok": true, "authed_user": { "access_token": "at", "refresh_token": "rt" } });
    crm.expect(post("/oauth/token").answer(Answer::json(200, answer)));
    let session = crm.authenticate("login", json!({ "kind": "refresh-token" })).unwrap();
    assert_eq!(session.secrets[1], ("refresh_token".to_owned(), "rt".to_owned()));
}

/// A system whose answer says more than OAuth's.
fn own(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    #[answer]
    struct Where {
        instance_url: String,
    }
    let response =
        TokenEndpoint::new(TOKEN).request(cx, login)?.capture_header("cookie", "x-session").send()?;
    let answer: Where = response.json()?;
    Ok(Session::of(&response).expires_in(Duration::from_secs(7200)).base_url("api", answer.instance_url))
}

#[test]
fn a_login_of_its_own_reads_the_rest_of_the_answer() {
    let mut crm = crm(own);
    let answer = json!({ "access_token": "at", "instance_url": "https://eu7.crm.example" });
    crm.expect(post("/oauth/token").answer(Answer::json(200, answer).header("x-session", "s1")));
    let session = crm.authenticate("login", json!({ "kind": "jwt-bearer" })).unwrap();
    assert_eq!(session.base_urls, [("api".to_owned(), "https://eu7.crm.example".to_owned())]);
    assert!(session.secrets.contains(&("cookie".to_owned(), "s1".to_owned())));
}
