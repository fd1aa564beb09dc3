//! Secrets by name, and the parts that headers and bodies are made of.
//!
//! A guest never sees a secret. It says where one belongs and under which encoding, and the host writes it there
//! while it sends the request, if the operator allows that position.

use crate::bindings::base::ferrata::connector::types as wire;
pub use wire::Encoding;

/// A secret that only the host knows: `credential.field` as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

/// The secret of that name, `credential.field` ("bot.token").
pub fn secret(name: impl Into<String>) -> Secret {
    Secret(name.into())
}

impl Secret {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The same secret, form-encoded before whatever encoding it stands in. Of a configured one: a captured secret has no such form.
    pub fn form_encoded(self) -> Self {
        Self(format!("{};form", self.0))
    }
}

/// A run of bytes: known to the guest, or a secret.
#[derive(Clone, Debug)]
pub struct Atom(pub(crate) wire::Atom);

impl From<Secret> for Atom {
    fn from(secret: Secret) -> Self {
        Self(wire::Atom::Secret(secret.0))
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self(wire::Atom::Bytes(text.into()))
    }
}

impl From<String> for Atom {
    fn from(text: String) -> Self {
        Self(wire::Atom::Bytes(text.into()))
    }
}

impl From<Vec<u8>> for Atom {
    fn from(bytes: Vec<u8>) -> Self {
        Self(wire::Atom::Bytes(bytes))
    }
}

/// Parts of a header value or of a body, one after the other.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// let authorization = Parts::new().raw("Token token=").raw(secret("desk.token"));
/// let basic = Parts::new().raw("Basic ").encoded(Encoding::Base64, ["bot:".into(), secret("desk.password").into()]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parts(pub(crate) Vec<wire::Part>);

impl Parts {
    /// No parts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes or a secret as they are.
    pub fn raw(self, atom: impl Into<Atom>) -> Self {
        self.encoded(Encoding::Raw, [atom.into()])
    }

    /// Appends atoms that are encoded together.
    pub fn encoded(mut self, encoding: Encoding, atoms: impl IntoIterator<Item = Atom>) -> Self {
        self.0.push(wire::Part { encoding, atoms: atoms.into_iter().map(|atom| atom.0).collect() });
        self
    }

    /// The value of an `Authorization` header for HTTP Basic (RFC 7617), both halves as they are. A token endpoint wants them [form-encoded
    /// first](Secret::form_encoded), which [`oauth`](crate::oauth) does.
    pub fn basic(user: impl Into<Atom>, password: impl Into<Atom>) -> Self {
        Self::new().raw("Basic ").encoded(Encoding::Base64, [user.into(), ":".into(), password.into()])
    }
}

impl<T: Into<Atom>> From<T> for Parts {
    fn from(atom: T) -> Self {
        Self::new().raw(atom)
    }
}

/// A form (`application/x-www-form-urlencoded`) whose values may be secrets.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// let form = Form::new().field("grant_type", "client_credentials").field("client_secret", secret("login.client_secret"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Form(Parts);

impl Form {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a field.
    pub fn field(self, name: &str, value: impl Into<Atom>) -> Self {
        let Self(parts) = self;
        let parts = if parts.0.is_empty() { parts } else { parts.raw("&") };
        Self(parts.encoded(Encoding::Form, [name.into()]).raw("=").encoded(Encoding::Form, [value.into()]))
    }

    /// Appends a field if there is a value.
    pub fn optional(self, name: &str, value: Option<impl Into<Atom>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }
}

impl From<Form> for Parts {
    fn from(Form(parts): Form) -> Self {
        parts
    }
}
