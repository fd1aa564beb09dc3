//! Tools that ask before they answer.

use ferrata_sdk::Bring;
use ferrata_sdk::prelude::*;

/// Asks before it answers.
#[input]
pub struct Nothing {}

#[data]
struct Name {
    name: String,
}

#[data]
struct Confirmed {
    ok: bool,
}

#[data]
struct Color {
    color: String,
}

/// What was learned in the first of two rounds.
#[data]
struct Round {
    name: String,
}

type Answer = Result<MayAsk<Content>, Fault>;

const WHO: &str = "What is your name?";

fn done(text: impl Into<String>) -> Answer {
    Ok(MayAsk::Done(Content::new().text(text)))
}

pub fn name(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    match cx.inputs().form::<Name>("user_name") {
        None => Ok(MayAsk::Ask(Ask::new().form::<Name>("user_name", WHO))),
        Some(Filled::Accepted(Name { name })) => done(format!("Hello, {name}!")),
        Some(Filled::Declined | Filled::Cancelled) => done("Hello, whoever you are!"),
    }
}

pub fn capital(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    match cx.inputs().sampled("capital_question") {
        None => Ok(MayAsk::Ask(Ask::new().sample("capital_question", "What is the capital of France?", 100))),
        Some(answer) => done(answer),
    }
}

pub fn roots(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    match cx.inputs().roots("client_roots") {
        None => Ok(MayAsk::Ask(Ask::new().roots("client_roots"))),
        Some(roots) => done(roots.into_iter().map(|root| root.uri).collect::<Vec<_>>().join(" ")),
    }
}

pub fn remembering(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    match (cx.inputs().form::<Confirmed>("confirm"), cx.inputs().remembered::<String>()) {
        (Some(Filled::Accepted(Confirmed { ok: true })), Some(state)) => done(state),
        (None, _) | (_, None) => {
            Ok(MayAsk::Ask(Ask::new().form::<Confirmed>("confirm", "Please confirm").remember(&"state-ok")))
        }
        (Some(_), Some(_)) => done("Not confirmed."),
    }
}

pub fn everything(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    let inputs = cx.inputs();
    match (inputs.form::<Name>("user_name"), inputs.sampled("greeting"), inputs.roots("client_roots")) {
        (Some(Filled::Accepted(Name { name })), Some(greeting), Some(roots)) => {
            done(format!("{greeting} {name}, you work in {} folders.", roots.len()))
        }
        _ => {
            let ask = Ask::new().form::<Name>("user_name", WHO).sample("greeting", "Generate a greeting", 50);
            Ok(MayAsk::Ask(ask.roots("client_roots").remember(&"asked")))
        }
    }
}

pub fn twice(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    let inputs = cx.inputs();
    match (inputs.remembered::<Round>(), inputs.form::<Color>("step2"), inputs.form::<Name>("step1")) {
        (Some(Round { name }), Some(Filled::Accepted(Color { color })), _) => {
            done(format!("{name} likes {color}."))
        }
        (_, _, Some(Filled::Accepted(Name { name }))) => {
            let ask = Ask::new().form::<Color>("step2", "Step 2: What is your favorite color?");
            Ok(MayAsk::Ask(ask.remember(&Round { name })))
        }
        _ => {
            Ok(MayAsk::Ask(Ask::new().form::<Name>("step1", "Step 1: What is your name?").remember(&"asked")))
        }
    }
}

pub fn what_is_possible(cx: &Cx<NoSettings>, _: Nothing) -> Answer {
    let mut ask = Ask::new().remember(&"asked");
    if cx.can_bring(Bring::Form) {
        ask = ask.form::<Name>("user_name", WHO);
    }
    if cx.can_bring(Bring::Sample) {
        ask = ask.sample("greeting", "Generate a greeting", 50);
    }
    Ok(MayAsk::Ask(ask))
}
