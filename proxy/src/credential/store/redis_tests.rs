//! What the shared store promises a fleet, of its script and of the same with a mistake in it: each mistake must break a promise.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ferrata_test_redis::RedisServer;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::redis::{SCRIPT, Shared};
use super::tests::{ONE, OTHER, TTL, entry, keeps_its_promises};
use super::{Beginning, Commit, Owner, Store};
use crate::state::wire::{ANSWER_TIMEOUT, Wire};

/// How long those who know more have to say so, here.
const BRIEF: Duration = Duration::from_secs(1);

/// Longest time for a promise to be kept: a mistake may make somebody wait for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and the script by which stores on it work.
struct Ground {
    server: RedisServer,
    script: String,
}

impl Ground {
    fn new(script: &str) -> Option<Self> {
        Some(Self { server: RedisServer::start()?, script: script.to_owned() })
    }

    fn wire(&self) -> Arc<Wire> {
        Arc::new(Wire::new(&self.server.url(), None).unwrap())
    }

    /// For families that are known to be new.
    fn store(&self) -> Shared {
        Shared::running(&self.script, Duration::ZERO, self.wire())
    }

    /// For families that may be old.
    fn cautious(&self) -> Shared {
        Shared::running(&self.script, BRIEF, self.wire())
    }

    async fn told(&self, command: &str) {
        let script = redis::Script::new(&format!("return redis.call({command})"));
        self.wire().invoke::<redis::Value>(&script.prepare_invoke()).await.unwrap();
    }

    /// A store that has the second version.
    async fn second(&self) -> Shared {
        let store = self.store();
        begun(&store, 0, ONE).await;
        for version in [1, 2] {
            store.commit("k", ONE, entry(version, "sealed")).await.unwrap();
        }
        store
    }
}

async fn begun(store: &Shared, version: u64, owner: Owner) -> Beginning {
    store.begin("k", version, owner, BRIEF).await.unwrap()
}

/// Asks again until it may begin.
async fn begins(store: &Shared, version: u64, owner: Owner) {
    while begun(store, version, owner).await == Beginning::Held {
        tokio::task::yield_now().await;
    }
}

/// The promises, by name.
macro_rules! promises {
    ($($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                if let Some(ground) = Ground::new(SCRIPT) {
                    promise::$name(ground).await;
                }
            }
        )+

        fn all(script: &str) -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {
            let ground = || Ground::new(script).unwrap();
            vec![$(Box::pin(promise::$name(ground()))),+]
        }
    };
}

promises! {
    it_is_the_same_to_a_whole_fleet,
    a_lock_runs_out_and_its_intent_does_not,
    what_is_forgotten_is_given_back_and_nobody_spends_what_was_spent,
    what_is_given_back_before_anybody_asks_is_not_spent_at_once,
    what_nobody_vouches_for_stands_in_the_way_for_a_while_only,
    an_unknown_family_begins_when_others_have_had_time_to_vouch,
    a_clock_that_is_set_back_makes_nobody_wait_for_it,
}

mod promise {
    use super::*;

    pub async fn it_is_the_same_to_a_whole_fleet(ground: Ground) {
        keeps_its_promises(&ground.store(), "crm/login").await;
        let other = ground.store();
        assert_eq!(other.load("crm/login").await.unwrap().unwrap().version, 2);
        assert!(matches!(other.begin("crm/login", 1, OTHER, TTL).await, Ok(Beginning::Newer(_))));
    }

    pub async fn a_lock_runs_out_and_its_intent_does_not(ground: Ground) {
        let (store, short) = (ground.store(), Duration::from_millis(1));
        assert_eq!(store.begin("k", 0, ONE, short).await, Ok(Beginning::Ours { unfinished: false }));
        while store.holds("k", ONE, Duration::ZERO).await != Ok(false) {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.begin("k", 0, OTHER, TTL).await, Ok(Beginning::Ours { unfinished: true }));
        // The one whose time was over gives nobody's lock back, and has won something all the same.
        store.release("k", ONE, true).await.unwrap();
        assert_eq!(store.holds("k", OTHER, Duration::ZERO).await, Ok(true));
        assert_eq!(store.commit("k", ONE, entry(1, "slow")).await, Ok(Commit::Durable));
        assert_eq!(store.holds("k", OTHER, Duration::ZERO).await, Ok(true));
        assert!(matches!(store.commit("k", OTHER, entry(1, "second")).await, Ok(Commit::Superseded(_))));
        assert!(store.load("k").await.unwrap().unwrap().age >= ANSWER_TIMEOUT);
    }

    pub async fn what_is_forgotten_is_given_back_and_nobody_spends_what_was_spent(ground: Ground) {
        let store = ground.second().await;
        for forgets in ["'FLUSHALL'", "'DEL', redis.call('KEYS', '*')[1]"] {
            ground.told(forgets).await;
            // One that has the version before, one that comes with the seed alone, and the one that knows.
            assert_eq!(begun(&store, 1, OTHER).await, Beginning::Held);
            assert_eq!(begun(&ground.cautious(), 0, OTHER).await, Beginning::Held);
            assert_eq!(begun(&store, 2, ONE).await, Beginning::Held);
            assert_eq!(store.vouch("k", entry(1, "old"), BRIEF).await, Ok(true));
            assert_eq!(begun(&store, 1, OTHER).await, Beginning::Held);
            assert_eq!(store.vouch("k", entry(2, "sealed"), BRIEF).await, Ok(true));
            assert_eq!(store.vouch("k", entry(2, "sealed"), BRIEF).await, Ok(false));
            for late in [0, 1] {
                let newer = begun(&store, late, OTHER).await;
                assert!(matches!(newer, Beginning::Newer(entry) if entry.version == 2));
            }
            assert_eq!(begun(&store, 2, OTHER).await, Beginning::Held, "something may be under way");
        }
        begins(&store, 2, ONE).await;
        assert_eq!(store.commit("k", ONE, entry(3, "third")).await, Ok(Commit::Durable));
        assert!(matches!(begun(&store, 2, OTHER).await, Beginning::Newer(entry) if entry.version == 3));
    }

