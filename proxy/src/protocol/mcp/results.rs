//! Results, written straight into bytes: what is JSON already is copied, never parsed.
//!
//! Owns the members that the eras differ in: a modern result says its type and who answered.

use serde_json::value::RawValue;

use super::notifications::SUBSCRIPTION_KEY;
use super::version;
use crate::call::{Answered, Content, Question, Substitute, ToolResult};
use crate::fault::Fault;
use crate::gate::Listing;
use crate::protocol::fault_data::{FaultData, SubstituteData};
use crate::protocol::jsonrpc::{self, Id};

/// The key under which a failed call's record travels.
pub const FAULT_KEY: &str = "dev.ferrata/fault";

/// The key under which it is said that a result is not what the system says now.
pub const SUBSTITUTE_KEY: &str = "dev.ferrata/substitute";

/// How long a client may use a list of tools without asking again. Those who listen hear of a change at once;
/// for the others this is how late they may be.
const LIST_TTL_MS: u32 = 60_000;

/// How long what was read may be used: nobody hears of a change in it.
const READ_TTL_MS: u32 = 0;

/// What may be kept depends on who asks.
const CACHE_SCOPE: &str = "private";

const SERVER_INFO: &str =
    concat!(r#"{"name":"ferrata","title":"Ferrata","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

const INSTRUCTIONS: &str = "A result with isError says in words what happened and what follows. What was asked for is \
    then unknown, not empty: do not answer from memory. A list says whether it is complete and how to go on.";

/// Which dialect a result is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Stateless, from 2026-07-28 on.
    Modern,
    /// Opened by `initialize`.
    Legacy,
}

/// A response under construction, up to the point where its result object is to be closed.
struct Writer {
    out: Vec<u8>,
    era: Era,
}

impl Writer {
    fn new(id: &Id, era: Era, capacity: usize) -> Self {
        let mut out = jsonrpc::open_result(id, capacity + SERVER_INFO.len() + 128);
        out.push(b'{');
        let mut writer = Self { out, era };
        if era == Era::Modern {
            writer.raw("resultType", br#""complete""#);
        }
        writer
    }

    /// For a result that is not complete.
    fn of_type(id: &Id, result_type: &str, capacity: usize) -> Self {
        let mut out = jsonrpc::open_result(id, capacity + SERVER_INFO.len() + 128);
        out.push(b'{');
        let mut writer = Self { out, era: Era::Modern };
        jsonrpc::push_string(writer.member("resultType"), result_type);
        writer
    }

    /// Begins a member; its value is appended to what is returned. Names are ours and need no escapes.
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        &mut self.out
    }

    fn raw(&mut self, name: &str, json: &[u8]) {
        self.member(name).extend_from_slice(json);
    }

