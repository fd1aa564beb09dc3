//! A process that is killed at any point, again and again, never sends more than its wall: each time this test is the one who counts.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::disk::{Change, Disk};
use crate::policy::Priority;
use crate::policy::limit::{Asked, Keeping, Limits, Reason, Source, Wall, WallSet};
use crate::policy::time::{Moment, Now};

const FILE: &str = "FERRATA_TEST_STATE_FILE";
const LIMIT: u64 = 3_000;
const START: Now = Now { mono: Moment(0), wall: 1_767_225_600_000 };

/// The process that is killed: spends as fast as it can, and says so before anything is "answered". Runs only for the test below.
#[test]
fn spender() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let walls = WallSet::new([Wall::new(format!("{LIMIT}/24h").parse().unwrap(), Source::Operator)]).unwrap();
    let mut limits = Limits::kept(&walls, Keeping::Disk { since: Moment(0) });
    let disk = Disk::open(Path::new(&path)).unwrap();
    disk.restore("acme", &mut limits, START).unwrap();
    let mut wire = std::io::stdout().lock();
    loop {
        let asked = Asked {
            operation: "read",
            resource: None,
            cost: 1,
            priority: Priority::Interactive,
            owner: None,
        };
        match limits.try_acquire(&asked, START) {
            Ok(charge) => {
                writeln!(wire, "sent").and_then(|()| wire.flush()).unwrap();
                limits.answered(charge, START);
            }
            Err(refused) if refused.reason == Reason::Window => return,
            Err(_) => {}
        }
        if limits.wants_store() {
            let due = limits.to_write(START);
            let walls: Vec<_> = due.iter().map(|r| r.written.clone()).collect();
            disk.write("acme", &Change { walls, ..Change::default() }, START).unwrap();
            due.iter().for_each(|r| limits.written(r));
        }
    }
}

/// Lets one process live until it has sent `lines`, or all it can. Returns how much arrived, and whether it came to its end.
fn live(path: &Path, lines: u64) -> (u64, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "state::kill_tests::spender", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut arrived = 0;
    let mut wire = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in wire.by_ref().map_while(Result::ok).filter(|line| line.ends_with("sent")) {
        arrived += 1;
        if arrived == lines {
            child.kill().unwrap();
        }
    }
    // What it wrote before it died is on the wire, and counts.
    (arrived, child.wait().unwrap().success())
}

#[test]
fn no_kill_gives_quota_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let (mut arrived, mut lives, mut random) = (0, 0, 0x9E37_79B9_7F4A_7C15_u64);
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (more, ended) = live(&path, 1 + (random >> 33) % 150);
        arrived += more;
        lives += 1;
        assert!(arrived <= LIMIT, "{arrived} of {LIMIT} arrived after {lives} lives");
        if ended {
            break;
        }
    }
    assert!(lives > 10, "only {lives} lives");
    // A block is a hundredth; the one that was being begun may be lost as well.
    assert!(arrived + lives * 2 * (LIMIT / 100) >= LIMIT, "{arrived} of {LIMIT} in {lives} lives");
}