    pub async fn what_is_given_back_before_anybody_asks_is_not_spent_at_once(ground: Ground) {
        let store = ground.second().await;
        ground.told("'FLUSHALL'").await;
        assert_eq!(store.vouch("k", entry(1, "old"), BRIEF).await, Ok(true));
        assert_eq!(begun(&store, 1, OTHER).await, Beginning::Held);
        assert_eq!(store.vouch("k", entry(2, "sealed"), BRIEF).await, Ok(true));
        begins(&store, 2, ONE).await;
    }

    pub async fn what_nobody_vouches_for_stands_in_the_way_for_a_while_only(ground: Ground) {
        let store = ground.second().await;
        ground.told("'FLUSHALL'").await;
        assert_eq!(begun(&store, 2, ONE).await, Beginning::Held);
        begins(&store, 2, ONE).await;
    }

    pub async fn an_unknown_family_begins_when_others_have_had_time_to_vouch(ground: Ground) {
        let store = ground.cautious();
        assert_eq!(begun(&store, 0, ONE).await, Beginning::Held);
        assert_eq!(store.load("k").await, Ok(None));
        begins(&store, 0, ONE).await;
    }

    pub async fn a_clock_that_is_set_back_makes_nobody_wait_for_it(ground: Ground) {
        let store = ground.second().await;
        assert_eq!(begun(&store, 2, ONE).await, Beginning::Ours { unfinished: false });
        // What was written before is of a time that is to come now.
        for field in ["'iu'", "'w'", "'t'"] {
            ground.told(&format!("'HSET', redis.call('KEYS', '*')[1], {field}, '9000000000000'")).await;
        }
        while store.load("k").await.unwrap().unwrap().age.is_zero() {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            begun(&store, 2, OTHER).await,
            Beginning::Held,
            "as long as it would be held if it were taken now"
        );
        begins(&store, 2, OTHER).await;
        assert_eq!(store.holds("k", OTHER, Duration::ZERO).await, Ok(true));
    }
}

/// What stands in the script once, and what stands there by mistake.
const MISTAKES: [(&str, &str); 18] = [
    ("not_beyond('iu', tonumber(kept[3]) or 0, now + ttl)", "(tonumber(kept[3]) or 0)"),
    ("not_beyond('w', tonumber(kept[4]) or 0, now + math.max(ttl, settles))", "(tonumber(kept[4]) or 0)"),
    ("now - not_beyond('t', tonumber(kept[2]), now)", "math.max(0, now - tonumber(kept[2]))"),
    ("is_mine(tonumber(ARGV[3]))", "is_mine(0)"),
    ("if version > expected then return {'newer'", "if false then return {'newer'"),
    ("if is_others and now <", "if false and now <"),
    ("if version < expected and", "if false and"),
    ("elseif version == 0 and not kept[4] then", "elseif false then"),
    ("(tonumber(kept[5]) or 0) < expected then", "true then"),
    ("if now < wait then", "if false then"),
    ("is_others and tonumber(kept[1]) == expected and 1 or 0", "0"),
    ("'o', '', 'w', now + ARGV[7])", "'o', '')"),
    ("if version >= known then", "if true then"),
    ("if version >= new and not is_known then", "if false then"),
    (
        "if is_mine(0) then redis.call('HDEL', KEYS[1], 'io', 'iu') end",
        "redis.call('HDEL', KEYS[1], 'io', 'iu')",
    ),
    ("if is_mine(0) then redis.call('HDEL', KEYS[1], 'io', 'iu') end", ""),
    ("if redis.call('HGET', KEYS[1], 'io') == owner then", "if true then"),
    ("if ARGV[3] == '0' then", "if true then"),
];

#[tokio::test]
async fn each_mistake_in_the_script_breaks_a_promise() {
    if RedisServer::start().is_none() {
        return;
    }
    for (right, wrong) in MISTAKES {
        assert_eq!(SCRIPT.matches(right).count(), 1, "{right}");
        let script = SCRIPT.replacen(right, wrong, 1);
        let promises = all(&script).into_iter().map(|promise| tokio::spawn(timeout(PATIENCE, promise)));
        let kept = join_all(promises).await.into_iter().all(|ended| matches!(ended, Ok(Ok(()))));
        assert!(!kept, "nobody notices `{wrong}` in the place of `{right}`");
    }
}

#[tokio::test]
async fn a_redis_that_is_away_is_said_to_be() {
    let Some(ground) = Ground::new(SCRIPT) else { return };
    let store = ground.store();
    store.load("k").await.unwrap();
    drop(ground);
    assert!(store.load("k").await.unwrap_err().contains("the shared state"));
}
