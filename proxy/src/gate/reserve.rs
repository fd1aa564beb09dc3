//! Ferrata's own tool: a workflow reserves its calls before it makes the first of them, so that its third step is not refused after the second was done.
//!
//! Owns what agents say and are told; what a reservation holds, and how its calls go on it, is the limiter's.

mod made;

use std::sync::Arc;
use std::time::Duration;

pub use made::Reservations;
use made::{Key, Made, Name};

use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use super::catalog::{Catalog, Target, Tool};
use super::record::{CallRecord, Meters};
use super::seal::Bound;
use super::{Gate, as_forbidden, idempotency_key, is_agreed, parse_arguments, validate};
use crate::call::{Deadline, ToolCall, ToolResult};
use crate::connector::Connector;
use crate::egress::account::Account;
use crate::egress::account::booking::{Booked, Reserving};
use crate::fault::{Fault, FaultKind, quotable};
use crate::policy::limit::booking::MAX_BOOKED;
use crate::policy::limit::{Owner, Wanted};

pub(super) const SYSTEM: &str = "ferrata";
const NAME: &str = "ferrata_reserve";

/// Most tools that one call names, and most calls of each: what is more is no workflow but a batch job.
const MAX_TOOLS: usize = 32;
const MAX_CALLS: u64 = 1_000;

/// Life of a reservation, if nothing is said.
const LIFE_SECS: u64 = 300;

/// As MCP lists it. Its numbers are those above.
pub const DEFINITION: &str = r#"{"name":"ferrata_reserve","title":"Reserve calls","description":"Reserves calls of tools for the workflow that this call belongs to, before its first step: then no later step is refused because a limit was reached meanwhile. All are reserved or none. The answer says until when; if they cannot be had, which limit is in the way and when to try again. Calls that carry the same workflow id use the reservation. The same asked for again, because no answer came, is not reserved once more while something of it is left; to reserve the same again on purpose, give the call an idempotency key of its own. With an empty list, gives back what is left.","inputSchema":{"type":"object","properties":{"calls":{"type":"array","maxItems":32,"items":{"type":"object","properties":{"tool":{"type":"string","description":"Name of the tool, as it is listed."},"count":{"type":"integer","minimum":1,"maximum":1000}},"required":["tool","count"],"additionalProperties":false}},"seconds":{"type":"integer","minimum":1,"maximum":3600,"default":300,"description":"For how long they are kept."}},"required":["calls"],"additionalProperties":false},"outputSchema":{"type":"object","properties":{"workflow":{"type":"string"},"reserved":{"type":"integer","description":"Calls that were reserved."},"left":{"type":"integer","description":"Calls of these that are still to be made."},"until":{"type":["string","null"],"format":"date-time"},"repeated":{"type":"boolean","description":"Whether this was reserved before, and nothing was added now."},"given_back":{"type":"integer","description":"Calls that were left, and are no longer reserved."}},"required":["workflow","reserved","left","until","repeated","given_back"]},"annotations":{"readOnlyHint":false,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false}}"#;

/// The tool, for the catalogue.
pub fn tool() -> Tool {
    Tool { name: NAME.into(), target: Target::Reserve { system: SYSTEM.into() }, meters: Meters::default() }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    calls: Vec<Calls>,
    #[serde(default = "life")]
    seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    tool: String,
    count: u64,
}

fn life() -> u64 {
    LIFE_SECS
}

/// What is wanted of one account, under the name of the first system that wants it.
struct Share {
    account: Arc<Account>,
    system: Arc<str>,
    wanted: Vec<Wanted>,
}

