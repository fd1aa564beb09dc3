//! The attributes that `ferrata-sdk` re-exports: each stands for a list of derives.
//!
//! They exist so that a connector depends on the SDK alone: `serde`'s and `schemars`' derives look for their own
//! crates among the author's dependencies unless every struct says otherwise. What the attributes mean
//! is documented where they are re-exported. Nothing is parsed here: a prefix is put before the item.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Where the derives find their crates.
const SERDE: &str = "::ferrata_sdk::serde";
const SCHEMARS: &str = "::ferrata_sdk::schemars";

/// Settings of a connector: `Deserialize`, `JsonSchema`; unknown members are refused.
#[proc_macro_attribute]
pub fn settings(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, &["Deserialize"], true, true)
}

/// Arguments of a tool: `Deserialize`, `JsonSchema`; unknown members are refused.
#[proc_macro_attribute]
pub fn input(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, &["Deserialize"], true, true)
}

/// What a tool returns, or a part of it: `Serialize`, `JsonSchema`.
#[proc_macro_attribute]
pub fn output(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, &["Serialize"], true, false)
}

/// What a system answers: `Deserialize`; unknown members are ignored.
#[proc_macro_attribute]
pub fn answer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, &["Deserialize"], false, false)
}

/// What is sent to a system: `Serialize`.
#[proc_macro_attribute]
pub fn body(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, &["Serialize"], false, false)
}

/// What goes both ways, such as a cached value or a part shared by inputs and outputs: `Serialize`,
/// `Deserialize`, `JsonSchema`.
#[proc_macro_attribute]
pub fn data(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, &["Serialize", "Deserialize"], true, false)
}

fn expand(
    arguments: TokenStream,
    item: TokenStream,
    serde: &[&str],
    schema: bool,
    strict: bool,
) -> TokenStream {
    if !arguments.is_empty() {
        return error("this attribute takes no arguments");
    }
    let strict = if strict && has_named_members(&item) { ", deny_unknown_fields" } else { "" };
    let mut derives: Vec<String> = serde.iter().map(|name| format!("{SERDE}::{name}")).collect();
    let mut attributes = format!("#[serde(crate = \"{SERDE}\"{strict})]");
    if schema {
        derives.push(format!("{SCHEMARS}::JsonSchema"));
        attributes.push_str(&format!("#[schemars(crate = \"{SCHEMARS}\")]"));
    }
    let prefix = format!("#[derive({})] {attributes}", derives.join(", "));
    match prefix.parse::<TokenStream>() {
        Ok(mut tokens) => {
            tokens.extend(item);
            tokens
        }
        Err(_) => error("the attribute could not be expanded"),
    }
}

/// Whether serde accepts `deny_unknown_fields` here with an effect: a braced struct that flattens nothing.
fn has_named_members(item: &TokenStream) -> bool {
    let mut tokens = item.clone().into_iter();
    let is_struct =
        tokens.any(|token| matches!(&token, TokenTree::Ident(word) if word.to_string() == "struct"));
    let members = tokens.find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    });
    is_struct && members.is_some_and(|members| !flattens(&members))
}

/// serde refuses unknown members and flattening in one struct.
fn flattens(members: &Group) -> bool {
    members.stream().to_string().contains("flatten")
}

fn error(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});").parse().unwrap_or_default()
}
