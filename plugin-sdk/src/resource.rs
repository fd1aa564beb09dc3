//! Resources: what an agent can read without calling a tool, each a function with a path.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::base::ferrata::connector::types as base;
use crate::bindings::resources::exports::ferrata::connector::resources as wire;
use crate::completion::{Completes, Suggestions, Typed, named};
use crate::cx::Cx;
use crate::fault::Fault;

type Variables = Vec<(String, String)>;
type Read<S> = Box<dyn Fn(&Cx<S>, Variables) -> Result<Vec<Document>, Fault>>;

/// One resource, or a family of them.
///
/// The agent knows it as `<connector>://<path>`: the host puts the connector's name before the path and takes it away again.
pub struct Resource<S> {
    path: &'static str,
    name: &'static str,
    title: Option<&'static str>,
    description: Option<&'static str>,
    mime_type: Option<&'static str>,
    size: Option<u64>,
    read: Read<S>,
    completes: Completes<S>,
}

/// A resource that is one function.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// const RATES: Operation = Operation::get("api", "rates", "/rates");
///
/// fn rates(cx: &Cx<NoSettings>) -> Result<Document, Fault> {
///     Ok(Document::text("text/csv", cx.request(&RATES).send()?.text()))
/// }
///
/// fn resources() -> Vec<Resource<NoSettings>> {
///     vec![resource("rates", "Today's rates", rates).mime_type("text/csv")]
/// }
/// ```
///
/// A connector offers them with `export!(connector, resources: resources)`, and declares their operations with
/// [`Connector::operations`](crate::Connector::operations).
pub fn resource<S, D: Into<Vec<Document>>>(
    path: &'static str,
    name: &'static str,
    read: impl Fn(&Cx<S>) -> Result<D, Fault> + 'static,
) -> Resource<S> {
    Resource::new(path, name, Box::new(move |cx, _| Ok(read(cx)?.into())))
}

/// A family of resources: `{name}` in the path stands for one segment, `{+name}` at its end for the rest. `V` has a member of type
/// `String` for each; their values are decoded.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// const TICKET: Operation = Operation::get("api", "tickets.get", "/tickets/{id}");
///
/// #[answer]
/// struct Ticket {
///     id: String,
/// }
///
/// fn ticket(cx: &Cx<NoSettings>, ticket: Ticket) -> Result<Document, Fault> {
///     Ok(Document::text("application/json", cx.request(&TICKET).segment("id", &ticket.id).send()?.text()))
/// }
///
/// fn resources() -> Vec<Resource<NoSettings>> {
///     vec![resource_template("tickets/{id}", "A ticket", ticket).describe("A ticket with its comments.")]
/// }
/// ```
pub fn resource_template<S, V: DeserializeOwned, D: Into<Vec<Document>>>(
    path: &'static str,
    name: &'static str,
    read: impl Fn(&Cx<S>, V) -> Result<D, Fault> + 'static,
) -> Resource<S> {
    let read = move |cx: &Cx<S>, variables: Variables| {
        Ok(read(cx, named(variables, "The resource's path")?)?.into())
    };
    Resource::new(path, name, Box::new(read))
}

impl<S> Resource<S> {
    fn new(path: &'static str, name: &'static str, read: Read<S>) -> Self {
        let (title, description, mime_type, size) = (None, None, None, None);
        Self { path, name, title, description, mime_type, size, read, completes: Completes::none() }
    }

    /// A name for people.
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// For the model: what it is, when to read it.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// What reading it gives, if that is always the same ("text/markdown").
    pub fn mime_type(mut self, mime_type: &'static str) -> Self {
        self.mime_type = Some(mime_type);
        self
    }

    /// In bytes, if it is known.
    pub fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Suggests values for a variable of the path while a person types.
    pub fn complete(
        mut self,
        variable: &'static str,
        complete: impl Fn(&Cx<S>, &Typed) -> Result<Suggestions, Fault> + 'static,
    ) -> Self {
        self.completes.add(variable, complete);
        self
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    pub(crate) fn read(&self, cx: &Cx<S>, variables: Variables) -> Result<Vec<Document>, Fault> {
        (self.read)(cx, variables)
    }

    pub(crate) fn completion(&self, cx: &Cx<S>, variable: &str, typed: &Typed) -> Result<Suggestions, Fault> {
        self.completes.suggest(cx, variable, typed)
    }

    pub(crate) fn to_wire(&self) -> wire::Entry {
        let text = |text: Option<&str>| text.map(str::to_owned);
        wire::Entry {
            path: self.path.to_owned(),
            name: self.name.to_owned(),
            title: text(self.title),
            description: text(self.description),
            mime_type: text(self.mime_type),
            size: self.size,
            completes: self.completes.arguments().map(str::to_owned).collect(),
            options: None,
        }
    }
}

/// What reading a resource gives, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    path: Option<String>,
    mime_type: String,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Text(String),
    Bytes(Vec<u8>),
}

impl Document {
    /// A text of that media type ("text/markdown").
    pub fn text(mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: None, mime_type: mime_type.into(), body: Body::Text(text.into()) }
    }

    /// Bytes of that media type ("image/png"), as they are.
    pub fn bytes(mime_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: None, mime_type: mime_type.into(), body: Body::Bytes(bytes.into()) }
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// `connector_failed` if it cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, Fault> {
        let text = serde_json::to_string(value)
            .map_err(|error| Fault::broken(format!("A document cannot be written as JSON: {error}.")))?;
        Ok(Self::text("application/json", text))
    }

    /// Says what this is, as a path like that of a resource, where it is not (all of) what was asked for.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Its media type.
    pub fn mime_type(&self) -> &str {
        &self.mime_type
    }

    /// Its text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.body {
            Body::Text(text) => Some(text),
            Body::Bytes(_) => None,
        }
    }
}

/// For functions that give one document.
impl From<Document> for Vec<Document> {
    fn from(document: Document) -> Self {
        vec![document]
    }
}

impl From<Document> for base::Document {
    fn from(Document { path, mime_type, body }: Document) -> Self {
        let body = match body {
            Body::Text(text) => base::DocumentBody::Text(text),
            Body::Bytes(bytes) => base::DocumentBody::Blob(bytes),
        };
        Self { path, mime_type: Some(mime_type), body }
    }
}
