//! Lists that say whether they are complete, and how to go on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultKind, label};

/// A list, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Whether that is everything. If not, there is more than `items` shows.
    pub complete: bool,
    /// Pass this as `cursor` to get what comes next; absent when the list is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Why the list ends early, if something got in the way ("rate_limited").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

impl<T> Page<T> {
    /// Everything there is.
    pub fn complete(items: Vec<T>) -> Self {
        Self::new(items, None)
    }

    /// One page as a system gave it. An empty cursor is none.
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        let next = next.filter(|cursor| !cursor.is_empty());
        Self { items, complete: next.is_none(), next, stopped_by: None }
    }

    /// The same page of other items.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        let Self { items, complete, next, stopped_by } = self;
        Page { items: items.into_iter().map(convert).collect(), complete, next, stopped_by }
    }
}

/// How many requests one call of a tool makes to fill a page: enough for any list worth reading, few enough not to spend a wall.
pub const MAX_REQUESTS: usize = 20;

/// Follows cursors until `wanted` items are there, the list ends, or [`MAX_REQUESTS`] were made.
///
/// `fetch` gets the cursor and how many items are still wanted. It should ask for no more than that, because what it returns is never
/// cut: a cursor goes on after a page, not within it.
///
/// ```
/// use ferrata_sdk::prelude::*;
/// # fn fetch(cursor: Option<&str>, limit: u32) -> Result<Page<u32>, Fault> {
/// #     let start: u32 = cursor.unwrap_or("0").parse().unwrap();
/// #     let end = (start + limit.min(2)).min(5);
/// #     Ok(Page::new((start..end).collect(), (end < 5).then(|| end.to_string())))
/// # }
/// # fn main() -> Result<(), Fault> {
/// // Pages of two, out of five numbers.
/// let page = paginate(3, None, fetch)?;
/// assert_eq!((page.items, page.complete, page.next.as_deref()), (vec![0, 1, 2], false, Some("3")));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of `fetch`. If something is there already and the fault is one that passes by itself (too fast, down, out of time), the page
/// ends early instead and says why in `stopped_by`.
pub fn paginate<T>(
    wanted: u32,
    start: Option<String>,
    mut fetch: impl FnMut(Option<&str>, u32) -> Result<Page<T>, Fault>,
) -> Result<Page<T>, Fault> {
    let mut page = fetch(start.as_deref(), wanted)?;
    for _ in 1..MAX_REQUESTS {
        let missing = wanted.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        let Some(cursor) = page.next.clone().filter(|_| missing > 0) else { break };
        match fetch(Some(&cursor), missing) {
            Ok(more) if more.next.as_deref() == Some(&cursor) => return Err(circle(&cursor)),
            Ok(more) => {
                page.items.extend(more.items);
                (page.complete, page.next, page.stopped_by) = (more.complete, more.next, more.stopped_by);
            }
            Err(fault) if passes(&fault) && !page.items.is_empty() => {
                page.stopped_by = Some(label(fault.kind()).to_owned());
                break;
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(page)
}

fn passes(fault: &Fault) -> bool {
    use FaultKind::{DeadlineExceeded, Overloaded, QuotaExhausted, RateLimited, Unavailable};
    matches!(fault.kind(), RateLimited | QuotaExhausted | Unavailable | Overloaded | DeadlineExceeded)
}

fn circle(cursor: &str) -> Fault {
    Fault::schema_mismatch("The system's cursor leads back to itself.").with_detail("cursor", cursor)
}
