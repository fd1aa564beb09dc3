//! Secrets stand where the connector says, and nothing that an agent writes can pose as one.

use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Harness, post};

const SEND: Operation = Operation::post("api", "send", "/send");

/// Sends a text.
#[input]
struct Send {
    text: String,
    /// How the secrets are sent.
    how: How,
}

#[input]
enum How {
    Json,
    Form,
    Basic,
    Parts,
}

#[output]
struct Sent {}

#[body]
struct Signed<'a> {
    key: Secret,
    text: &'a str,
    nested: Vec<Option<Secret>>,
}

fn send(cx: &Cx<NoSettings>, input: Send) -> Result<Sent, Fault> {
    let request = cx.request(&SEND);
    let request = match input.how {
        How::Json => {
            let nested = vec![Some(secret("bot.pin")), None];
            request.json(&Signed { key: secret("bot.token"), text: &input.text, nested })
        }
        How::Form => request.form(
            Form::new()
                .field("text", input.text)
                .field("key", secret("bot.token"))
                .optional("pin", None::<Secret>),
        ),
        How::Basic => request.basic(&input.text, "bot.token"),
        How::Parts => {
            let atoms = [input.text.as_str().into(), secret("bot.pin").into()];
            request.header("x-key", Parts::new().raw("k=").encoded(Encoding::Base64url, atoms))
        }
    };
    request.send()?;
    Ok(Sent {})
}

fn harness() -> Harness<NoSettings, ferrata_sdk::NoLogin> {
    let connector = Connector::new("signed", "1.0.0")
        .upstream(Upstream::http("api"))
        .credential(Credential::fixed("bot", "api").field("token").optional_field("pin"))
        .tool(tool("send", &SEND, send));
    Harness::new(connector)
}

#[test]
fn a_json_body_holds_secrets_by_name() {
    for text in ["hello", "a \"quoted\" {{bot.pin}}", "\u{f8ff}", "\u{f8ff}\u{f8ff}bot.token\u{f8ff}"] {
        let body = json!({ "key": "{{bot.token}}", "text": text, "nested": ["{{bot.pin}}", null] });
        let mut harness = harness();
        harness.expect(post("/send").json(body).answer(Answer::status(204)));
        harness.call("send", json!({ "text": text, "how": "Json" })).unwrap();
    }
}

#[test]
fn a_form_is_encoded_around_its_secrets() {
    let mut harness = harness();
    let form = post("/send").header("content-type", "application/x-www-form-urlencoded");
    harness.expect(form.body("text=a+%26+b%3Dc&key={{bot.token}}").answer(Answer::status(204)));
    harness.call("send", json!({ "text": "a & b=c", "how": "Form" })).unwrap();
}

#[test]
fn secrets_are_encoded_together_with_what_is_known() {
    let mut harness = harness();
    let basic = post("/send").header("authorization", "Basic base64(me:{{bot.token}})");
    harness.expect(basic.answer(Answer::status(204)));
    harness.call("send", json!({ "text": "me", "how": "Basic" })).unwrap();

    harness.expect(post("/send").header("x-key", "k=base64url(me{{bot.pin}})").answer(Answer::status(204)));
    harness.call("send", json!({ "text": "me", "how": "Parts" })).unwrap();
}

#[test]
fn a_secret_is_written_nowhere_else() {
    assert!(serde_json::to_string(&secret("bot.token")).is_err());
}
