//! The harness: a connector, and the host that a test plays.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{Answered, accept};
use super::check::{check, conforms, parse, violation};
use super::expect::Expectation;
use super::grants::{Grants, Purpose};
use super::script::{Reported, Script};
use crate::bindings::base::exports::ferrata::connector::tools::{Invocation, Tool};
use crate::bindings::base::ferrata::connector::types::Inputs;
use crate::connector::Connector;
use crate::fault::Fault;
use crate::host::native;

/// How long a call may take, unless the test says otherwise.
const REMAINING: Duration = Duration::from_secs(30);

/// A connector under test.
pub struct Harness<S, L> {
    connector: Connector<S, L>,
    tools: Vec<Tool>,
    script: Rc<Script>,
    inputs: Option<Inputs>,
}

/// What a login resulted in, with the secrets' values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Captured values by the field that requests use.
    pub secrets: Vec<(String, String)>,
    /// How long the access token lasts.
    pub expires_in: Option<Duration>,
    /// How long the refresh token lasts.
    pub refresh_expires_in: Option<Duration>,
    /// Scopes that were granted.
    pub scopes: Option<Vec<String>>,
    /// Base URLs by upstream.
    pub base_urls: Vec<(String, String)>,
}

impl<S: DeserializeOwned + JsonSchema, L> Harness<S, L> {
    /// Settings are `{}` at first.
    ///
    /// # Panics
    /// If the host would not load the connector ([`check`]).
    pub fn new(connector: Connector<S, L>) -> Self {
        check(&connector);
        let script = Rc::new(Script {
            grants: Grants::new(parse("the manifest", &connector.manifest())),
            purpose: Cell::new(Purpose::Login),
            settings: RefCell::new(Value::Object(serde_json::Map::new())),
            remaining: RefCell::new(REMAINING),
            subject: RefCell::default(),
            client: RefCell::new(Value::Object(serde_json::Map::new())),
            progress: RefCell::default(),
            expected: RefCell::default(),
            cache: RefCell::default(),
            log: RefCell::default(),
            captured: Rc::default(),
            observed: Rc::default(),
        });
        Self { tools: connector.tools(), connector, script, inputs: None }
    }

    /// The settings from now on.
    ///
    /// # Panics
    /// If they do not satisfy the connector's schema.
    pub fn settings(&mut self, settings: Value) -> &mut Self {
        let manifest = parse("the manifest", &self.connector.manifest());
        conforms("the settings", manifest.get("settings").unwrap_or(&Value::Null), &settings);
        self.script.settings.replace(settings);
        self
    }

    /// For whom calls are made from now on.
    pub fn subject(&mut self, subject: &str) -> &mut Self {
        self.script.subject.replace(Some(subject.to_owned()));
        self
    }

    /// What the agent's client can be asked for from now on: MCP capabilities.
    pub fn client(&mut self, capabilities: Value) -> &mut Self {
        self.script.client.replace(capabilities);
        self
    }

    /// What comes back with the next call: the client's responses by their keys, and the state of the question.
    pub fn inputs(&mut self, responses: Value, state: Option<String>) -> &mut Self {
        self.inputs = Some(Inputs { responses: responses.to_string(), state });
        self
    }

    /// How long calls may take from now on.
    pub fn remaining(&mut self, remaining: Duration) -> &mut Self {
        self.script.remaining.replace(remaining);
        self
    }

    /// The next thing that the connector should do.
    pub fn expect(&mut self, expectation: impl Into<Expectation>) -> &mut Self {
        self.script.expected.borrow_mut().push_back(expectation.into());
        self
    }

    /// Calls a tool and returns its object. Everything that was expected must have happened when it returns.
    ///
    /// # Errors
    /// The tool's fault; `invalid_arguments` if the arguments do not satisfy the tool's schema, as from the host.
    ///
    /// # Panics
    /// If the connector does something else than expected, if the answer is not what the host lets pass, or if it has no object: see
    /// [`answer`](Self::answer).
    pub fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, Fault> {
        self.answer(tool, arguments).map(|answer| answer.into_object(tool))
    }

    /// Calls a tool and returns whatever it answers.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Panics
    /// If the connector does something else than expected, or if the answer is not what the host lets pass.
    pub fn answer(&mut self, tool: &str, arguments: Value) -> Result<Answered, Fault> {
        let mut answers = self.answers(tool, vec![arguments]);
        answers.pop().unwrap_or_else(|| panic!("{tool} returned no result"))
    }

