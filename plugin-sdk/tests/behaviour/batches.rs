//! Calls that travel together.

use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Harness, post};

const CREATE: Operation = Operation::post("api", "contacts.create", "/contacts/batch");

/// Creates a contact.
#[input]
struct Create {
    email: String,
}

#[body]
struct Inputs<'a> {
    inputs: Vec<Entry<'a>>,
}

#[body]
struct Entry<'a> {
    email: &'a str,
    key: &'a str,
}

#[answer]
struct Results {
    results: Vec<Created>,
}

#[answer]
struct Created {
    id: Option<String>,
}

#[output]
struct Contact {
    id: String,
}

fn create(cx: &Cx<NoSettings>, items: &[Item<Create>]) -> Result<Vec<Result<Contact, Fault>>, Fault> {
    let entries = items.iter().map(|item| Entry { email: &item.input.email, key: &item.idempotency_key });
    let inputs = entries.collect();
    let answer: Results = cx.request(&CREATE).json(&Inputs { inputs }).send()?.json()?;
    let contact = |created: Created| match created.id {
        Some(id) => Ok(Contact { id }),
        None => Err(Fault::conflict("There is such a contact already.")),
    };
    Ok(answer.results.into_iter().map(contact).collect())
}

fn contacts() -> Harness<NoSettings, ferrata_sdk::NoLogin> {
    let connector = Connector::new("contacts", "1.0.0")
        .upstream(Upstream::http("api"))
        .tool(tool_batch("create", &CREATE, 10, create));
    Harness::new(connector)
}

fn two() -> Vec<Value> {
    vec![json!({ "email": "a@x.example" }), json!({ "email": "b@x.example" })]
}

#[test]
fn a_batch_is_one_request_and_one_bad_item_fails_alone() {
    let mut contacts = contacts();
    let sent = json!({ "inputs": [
        { "email": "a@x.example", "key": "key-1" },
        { "email": "b@x.example", "key": "key-2" },
    ]});
    let answer = Answer::json(207, json!({ "results": [{ "id": null }, { "id": "c2" }] }));
    contacts.expect(post("/contacts/batch").json(sent).answer(answer));
    let results = contacts.call_batch("create", two());
    assert_eq!(results[0].as_ref().unwrap_err().kind(), FaultKind::Conflict);
    assert_eq!(results[1].as_ref().unwrap(), &json!({ "id": "c2" }));
}

#[test]
fn a_failure_of_the_whole_is_a_failure_of_each() {
    let mut contacts = contacts();
    contacts.expect(post("/contacts/batch").answer(Answer::status(403)));
    for result in contacts.call_batch("create", two()) {
        assert_eq!(result.unwrap_err().kind(), FaultKind::PermissionDenied);
    }
}

#[test]
fn a_result_too_few_is_nobodys() {
    let mut contacts = contacts();
    contacts
        .expect(post("/contacts/batch").answer(Answer::json(200, json!({ "results": [{ "id": "c1" }] }))));
    for result in contacts.call_batch("create", two()) {
        assert_eq!(result.unwrap_err().kind(), FaultKind::ConnectorFailed);
    }
}
