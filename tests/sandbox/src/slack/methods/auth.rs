//! `auth.test`: who a token is.

use serde_json::json;

use super::{Call, Outcome, object};
use crate::slack::seed::{TEAM_ID, TEAM_NAME};
use crate::slack::workspace::Workspace;

pub(super) fn test(call: &mut Call) -> Outcome {
    let caller = &call.caller;
    let mut body = object(json!({
        "url": Workspace::team_url(),
        "team": TEAM_NAME,
        "team_id": TEAM_ID,
        "user": call.workspace.user_name(&caller.user),
        "user_id": caller.user,
        "is_enterprise_install": false,
    }));
    if let Some(bot) = &caller.bot {
        body.insert("bot_id".to_owned(), bot.as_str().into());
    }
    Ok(body)
}
