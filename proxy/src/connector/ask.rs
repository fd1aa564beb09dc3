//! What is asked of a connector besides calls of its tools: a resource, or values for an argument. Runs like a call that only reads.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::bindings::types::{self, Completion, Document, DocumentBody};
use super::host::{Run, Tickets};
use super::resource::{ResourceSpec, Variables, check_mime_type, check_path, uri};
use super::sandbox::Sandbox;
use super::{Connector, stamp};
use crate::call::{Caller, Client, Deadline, Trail};
use crate::egress::operation::Effect;
use crate::egress::scope::{Purpose, Scope};
use crate::fault::{Fault, FaultKind, quotable};
use crate::telemetry::TraceContext;

/// Most documents that reading one resource may give: those in a folder, say.
const MAX_DOCUMENTS: usize = 256;

/// Most values that an agent gets for one argument: as many as MCP allows.
const MAX_VALUES: usize = 100;

/// Longest value for an argument, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 10;

/// A request that the gate has let through.
#[derive(Debug)]
pub struct Asked {
    pub caller: Caller,
    pub deadline: Deadline,
    pub trace: TraceContext,
    pub client: Client,
    /// Where it is noted what is sent.
    pub trail: Trail,
}

/// What has been typed of a value, and what has been chosen before.
#[derive(Debug)]
pub struct Typed {
    pub value: String,
    pub known: Variables,
}

impl Connector {
    /// Reads what the agent knows as `asked_uri`; the MCP `contents`: an array of documents. Dropping the future stops the guest.
    pub async fn read(
        &self,
        resource: &ResourceSpec,
        asked_uri: &str,
        variables: &Variables,
        asked: Asked,
    ) -> Result<Box<RawValue>, Fault> {
        let indices = self.sandboxes.loaded.resources.as_ref().ok_or_else(gone)?;
        let documents = self.ask(asked, async |sandbox| {
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            guest.call_read(&mut sandbox.store, &resource.path, variables).await
        });
        self.contents(documents.await?, asked_uri).map_err(|why| self.broke(&resource.uri, &why))
    }

    /// Values for a variable of a family of resources; the MCP `completion`.
    pub async fn complete_resource(
        &self,
        resource: &ResourceSpec,
        variable: &str,
        typed: &Typed,
        asked: Asked,
    ) -> Result<Box<RawValue>, Fault> {
        let indices = self.sandboxes.loaded.resources.as_ref().ok_or_else(gone)?;
        let completion = self.ask(asked, async |sandbox| {
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            let Typed { value, known } = typed;
            guest.call_complete(&mut sandbox.store, &resource.path, variable, value, known).await
        });
        values(completion.await?).map_err(|why| self.broke(&resource.uri, &why))
    }

    pub(super) async fn ask<R>(
        &self,
        asked: Asked,
        work: impl AsyncFnOnce(&mut Sandbox) -> wasmtime::Result<Result<R, types::Fault>>,
    ) -> Result<R, Fault> {
        let purpose = Purpose::Call { ceiling: Effect::Read };
        let scope = Scope::new(purpose, asked.caller, asked.deadline, asked.trace);
        let scope = Arc::new(scope.noting(asked.trail));
        let answer = self.sandboxes.run(Arc::clone(&scope), async |sandbox| {
            sandbox.store.data_mut().run.client = asked.client;
            let answer = work(sandbox).await?;
            let run: &mut Run = &mut sandbox.store.data_mut().run;
            // The sandbox may be kept; the client is gone.
            run.client = Client::default();
            Ok(answer.map_err(|fault| run.host_view(fault)))
        });
        answer.await.and_then(|answer| answer).map_err(|fault| stamp(fault, &scope))
    }

    /// The documents as the agent gets them, if they are what documents must be. The error is a sentence's end.
    fn contents(&self, documents: Vec<Document>, asked_uri: &str) -> Result<Box<RawValue>, String> {
        let (count, bound) = (documents.len(), self.sandboxes.runtime.bounds.result);
        if count == 0 || count > MAX_DOCUMENTS {
            return Err(format!("{count} documents, which is none or more than {MAX_DOCUMENTS}"));
        }
        let bytes: usize = documents.iter().map(size).sum();
        if bytes > bound {
            return Err(format!("documents of {bytes} bytes; at most {bound}"));
        }
        let contents = documents.iter().map(|document| self.content(document, asked_uri));
        let contents: Vec<_> = contents.collect::<Result<_, _>>()?;
        serde_json::value::to_raw_value(&contents).map_err(|e| e.to_string())
    }

    fn content<'a>(&self, document: &'a Document, asked_uri: &'a str) -> Result<Content<'a>, String> {
        let uri = match &document.path {
            None => Cow::Borrowed(asked_uri),
            Some(path) => {
                check_path(path).map_err(|why| format!("a document at `{}`: {why}", quotable(path)))?;
                Cow::Owned(uri(&self.name, path))
            }
        };
        document.mime_type.as_deref().map_or(Ok(()), check_mime_type)?;
        let (text, blob) = match &document.body {
            DocumentBody::Text(text) => (Some(text.as_str()), None),
            DocumentBody::Blob(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Ok(Content { uri, mime_type: document.mime_type.as_deref(), text, blob })
    }

    pub(super) fn broke(&self, what: &str, why: &str) -> Fault {
        let message = format!("The connector `{}` broke the promise of `{what}`: {why}.", self.name);
        Fault::new(FaultKind::ConnectorFailed, message)
    }
}

/// One document, as MCP writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    uri: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
}

fn size(document: &Document) -> usize {
    match &document.body {
        DocumentBody::Text(text) => text.len(),
        DocumentBody::Blob(bytes) => bytes.len(),
    }
}

/// Nothing is listed that cannot be asked for.
pub(super) fn gone() -> Fault {
    Fault::internal("a connector offers what it does not export")
}

/// The values as the agent gets them. The error is a sentence's end.
pub(super) fn values(mut completion: Completion) -> Result<Box<RawValue>, String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values {
        values: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u32>,
        has_more: bool,
    }
    let has_more = completion.has_more || completion.values.len() > MAX_VALUES;
    completion.values.truncate(MAX_VALUES);
    if completion.values.iter().any(|value| value.len() > MAX_VALUE_BYTES) {
        return Err(format!("a value of more than {MAX_VALUE_BYTES} bytes for an argument"));
    }
    let values = Values { values: completion.values, total: completion.total, has_more };
    serde_json::value::to_raw_value(&values).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_gets_as_many_values_as_it_may_and_hears_of_the_others() {
        let completion = |count: usize, length: usize, has_more| Completion {
            values: vec!["x".repeat(length); count],
            total: None,
            has_more,
        };
        let few = values(completion(2, 1, false)).unwrap();
        assert_eq!(few.get(), r#"{"values":["x","x"],"hasMore":false}"#);
        let many = values(completion(MAX_VALUES + 1, 1, false)).unwrap();
        let many: serde_json::Value = serde_json::from_str(many.get()).unwrap();
        assert_eq!((many["values"].as_array().unwrap().len(), &many["hasMore"]), (MAX_VALUES, &true.into()));
        assert!(values(completion(1, MAX_VALUE_BYTES + 1, false)).is_err());
    }
}
