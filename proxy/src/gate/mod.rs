//! Who may call what, with which arguments, and for how long.
//!
//! Owns the catalogue of tools, what each agent may see of it, and the validation of arguments. How a caller proves who it is, is
//! `auth`'s; running the call is the connector's.

mod access;
mod ask;
mod auth;
mod catalog;
mod changes;
mod confirm;
mod fallbacks;
mod record;
mod reserve;
mod seal;
mod spelling;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;

pub use access::AccessRules;
pub use ask::{Completing, PromptRequest};
pub use auth::{Authenticator, Presented, Unauthorized, named};
pub use catalog::{Catalog, Found, Listing, Slot, Target, Tool};
pub use changes::{Changes, List};
use record::CallRecord;
pub use record::MALFORMED;
use seal::{Bound, Memory, Seals, Stage};

use crate::audit::Audit;
use crate::call::{Answered, Ask, Caller, Client, Consent, Deadline, Inputs, ToolCall, ToolResult};
use crate::connector::Admitted;
use crate::egress::operation::Effect;
use crate::fault::{Fault, FaultKind, Outcome, quotable};
use crate::flow::{Flow, Going};
use crate::memory;
use crate::telemetry::metric;

/// Most mistakes in arguments that one fault names.
const MAX_NAMED_MISTAKES: usize = 5;

/// Largest arguments, in bytes, of which every mistake is looked for.
const MAX_BYTES_FOR_ALL_MISTAKES: usize = 16 << 10;

/// How often the host holds the arguments of a call while it is made: the body, the arguments, their value, and what goes to the guest.
const COPIES_OF_ARGUMENTS: usize = 4;

/// What an object, however small, takes in the host's memory, in bytes: a leaf of its map has room for eleven members.
const OBJECT_BYTES: usize = 640;

/// What every further value takes beside its text, in bytes.
const VALUE_BYTES: usize = 64;

/// Longest idempotency key that an agent may bring, in bytes: what the common systems take.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Before an idempotency key: an earlier call with it may have been done.
const RESUMES: &str = "ferrata-resume:";

/// The gate.
pub struct Gate {
    auth: Authenticator,
    catalog: ArcSwap<Catalog>,
    flow: Flow,
    changes: watch::Sender<Changes>,
    seals: Seals,
    used: confirm::Used,
    reservations: reserve::Reservations,
    audit: Audit,
    /// Why what the operator wrote is not in force.
    problem: ArcSwapOption<String>,
}

