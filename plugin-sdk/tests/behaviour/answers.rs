//! Tools that answer with content, report progress, or ask first.

use ferrata_sdk::Bring;
use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Answered, Harness, Reported, delete, get};

const CHART: Operation = Operation::get("api", "chart", "/chart");
const DELETE: Operation = Operation::delete("api", "delete", "/folder");

#[input]
struct Nothing {}

#[output]
struct Chart {
    points: usize,
}

#[data]
struct Agreement {
    agreed: bool,
}

fn picture(_: &Cx<NoSettings>, _: Nothing) -> Result<Content, Fault> {
    Ok(Content::new().text("A dot.").image("image/png", b"dot").file("test://dot", "image/png", b"dot"))
}

fn chart(cx: &Cx<NoSettings>, _: Nothing) -> Result<WithContent<Chart>, Fault> {
    cx.progress(1.0, None);
    let png = cx.request(&CHART).send()?;
    cx.progress_with(2.0, Some(2.0), "drawn");
    Ok(Content::new().image("image/png", png.body()).beside(Chart { points: png.body().len() }))
}

fn clear(cx: &Cx<NoSettings>, _: Nothing) -> Result<MayAsk<Content>, Fault> {
    if !cx.can_bring(Bring::Form) {
        return Err(Fault::rejected("Nobody can be asked."));
    }
    match (cx.inputs().form::<Agreement>("agreement"), cx.inputs().remembered::<u32>()) {
        (Some(Filled::Accepted(Agreement { agreed: true })), Some(7)) => {
            cx.request(&DELETE).send()?;
            Ok(MayAsk::Done(Content::new().text("Done.")))
        }
        (Some(Filled::Declined | Filled::Cancelled), _) => {
            Ok(MayAsk::Done(Content::new().text("Left alone.")))
        }
        _ => Ok(MayAsk::Ask(Ask::new().form::<Agreement>("agreement", "Really?").remember(&7))),
    }
}

fn harness() -> Harness<NoSettings, ferrata_sdk::NoLogin> {
    let connector = Connector::new("charts", "0.1.0")
        .upstream(Upstream::http("api"))
        .tool(tool("picture", &CHART, picture).describe("A picture."))
        .tool(tool("chart", &CHART, chart).describe("A chart."))
        .tool(tool("clear", &DELETE, clear).describe("Clears the folder."));
    Harness::new(connector)
}

fn blocks(answer: Answered) -> Vec<Value> {
    match answer {
        Answered::Content { blocks, object: None } => blocks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn content_is_written_as_mcp_has_it() {
    let blocks = blocks(harness().answer("picture", json!({})).unwrap());
    assert_eq!(blocks[0], json!({ "type": "text", "text": "A dot." }));
    assert_eq!(blocks[1], json!({ "type": "image", "mimeType": "image/png", "data": "ZG90" }));
    assert_eq!(
        blocks[2]["resource"],
        json!({ "uri": "test://dot", "mimeType": "image/png", "blob": "ZG90" })
    );
}

#[test]
fn an_object_with_content_is_still_an_object_and_its_way_there_is_seen() {
    let mut harness = harness();
    harness.expect(get("/chart").answer(Answer::text(200, "dot")));
    assert_eq!(harness.call("chart", json!({})).unwrap(), json!({ "points": 3 }));
    let drawn = Reported { done: 2.0, total: Some(2.0), message: Some("drawn".into()) };
    assert_eq!(harness.progress()[1..], [drawn]);
}

#[test]
fn a_question_comes_before_the_answer() {
    let mut harness = harness();
    assert_eq!(harness.answer("clear", json!({})).unwrap_err().kind(), FaultKind::Rejected);
    harness.client(json!({ "elicitation": { "form": {} } }));
    let Answered::Question { requests, state } = harness.answer("clear", json!({})).unwrap() else {
        panic!()
    };
    let form = json!({ "type": "object", "properties": { "agreed": { "type": "boolean" } }, "required": ["agreed"] });
    assert_eq!(requests["agreement"]["params"], json!({ "message": "Really?", "requestedSchema": form }));

    // What does not fit is asked again; so is what comes without its state.
    let agreed = json!({ "agreement": { "action": "accept", "content": { "agreed": true } } });
    for (responses, state) in
        [(json!({ "agreement": { "action": "accept" } }), state.clone()), (agreed.clone(), None)]
    {
        harness.inputs(responses, state);
        assert!(matches!(harness.answer("clear", json!({})), Ok(Answered::Question { .. })));
    }
    harness.inputs(json!({ "agreement": { "action": "decline" } }), state.clone());
    assert_eq!(blocks(harness.answer("clear", json!({})).unwrap())[0]["text"], "Left alone.");
    harness.inputs(agreed, state).expect(delete("/folder").answer(Answer::status(204)));
    assert_eq!(blocks(harness.answer("clear", json!({})).unwrap())[0]["text"], "Done.");
}