impl Gate {
    /// Reserves, or gives back. What was reserved with the same idempotency key, or without one by the same arguments, is not reserved once more.
    pub(super) async fn reserve(
        &self,
        tool: &Tool,
        call: ToolCall,
        record: &mut CallRecord<'_>,
    ) -> Result<ToolResult, Fault> {
        let catalog = self.catalog.load_full();
        let value = parse_arguments(&call.arguments)?;
        if let Some(overlay) = catalog.overlay(&call.caller.agent, &tool.name) {
            validate(&overlay.schema, &value, call.arguments.get().len())
                .map_err(|f| as_forbidden(f, &call.caller))?;
        }
        let arguments = read(&value)?;
        let workflow = call.workflow.as_deref().ok_or_else(no_workflow)?;
        if catalog.must_confirm(&call.caller.agent, tool) && !is_agreed(tool, call.consent, record)? {
            let bound = Bound { target: &tool.name, caller: &call.caller, arguments: &value };
            let key = call.idempotency_key.unwrap_or_default();
            return self.ask(&bound, call.arguments.get(), &call.client, key);
        }
        if arguments.calls.is_empty() {
            let owner = Owner { agent: &call.caller.agent, workflow };
            let given_back: u64 = accounts(&catalog).map(|account| account.unbook(&owner)).sum();
            return Said { given_back, ..Said::of(workflow) }.answer();
        }
        let deadline = Deadline::after(catalog.time(call.timeout));
        let slot = self.reservations.slot(name(&call, workflow, &arguments)?)?;
        let Ok(mut made) = tokio::time::timeout_at(deadline.instant(), slot.lock()).await else {
            let message = "The same is being reserved, and it was not known in time whether it can be had.";
            return Err(Fault::new(FaultKind::DeadlineExceeded, message));
        };
        if let Some(made) = made.as_ref().filter(|made| made.left() > 0) {
            return repeat(made, &arguments, workflow);
        }
        let new = book(&catalog, &call, arguments, workflow, deadline).await?;
        let said = Said::of(workflow).reserved(&new);
        *made = Some(new);
        said.answer()
    }
}

/// Which reservation a call is about.
fn name(call: &ToolCall, workflow: &str, arguments: &Arguments) -> Result<Name, Fault> {
    let key = match call.idempotency_key.clone().filter(|key| !key.is_empty()) {
        Some(key) => Key::Brought(idempotency_key(Some(key))?.0),
        None => Key::Arguments(arguments.clone()),
    };
    Ok(Name { agent: Arc::clone(&call.caller.agent), workflow: workflow.to_owned(), key })
}

/// What was reserved before, and not once more.
fn repeat(made: &Made, arguments: &Arguments, workflow: &str) -> Result<ToolResult, Fault> {
    if made.arguments != *arguments {
        let message = "With this idempotency key this workflow has reserved something else; a new reservation needs a new key.";
        return Err(Fault::new(FaultKind::Conflict, message));
    }
    Said { repeated: true, ..Said::of(workflow).reserved(made) }.answer()
}

/// All of it, or nothing.
async fn book(
    catalog: &Catalog,
    call: &ToolCall,
    arguments: Arguments,
    workflow: &str,
    deadline: Deadline,
) -> Result<Made, Fault> {
    let shares = shares(catalog, &arguments.calls, call)?;
    let life = Duration::from_secs(arguments.seconds).min(MAX_BOOKED);
    let until = jiff::Timestamp::now() + life;
    let owner = Owner { agent: &call.caller.agent, workflow };
    let priority = catalog.priority(&call.caller, call.priority);
    let reserving = Reserving { owner, priority, life, deadline };
    // Given back should a later one be refused.
    let mut booked: Vec<Booked> = Vec::with_capacity(shares.len());
    for Share { account, system, wanted } in &shares {
        let had = account.book(&reserving, wanted).await;
        booked.push(had.map_err(|refused| account.not_booked(system, &refused))?);
    }
    Ok(Made { arguments, until, kept: booked.into_iter().map(Booked::keep).collect() })
}

fn read(value: &serde_json::Value) -> Result<Arguments, Fault> {
    let arguments: Arguments = serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        invalid(&path, format!("The arguments do not fit the tool: {}.", e.inner()))
    })?;
    if arguments.calls.len() > MAX_TOOLS {
        return Err(invalid("/calls", format!("At most {MAX_TOOLS} tools can be named.")));
    }
    if arguments.calls.iter().any(|calls| !(1..=MAX_CALLS).contains(&calls.count)) {
        return Err(invalid("/calls", format!("`count` is 1 to {MAX_CALLS}.")));
    }
    if !(1..=MAX_BOOKED.as_secs()).contains(&arguments.seconds) {
        return Err(invalid("/seconds", format!("`seconds` is 1 to {}.", MAX_BOOKED.as_secs())));
    }
    Ok(arguments)
}

fn invalid(path: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(FaultKind::InvalidArguments, quotable(message.as_ref())).with_path(quotable(path))
}

fn no_workflow() -> Fault {
    let message = "Calls are reserved for a workflow, and this call belongs to none: it must carry its id, as must those that \
                   follow (`dev.ferrata/workflow` in `_meta`, or the header `Ferrata-Workflow`).";
    Fault::new(FaultKind::InvalidArguments, message)
}