/// A state that is not Ferrata's, belongs elsewhere, is too old, or was a consent that is used up.
#[derive(Debug)]
pub struct UnusableState;

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    pub fn new(auth: Authenticator, catalog: Catalog, audit: Audit) -> Self {
        let (catalog, changes) = (ArcSwap::from_pointee(catalog), watch::Sender::default());
        let (flow, seals) = (Flow::default(), Seals::new());
        let (used, reservations) = (confirm::Used::default(), reserve::Reservations::default());
        let problem = ArcSwapOption::empty();
        Self { auth, catalog, flow, changes, seals, used, reservations, audit, problem }
    }

    /// Who a request comes from, and for whom.
    pub async fn identify(&self, presented: Presented<'_>) -> Result<Caller, Unauthorized> {
        self.auth.identify(presented).await.inspect_err(|why| {
            metrics::counter!(metric::UNAUTHORIZED, "reason" => why.label()).increment(1);
        })
    }

    /// What an endpoint at that address says of itself to clients that look for a token (RFC 9728), if it wants one of an issuer.
    pub fn metadata(&self, here: &str) -> Option<Value> {
        self.auth.metadata(here)
    }

    /// What this caller may see.
    pub fn tools(&self, caller: &Caller) -> Arc<Listing> {
        self.catalog.load().listing(&caller.agent)
    }

    /// The tool that a call is of, if its caller may see it; that it may not is written down, as calls are. A tool of a connector that is not
    /// loaded is found, and answers `unavailable`.
    pub fn tool(&self, name: &str, call: &ToolCall) -> Option<Arc<Tool>> {
        let catalog = self.catalog.load();
        let found = catalog.tool(&call.caller.agent, name);
        if found.is_none() {
            match catalog.tool_of_anybody(name) {
                Some(tool) => record::refused(&self.audit, &tool, call, record::NOT_ALLOWED),
                None => record::no_such_tool(&self.audit, name, call),
            }
        }
        found
    }

    /// Writes down what names itself a call of that tool and is turned away before it is one, for the reason that `outcome` names.
    pub fn note_turned_away(&self, name: Option<&str>, ask: &Ask, outcome: &'static str) {
        let tool = name.and_then(|name| self.catalog.load().tool_of_anybody(name));
        record::turned_away(&self.audit, tool.as_deref(), name, ask, outcome);
    }

    /// How often each list has changed.
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// Puts another catalogue in place; calls that are under way keep theirs.
    pub fn replace(&self, catalog: Catalog) {
        let old = self.catalog.swap(Arc::new(catalog));
        let new = self.catalog.load();
        self.changes.send_if_modified(|changes| {
            let before = std::mem::replace(changes, changes.between(&old, &new));
            *changes != before
        });
    }

    /// Notes why what the operator wrote is not in force, for the status.
    pub fn say_problem(&self, problem: Option<String>) {
        self.problem.store(problem.map(Arc::new));
    }

    /// Why what the operator wrote is not in force.
    pub fn problem(&self) -> Option<Arc<String>> {
        self.problem.load_full()
    }

    /// Where calls are written down.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The catalogue in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Opens the state that a call brings back, if it does, and gives it the idempotency key that it began with. The error says nothing more
    /// than that the state cannot be used, which is written down.
    pub fn recall(&self, tool: &Tool, call: &mut ToolCall) -> Result<(), UnusableState> {
        let recalled = self.open_state(tool, call);
        recalled.inspect_err(|_| record::refused(&self.audit, tool, call, record::UNUSABLE_STATE))
    }

    fn open_state(&self, tool: &Tool, call: &mut ToolCall) -> Result<(), UnusableState> {
        let Some(Inputs { state: Some(state), .. }) = &mut call.inputs else { return Ok(()) };
        let arguments: Value = serde_json::from_str(call.arguments.get()).map_err(|_| UnusableState)?;
        let bound = Bound { target: &tool.name, caller: &call.caller, arguments: &arguments };
        let memory = self.seals.open(&bound, state).ok_or(UnusableState)?;
        if memory.stage.ticket().is_some_and(|ticket| !self.used.spend(ticket)) {
            return Err(UnusableState);
        }
        call.idempotency_key.get_or_insert(memory.idempotency_key);
        let inputs = call.inputs.take();
        match memory.stage {
            // What was answered was Ferrata's own question.
            Stage::Asked(_) => call.consent = inputs.as_ref().map(confirm::consent).unwrap_or_default(),
            Stage::Free | Stage::Agreed(_) => {
                if matches!(memory.stage, Stage::Agreed(_)) {
                    call.consent = Consent::Given;
                }
                call.inputs = inputs.map(|inputs| Inputs { state: memory.state, ..inputs });
            }
        }
        Ok(())
    }

    /// Makes a call. Dropping the future stops the guest and what it has under way.
    pub async fn call(&self, tool: &Tool, call: ToolCall) -> Result<Answered, Fault> {
        let mut record = CallRecord::start(&self.audit, tool, &call)?;
        let result = self.admit_and_run(tool, call, &mut record).await;
        record.end(result)
    }

    async fn admit_and_run(
        &self,
        tool: &Tool,
        mut call: ToolCall,
        record: &mut CallRecord<'_>,
    ) -> Result<Answered, Fault> {
        let (route, fallback) = match &tool.target {
            Target::Ready { route, fallback } => (route, fallback),
            Target::Reserve { .. } => return self.reserve(tool, call, record).await.map(Answered::from),
            Target::Broken { connector, reason } => {
                // The reason is the operator's to read: it may name files and addresses.
                tracing::debug!(%connector, %reason, "a call of a connector that is not loaded");
                let message =
                    format!("The connector `{connector}` is not loaded; Ferrata's status says why.");
                return Err(Fault::new(FaultKind::Unavailable, message));
            }
        };
        let bytes = call.arguments.get().len();
        let _held = memory::PROCESS.admit(held_bytes(call.arguments.get().as_bytes()))?;
        let arguments = parse_arguments(&call.arguments)?;
        validate(&route.spec().input, &arguments, bytes)?;
        record.note_arguments_fit();
        let catalog = self.catalog.load();
        if let Some(overlay) = catalog.overlay(&call.caller.agent, &tool.name) {
            validate(&overlay.schema, &arguments, bytes)
                .map_err(|fault| as_forbidden(fault, &call.caller))?;
            spelling::check(&call.arguments, Some(&overlay.names))?;
        }
        let (idempotency_key, resumes) = idempotency_key(call.idempotency_key.take())?;
        let bound = Bound { target: &tool.name, caller: &call.caller, arguments: &arguments };
        let must_confirm = catalog.must_confirm(&call.caller.agent, tool);
        if must_confirm {
            spelling::check(&call.arguments, None)?;
        }
        if must_confirm && !is_agreed(tool, call.consent, record)? {
            let shown = route.spec().redaction.apply(&call.arguments);
            let key = remembered(idempotency_key, resumes);
            return self.ask(&bound, &shown, &call.client, key).map(Answered::from);
        }
        let time = catalog.time(call.timeout);
        let priority = catalog.priority(&call.caller, call.priority);
        let policy = catalog.version;
        drop(catalog);
        let caller = call.caller.clone();
        let writes = (route.spec().effect != Effect::Read).then(|| idempotency_key.clone());
        let call = Admitted {
            arguments: call.arguments,
            caller: call.caller,
            deadline: Deadline::after(time),
            priority,
            workflow: call.workflow.map(Arc::from),
            trace: call.trace,
            idempotency_key,
            resumes,
            inputs: call.inputs,
            client: call.client,
            trail: record.trail(),
        };
        let answer = self.flow.call(Going { route, fallback, policy, call }).await;
        let mut answer = answer.map_err(|fault| to_resume(fault, writes))?;
        if let ToolResult::Question(question) = &mut answer.result {
            let bound = Bound { target: &tool.name, caller: &caller, arguments: &arguments };
            let idempotency_key = remembered(std::mem::take(&mut question.idempotency_key), resumes);
            let stage = if must_confirm { Stage::Agreed(confirm::ticket()) } else { Stage::Free };
            let memory = Memory { state: question.state.take(), idempotency_key, stage };
            question.state = Some(self.seals.seal(&bound, &memory)?);
        }
        Ok(answer)
    }
}

