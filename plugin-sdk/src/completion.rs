//! Suggestions for an argument while a person types it, and the arguments that come as texts by name.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::base::ferrata::connector::types as wire;
use crate::cx::Cx;
use crate::fault::Fault;

type Complete<S> = Box<dyn Fn(&Cx<S>, &Typed) -> Result<Suggestions, Fault>>;

/// Texts by their names, as a type of the author's. `what` is said of those that do not fit.
pub(crate) fn named<T: DeserializeOwned>(texts: Vec<(String, String)>, what: &str) -> Result<T, Fault> {
    let members: Map<_, _> = texts.into_iter().map(|(name, text)| (name, Value::from(text))).collect();
    serde_json::from_value(Value::Object(members))
        .map_err(|error| Fault::invalid_arguments(format!("{what}: {error}.")))
}

/// What suggests values, by the argument's name.
pub(crate) struct Completes<S>(Vec<(&'static str, Complete<S>)>);

impl<S> Completes<S> {
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    pub fn add(
        &mut self,
        argument: &'static str,
        complete: impl Fn(&Cx<S>, &Typed) -> Result<Suggestions, Fault> + 'static,
    ) {
        self.0.push((argument, Box::new(complete)));
    }

    pub fn arguments(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(argument, _)| *argument)
    }

    /// Nothing is suggested for an argument that has none.
    pub fn suggest(&self, cx: &Cx<S>, argument: &str, typed: &Typed) -> Result<Suggestions, Fault> {
        match self.0.iter().find(|(name, _)| *name == argument) {
            Some((_, complete)) => complete(cx, typed),
            None => Ok(Suggestions::default()),
        }
    }
}

/// What has been typed.
#[derive(Clone, Debug)]
pub struct Typed {
    value: String,
    known: Vec<(String, String)>,
}

impl Typed {
    pub(crate) fn new(value: String, known: Vec<(String, String)>) -> Self {
        Self { value, known }
    }

    /// The beginning of the value; may be empty.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value of another argument, if it has been chosen before.
    pub fn known(&self, argument: &str) -> Option<&str> {
        self.known.iter().find(|(name, _)| name == argument).map(|(_, value)| value.as_str())
    }

    /// Those of `values` that begin with what was typed, whatever the case.
    pub fn matching<V: Into<String>>(&self, values: impl IntoIterator<Item = V>) -> Suggestions {
        let typed = self.value.to_lowercase();
        let values = values.into_iter().map(Into::into);
        Suggestions::new(values.filter(|value: &String| value.to_lowercase().starts_with(&typed)))
    }
}

/// What an argument may be, the likeliest first. An agent sees the first 100.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// The values.
    pub values: Vec<String>,
    /// How many there are in all, if that is known.
    pub total: Option<u32>,
    /// Whether there are more than these.
    pub has_more: bool,
}

impl Suggestions {
    /// These, and no others.
    pub fn new(values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { values: values.into_iter().map(Into::into).collect(), total: None, has_more: false }
    }

    /// There are more.
    pub fn and_more(mut self) -> Self {
        self.has_more = true;
        self
    }
}

impl From<Suggestions> for wire::Completion {
    fn from(Suggestions { values, total, has_more }: Suggestions) -> Self {
        Self { values, total, has_more }
    }
}
