//! Lists that say whether they are complete.

use ferrata_sdk::prelude::*;

/// A system that has these numbers, in pages of at most `size`.
fn numbers(end: u32, size: u32) -> impl FnMut(Option<&str>, u32) -> Result<Page<u32>, Fault> {
    move |cursor, limit| {
        let start: u32 = cursor.unwrap_or("0").parse().unwrap();
        let stop = (start + limit.min(size)).min(end);
        // At the end the cursor is empty, which is how Slack says that there is none.
        Ok(Page::new(
            (start..stop).collect(),
            Some(if stop < end { stop.to_string() } else { String::new() }),
        ))
    }
}

#[test]
fn a_list_that_ends_is_complete() {
    assert_eq!(paginate(100, None, numbers(7, 3)).unwrap(), Page::complete((0..7).collect()));
}

#[test]
fn a_list_that_is_cut_says_how_to_go_on_and_nothing_is_lost_between() {
    let first = paginate(5, None, numbers(8, 3)).unwrap();
    assert_eq!((first.items.as_slice(), first.complete), ([0, 1, 2, 3, 4].as_slice(), false));
    let second = paginate(5, first.next, numbers(8, 3)).unwrap();
    assert_eq!((second.items, second.complete, second.next), (vec![5, 6, 7], true, None));
}

#[test]
fn what_passes_by_itself_keeps_what_is_there() {
    let mut fetch = numbers(9, 2);
    // Only the host originates such a fault: the harness lends one.
    let limited = limited();
    let page =
        paginate(
            9,
            None,
            |cursor, limit| if cursor == Some("4") { Err(limited.clone()) } else { fetch(cursor, limit) },
        );
    let page = page.unwrap();
    assert_eq!((page.items, page.complete, page.next.as_deref()), (vec![0, 1, 2, 3], false, Some("4")));
    assert_eq!(page.stopped_by.as_deref(), Some("rate_limited"));
}

#[test]
fn a_fault_of_the_first_page_or_of_another_kind_is_the_lists() {
    let limited = limited();
    let first = paginate(9, None, |_, _| -> Result<Page<u32>, Fault> { Err(limited.clone()) });
    assert_eq!(first.unwrap_err().kind(), FaultKind::RateLimited);

    let mut fetch = numbers(9, 2);
    let drift = || Err(Fault::schema_mismatch("Another shape."));
    let later =
        paginate(9, None, |cursor, limit| if cursor.is_some() { drift() } else { fetch(cursor, limit) });
    assert_eq!(later.unwrap_err().kind(), FaultKind::SchemaMismatch);
}

#[test]
fn a_cursor_that_leads_nowhere_ends_the_walk() {
    let fault = paginate(9, None, |_, _| Ok(Page::new(vec![1], Some("same".to_owned())))).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::SchemaMismatch);

    let mut requests = 0;
    let page = paginate(9, None, |_, _| {
        requests += 1;
        Ok(Page::<u32>::new(Vec::new(), Some(requests.to_string())))
    });
    assert_eq!((requests, page.unwrap().complete), (ferrata_sdk::MAX_REQUESTS, false));
}

fn limited() -> Fault {
    use ferrata_sdk::testing::{Harness, get};

    const ANY: Operation = Operation::get("api", "any", "/");

    /// Gets anything.
    #[input]
    struct Nothing {}

    let get_any = |cx: &Cx<NoSettings>, _: Nothing| cx.request(&ANY).send()?.json::<Page<u32>>();
    let connector =
        Connector::new("any", "1.0.0").upstream(Upstream::http("api")).tool(tool("any", &ANY, get_any));
    let mut harness = Harness::new(connector);
    harness.expect(get("/").fault(FaultKind::RateLimited));
    harness.call("any", json!({})).unwrap_err()
}