impl Gate {
    /// Asks whether a call may be made. `shown`: its arguments as people may read them.
    fn ask(
        &self,
        bound: &Bound<'_>,
        shown: &str,
        client: &Client,
        idempotency_key: String,
    ) -> Result<ToolResult, Fault> {
        let can_be_asked = client.can_bring.is_some();
        confirm::ask(&self.seals, bound, shown, can_be_asked, idempotency_key).map(ToolResult::Question)
    }
}

/// What the host holds of a call's arguments while it is made: of many small objects, far more than their text.
fn held_bytes(arguments: &[u8]) -> usize {
    let count = |byte| memchr::memchr_iter(byte, arguments).count();
    arguments.len() * COPIES_OF_ARGUMENTS + count(b'{') * OBJECT_BYTES + count(b',') * VALUE_BYTES
}

/// The agent's own, or a new one; and whether an earlier call with it may have been done.
fn idempotency_key(brought: Option<String>) -> Result<(String, bool), Fault> {
    match brought {
        Some(key) if key.len() > MAX_IDEMPOTENCY_KEY_BYTES => {
            let message = format!("An idempotency key has at most {MAX_IDEMPOTENCY_KEY_BYTES} bytes.");
            Err(Fault::new(FaultKind::InvalidArguments, message))
        }
        Some(key) => Ok(match key.strip_prefix(RESUMES) {
            Some(first) => (first.to_owned(), true),
            None => (key, false),
        }),
        None => Ok((uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string(), false)),
    }
}

/// As it must come back, for the call to be what it is.
fn remembered(key: String, resumes: bool) -> String {
    if resumes { format!("{RESUMES}{key}") } else { key }
}

