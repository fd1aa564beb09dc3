//! A small MCP client for revision 2026-07-28, which is stateless: a POST for each request.
//!
//! The clients of others are in `tests/clients`; this one is for tests and the demonstration, which want to see faults as data.

use serde_json::{Map, Value, json};

use crate::Result;
use crate::http::{Answer, Client};

const REVISION: &str = "2026-07-28";
/// Where Ferrata serves MCP.
pub const PATH: &str = "/mcp";
/// What the client can do, in `_meta`.
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Ferrata's prefix in `_meta`.
const FAULT: &str = "dev.ferrata/fault";

/// A client of one agent.
#[derive(Clone, Debug)]
pub struct Mcp {
    http: Client,
}

/// What a tool call came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// `structuredContent`.
    Done(Value),
    Fault(Fault),
}

/// A failed call, as the agent sees it.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The sentence for the model.
    pub sentence: String,
    /// The rest.
    pub data: Value,
}

impl Fault {
    /// The word of the fault vocabulary.
    pub fn kind(&self) -> &str {
        self.data["kind"].as_str().unwrap_or_default()
    }
}

impl Outcome {
    /// The word of the fault vocabulary, or `ok`.
    pub fn kind(&self) -> &str {
        match self {
            Self::Done(_) => "ok",
            Self::Fault(fault) => fault.kind(),
        }
    }
}

impl Mcp {
    /// Talks to `<base>/mcp` through `http`.
    pub fn new(http: Client) -> Self {
        Self { http }
    }

    /// The definitions of all tools.
    ///
    /// # Errors
    /// When the answer is not a list of tools.
    pub async fn tools(&self) -> Result<Vec<Value>> {
        let result = self.request("tools/list", json!({})).await?;
        Ok(result["tools"].as_array().ok_or("tools/list returned no list")?.clone())
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When the answer is not the result of a tool: a protocol error, or none at all.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Outcome> {
        self.call_with(tool, arguments, Map::new()).await
    }

    /// Calls a tool with more members in `_meta`.
    ///
    /// # Errors
    /// As [`Mcp::call`].
    pub async fn call_with(&self, tool: &str, arguments: Value, meta: Map<String, Value>) -> Result<Outcome> {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        let mut result = self.request("tools/call", params).await?;
        if result["isError"] != json!(true) {
            return Ok(Outcome::Done(result["structuredContent"].take()));
        }
        let sentence = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        Ok(Outcome::Fault(Fault { sentence, data: result["_meta"][FAULT].take() }))
    }

    /// One JSON-RPC request; returns its `result`.
    ///
    /// # Errors
    /// When there is no answer, or a JSON-RPC error, which is quoted.
    pub async fn request(&self, method: &str, params: Value) -> Result<Value> {
        let mut message = self.exchange(method, params).await?;
        match message.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(format!("{method} failed: {message}").into()),
        }
    }

    /// One JSON-RPC request; returns the whole message, which may be an error.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn exchange(&self, method: &str, params: Value) -> Result<Value> {
        let answer = self.post(method, params).await?;
        messages(&answer).pop().ok_or_else(|| format!("status {}: {}", answer.status, answer.text()).into())
    }

    /// One JSON-RPC request; returns what HTTP makes of it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, method: &str, params: Value) -> Result<Answer> {
        let (headers, request) = request(method, params);
        let mut http = self.http.clone();
        for (name, value) in &headers {
            http = http.with(name, value)?;
        }
        http.post(PATH, &request).await
    }
}

/// The headers and the body of one JSON-RPC request.
pub fn request(method: &str, mut params: Value) -> (Vec<(&'static str, String)>, Value) {
    let mut headers = vec![
        ("accept", "application/json, text/event-stream".to_owned()),
        ("mcp-protocol-version", REVISION.to_owned()),
        ("mcp-method", method.to_owned()),
    ];
    let name = params["name"].as_str().or(params["uri"].as_str());
    headers.extend(name.map(|name| ("mcp-name", name.to_owned())));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(REVISION);
    let capabilities = &mut params["_meta"][CAPABILITIES];
    if capabilities.is_null() {
        *capabilities = json!({});
    }
    params["_meta"]["io.modelcontextprotocol/clientInfo"] =
        json!({ "name": "ferrata-tests", "version": "0.1.0" });
    (headers, json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
}

/// The JSON-RPC messages of an answer: its body, or the events of its stream.
pub fn messages(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    if !answer.header("content-type").starts_with("text/event-stream") {
        return serde_json::from_str(&text).into_iter().collect();
    }
    let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    events.filter_map(|event| serde_json::from_str(event).ok()).collect()
}
