//! One tool that does what most tools do: it reads typed arguments, makes one exchange with a bearer token, reads a typed
//! answer and returns it.

use ferrata_sdk::prelude::*;

const ECHO: Operation = Operation::post("api", "echo", "/echo").effect(Effect::Read);

/// Sends a note to a system that sends it back.
#[input]
struct Echo {
    subject: String,
    tags: Vec<String>,
    text: String,
}

#[body]
struct Sent<'a> {
    subject: &'a str,
    tags: &'a [String],
    text: &'a str,
}

#[answer]
struct Received {
    subject: String,
    tags: Vec<String>,
    text: String,
}

#[data]
struct Note {
    subject: String,
    tags: Vec<String>,
    text: String,
}

fn echo(cx: &Cx<NoSettings>, input: Echo) -> Result<Note, Fault> {
    let sent = Sent { subject: &input.subject, tags: &input.tags, text: &input.text };
    let Received { subject, tags, text } =
        cx.request(&ECHO).bearer("bot.token").json(&sent).send()?.json()?;
    Ok(Note { subject, tags, text })
}

fn connector() -> Connector<NoSettings> {
    Connector::new("measured", env!("CARGO_PKG_VERSION"))
        .describe("A system that echoes.")
        .upstream(Upstream::http("api"))
        .credential(Credential::fixed("bot", "api").field("token"))
        .tool(tool("echo", &ECHO, echo))
}

ferrata_sdk::export!(connector);