/// What is wanted, account by account; of tools that the caller may call.
fn shares(catalog: &Catalog, calls: &[Calls], call: &ToolCall) -> Result<Vec<Share>, Fault> {
    let mut shares: Vec<Share> = Vec::new();
    for Calls { tool: name, count } in calls {
        let tool = catalog.tool(&call.caller.agent, name);
        let tool = tool.ok_or_else(|| invalid("/calls", format!("There is no tool `{name}`.")))?;
        let (connector, account, wanted) = wanted(&tool, *count)?;
        match shares.iter_mut().find(|share| Arc::ptr_eq(&share.account, account)) {
            Some(share) => join(&mut share.wanted, wanted),
            None => {
                let (account, system) = (Arc::clone(account), Arc::clone(&connector.name));
                shares.push(Share { account, system, wanted: vec![wanted] });
            }
        }
    }
    Ok(shares)
}

fn wanted(tool: &Tool, calls: u64) -> Result<(&Arc<Connector>, &Arc<Account>, Wanted), Fault> {
    let name = &tool.name;
    let route = match &tool.target {
        Target::Ready { route, .. } => route,
        Target::Broken { connector, .. } => {
            let message = format!("The connector `{connector}` is not loaded; Ferrata's status says why.");
            return Err(Fault::new(FaultKind::Unavailable, message));
        }
        Target::Reserve { .. } => return Err(invalid("/calls", format!("`{name}` needs no reservation."))),
    };
    let walls = route.connector.first_walls(route.spec());
    let (account, operation, cost) = walls.ok_or_else(|| {
        invalid(
            "/calls",
            format!("What a call of `{name}` begins with depends on its arguments: it cannot be reserved."),
        )
    })?;
    Ok((&route.connector, account, Wanted { operation: Arc::clone(operation), cost, calls }))
}

/// Two tools may begin with the same operation.
fn join(all: &mut Vec<Wanted>, one: Wanted) {
    match all.iter_mut().find(|known| known.operation == one.operation && known.cost == one.cost) {
        Some(known) => known.calls += one.calls,
        None => all.push(one),
    }
}

/// Every account that a connector uses.
fn accounts(catalog: &Catalog) -> impl Iterator<Item = &Arc<Account>> {
    catalog.slots().values().filter_map(|slot| slot.connector()).flat_map(|connector| connector.accounts())
}

/// What the agent is told.
#[derive(Serialize)]
struct Said<'a> {
    workflow: &'a str,
    reserved: u64,
    left: u64,
    until: Option<String>,
    repeated: bool,
    given_back: u64,
}

impl<'a> Said<'a> {
    fn of(workflow: &'a str) -> Self {
        Self { workflow, reserved: 0, left: 0, until: None, repeated: false, given_back: 0 }
    }

    fn reserved(self, made: &Made) -> Self {
        let reserved = made.arguments.calls.iter().map(|calls| calls.count).sum();
        Self { reserved, left: made.left(), until: Some(made.until.to_string()), ..self }
    }

    fn answer(&self) -> Result<ToolResult, Fault> {
        to_raw_value(self).map(|json| ToolResult::Object(json.into())).map_err(Fault::internal)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_listed_is_what_is_checked() {
        let definition: Value = serde_json::from_str(DEFINITION).unwrap();
        assert_eq!(definition["name"], NAME);
        let properties = &definition["inputSchema"]["properties"];
        assert_eq!(properties["calls"]["maxItems"], MAX_TOOLS);
        assert_eq!(properties["calls"]["items"]["properties"]["count"]["maximum"], MAX_CALLS);
        let seconds = &properties["seconds"];
        assert_eq!(
            (&seconds["maximum"], &seconds["default"]),
            (&json!(MAX_BOOKED.as_secs()), &json!(LIFE_SECS))
        );
        let schema = crate::connector::schema::compile(&definition["inputSchema"]).unwrap();
        for (arguments, fits) in [
            (json!({ "calls": [] }), true),
            (json!({ "calls": [{ "tool": "a_b", "count": 2 }], "seconds": 60 }), true),
            (json!({ "calls": [{ "tool": "a_b", "count": 0 }] }), false),
            (json!({ "calls": [{ "tool": "a_b" }] }), false),
            (json!({ "calls": [], "seconds": 0 }), false),
            (json!({ "calls": [], "more": 1 }), false),
            (json!({}), false),
        ] {
            assert_eq!(schema.is_valid(&arguments), fits, "{arguments}");
            assert_eq!(read(&arguments).is_ok(), fits, "{arguments}");
        }
    }
}
