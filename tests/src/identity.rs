//! A real identity provider: npm `oidc-provider`, configured by `tests/clients/identity_provider.mjs`, with an API behind it that takes its tokens.

use std::path::Path;
use std::process::Stdio;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::http::{Answer, Client};
use crate::{Result, artifacts, wait};

/// The script, below the workspace.
const SCRIPT: &str = "tests/clients/identity_provider.mjs";

/// A running provider. Dropping it kills the process.
#[derive(Debug)]
pub struct IdentityProvider {
    /// Its standard input, which it ends with, lives here.
    _child: Child,
    url: String,
}

impl IdentityProvider {
    /// Starts on a free port, with what the script calls a configuration. `installed` is the folder of `tests/clients/install`.
    ///
    /// # Errors
    /// When it does not start; it has then said why on standard error.
    pub async fn start(installed: &Path, configuration: &Value) -> Result<Self> {
        let mut command = Command::new(installed.join(artifacts::NODE));
        command.arg(artifacts::workspace().join(SCRIPT)).arg(configuration.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let line = tokio::time::timeout(wait::PATIENCE, BufReader::new(output).lines().next_line()).await??;
        let said: Value = serde_json::from_str(&line.ok_or("the identity provider did not start")?)?;
        let url = said["url"].as_str().ok_or("the identity provider does not say where it is")?;
        Ok(Self { url: url.to_owned(), _child: child })
    }

    /// Its issuer identifier, which is also the base URL of everything else.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A refresh token of a new family, as a person's consent would give it.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn seed(&self, client: &str, account: &str) -> Result<String> {
        let seed = json!({ "client": client, "account": account });
        let answer = Client::new(&self.url).post("/test/seed", &seed).await?.json();
        Ok(answer["refresh_token"].as_str().ok_or_else(|| answer.to_string())?.to_owned())
    }

    /// An access token of that client for an account, as a person's consent would give it: a JWT for `audience`, signed by `algorithm`.
    ///
    /// # Errors
    /// When there is no such client.
    pub async fn token(
        &self,
        client: &str,
        account: &str,
        audience: &str,
        algorithm: &str,
    ) -> Result<String> {
        let asked =
            json!({ "client": client, "account": account, "resource": resource(audience, algorithm) });
        access_token(&Client::new(&self.url).post("/test/token", &asked).await?)
    }

    /// The same for the client itself, which it asks for with its secret.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn own_token(&self, client: &str, secret: &str, resource: Option<&str>) -> Result<String> {
        let resource = resource.map(|resource| format!("&resource={resource}")).unwrap_or_default();
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope=read{resource}"
        );
        let http = Client::new(&self.url).with("content-type", "application/x-www-form-urlencoded")?;
        access_token(&http.send(Method::POST, "/token", form.into()).await?)
    }

    /// Signs with other keys from now on.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn rotate_keys(&self) -> Result<()> {
        Client::new(&self.url).post("/test/rotate", &json!({})).await?;
        Ok(())
    }

    /// How it treats token requests from now on; `{}` is well. Answers that were held are let go.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn behave(&self, behaviour: &Value) -> Result<()> {
        Client::new(&self.url).post("/test/behave", behaviour).await?;
        Ok(())
    }

    /// What has happened so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn seen(&self) -> Result<Value> {
        Ok(Client::new(&self.url).get("/test/seen").await?.json())
    }
}

/// What a JWT is asked for by: the provider's name for a system with that audience, whose tokens are signed by `algorithm`.
pub fn resource(audience: &str, algorithm: &str) -> String {
    format!("urn:test:{audience}:{algorithm}")
}

fn access_token(answer: &Answer) -> Result<String> {
    let said = answer.json();
    Ok(said["access_token"].as_str().ok_or_else(|| answer.text())?.to_owned())
}
