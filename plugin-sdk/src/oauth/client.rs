//! How a client says who it is.

use crate::fault::Fault;
use crate::login::Login;
use crate::request::encode;
use crate::secret::{Atom, Form, Parts};

/// How the client says who it is. The operator's `client_auth`, a public field of the credential, goes before what the connector says: it
/// is one of the names that OAuth has registered for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`: `Authorization: Basic`, both halves form-encoded first (RFC 6749, 2.3.1).
    Basic,
    /// `client_secret_post`: `client_id` and `client_secret` in the form.
    #[default]
    Body,
    /// `private_key_jwt`: an assertion that the host signs with the credential's `client_key`, for its `client_audience` (RFC 7523, 2.2).
    PrivateKeyJwt,
    /// `none`: the `client_id` alone. A public client.
    None,
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl ClientAuth {
    /// The form with what the client adds to it, or the value of `Authorization`.
    pub(super) fn identify(self, login: &Login, form: Form) -> Result<(Form, Option<Parts>), Fault> {
        let said = login.text("client_auth").map(named).transpose()?;
        // An assertion of a grant says who the client is, too (RFC 7523, 2.1).
        if said.is_none() && login.kind() == "jwt-bearer" {
            return Ok((form, None));
        }
        let id = client_id(login);
        Ok(match said.unwrap_or(self) {
            Self::None => (form.field("client_id", id), None),
            Self::Body => {
                (form.field("client_id", id).field("client_secret", login.secret("client_secret")), None)
            }
            Self::Basic => {
                let secret = login.secret("client_secret").form_encoded();
                (form, Some(Parts::basic(form_encoded_id(login), secret)))
            }
            Self::PrivateKeyJwt => {
                let form = form.field("client_id", id).field("client_assertion_type", ASSERTION_TYPE);
                (form.field("client_assertion", login.client_assertion()?), None)
            }
        })
    }
}

fn named(name: &str) -> Result<ClientAuth, Fault> {
    match name {
        "client_secret_basic" => Ok(ClientAuth::Basic),
        "client_secret_post" => Ok(ClientAuth::Body),
        "private_key_jwt" => Ok(ClientAuth::PrivateKeyJwt),
        "none" => Ok(ClientAuth::None),
        _ => Err(Fault::invalid_arguments(format!("There is no client authentication {name:?}."))
            .with_path("/client_auth")),
    }
}

/// The client's id is public configuration, or a secret if the operator keeps it in a file.
fn client_id(login: &Login) -> Atom {
    login.text("client_id").map_or_else(|| login.secret("client_id").into(), Atom::from)
}

fn form_encoded_id(login: &Login) -> Atom {
    let encoded = |id: &str| {
        let mut encoded = String::new();
        encode(id, &mut encoded);
        Atom::from(encoded)
    };
    login.text("client_id").map_or_else(|| login.secret("client_id").form_encoded().into(), encoded)
}
