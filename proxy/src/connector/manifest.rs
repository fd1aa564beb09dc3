//! What a component says it is and needs, and whether the operator granted it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{self, CredentialKind, Position};
use crate::credential::{
    Credential, Credentials, Exchange, FixedFields, Keeping, Keepings, LOGIN_TIME, Managed, Rotation, Source,
    assertion,
};
use crate::egress::operation::{Effect, Operation, Operations};
use crate::policy::limit::quota::Quota;
use crate::policy::limit::{self, Wall};

/// What a manifest must be; the same file that authors read.
const SCHEMA: &str = include_str!("../../../wit/manifest.schema.json");

/// Largest manifest, in bytes: 512 operations with their walls.
const MAX_MANIFEST_BYTES: usize = 512 << 10;

/// The manifest, as far as this host reads it; `wit/manifest.schema.json` has all of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    settings: Value,
    upstreams: Vec<NeededUpstream>,
    credentials: Vec<NeededCredential>,
    operations: Vec<NeededOperation>,
}

#[derive(Clone, Debug, Deserialize)]
struct NeededUpstream {
    name: String,
    kind: UpstreamKind,
    #[serde(default)]
    description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UpstreamKind {
    Http,
    Sql,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct NeededCredential {
    name: String,
    #[serde(default)]
    description: String,
    fields: Vec<NeededField>,
    upstreams: Vec<String>,
    #[serde(default)]
    login: bool,
    #[serde(default)]
    grants: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct NeededField {
    name: String,
    #[serde(default)]
    optional: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct NeededOperation {
    label: String,
    upstream: String,
    method: String,
    path: String,
    effect: Effect,
    #[serde(default = "one")]
    cost: u64,
    #[serde(default)]
    walls: Vec<NeededWall>,
}

#[derive(Clone, Debug, Deserialize)]
struct NeededWall {
    limit: Quota,
    per: Option<Arc<str>>,
    source: Arc<str>,
}

fn one() -> u64 {
    1
}

impl Manifest {
    /// Reads what `describe` returned.
    pub fn parse(json: &str) -> Result<Self, String> {
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(format!("its manifest has more than {MAX_MANIFEST_BYTES} bytes"));
        }
        let invalid = |e: String| format!("its manifest is not valid: {e}");
        let value: Value = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        let schema = serde_json::from_str(SCHEMA).map_err(|e| invalid(e.to_string()))?;
        let schema = super::schema::compile(&schema).map_err(invalid)?;
        schema.validate(&value).map_err(|e| invalid(format!("at `{}`: {e}", e.instance_path())))?;
        let mut manifest: Self = serde_json::from_value(value).map_err(|e| invalid(e.to_string()))?;
        manifest.imply_sql_logins();
        Ok(manifest)
    }

    /// A database always needs a login, and only the host ever uses it: a connector that names none gets one of its
    /// upstream's name.
    fn imply_sql_logins(&mut self) {
        for upstream in self.upstreams.iter().filter(|u| u.kind == UpstreamKind::Sql) {
            if !self.credentials.iter().any(|c| c.upstreams.contains(&upstream.name)) {
                let field = |name: &str| NeededField { name: name.to_owned(), optional: false };
                self.credentials.push(NeededCredential {
                    name: upstream.name.clone(),
                    description: "the fields `user` and `password`".to_owned(),
                    fields: vec![field("user"), field("password")],
                    upstreams: vec![upstream.name.clone()],
                    login: false,
                    grants: Vec::new(),
                    optional: false,
                    scopes: Vec::new(),
                });
            }
        }
    }

    /// Compares what it asks for with what the operator granted. The error holds every difference, a sentence each.
    pub fn check_grants(&self, config: &config::Connector, can_log_in: bool) -> Result<(), String> {
        let mut found = Vec::new();
        self.check_settings(config, &mut found);
        self.check_upstreams(config, &mut found);
        self.check_credentials(config, can_log_in, &mut found);
        self.check_limits(config, &mut found);
        if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
    }

    fn check_settings(&self, config: &config::Connector, found: &mut Vec<String>) {
        match super::schema::compile(&self.settings) {
            Err(e) => found.push(format!("its settings schema is not valid: {e}")),
            Ok(schema) => {
                let settings = Value::Object(config.settings.clone());
                for error in schema.iter_errors(&settings) {
                    found.push(format!("settings{}: {error}", error.instance_path()));
                }
            }
        }
    }

    fn check_upstreams(&self, config: &config::Connector, found: &mut Vec<String>) {
        for needed in &self.upstreams {
            let granted = config.upstreams.get(&needed.name);
            let kind = granted.map(|u| match u.is_sql() {
                true => UpstreamKind::Sql,
                false => UpstreamKind::Http,
            });
            match kind {
                None => found.push(with_hint(
                    format!("it needs the upstream `{}`: add `upstreams.{0}`", needed.name),
                    &needed.description,
                )),
                Some(kind) if kind != needed.kind => found.push(format!(
                    "its upstream `{}` is of kind {:?}, and the URL is of kind {kind:?}",
                    needed.name, needed.kind
                )),
                Some(_) => {}
            }
        }
        let known: Vec<_> = self.upstreams.iter().map(|u| u.name.as_str()).collect();
        unknown(config.upstreams.keys(), &known, "upstream", found);
    }

    fn check_credentials(&self, config: &config::Connector, can_log_in: bool, found: &mut Vec<String>) {
        for needed in &self.credentials {
            match config.credentials.get(&needed.name) {
                None if needed.optional => {}
                None => found.push(with_hint(
                    format!("it needs the credential `{}`: add `credentials.{0}`", needed.name),
                    &needed.description,
                )),
                Some(granted) => needed.check(granted, can_log_in, found),
            }
        }
        let known: Vec<_> = self.credentials.iter().map(|c| c.name.as_str()).collect();
        unknown(config.credentials.keys(), &known, "credential", found);
    }

    fn check_limits(&self, config: &config::Connector, found: &mut Vec<String>) {
        for (upstream, limits) in &config.limits {
            let labels: Vec<_> = self
                .operations
                .iter()
                .filter(|o| o.upstream == *upstream)
                .map(|o| o.label.as_str())
                .collect();
            let named = limits.walls().iter().filter_map(config::Wall::operation);
            for operation in named.filter(|operation| !labels.contains(operation)) {
                let known = labels.join(", ");
                found.push(format!(
                    "limits.{upstream}: it has no operation `{operation}` there; it knows: {known}"
                ));
            }
        }
    }

    /// The walls that it knows of one upstream.
    pub fn walls(&self, upstream: &str) -> Vec<Wall> {
        let operations = self.operations.iter().filter(|o| o.upstream == upstream);
        let walls = operations.flat_map(|o| {
            o.walls.iter().map(|wall| Wall {
                operation: Some(o.label.as_str().into()),
                per: wall.per.clone(),
                ..Wall::new(wall.limit.clone(), limit::Source::Connector(Arc::clone(&wall.source)))
            })
        });
        walls.collect()
    }

    /// Whether another generation's credentials are for the same things.
    pub fn needs_the_same_credentials(&self, other: &Self) -> bool {
        self.credentials == other.credentials
    }

    /// The operations, with their patterns compiled, and what the operator's walls say of them.
    pub fn operations(&self, config: &config::Connector) -> Result<Operations, String> {
        let compiled = self.operations.iter().map(|o| {
            if !self.upstreams.iter().any(|u| u.name == o.upstream) {
                return Err(format!(
                    "its operation `{}` names the unknown upstream `{}`",
                    o.label, o.upstream
                ));
            }
            Operation::new(&o.label, &o.upstream, &o.method, &o.path, o.effect)
                .map(|operation| operation.charging(o.cost, o.per(config)))
                .map_err(|e| format!("its operation `{}`: {e}", o.label))
        });
        Ok(Operations::new(compiled.collect::<Result<_, _>>()?))
    }

    /// The credentials as granted to the connector of that name. Call after `check_grants`.
    pub fn credentials(
        &self,
        connector: &Arc<str>,
        config: &config::Connector,
        keepings: &Keepings,
    ) -> Result<Credentials, String> {
        let granted = self
            .credentials
            .iter()
            .filter_map(|needed| Some((needed, config.credentials.get(&needed.name)?)))
            .map(|(needed, granted)| needed.granted(connector, granted, keepings));
        let left_out =
            self.credentials.iter().map(|c| &c.name).filter(|name| !config.credentials.contains_key(*name));
        Ok(Credentials::new(granted.collect::<Result<Vec<_>, _>>()?).leaving_out(left_out.cloned()))
    }
}

impl NeededOperation {
    /// The argument that names the resource which one of its walls is about.
    fn per(&self, config: &config::Connector) -> Option<Arc<str>> {
        let limits = config.limits.get(&self.upstream).into_iter().flat_map(config::Limits::walls);
        let operators =
            limits.filter(|wall| wall.operation() == Some(&self.label)).find_map(config::Wall::per);
        operators.map(Arc::from).or_else(|| self.walls.iter().find_map(|wall| wall.per.clone()))
    }
}

impl NeededCredential {
    fn check(&self, granted: &config::Credential, can_log_in: bool, found: &mut Vec<String>) {
        let name = &self.name;
        let known: Vec<_> = self.upstreams.iter().map(String::as_str).collect();
        let what = format!("use of the credential `{name}` for an upstream");
        unknown(granted.upstreams.iter().flatten(), &known, &what, found);
        let may_be_static = self.grants.iter().any(|grant| grant == CredentialKind::Static.name());
        if !self.login || (may_be_static && granted.kind == CredentialKind::Static) {
            if granted.kind != CredentialKind::Static {
                found.push(format!("its credential `{name}` takes no login: the kind must be `static`"));
            }
            for field in self.fields.iter().filter(|f| !f.optional && !granted.fields.contains_key(&f.name)) {
                found.push(format!("the credential `{name}` needs the field `{}`", field.name));
            }
            let known: Vec<_> = self.fields.iter().map(|f| f.name.as_str()).collect();
            unknown(granted.fields.keys(), &known, &format!("field of the credential `{name}`"), found);
            return;
        }
        if !can_log_in {
            found.push(format!("its credential `{name}` needs a login, and it exports no `authenticator`"));
        }
        if !self.grants.iter().any(|g| g == granted.kind.name()) {
            let grants = self.grants.join(", ");
            let kind = granted.kind.name();
            found.push(format!("its credential `{name}` cannot be of kind `{kind}`; it knows {grants}"));
        }
    }

    fn granted(
        &self,
        connector: &Arc<str>,
        granted: &config::Credential,
        keepings: &Keepings,
    ) -> Result<Credential, String> {
        let positions = match &granted.positions {
            Some(positions) => positions.iter().map(|p| p.parse()).collect::<Result<_, _>>()?,
            None => vec![Position::Header(http::header::AUTHORIZATION)],
        };
        let fields = granted.fields.iter();
        let sources: BTreeMap<_, _> = fields.map(|(n, f)| (n.clone(), Source::from(f))).collect();
        let name: Arc<str> = self.name.as_str().into();
        let upstreams = granted.upstreams.as_ref().unwrap_or(&self.upstreams).clone();
        let overlap = granted.overlap.map_or(Duration::ZERO, |overlap| overlap.0);
        let fields = FixedFields::new(sources).overlapping(overlap);
        let is_login = granted.kind != CredentialKind::Static;
        let fields = Arc::new(if is_login { fields.judged(assertion::judge) } else { fields });
        let issued = granted.issued.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let issued = issued.map(|midnight| midnight.timestamp());
        let rotation = granted.rotation().map(|every| Rotation::new(every, issued));
        let credential =
            Credential::fixed(Arc::clone(&name), upstreams, positions, granted.sign, Arc::clone(&fields))
                .rotated(rotation, Arc::clone(&keepings.sightings))
                .needing(self.scopes.clone());
        if granted.kind == CredentialKind::Static {
            return Ok(credential);
        }
        let login_time = granted.login_timeout.map_or(LOGIN_TIME, |time| time.0);
        if granted.is_per_user() {
            let (connector, kind) = (Arc::clone(connector), granted.kind);
            return Ok(credential.of_users(Exchange { connector, name, kind, fields, login_time }));
        }
        let keeping = if granted.must_be_kept() {
            keepings.durable().map_err(|why| format!("the credential `{name}` cannot be kept: {why}"))?
        } else {
            Keeping::in_memory()
        };
        let credential = credential.managed(Managed {
            connector: Arc::clone(connector),
            name,
            kind: granted.kind,
            fields,
            extra: Default::default(),
            login_time,
            keeping,
        });
        credential.manager().into_iter().for_each(|manager| keepings.managers.follow(manager));
        Ok(credential)
    }
}

fn with_hint(mut sentence: String, hint: &str) -> String {
    if !hint.is_empty() {
        let _ = write!(sentence, " ({hint})");
    }
    sentence
}

fn unknown<'a>(names: impl Iterator<Item = &'a String>, known: &[&str], what: &str, found: &mut Vec<String>) {
    for name in names.filter(|n| !known.contains(&n.as_str())) {
        let known = known.join(", ");
        found.push(format!(
            "it has no {what} `{name}`; it knows: {}",
            if known.is_empty() { "none" } else { &known }
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_compiles_and_its_example_is_a_manifest() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let example = Manifest::parse(&schema["examples"][0].to_string()).unwrap();
        assert_eq!(example.name, "chat");
        let config = serde_json::from_str(r#"{"component":"chat.wasm"}"#).unwrap();
        assert!(example.operations(&config).is_ok());
        let walls = example.walls("api");
        assert_eq!((&*walls[0].name, walls[0].per.as_deref()), ("1/s", Some("channel")));
    }

    #[test]
    fn a_manifest_against_the_schema_is_refused_with_the_place() {
        let manifest = r#"{"name":"Bad Name","version":"1","settings":{},"upstreams":[],"credentials":[],"operations":[]}"#;
        assert!(Manifest::parse(manifest).unwrap_err().contains("/name"));
    }
}
