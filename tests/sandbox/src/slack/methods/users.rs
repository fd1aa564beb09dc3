//! `users.info` and `users.lookupByEmail`.

use serde_json::{Value, json};

use super::{Call, Outcome, object};
use crate::slack::seed::TEAM_ID;
use crate::slack::tokens::Grant;
use crate::slack::workspace::User;

pub(super) fn info(call: &mut Call) -> Outcome {
    let id = call.arguments.require("user")?;
    let user = call.workspace.users.get(id).ok_or("user_not_found")?;
    Ok(object(json!({ "user": shown(user, &call.caller) })))
}

/// Finds active people only. Its error is `users_not_found`, where `users.info` says `user_not_found`.
pub(super) fn lookup_by_email(call: &mut Call) -> Outcome {
    let email = call.arguments.require("email")?;
    let mut users = call.workspace.users.values();
    let found = users.find(|user| user.email.eq_ignore_ascii_case(email) && !user.is_deleted && !user.is_bot);
    Ok(object(json!({ "user": shown(found.ok_or("users_not_found")?, &call.caller) })))
}

/// Addresses are there for those who may see them; a deactivated account shows little.
fn shown(user: &User, who: &Grant) -> Value {
    let mut profile = object(json!({
        "title": user.title,
        "real_name": user.real_name,
        "display_name": user.name,
        "team": TEAM_ID,
    }));
    if who.has("users:read.email") && !user.is_bot {
        profile.insert("email".to_owned(), user.email.as_str().into());
    }
    let mut shown = object(json!({
        "id": user.id,
        "team_id": TEAM_ID,
        "name": user.name,
        "deleted": user.is_deleted,
        "real_name": user.real_name,
        "profile": profile,
        "is_bot": user.is_bot,
        "updated": 0,
    }));
    if !user.is_deleted {
        shown.extend(object(json!({
            "is_admin": user.is_admin,
            "tz": "Europe/Vienna",
            "tz_label": "Central European Time",
            "tz_offset": 3600,
        })));
    }
    Value::Object(shown)
}
