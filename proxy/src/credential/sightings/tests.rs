//! Processes that come and go over one store, at days of the test's choosing.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::credential::store::Store;
use crate::credential::store::memory::Memory;
use crate::credential::store::tests::Failing;

/// So many days after a machine can know the time.
fn day(day: i64) -> Timestamp {
    Timestamp::from_second(EARLIEST.as_second() + day * 86_400).unwrap()
}

fn secret(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

/// A secret whose file was written then.
fn used(text: &str, changed: Timestamp) -> [Sighting; 1] {
    [Sighting { place: "crm/login/key".to_owned(), secret: secret(text), changed: Some(changed) }]
}

/// The first so many times that something is to be written fail.
fn failing(times: u32) -> Arc<dyn Store> {
    Arc::new(Failing(Memory::default(), AtomicU32::new(times)))
}

fn process(store: &Arc<dyn Store>, key: &str) -> Sightings {
    let sealer = Arc::new(Sealer::with_key(&secret(&key.repeat(32))).unwrap());
    Sightings::new(Ok(Keeping { store: Arc::clone(store), sealer }))
}

fn sure(at: Timestamp) -> Since {
    Since { at: Some(at), doubt: None }
}

fn doubted(at: Timestamp, doubt: &str) -> Since {
    Since { at: Some(at), doubt: Some(doubt.into()) }
}

#[tokio::test]
async fn a_key_in_a_new_pod_is_as_old_as_it_was_in_the_one_before() {
    let store = failing(0);
    process(&store, "07").look(&used("k", day(8)), day(10)).await;
    let pod = process(&store, "07");
    assert_eq!(pod.since(&secret("k")), Since { at: None, doubt: Some(NOT_ASKED.into()) });
    pod.look(&used("k", day(99)), day(99)).await;
    assert_eq!(pod.since(&secret("k")), sure(day(8)));
    // Another is another, and what is in use no more is known no more.
    pod.look(&used("new", day(99)), day(100)).await;
    assert_eq!((pod.since(&secret("new")), pod.since(&secret("k")).at), (sure(day(99)), None));
    // Nothing of it stands in the store, and who has another key begins anew.
    let other = process(&store, "08");
    other.look(&used("k", day(100)), day(100)).await;
    assert_eq!(other.since(&secret("k")), sure(day(100)));
}

#[tokio::test]
async fn a_store_that_is_away_is_said_and_makes_nothing_young() {
    let store = failing(0);
    process(&store, "07").look(&used("k", day(1)), day(1)).await;
    let closed: Arc<dyn Store> = Arc::new(crate::credential::store::closed::Closed("it is away".into()));
    let pod = process(&closed, "07");
    pod.look(&used("k", day(60)), day(60)).await;
    assert_eq!(pod.since(&secret("k")), doubted(day(60), "it is away"));
    let pod = Sightings { keeping: process(&store, "07").keeping, ..pod };
    pod.look(&used("k", day(60)), day(60)).await;
    assert_eq!(pod.since(&secret("k")), sure(day(1)));
    let memory = Sightings::new(Err("`state` is `memory`".into()));
    memory.look(&used("k", day(5)), day(9)).await;
    assert_eq!(memory.since(&secret("k")), doubted(day(5), "`state` is `memory`"));
}

#[tokio::test]
async fn what_can_be_read_counts_though_nothing_can_be_written() {
    let failing = Arc::new(Failing(Memory::default(), AtomicU32::new(0)));
    let store: Arc<dyn Store> = Arc::clone(&failing) as _;
    process(&store, "07").look(&used("k", day(1)), day(1)).await;
    failing.1.store(1, std::sync::atomic::Ordering::Relaxed);
    let pod = process(&store, "07");
    pod.look(&used("k", day(60)), day(60)).await;
    assert_eq!(pod.since(&secret("k")), doubted(day(1), "the disk is full"));
    pod.look(&used("k", day(60)), day(60)).await;
    assert_eq!(pod.since(&secret("k")), sure(day(1)));
}

#[tokio::test]
async fn two_sidecars_between_which_a_secret_is_replaced_remember_both() {
    let store = failing(0);
    let (late, early) = (process(&store, "07"), process(&store, "07"));
    let (old, new) = (used("old", day(1)), used("new", day(50)));
    tokio::join!(late.look(&old, day(50)), early.look(&new, day(50)));
    for _ in 0..2 {
        let pod = process(&store, "07");
        pod.look(&used("old", day(51)), day(51)).await;
        assert_eq!(pod.since(&secret("old")), sure(day(1)));
        pod.look(&used("new", day(51)), day(51)).await;
        assert_eq!(pod.since(&secret("new")), sure(day(50)));
    }
}

#[tokio::test]
async fn what_a_store_forgets_is_given_back_within_an_hour() {
    let (store, emptied) = (failing(0), failing(0));
    let mut pod = process(&store, "07");
    pod.look(&used("k", day(3)), day(3)).await;
    pod.keeping = process(&emptied, "07").keeping;
    let hour = Duration::from_secs(3_600);
    pod.look(&used("k", day(3)), day(3) + hour / 2).await;
    pod.look(&used("k", day(3)), day(3) + hour).await;
    let next = process(&emptied, "07");
    next.look(&used("k", day(90)), day(90)).await;
    assert_eq!(next.since(&secret("k")), sure(day(3)));
}

#[tokio::test]
async fn a_machine_that_does_not_know_the_time_makes_nothing_old() {
    let store = failing(0);
    let pod = process(&store, "07");
    pod.look(&used("k", day(7)), Timestamp::UNIX_EPOCH).await;
    assert_eq!(pod.since(&secret("k")).doubt.as_deref(), Some(WRONG_CLOCK));
    pod.look(&used("k", day(7)), day(7)).await;
    assert_eq!(pod.since(&secret("k")), sure(day(7)));
}
