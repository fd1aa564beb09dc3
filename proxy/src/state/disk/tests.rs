//! The file: what a process finds of what those before it counted, however they ended.

use std::time::Duration;

use super::*;
use crate::policy::Priority;
use crate::policy::limit::{About, Asked, Keeping, MAX_RESOURCES, Reason, Source, Wall, WallSet};

const START: i64 = 1_767_225_600_000;

fn at(ms: u64) -> Now {
    Now { mono: Moment(ms), wall: START.saturating_add_unsigned(ms) }
}

fn limits(walls: &[&str]) -> Limits {
    let walls = walls.iter().map(|w| Wall::new(w.parse().unwrap(), Source::Operator));
    Limits::kept(&WallSet::new(walls).unwrap(), Keeping::Disk { since: Moment(0) })
}

const ASKED: Asked =
    Asked { operation: "read", resource: None, cost: 1, priority: Priority::Interactive, owner: None };

fn write_due(limits: &mut Limits, disk: &Disk, now: Now) -> usize {
    let due = limits.to_write(now);
    let walls: Vec<_> = due.iter().map(|r| r.written.clone()).collect();
    let change = Change { walls, pauses: limits.pauses(), forgotten: limits.forgotten() };
    disk.write("acme", &change, now).unwrap();
    due.iter().for_each(|r| limits.written(r));
    due.len()
}

/// Spends all there is, writing as needed; returns how much and how often it was written.
fn spend(limits: &mut Limits, disk: &Disk, now: Now) -> (u64, usize) {
    let (mut spent, mut writes) = (0, 0);
    loop {
        match limits.try_acquire(&ASKED, now) {
            Ok(charge) => {
                limits.answered(charge, now);
                spent += 1;
            }
            Err(refused) if refused.reason == Reason::Reserving => writes += write_due(limits, disk, now),
            Err(_) => return (spent, writes),
        }
    }
}

#[test]
fn a_crash_wastes_at_most_a_block_and_gives_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let mut total = 0;
    for _ in 0..5 {
        let disk = Disk::open(&path).unwrap();
        let mut limits = limits(&["1000/24h"]);
        disk.restore("acme", &mut limits, at(0)).unwrap();
        for _ in 0..33 {
            match limits.try_acquire(&ASKED, at(0)) {
                Ok(charge) => limits.answered(charge, at(0)),
                Err(_) => {
                    write_due(&mut limits, &disk, at(0));
                    continue;
                }
            }
            total += 1;
        }
    }
    let disk = Disk::open(&path).unwrap();
    let mut limits = limits(&["1000/24h"]);
    disk.restore("acme", &mut limits, at(0)).unwrap();
    let (rest, writes) = spend(&mut limits, &disk, at(0));
    assert!((1_000 - 5 * 10..=1_000).contains(&(total + rest)), "{total} + {rest}");
    assert!(writes <= 200, "{writes}");
    drop((limits, disk));
    let mut limits = self::limits(&["1000/24h"]);
    Disk::open(&path).unwrap().restore("acme", &mut limits, at(0)).unwrap();
    assert_eq!(limits.try_acquire(&ASKED, at(0)).unwrap_err().reason, Reason::Window);
}

#[test]
fn a_restart_counts_on_where_the_last_left() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(&folder.path().join("state.redb")).unwrap();
    let mut before = limits(&["20/min", "30/day Europe/Berlin"]);
    assert_eq!(spend(&mut before, &disk, at(100_000)).0, 20);
    let change = Change { walls: before.last_words(at(110_000)), ..Change::default() };
    disk.write("acme", &change, at(110_000)).unwrap();
    // The new process counts its time from elsewhere; its clock has gone on by 30 s, or cannot be compared.
    let now = Now { mono: Moment(5), wall: at(140_000).wall };
    let mut after = limits(&["20/min", "30/day Europe/Berlin"]);
    disk.restore("acme", &mut after, now).unwrap();
    let usage = after.usage(now);
    assert_eq!((usage[0].used, usage[1].used), (20, 20));
    assert_eq!(limits(&["20/min"]).usage(now)[0].used, 0);
}

#[test]
fn what_no_longer_counts_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(&folder.path().join("state.redb")).unwrap();
    let count = || {
        let mut count = 0;
        disk.read(WALLS, |_, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
        count
    };
    let mut first = limits(&["20/3s", "1000/24h"]);
    spend(&mut first, &disk, at(0));
    assert_eq!(count(), 2);
    // Both were open, and count as spent from now on; then the short one is over.
    disk.restore("acme", &mut limits(&["20/3s", "1000/24h"]), at(0)).unwrap();
    assert_eq!(count(), 2);
    let mut later = limits(&["20/3s", "1000/24h"]);
    let mut forgotten = Vec::new();
    disk.read(WALLS, |_, value| {
        forgotten.push(serde_json::from_slice::<Record>(value).unwrap().written);
        Ok(())
    })
    .unwrap();
    assert!(forgotten.iter().all(|written| later.restore(written, 3_001, at(0))));
    assert_eq!(later.last_words(at(0)).len(), 1);
}

