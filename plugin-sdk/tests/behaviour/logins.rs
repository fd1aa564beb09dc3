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
        .header("authorization", "Basic base64({{login.client_id}}:{{login.client_secret}})");
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
