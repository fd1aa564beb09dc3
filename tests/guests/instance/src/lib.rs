//! A connector for a system whose token endpoint has Salesforce's manners: it does not say how long a token lasts, and it does say where the
//! system is.

use ferrata_sdk::prelude::*;

const GRANTS: &[&str] = &["client-credentials", "refresh-token", "jwt-bearer"];

const TOKEN: Operation = Operation::post("login", "oauth.token", "/services/oauth2/token");
const LIMITS: Operation = Operation::get("api", "limits", "/services/data/v67.0/limits");

/// How long a session lasts that nobody uses, unless the org's settings say otherwise.
const SESSION: Duration = Duration::from_secs(2 * 60 * 60);

/// Says how many calls the org has left today.
#[input]
struct CallsLeft {}

#[data]
struct Left {
    calls: u64,
}

#[answer]
struct Limits {
    #[serde(rename = "DailyApiRequests")]
    daily: Daily,
}

#[answer]
struct Daily {
    #[serde(rename = "Remaining")]
    remaining: u64,
}

#[answer]
struct Refusal {
    #[serde(rename = "errorCode")]
    code: String,
}

fn calls_left(cx: &Cx<NoSettings>, _: CallsLeft) -> Result<Left, Fault> {
    let limits: Limits = cx.request(&LIMITS).bearer("account.access_token").send()?.json()?;
    Ok(Left { calls: limits.daily.remaining })
}

/// Errors are a list, and a limit is a 403 among them.
fn meaning(response: &Response) -> Verdict {
    let refusals: Vec<Refusal> = match response.status() {
        200..=299 => return Verdict::Ok,
        _ => response.json().unwrap_or_default(),
    };
    match refusals.first().map(|refusal| refusal.code.as_str()) {
        Some("INVALID_SESSION_ID") => Verdict::Unauthenticated,
        Some("REQUEST_LIMIT_EXCEEDED") => Verdict::throttled(response.retry_after()),
        Some(code) if response.status() < 500 => {
            Verdict::Rejected(Fault::rejected("The org refuses it.").with_code(code))
        }
        _ => Verdict::by_status(response),
    }
}

fn log_in(cx: &Cx<NoSettings>, login: &Login) -> Result<Session, Fault> {
    oauth::TokenEndpoint::new(TOKEN).lifetime(SESSION).base_url("api", "/instance_url").login(cx, login)
}

fn connector() -> Connector<NoSettings, WithLogin> {
    let account = Credential::login("account", "api", GRANTS).also_for("login").field("access_token");
    Connector::new("instance", env!("CARGO_PKG_VERSION"))
        .describe("A system whose login says where it is.")
        .upstream(Upstream::http("login").describe("Where logins are made."))
        .upstream(Upstream::http("api").describe("Where the org may be: https://*.my.salesforce.com"))
        .credential(account)
        .operations(&[TOKEN])
        .tool(tool("calls_left", &LIMITS, calls_left))
        .classify(meaning)
        .login(log_in)
}

ferrata_sdk::export!(connector, login);
