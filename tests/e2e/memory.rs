//! Searches the memory of sandboxes from outside, while a guest waits in an import and after its call: a secret that the host
//! writes for it must not be there, in any spelling.

mod logins;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ferrata_tests::company;
use ferrata_tests::connectors::{self, GUEST_TOKEN};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use serde_json::json;

use crate::database::Database;
use crate::done;

/// Addresses that the engine reserves behind each guest's memory: nothing else in the process reserves as much at once.
const RESERVED_BEHIND_A_MEMORY: u64 = 2 << 30;

/// One line of `/proc/PID/maps`.
struct Mapping {
    start: u64,
    end: u64,
    writable: bool,
}

fn mappings(pid: u32) -> Vec<Mapping> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mapping = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        Some(Mapping { start: address(start)?, end: address(end)?, writable: rest.starts_with("rw") })
    };
    maps.lines().map(|line| mapping(line).unwrap()).collect()
}

/// What guests can write to and read: the writable mappings right before a large reservation.
fn guest_memory(pid: u32) -> Vec<u8> {
    let mappings = mappings(pid);
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    for (at, reserved) in mappings.iter().enumerate() {
        if reserved.writable || reserved.end - reserved.start < RESERVED_BEHIND_A_MEMORY {
            continue;
        }
        let mut next = reserved.start;
        for mapping in mappings[..at].iter().rev().take_while(|m| m.writable) {
            if mapping.end != next {
                break;
            }
            next = mapping.start;
            let length = usize::try_from(mapping.end - mapping.start).unwrap();
            let from = found.len();
            found.resize(from + length, 0);
            memory.seek(SeekFrom::Start(mapping.start)).unwrap();
            memory.read_exact(&mut found[from..]).unwrap();
        }
    }
    found
}

fn holds(memory: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(memory, needle).is_some()
}

/// The secret as it is, and as the encodings of a part would write it. The first bytes of a base64 text depend on what stands before the
/// secret, so each alignment is looked for.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut spellings = vec![secret.as_bytes().to_vec()];
    let in_form = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    spellings.push(secret.bytes().map(in_form).collect::<String>().into_bytes());
    for skipped in 0..3 {
        let aligned = &secret.as_bytes()[skipped..];
        let whole = &aligned[..aligned.len() - aligned.len() % 3];
        spellings.push(BASE64_STANDARD.encode(whole).into_bytes());
        spellings.push(BASE64_URL_SAFE_NO_PAD.encode(whole).into_bytes());
    }
    spellings
}

#[tokio::test]
async fn no_secret_is_in_a_guests_memory_during_or_after_a_call() {
    let upstream = Upstream::start().await.unwrap();
    // A sandbox that is kept is not wiped: what the guest saw is still there after the call.
    let setup = Setup::new().unwrap().with(&["sandbox"], json!({ "reuse": true }));
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    let mcp = ferrata.mcp();

    upstream.reply(Reply::Held);
    let call = tokio::spawn(async move { mcp.call("probe_read", json!({})).await.unwrap() });
    upstream.holds(1).await.unwrap();
    let during = guest_memory(ferrata.pid());
    upstream.release();
    done(call.await.unwrap());
    let after = guest_memory(ferrata.pid());

    assert_eq!(upstream.seen()[0].header("authorization"), format!("Bearer {GUEST_TOKEN}"));
    // That this search finds anything is shown by what the guest does know: the secret's name, and the scrubbed reflection.
    assert!(holds(&during, b"bot.token"), "the search finds nothing in {} bytes", during.len());
    assert!(holds(&after, b"Bearer [redacted]"), "the search finds nothing in {} bytes", after.len());
    holds_none_of(GUEST_TOKEN, &during);
    holds_none_of(GUEST_TOKEN, &after);

    // A guest that was given a copy by its caller has one, and it is found.
    done(ferrata.mcp().call("probe_read", json!({ "path": GUEST_TOKEN })).await.unwrap());
    assert!(holds(&guest_memory(ferrata.pid()), GUEST_TOKEN.as_bytes()));
}

#[track_caller]
fn holds_none_of(secret: &str, memory: &[u8]) {
    for spelling in spellings(secret) {
        assert!(!holds(memory, &spelling), "{} is in a guest's memory", String::from_utf8_lossy(&spelling));
    }
}

#[tokio::test]
async fn a_databases_password_is_in_no_guests_memory() {
    let setup = Setup::new().unwrap().with(&["sandbox"], json!({ "reuse": true }));
    let Some(db) = Database::start_in(setup, 10).await else { return };
    done(db.query("select name from customers where name = $1", json!(["Globex"])).await);
    let memory = guest_memory(db.ferrata.pid());
    assert!(holds(&memory, b"Globex"), "the search finds nothing in {} bytes", memory.len());
    holds_none_of(company::READER_PASSWORD, &memory);
}
