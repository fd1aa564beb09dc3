//! The prompts that the suite asks for.

use ferrata_sdk::prelude::*;

use crate::resources::PNG;

pub fn prompts() -> Vec<Prompt<NoSettings>> {
    vec![
        prompt("simple_prompt", simple),
        prompt("prompt_with_arguments", with_arguments).complete("arg1", places),
        prompt("prompt_with_embedded_resource", with_resource),
        prompt("prompt_with_image", with_image),
        prompt("input_required_result_prompt", asking),
    ]
}

/// Says one thing.
#[input]
struct Simple {}

fn simple(_: &Cx<NoSettings>, _: Simple) -> Result<Messages, Fault> {
    Ok(Messages::new().user(Content::new().text("This is a simple prompt for testing.")))
}

/// Repeats its arguments.
#[input]
struct WithArguments {
    /// First test argument
    arg1: String,
    /// Second test argument
    arg2: String,
}

fn with_arguments(_: &Cx<NoSettings>, input: WithArguments) -> Result<Messages, Fault> {
    let text = format!("Prompt with arguments: arg1='{}', arg2='{}'", input.arg1, input.arg2);
    Ok(Messages::new().user(Content::new().text(text)))
}

fn places(_: &Cx<NoSettings>, typed: &Typed) -> Result<Suggestions, Fault> {
    Ok(typed.matching(["paris", "park", "party", "test"]))
}

/// Brings a document along.
#[input]
#[serde(rename_all = "camelCase")]
struct WithResource {
    /// URI of the resource to embed
    resource_uri: String,
}

fn with_resource(_: &Cx<NoSettings>, input: WithResource) -> Result<Messages, Fault> {
    let text = "Embedded resource content for testing.";
    let content = Content::new().document(&input.resource_uri, "text/plain", text);
    Ok(Messages::new().user(content.text("Please process the embedded resource above.")))
}

/// Brings a picture along.
#[input]
struct WithImage {}

fn with_image(_: &Cx<NoSettings>, _: WithImage) -> Result<Messages, Fault> {
    Ok(Messages::new().user(Content::new().image("image/png", PNG).text("Please analyze the image above.")))
}

/// Asks what it is about.
#[input]
struct Asking {}

#[data]
struct About {
    /// What is it about?
    context: String,
}

fn asking(cx: &Cx<NoSettings>, _: Asking) -> Result<MayAsk<Messages>, Fault> {
    let Some(Filled::Accepted(about)) = cx.inputs().form::<About>("user_context") else {
        return Ok(MayAsk::Ask(Ask::new().form::<About>("user_context", "What is it about?")));
    };
    Ok(Messages::new().user(Content::new().text(format!("It is about {}.", about.context))).into())
}