#[test]
fn what_is_forgotten_and_pauses_that_are_over_leave_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(&folder.path().join("state.redb")).unwrap();
    let count = |table| {
        let mut count = 0;
        let counted = disk.read(table, |_, _| {
            count += 1;
            Ok(())
        });
        counted.map(|()| count).unwrap()
    };
    let wall = Wall::new("9/min".parse().unwrap(), Source::Operator);
    let walls = WallSet::new([Wall { per: Some("channel".into()), ..wall }]).unwrap();
    let mut limits = Limits::kept(&walls, Keeping::Disk { since: Moment(0) });
    let spend = |limits: &mut Limits, name: usize, ms| {
        let name = name.to_string();
        let asked = Asked { resource: Some(&name), ..ASKED };
        limits.try_acquire(&asked, at(ms)).map(|charge| limits.answered(charge, at(ms))).is_ok()
    };
    for name in 0..MAX_RESOURCES {
        assert!(!spend(&mut limits, name, 0));
    }
    while write_due(&mut limits, &disk, at(0)) > 0 {}
    assert_eq!(count(WALLS), MAX_RESOURCES);
    for name in 0..100 {
        assert!(!spend(&mut limits, MAX_RESOURCES + name, 1));
    }
    // One of those that made way comes back before that is written.
    assert!(!spend(&mut limits, 0, 1));
    while write_due(&mut limits, &disk, at(1)) > 0 {}
    assert_eq!(count(WALLS), MAX_RESOURCES);
    assert!(spend(&mut limits, 0, 1));

    let until = |ms: u64| Pause { operation: None, resource: Some(ms.to_string().into()), until: Moment(ms) };
    let pauses = |until: Pause, ms| {
        let change = Change { pauses: vec![until], ..Change::default() };
        disk.write("acme", &change, at(ms)).unwrap();
    };
    pauses(until(1), 1);
    pauses(until(60_000), 2);
    assert_eq!(count(PAUSES), 1);
}

#[test]
fn short_windows_are_waited_for() {
    let mut limits = limits(&["1/s"]);
    let refused = limits.try_acquire(&ASKED, at(0)).unwrap_err();
    assert_eq!((refused.reason, refused.retry_at), (Reason::Window, Some(at(1_001))));
    assert!(limits.try_acquire(&ASKED, at(1_001)).is_ok());
    assert!(!limits.wants_store());
}

#[test]
fn what_the_system_said_is_known_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(&folder.path().join("state.redb")).unwrap();
    let mut before = limits(&["100/h"]);
    let wait = Duration::from_secs(30);
    let lowered = before.throttled(About::Upstream, Some(wait), Moment(0), at(0)).unwrap();
    let other = About::Operation("write");
    assert!(before.throttled(other, Some(wait * 4), Moment(0), at(0)).is_none());
    assert_eq!((lowered.to, before.wants_store()), (70, true));
    write_due(&mut before, &disk, at(0));
    let mut after = limits(&["100/h"]);
    disk.restore("acme", &mut after, at(0)).unwrap();
    write_due(&mut after, &disk, at(0));
    assert_eq!(after.usage(at(0))[0].limit, 70);
    let closed =
        |limits: &mut Limits, operation, now| match limits.try_acquire(&Asked { operation, ..ASKED }, now) {
            Ok(charge) => {
                limits.never_sent(charge, now);
                false
            }
            Err(refused) => refused.reason == Reason::Throttled,
        };
    let over = at(30_000);
    assert!(closed(&mut after, "read", at(0)) && !closed(&mut after, "read", over));
    assert!(closed(&mut after, "write", over) && !closed(&mut after, "write", at(120_000)));
    let mut elsewhere = limits(&["100/h"]);
    disk.restore("other", &mut elsewhere, at(0)).unwrap();
    assert!(!closed(&mut elsewhere, "read", at(0)));
}

#[test]
fn a_damaged_file_and_one_in_use_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    std::fs::write(&path, vec![7; 9_000]).unwrap();
    let why = Disk::open(&path).err().unwrap();
    assert!(why.contains("is damaged") && why.contains("state.redb"), "{why}");
    let path = folder.path().join("other.redb");
    let _first = Disk::open(&path).unwrap();
    assert!(Disk::open(&path).err().unwrap().contains("in use"));
    assert!(Disk::open(&folder.path().join("none/x")).err().unwrap().contains("cannot be opened"));
}

#[test]
fn a_later_format_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let disk = Disk::open(&path).unwrap();
    disk.transact(|t| Ok(t.open_table(META)?.insert("format", FORMAT + 1).map(|_| ())?)).unwrap();
    drop(disk);
    assert!(Disk::open(&path).err().unwrap().contains("format 2"));
}
