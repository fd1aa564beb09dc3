//! What a connector needs from its operator: upstreams and credentials.

use serde::Serialize;

/// A system that requests name; the operator says where it is.
#[derive(Clone, Debug, Serialize)]
pub struct Upstream {
    name: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
}

impl Upstream {
    /// Spoken to by HTTP.
    pub const fn http(name: &'static str) -> Self {
        Self { name, kind: "http", description: None }
    }

    /// A PostgreSQL database.
    pub const fn sql(name: &'static str) -> Self {
        Self { name, kind: "sql", description: None }
    }

    /// For the operator: what the address should be.
    pub const fn describe(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }
}

/// A credential that the operator configures. Requests name its fields as secrets: `<name>.<field>`.
#[derive(Clone, Debug, Serialize)]
pub struct Credential {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    fields: Vec<Field>,
    upstreams: Vec<&'static str>,
    login: bool,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    grants: &'static [&'static str],
    optional: bool,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    scopes: &'static [&'static str],
}

#[derive(Clone, Debug, Serialize)]
struct Field {
    name: &'static str,
    optional: bool,
}

impl Credential {
    /// One whose fields the operator provides, such as an API key; they may be written towards that upstream.
    pub fn fixed(name: &'static str, upstream: &'static str) -> Self {
        Self {
            name,
            description: None,
            fields: Vec::new(),
            upstreams: vec![upstream],
            login: false,
            grants: &[],
            optional: false,
            scopes: &[],
        }
    }

    /// One whose fields come from the connector's login, by one of those grants (`client-credentials`, `refresh-token`,
    /// `jwt-bearer`, `token-exchange`); with `static` among them, the operator may provide the fields as well.
    pub fn login(name: &'static str, upstream: &'static str, grants: &'static [&'static str]) -> Self {
        Self { login: true, grants, ..Self::fixed(name, upstream) }
    }

    /// A field that requests use.
    pub fn field(mut self, name: &'static str) -> Self {
        self.fields.push(Field { name, optional: false });
        self
    }

    /// A field that need not be there.
    pub fn optional_field(mut self, name: &'static str) -> Self {
        self.fields.push(Field { name, optional: true });
        self
    }

    /// A further upstream towards which the fields may be written.
    pub fn also_for(mut self, upstream: &'static str) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// For the operator: where to get it.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// The connector is of use without it.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// What the tools need, in the system's own words.
    pub fn scopes(mut self, scopes: &'static [&'static str]) -> Self {
        self.scopes = scopes;
        self
    }
}
