//! Resources and prompts, natively.

use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Answered, Harness, get};

const TICKET: Operation = Operation::get("api", "tickets.get", "/tickets/{id}");

/// Returns a ticket.
#[input]
struct GetTicket {
    id: String,
}

#[data]
struct Ticket {
    subject: String,
}

fn get_ticket(cx: &Cx<NoSettings>, input: GetTicket) -> Result<Ticket, Fault> {
    cx.request(&TICKET).segment("id", &input.id).send()?.json()
}

fn connector() -> Connector<NoSettings> {
    Connector::new("desk", "1.0.0").upstream(Upstream::http("api")).tool(tool(
        "get_ticket",
        &TICKET,
        get_ticket,
    ))
}

#[answer]
struct Path {
    id: String,
}

fn ticket(cx: &Cx<NoSettings>, Path { id }: Path) -> Result<Document, Fault> {
    let ticket: Ticket = cx.request(&TICKET).segment("id", &id).send()?.json()?;
    Ok(Document::text("text/plain", ticket.subject).at(format!("tickets/{id}/subject")))
}

fn resources() -> Vec<Resource<NoSettings>> {
    let ids = |_: &Cx<NoSettings>, typed: &Typed| Ok(typed.matching(["7", "70", "8"]).and_more());
    vec![
        resource("help", "Help", |_| Ok(vec![Document::text("text/plain", "Ask.")])),
        resource_template("tickets/{id}", "A ticket", ticket).complete("id", ids),
        resource("nothing", "Nothing", |_| Ok(Vec::new())),
    ]
}

/// Hands a ticket over.
#[input]
struct HandOver {
    /// The ticket's number.
    ticket: String,
    /// Who takes it.
    to: Option<String>,
}

fn hand_over(cx: &Cx<NoSettings>, input: HandOver) -> Result<MayAsk<Messages>, Fault> {
    #[data]
    struct Who {
        name: String,
    }
    let asked = match cx.inputs().form::<Who>("who") {
        Some(Filled::Accepted(who)) => Some(who.name),
        _ => None,
    };
    let Some(to) = input.to.or(asked) else {
        return Ok(MayAsk::Ask(Ask::new().form::<Who>("who", "Who takes it?")));
    };
    let task = Content::new().text(format!("Hand {} over to {to}.", input.ticket));
    Ok(Messages::new().user(task).assistant(Content::new().text("I will.")).into())
}

fn prompts() -> Vec<Prompt<NoSettings>> {
    vec![prompt("hand_over", hand_over)]
}

#[test]
fn a_resource_is_read_with_what_stands_in_its_path() {
    let mut desk = Harness::new(connector());
    desk.expect(get("/tickets/7").answer(Answer::json(200, json!({ "subject": "Pump" }))));
    let documents = desk.read(&resources(), "tickets/{id}", json!({ "id": "7" })).unwrap();
    assert_eq!(documents, [Document::text("text/plain", "Pump").at("tickets/7/subject")]);
    assert_eq!(desk.read(&resources(), "help", json!({})).unwrap()[0].as_text(), Some("Ask."));
    desk.expect(get("/tickets/9").answer(Answer::status(404)));
    let fault = desk.read(&resources(), "tickets/{id}", json!({ "id": "9" })).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound);
}

#[test]
#[should_panic(expected = "gave nothing")]
fn a_resource_that_gives_nothing_is_found() {
    let _ = Harness::new(connector()).read(&resources(), "nothing", json!({}));
}

#[test]
#[should_panic(expected = "the variables of")]
fn a_variable_is_one_of_the_path() {
    let _ = Harness::new(connector()).read(&resources(), "tickets/{id}", json!({ "ticket": "7" }));
}

#[test]
fn values_are_suggested_by_what_was_typed() {
    let mut desk = Harness::new(connector());
    let suggested = desk.complete_resource(&resources(), "tickets/{id}", "id", "7", json!({})).unwrap();
    assert_eq!(suggested, Suggestions::new(["7", "70"]).and_more());
    let none = desk.complete_prompt(&prompts(), "hand_over", "ticket", "7", json!({})).unwrap();
    assert_eq!(none, Suggestions::default());
}

#[test]
fn a_prompt_is_filled_in_or_asks_first() {
    let mut desk = Harness::new(connector());
    let Answered::Content { blocks, .. } =
        desk.prompt(&prompts(), "hand_over", json!({ "ticket": "7", "to": "Ada" })).unwrap()
    else {
        panic!("it asks")
    };
    let say = |role: &str, text: &str| json!({ "role": role, "content": { "type": "text", "text": text } });
    assert_eq!(blocks, [say("user", "Hand 7 over to Ada."), say("assistant", "I will.")]);
    let asked = desk.prompt(&prompts(), "hand_over", json!({ "ticket": "7" })).unwrap();
    assert!(matches!(asked, Answered::Question { .. }), "{asked:?}");
    desk.inputs(json!({ "who": { "action": "accept", "content": { "name": "Bob" } } }), None);
    let Answered::Content { blocks, .. } =
        desk.prompt(&prompts(), "hand_over", json!({ "ticket": "7" })).unwrap()
    else {
        panic!("it asks again")
    };
    assert_eq!(blocks[0], say("user", "Hand 7 over to Bob."));
    for bad in [json!({}), json!({ "ticket": "7", "when": "now" })] {
        let fault = desk.prompt(&prompts(), "hand_over", bad).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::InvalidArguments);
    }
}
