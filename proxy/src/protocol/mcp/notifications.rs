//! Messages that nobody asked for: progress, and what a subscription delivers.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::call::Progress;
use crate::gate::List;
use crate::protocol::jsonrpc::{self, Id};

/// The key under which a message names its subscription.
pub const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The first message of a subscription: what it will deliver.
pub fn subscription_acknowledged(id: &Id, lists: &[List]) -> Vec<u8> {
    let honoured: Vec<_> = lists.iter().map(|list| format!(r#""{}ListChanged":true"#, list.name())).collect();
    let honoured = format!(r#""notifications":{{{}}},{}"#, honoured.join(","), subscription(id));
    notification("subscriptions/acknowledged", &honoured)
}

/// Says that a list is another now: on a subscription, or unasked to a legacy client.
pub fn list_changed(list: List, subscription_id: Option<&Id>) -> Vec<u8> {
    let params = subscription_id.map(subscription).unwrap_or_default();
    notification(&format!("{}/list_changed", list.name()), &params)
}

fn subscription(id: &Id) -> String {
    format!(r#""_meta":{{"{SUBSCRIPTION_KEY}":{id}}}"#, id = id.get())
}

/// How far a call has come, under the token that its client chose.
pub fn progress(token: &RawValue, progress: &Progress) -> Vec<u8> {
    #[derive(Serialize)]
    struct Params<'a> {
        #[serde(rename = "progressToken")]
        token: &'a RawValue,
        progress: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a str>,
    }
    let Progress { done, total, message } = progress;
    let params = Params { token, progress: *done, total: *total, message: message.as_deref() };
    let mut out = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":"#.to_vec();
    jsonrpc::push_json(&mut out, &params);
    out.push(b'}');
    out
}

/// `params` are the members of the object.
fn notification(method: &str, params: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{{{params}}}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::results::subscription_ended;
    use super::*;

    fn id(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn progress_names_its_call() {
        let all = Progress { done: 1.0, total: Some(4.0), message: Some("\"one\"".into()) };
        let params = json!({"progressToken": "t", "progress": 1.0, "total": 4.0, "message": "\"one\""});
        assert_eq!(read(&progress(&id("\"t\""), &all))["params"], params);
        let little = Progress { done: 0.5, total: None, message: None };
        assert_eq!(
            read(&progress(&id("7"), &little))["params"],
            json!({"progressToken": 7, "progress": 0.5})
        );
    }

    #[test]
    fn every_message_of_a_subscription_names_it() {
        let id = id("\"listen-1\"");
        let acknowledged = read(&subscription_acknowledged(&id, &List::ALL));
        let all = json!({"toolsListChanged": true, "resourcesListChanged": true, "promptsListChanged": true});
        assert_eq!(acknowledged["params"]["notifications"], all);
        let ended = read(&subscription_ended(&id));
        let changed = read(&list_changed(List::Tools, Some(&id)));
        assert_eq!(changed["method"], "notifications/tools/list_changed");
        let metas = [&acknowledged["params"], &changed["params"], &ended["result"]];
        for meta in metas.map(|holder| &holder["_meta"][SUBSCRIPTION_KEY]) {
            assert_eq!(meta, "listen-1");
        }
        assert_eq!(read(&list_changed(List::Resources, None))["params"], json!({}));
    }
}