    /// Calls a tool with several invocations at once.
    ///
    /// # Panics
    /// As [`call`](Self::call), and if the batch is larger than the tool's largest.
    pub fn call_batch(&mut self, tool: &str, arguments: Vec<Value>) -> Vec<Result<Value, Fault>> {
        let answers = self.answers(tool, arguments).into_iter();
        answers.map(|answer| answer.map(|answer| answer.into_object(tool))).collect()
    }

    fn answers(&mut self, tool: &str, arguments: Vec<Value>) -> Vec<Result<Answered, Fault>> {
        let Some(spec) = self.tools.iter().find(|spec| spec.name == tool) else { panic!("no tool {tool:?}") };
        let size = arguments.len();
        assert!(size <= spec.max_batch as usize, "{tool} takes batches of {}, not of {size}", spec.max_batch);
        let input = parse("the input schema", &spec.input_schema);
        let output = spec.output_schema.as_ref().map(|schema| parse("the output schema", schema));
        if let Some(problem) = arguments.iter().find_map(|value| violation("the arguments", &input, value)) {
            return arguments.iter().map(|_| Err(Fault::invalid_arguments(problem.clone()))).collect();
        }
        let mut inputs = self.inputs.take();
        let invocations = arguments.iter().enumerate();
        let invocations =
            invocations.map(|(i, arguments)| invocation(i + 1, arguments, inputs.take())).collect();
        let results = self.play(Purpose::Call(spec.effect), |connector| connector.call(tool, invocations));
        assert_eq!(results.len(), size, "{tool} returned another number of results");
        results.into_iter().map(|result| Ok(accept(output.as_ref(), result?))).collect()
    }

    /// Lets the connector do something, with this harness as its host.
    pub(super) fn play<T>(&self, purpose: Purpose, act: impl FnOnce(&Connector<S, L>) -> T) -> T {
        self.script.purpose.set(purpose);
        self.script.progress.borrow_mut().clear();
        let host = Rc::clone(&self.script) as Rc<dyn native::Host>;
        let done = native::with(host, || act(&self.connector));
        self.finish();
        done
    }

    pub(super) fn take_inputs(&mut self) -> Option<Inputs> {
        self.inputs.take()
    }

    /// Logs in. `grant` has a `kind` and the credential's public configuration.
    ///
    /// # Errors
    /// The login's fault.
    ///
    /// # Panics
    /// If the connector does something else than expected, or names a secret that it did not capture.
    pub fn authenticate(&mut self, credential: &str, grant: Value) -> Result<LoggedIn, Fault> {
        self.script.captured.borrow_mut().clear();
        self.script.purpose.set(Purpose::Login);
        let host = Rc::clone(&self.script) as Rc<dyn native::Host>;
        let session =
            native::with(host, || self.connector.authenticate(credential.to_owned(), &grant.to_string()));
        self.finish();
        let session = session?;
        let captured = self.script.captured.borrow();
        let reveal = |(field, name): (String, String)| match captured.iter().find(|(known, _)| *known == name)
        {
            Some((_, value)) => (field, value.clone()),
            None => panic!("the session's {field:?} names {name:?}, which was not captured"),
        };
        Ok(LoggedIn {
            secrets: session.secrets.into_iter().map(reveal).collect(),
            expires_in: session.expires_in,
            refresh_expires_in: session.refresh_expires_in,
            scopes: session.scopes,
            base_urls: session.base_urls,
        })
    }

    /// What the last call reported on its way.
    pub fn progress(&self) -> Vec<Reported> {
        self.script.progress.borrow().clone()
    }

    /// What the connector has read out of answers about the system's limits, as the host hears it.
    pub fn observed(&self) -> Vec<Value> {
        self.script.observed.borrow().clone()
    }

    /// What the connector has logged.
    pub fn log(&self) -> Vec<String> {
        self.script.log.borrow().clone()
    }

    fn finish(&self) {
        let left = self.script.expected.take();
        let left: Vec<String> = left.iter().map(Expectation::summary).collect();
        assert!(left.is_empty(), "expected, and did not happen: {}", left.join(", "));
    }
}

fn invocation(number: usize, arguments: &Value, inputs: Option<Inputs>) -> Invocation {
    Invocation {
        id: format!("call-{number}"),
        arguments: arguments.to_string(),
        idempotency_key: format!("key-{number}"),
        inputs,
    }
}
