//! A connector whose system has a login of its own: any grant of OAuth, as the operator chooses.

use ferrata_sdk::prelude::*;

const GRANTS: &[&str] = &["client-credentials", "refresh-token", "jwt-bearer", "token-exchange"];

const TOKEN: Operation = Operation::post("api", "token", "/token");
const WHOAMI: Operation = Operation::get("api", "whoami", "/whoami");

/// Says who the system takes the caller for.
#[input]
struct Whoami {}

#[data]
struct Identity {
    name: String,
}

fn whoami(cx: &Cx<NoSettings>, _: Whoami) -> Result<Identity, Fault> {
    cx.request(&WHOAMI).bearer("account.access_token").send()?.json()
}

fn log_in(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    oauth::TokenEndpoint::new(TOKEN).login(cx, login)
}

fn connector() -> Connector<NoSettings, WithLogin> {
    Connector::new("login", env!("CARGO_PKG_VERSION"))
        .describe("A system with a login of its own.")
        .upstream(Upstream::http("api"))
        .credential(Credential::login("account", "api", GRANTS).field("access_token").scopes(&["read"]))
        .operations(&[TOKEN])
        .tool(tool("whoami", &WHOAMI, whoami))
        .login(log_in)
}

ferrata_sdk::export!(connector, login);