/// Says with which key a write of unknown outcome can be made again. It is in the key itself that this is a resumption: no process need remember it.
fn to_resume(mut fault: Fault, key: Option<String>) -> Fault {
    if fault.outcome == Outcome::Unknown {
        let key = key.map(|key| remembered(key, true));
        fault.resume_key = key.filter(|key| key.len() <= MAX_IDEMPOTENCY_KEY_BYTES);
    }
    fault
}

/// Whether somebody agreed to a call that needs it, or is still to be asked. The fault is that nobody did.
fn is_agreed(tool: &Tool, consent: Consent, record: &mut CallRecord<'_>) -> Result<bool, Fault> {
    match consent {
        Consent::Unasked => Ok(false),
        Consent::Given => {
            record.note_confirmed();
            Ok(true)
        }
        Consent::Refused => {
            let message = format!("Nobody agreed to this call of `{}`: it was not made.", tool.name);
            Err(Fault::new(FaultKind::PermissionDenied, message))
        }
    }
}

fn parse_arguments(raw: &RawValue) -> Result<Value, Fault> {
    let invalid = |why: String| Fault::new(FaultKind::InvalidArguments, why).with_path("");
    let value: Value = serde_json::from_str(raw.get()).map_err(|e| invalid(format!("Not JSON: {e}.")))?;
    if value.is_object() { Ok(value) } else { Err(invalid("The arguments must be an object.".to_owned())) }
}

/// Names what is wrong and where: up to a bound all of it, so that a model needs one more try and not five. The values themselves are not
/// repeated: they are the caller's, and the log's readers need not know them.
fn validate(schema: &Validator, arguments: &Value, bytes: usize) -> Result<(), Fault> {
    // Only to say yes or no is faster than to be ready to say why not.
    if schema.is_valid(arguments) {
        return Ok(());
    }
    let Err(first) = schema.validate(arguments) else { return Ok(()) };
    let first_path = first.instance_path().to_string();
    // Finding all mistakes takes memory for each of them.
    let sentences: Vec<_> = if bytes > MAX_BYTES_FOR_ALL_MISTAKES {
        vec![sentence(&first)]
    } else {
        schema.iter_errors(arguments).take(MAX_NAMED_MISTAKES).map(|e| sentence(&e)).collect()
    };
    let message = format!("The arguments do not fit the tool. {}", sentences.join(" "));
    Err(Fault::new(FaultKind::InvalidArguments, message).with_path(quotable(&first_path)))
}

fn sentence(error: &ValidationError<'_>) -> String {
    let (path, what) = (error.instance_path().to_string(), error.masked().to_string());
    quotable(&if path.is_empty() { format!("{what}.") } else { format!("At `{path}`: {what}.") })
}

/// What the tool allows and the operator does not is a matter of permission.
fn as_forbidden(fault: Fault, caller: &Caller) -> Fault {
    let message =
        format!("The agent `{}` may not call the tool with these arguments. {}", caller.agent, fault.message);
    let path = fault.path.clone().unwrap_or_default();
    Fault::new(FaultKind::PermissionDenied, message).with_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn many_small_objects_are_held_for_what_they_become() {
        let small = format!("[{}]", [r#"{"":0}"#; 1000].join(","));
        assert!(held_bytes(small.as_bytes()) > 600 * 1000);
        let text = serde_json::to_string(&"x".repeat(1000)).unwrap();
        assert_eq!(held_bytes(text.as_bytes()), text.len() * COPIES_OF_ARGUMENTS);
    }

    #[test]
    fn a_fault_names_every_mistake_and_where() {
        let schema =
            json!({"type": "object", "required": ["channel"], "properties": {"limit": {"maximum": 10}}});
        let schema = jsonschema::validator_for(&schema).unwrap();
        let fault = validate(&schema, &json!({"limit": 50}), 0).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArguments);
        assert!(fault.message.contains("`/limit`") && fault.message.contains("channel"), "{}", fault.message);
        assert!(validate(&schema, &json!({"channel": "C1"}), 0).is_ok());
    }

    #[test]
    fn arguments_are_an_object() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(parse_arguments(&raw("{}")).is_ok());
        assert_eq!(parse_arguments(&raw("[]")).unwrap_err().kind, FaultKind::InvalidArguments);
    }
}
