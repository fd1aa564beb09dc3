//! What a schema cannot say: relations between values, and what is not built yet.

mod credentials;
mod kept;
mod walls;

use super::{
    Auth, BaseUrl, Config, Connector, Jwt, MAX_CALL_SANDBOXES, MAX_MEMORY_BYTES, Sandbox, SqlUrl, State,
    Upstream, key_address,
};
use crate::egress::operation::Effect;

/// What comes first in the names of Ferrata's own tools.
const OWN: &str = "ferrata";

/// How a Redis is reached.
const REDIS_SCHEMES: [&str; 3] = ["redis://", "rediss://", "redis+unix://"];

/// Every mistake as JSON Pointer and message.
pub fn mistakes(config: &Config) -> Vec<(String, String)> {
    let mut found = Found::default();
    agent(config, &mut found);
    if let State::Redis(state) = &config.state {
        if !REDIS_SCHEMES.iter().any(|scheme| state.redis.starts_with(scheme)) {
            found.add("/state/redis", format!("must start with one of {}", REDIS_SCHEMES.join(", ")));
        }
        if config.replicas != 1 {
            found.add("/replicas", "with a shared state the walls are shared and not divided: leave it out");
        }
    }
    sandbox("/sandbox", &config.sandbox, &mut found);
    for (name, connector) in &config.connectors {
        connector_name(name, &mut found);
        self::connector(&format!("/connectors/{name}"), connector, &mut found);
    }
    credentials::users(config, &mut found);
    sandboxes(config, &mut found);
    walls::shared_accounts(config, &mut found);
    kept::refresh_tokens(config, &mut found);
    access(config, &mut found);
    found.0
}

#[derive(Default)]
struct Found(Vec<(String, String)>);

impl Found {
    fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push((pointer.into(), message.into()));
    }

    fn not_yet(&mut self, pointer: impl Into<String>, what: &str) {
        self.add(pointer, format!("not yet: {what}"));
    }
}

fn agent(config: &Config, found: &mut Found) {
    let agent = &config.agent;
    match &agent.auth {
        Auth::None if !agent.listen.ip().is_loopback() => {
            found.add(
                "/agent/auth",
                "`none` is only for loopback: on another address anybody would be the agent",
            );
        }
        Auth::None | Auth::Tokens(_) => {}
        Auth::Jwt(jwt) => {
            self::jwt("/agent/auth/jwt", jwt, found);
            if config.access.is_none() {
                found.add(
                    "/agent/auth/jwt",
                    "needs a section `access`: without one, every client of the issuer might call everything",
                );
            }
            if agent.users.is_some() {
                found.add("/agent/users", "with `auth: { jwt: … }` the agent's own token names the user");
            }
        }
    }
    if let Some(users) = &agent.users {
        jwt("/agent/users", users, found);
    }
    if let Some(control) = &config.admin.control {
        let loopback = control.parse::<std::net::SocketAddr>().map(|a| a.ip().is_loopback());
        if loopback == Ok(false) || (loopback.is_err() && !control.starts_with('/')) {
            found.add(
                "/admin/control",
                "must be the absolute path of a unix socket, or a loopback address and port",
            );
        }
    }
}

fn jwt(at: &str, jwt: &Jwt, found: &mut Found) {
    let address = match (&jwt.jwks, jwt.jwks_file()) {
        (Some(_), Some(_)) => return,
        (Some(address), None) => ("jwks", address),
        // They are looked for below it.
        (None, _) => ("issuer", &jwt.issuer),
    };
    if let Err(reason) = key_address(address.1) {
        found.add(format!("{at}/{}", address.0), format!("{reason}; or name a file, starting with / or ./"));
    }
}

fn sandbox(at: &str, sandbox: &Sandbox, found: &mut Found) {
    if sandbox.memory.0 > MAX_MEMORY_BYTES {
        found.add(format!("{at}/memory"), format!("a sandbox has at most {} MiB", MAX_MEMORY_BYTES >> 20));
    }
    if sandbox.cpu.0.is_zero() {
        found.add(format!("{at}/cpu"), "no time is no call");
    }
    if sandbox.parked > sandbox.concurrent.or(sandbox.parked) {
        found.add(format!("{at}/parked"), "more than `concurrent` bounds nothing");
    }
}

/// No connector may be able to take the places of the others.
fn sandboxes(config: &Config, found: &mut Found) {
    let all: usize = config.connectors.values().map(|c| config.sandboxes(c).1).sum();
    if all > MAX_CALL_SANDBOXES {
        let message = format!(
            "the `concurrent` of all connectors make {all} sandboxes; a process has {MAX_CALL_SANDBOXES} for calls: lower `concurrent` here or under `sandbox` of the connectors that need fewer"
        );
        found.add("/sandbox/concurrent", message);
    }
}

/// The first underscore of a tool's name divides connector and tool.
fn connector_name(name: &str, found: &mut Found) {
    let valid = (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !valid {
        found.add(
            format!("/connectors/{name}"),
            format!("`{name}` cannot be a connector's name: 1 to 32 of a-z, 0-9 and `-` (no underscore)"),
        );
    }
    if name == OWN {
        found.add(
            format!("/connectors/{name}"),
            format!("`{OWN}_…` are Ferrata's own tools: use another name"),
        );
    }
}

fn connector(at: &str, connector: &Connector, found: &mut Found) {
    if connector.component.starts_with("oci:") {
        found.not_yet(format!("{at}/component"), "name a file; OCI references are not built");
    }
    if connector.mapping.is_some() {
        found.not_yet(format!("{at}/mapping"), "this section is not built");
    }
    if let Some(bounds) = &connector.sandbox {
        sandbox(&format!("{at}/sandbox"), bounds, found);
    }
    walls::limits(at, connector, found);
    for (name, upstream) in &connector.upstreams {
        self::upstream(&format!("{at}/upstreams/{name}"), upstream, found);
    }
    credentials::credentials(at, &connector.credentials, found);
}

fn upstream(at: &str, upstream: &Upstream, found: &mut Found) {
    let sql = upstream.is_sql();
    walls::policies(at, upstream, found);
    if !sql && upstream.sql.is_some() {
        found.add(format!("{at}/sql"), "only an upstream with a `postgres:` URL has a `sql` section");
    }
    let parsed = if sql {
        SqlUrl::parse(&upstream.url).map(|_| ())
    } else {
        BaseUrl::parse(&upstream.url).map(|_| ())
    };
    if let Err(reason) = parsed {
        found.add(format!("{at}/url"), reason);
    }
}

fn access(config: &Config, found: &mut Found) {
    for (agent, access) in config.access.iter().flatten() {
        for (tool, schema) in &access.arguments {
            if let Err(e) = jsonschema::meta::validate(schema) {
                let tool = tool.replace('~', "~0").replace('/', "~1");
                found.add(format!("/access/{agent}/arguments/{tool}"), format!("not a JSON Schema: {e}"));
            }
        }
        for (index, name) in access.confirm.iter().enumerate().filter(|(_, name)| !may_be_confirmed(name)) {
            let effects = Effect::ALL.map(Effect::name).join("`, `");
            found.add(
                format!("/access/{agent}/confirm/{index}"),
                format!(
                    "`{name}` is neither a tool (`<connector>_<tool>`) nor one of the effects `{effects}`"
                ),
            );
        }
    }
}

/// Every tool's name has an underscore.
fn may_be_confirmed(name: &str) -> bool {
    name.contains(['_', '*']) || Effect::ALL.iter().any(|effect| effect.name() == name)
}