    fn text_content(&mut self, texts: &[&str]) {
        let out = self.member("content");
        for (i, text) in texts.iter().enumerate() {
            out.push(if i == 0 { b'[' } else { b',' });
            out.extend_from_slice(br#"{"type":"text","text":"#);
            jsonrpc::push_string(out, text);
            out.push(b'}');
        }
        out.push(b']');
    }

    /// A text, and the content blocks of an array after it.
    fn blocks_after(&mut self, text: &str, blocks: &str) {
        self.text_content(&[text]);
        let blocks = blocks.trim().trim_start_matches('[').trim_start();
        // The one is closed by the other's end.
        self.out.pop();
        if blocks != "]" {
            self.out.push(b',');
        }
        self.out.extend_from_slice(blocks.as_bytes());
    }

    /// Closes a tool's result, and says if it stands in for another.
    fn finish_result(self, instead: Option<&Substitute>) -> Vec<u8> {
        let Some(instead) = instead else { return self.finish(None) };
        let mut data = Vec::new();
        jsonrpc::push_json(&mut data, &SubstituteData::of(instead));
        self.finish(Some((SUBSTITUTE_KEY, &data)))
    }

    /// How long the result may be kept, for the one who asked.
    fn cache(&mut self, ttl_ms: u32) {
        if self.era == Era::Modern {
            self.member("ttlMs").extend_from_slice(ttl_ms.to_string().as_bytes());
            jsonrpc::push_string(self.member("cacheScope"), CACHE_SCOPE);
        }
    }

    /// Writes `_meta`, of which a modern result always has one, and closes everything.
    fn finish(mut self, meta: Option<(&str, &[u8])>) -> Vec<u8> {
        let signed = self.era == Era::Modern;
        if signed || meta.is_some() {
            self.raw("_meta", b"{");
            if let Some((name, json)) = meta {
                self.raw(name, json);
            }
            if signed {
                self.raw("io.modelcontextprotocol/serverInfo", SERVER_INFO.as_bytes());
            }
            self.out.push(b'}');
        }
        self.out.extend_from_slice(b"}}");
        self.out
    }
}

pub fn tool_result(id: &Id, era: Era, answer: &Answered) -> Vec<u8> {
    let instead = answer.instead.as_deref();
    match &answer.result {
        ToolResult::Object(value) => object(id, era, value.get(), instead),
        ToolResult::Content(result) => content(id, era, result, instead),
        ToolResult::Question(result) => question(id, result),
    }
}

fn object(id: &Id, era: Era, value: &str, instead: Option<&Substitute>) -> Vec<u8> {
    // Once as it is and once as a string, whose quotes are escaped.
    let mut writer = Writer::new(id, era, value.len() * 2 + value.len() / 4);
    match instead {
        None => writer.text_content(&[value]),
        Some(instead) => writer.text_content(&[&instead.sentence(), value]),
    }
    writer.raw("structuredContent", value.as_bytes());
    writer.raw("isError", b"false");
    writer.finish_result(instead)
}

fn content(
    id: &Id,
    era: Era,
    Content { blocks, structured }: &Content,
    instead: Option<&Substitute>,
) -> Vec<u8> {
    let structured = structured.as_ref().map(|structured| structured.get());
    let mut writer = Writer::new(id, era, blocks.get().len() + structured.map_or(0, str::len));
    match instead {
        None => writer.raw("content", blocks.get().as_bytes()),
        Some(instead) => writer.blocks_after(&instead.sentence(), blocks.get()),
    }
    if let Some(structured) = structured {
        writer.raw("structuredContent", structured.as_bytes());
    }
    writer.raw("isError", b"false");
    writer.finish_result(instead)
}

/// Only the modern era has these.
pub fn question(id: &Id, Question { requests, state, .. }: &Question) -> Vec<u8> {
    let state_bytes = state.as_ref().map_or(0, String::len);
    let mut writer = Writer::of_type(id, "input_required", requests.get().len() + state_bytes);
    if requests.get() != "{}" {
        writer.raw("inputRequests", requests.get().as_bytes());
    }
    if let Some(state) = state {
        jsonrpc::push_string(writer.member("requestState"), state);
    }
    writer.finish(None)
}

pub fn fault(id: &Id, era: Era, fault: &Fault) -> Vec<u8> {
    let mut writer = Writer::new(id, era, 1024);
    writer.text_content(&[&fault.sentence()]);
    writer.raw("isError", b"true");
    let mut data = Vec::new();
    jsonrpc::push_json(&mut data, &FaultData::of(fault));
    writer.finish(Some((FAULT_KEY, &data)))
}

/// A whole list, under the name that its members have in MCP.
pub fn list(id: &Id, era: Era, name: &str, list: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(id, era, list.len());
    writer.raw(name, list);
    writer.cache(LIST_TTL_MS);
    writer.finish(None)
}

/// What was read; `contents` is a JSON array.
pub fn contents(id: &Id, era: Era, contents: &RawValue) -> Vec<u8> {
    let mut writer = Writer::new(id, era, contents.get().len());
    writer.raw("contents", contents.get().as_bytes());
    writer.cache(READ_TTL_MS);
    writer.finish(None)
}

/// A prompt, filled in; `messages` is a JSON array.
pub fn messages(id: &Id, era: Era, messages: &RawValue) -> Vec<u8> {
    let mut writer = Writer::new(id, era, messages.get().len());
    writer.raw("messages", messages.get().as_bytes());
    writer.finish(None)
}

/// Values for an argument; `completion` is a JSON object.
pub fn completion(id: &Id, era: Era, completion: &RawValue) -> Vec<u8> {
    let mut writer = Writer::new(id, era, completion.get().len());
    writer.raw("completion", completion.get().as_bytes());
    writer.finish(None)
}

/// What there is for whoever sees that list.
fn capabilities(listing: &Listing) -> String {
    let resources = if listing.has_resources() { r#","resources":{"listChanged":true}"# } else { "" };
    let prompts = if listing.has_prompts() { r#","prompts":{"listChanged":true}"# } else { "" };
    let completions = if listing.completes { r#","completions":{}"# } else { "" };
    format!(r#"{{"tools":{{"listChanged":true}}{resources}{prompts}{completions}}}"#)
}

pub fn discover(id: &Id, listing: &Listing) -> Vec<u8> {
    let mut writer = Writer::new(id, Era::Modern, 512);
    jsonrpc::push_json(writer.member("supportedVersions"), &[version::MODERN]);
    writer.raw("capabilities", capabilities(listing).as_bytes());
    jsonrpc::push_string(writer.member("instructions"), INSTRUCTIONS);
    writer.cache(LIST_TTL_MS);
    writer.finish(None)
}

pub fn initialize(id: &Id, version: &str, listing: &Listing) -> Vec<u8> {
    let mut writer = Writer::new(id, Era::Legacy, 512);
    jsonrpc::push_string(writer.member("protocolVersion"), version);
    writer.raw("capabilities", capabilities(listing).as_bytes());
    writer.raw("serverInfo", SERVER_INFO.as_bytes());
    jsonrpc::push_string(writer.member("instructions"), INSTRUCTIONS);
    writer.finish(None)
}

/// The answer to `ping`.
pub fn empty(id: &Id) -> Vec<u8> {
    Writer::new(id, Era::Legacy, 0).finish(None)
}

/// The answer to a subscription, which is its end, brought about by us.
pub fn subscription_ended(id: &Id) -> Vec<u8> {
    Writer::new(id, Era::Modern, 64).finish(Some((SUBSCRIPTION_KEY, id.get().as_bytes())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::call::{Capabilities, Source};
    use crate::fault::FaultKind;

    fn id(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_result_stands_twice_and_the_eras_differ_in_what_surrounds_it() {
        let answer = Answered::from(ToolResult::Object(id(r#"{"a": "x\"y"}"#).into()));
        let legacy = read(&tool_result(&id("1"), Era::Legacy, &answer));
        let expected = json!({
            "content": [{"type": "text", "text": r#"{"a": "x\"y"}"#}],
            "structuredContent": {"a": "x\"y"},
            "isError": false,
        });
        assert_eq!(legacy, json!({"jsonrpc": "2.0", "id": 1, "result": expected}));
        let modern = read(&tool_result(&id("1"), Era::Modern, &answer))["result"].take();
        assert_eq!(modern["resultType"], "complete");
        assert_eq!(modern["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "ferrata");
        assert_eq!(modern["structuredContent"], expected["structuredContent"]);
    }

    #[test]
    fn a_substitute_says_so_to_the_model_and_to_programs() {
        let as_of = "2026-11-23T10:31:00Z".parse().unwrap();
        let source = Source::Stale { age: std::time::Duration::from_millis(93_200), as_of };
        let message = "`crm` could not be reached.".to_owned();
        let instead = Some(Box::new(Substitute { source, reason: FaultKind::Unavailable, message }));
        let object = ToolResult::Object(id(r#"{"a":1}"#).into());
        let answer = Answered { result: object, instead: instead.clone() };
        for era in [Era::Legacy, Era::Modern] {
            let result = read(&tool_result(&id("1"), era, &answer))["result"].take();
            let sentence = result["content"][0]["text"].as_str().unwrap();
            assert!(sentence.contains("2026-11-23T10:31:00Z (93 s ago)"), "{sentence}");
            assert_eq!(result["content"][1]["text"], r#"{"a":1}"#);
            assert_eq!((&result["structuredContent"]["a"], &result["isError"]), (&json!(1), &json!(false)));
            let expected = json!({
                "source": "stale", "age_ms": 93_200, "as_of": "2026-11-23T10:31:00Z",
                "reason": "unavailable", "message": "`crm` could not be reached.",
            });
            assert_eq!(result["_meta"][SUBSTITUTE_KEY], expected);
        }
        for (blocks, count) in [(r#"[ {"type":"text","text":"x"}]"#, 2), ("[]", 1)] {
            let result = ToolResult::Content(Content { blocks: id(blocks), structured: None });
            let answer = Answered { result, instead: instead.clone() };
            let result = read(&tool_result(&id("1"), Era::Modern, &answer))["result"].take();
            assert_eq!(result["content"].as_array().unwrap().len(), count);
            assert!(result["content"][0]["text"].as_str().unwrap().starts_with("Not current"));
        }
    }

    #[test]
    fn a_fault_is_a_result_that_the_model_reads_with_data_for_programs() {
        let failed = Fault::new(FaultKind::Unavailable, "CRM could not be reached.");
        for era in [Era::Legacy, Era::Modern] {
            let result = read(&fault(&id("\"a\""), era, &failed))["result"].take();
            assert_eq!(
                (&result["isError"], &result["content"][0]["text"]),
                (&json!(true), &json!(failed.sentence()))
            );
            let data = &result["_meta"][FAULT_KEY];
            assert_eq!((&data["kind"], &data["retryable"]), (&json!("unavailable"), &json!(true)));
            assert!(result.get("structuredContent").is_none());
        }
    }

    #[test]
    fn content_stands_as_it_is_and_a_question_is_not_complete() {
        let (blocks, object) = (r#"[{"type":"text","text":"a"}]"#, r#"{"a":1}"#);
        let result = Answered::from(ToolResult::Content(Content {
            blocks: id(blocks),
            structured: Some(id(object).into()),
        }));
        let expected = json!({"content": [{"type": "text", "text": "a"}], "structuredContent": {"a": 1}, "isError": false});
        assert_eq!(read(&tool_result(&id("1"), Era::Legacy, &result))["result"], expected);
        let bare = Answered::from(ToolResult::Content(Content { blocks: id(blocks), structured: None }));
        assert!(
            read(&tool_result(&id("1"), Era::Modern, &bare))["result"].get("structuredContent").is_none()
        );

        let question = |requests: &str| {
            let (needs, state) = (Capabilities::NONE, Some("sealed".to_owned()));
            let question = Question { requests: id(requests), needs, state, idempotency_key: "k".into() };
            read(&tool_result(&id("1"), Era::Modern, &ToolResult::Question(question).into()))["result"].take()
        };
        let asked = question(r#"{"k":{"method":"roots/list"}}"#);
        assert_eq!(
            (&asked["resultType"], &asked["requestState"]),
            (&json!("input_required"), &json!("sealed"))
        );
        assert_eq!(asked["inputRequests"]["k"]["method"], "roots/list");
        assert!(asked.get("content").is_none() && question("{}").get("inputRequests").is_none());
    }

    #[test]
    fn lists_and_discovery_say_how_long_they_hold() {
        let tools = br#"[{"name":"a_b"}]"#;
        let legacy = read(&list(&id("1"), Era::Legacy, "tools", tools));
        assert_eq!(legacy["result"], json!({"tools": [{"name": "a_b"}]}));
        let modern = |bytes: &[u8]| read(bytes)["result"].take();
        let read_once = contents(&id("1"), Era::Modern, &id("[]"));
        assert_eq!(modern(&read_once)["ttlMs"], 0);
        let listed = list(&id("1"), Era::Modern, "tools", tools);
        for result in [modern(&listed), modern(&read_once), modern(&discover(&id("1"), &Listing::default()))]
        {
            assert_eq!((&result["cacheScope"], result["ttlMs"].is_u64()), (&json!("private"), true));
        }
    }

    #[test]
    fn only_what_there_is_is_announced() {
        let offered = |[resources, resource_templates, prompts]: [&'static str; 3], completes| {
            let (resources, resource_templates) = (resources.into(), resource_templates.into());
            let prompts = prompts.into();
            let listing = Listing { resources, resource_templates, prompts, completes, ..Listing::default() };
            let found = read(&discover(&id("1"), &listing))["result"].take();
            assert_eq!(found["supportedVersions"], json!([version::MODERN]));
            let initialized = read(&initialize(&id("1"), "2025-11-25", &listing))["result"].take();
            assert_eq!(found["capabilities"], initialized["capabilities"]);
            found["capabilities"].clone()
        };
        let list = json!({"listChanged": true});
        assert_eq!(offered(["[]", "[]", "[]"], false), json!({"tools": list}));
        assert_eq!(offered(["[{}]", "[]", "[]"], false), json!({"tools": list, "resources": list}));
        assert_eq!(offered(["[]", "[]", "[{}]"], false), json!({"tools": list, "prompts": list}));
        let all = json!({"tools": list, "resources": list, "prompts": list, "completions": {}});
        assert_eq!(offered(["[]", "[{}]", "[{}]"], true), all);
    }
}
