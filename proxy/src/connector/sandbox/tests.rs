use std::future::pending;

use futures_util::future::{join_all, poll_immediate};
use tokio::sync::{Notify, Semaphore};
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::*;
use crate::call::Deadline;
use crate::config;
use crate::connector::host::GuestCache;
use crate::connector::{Bounds, CompiledCache, Engine, component};
use crate::credential::Credentials;
use crate::egress::Egress;
use crate::egress::operation::{Effect, Operations};
use crate::egress::scope::Purpose;
use crate::egress::upstream::Upstreams;
use crate::telemetry::TraceContext;

const COUNTS: &str = include_str!("counts.wat");
const START_ASKS: &str = include_str!("start_asks.wat");
const START_BLOCKS: &str = include_str!("start_blocks.wat");

const TIME: Duration = Duration::from_secs(10);

fn sandboxes(wat: &str, bounds: config::Sandbox) -> Arc<Sandboxes> {
    Arc::new(sandboxes_of(&Engine::new().unwrap(), wat, bounds))
}

fn sandboxes_of(engine: &Engine, wat: &str, bounds: config::Sandbox) -> Sandboxes {
    let loaded = component::load(engine, &CompiledCache::none(), &wat::parse_str(wat).unwrap()).unwrap();
    let connector: Arc<str> = "test".into();
    let (operations, upstreams) = (Operations::default(), Arc::new(Upstreams::default()));
    let credentials = Arc::new(Credentials::new([]));
    let egress = Egress::new(
        Arc::clone(&connector),
        operations,
        upstreams,
        credentials,
        std::collections::BTreeMap::new(),
    );
    let concurrent = bounds.concurrent.unwrap_or(64);
    let bounds = Bounds::from((bounds, concurrent));
    let runtime = Runtime {
        connector,
        settings: "{}".to_owned(),
        egress,
        cache: Arc::new(GuestCache::default()),
        parked: Semaphore::new(bounds.parked),
        bounds,
    };
    Sandboxes::new(loaded, Arc::new(runtime))
}

fn scope(agent: &str) -> Arc<Scope> {
    let purpose = Purpose::Call { ceiling: Effect::Read };
    Arc::new(Scope::new(purpose, Caller::agent(agent), Deadline::after(TIME), TraceContext::fresh()))
}

async fn count(sandbox: &mut Sandbox) -> wasmtime::Result<u32> {
    let count = sandbox.instance.get_typed_func::<(), (u32,)>(&mut sandbox.store, "count")?;
    Ok(count.call_async(&mut sandbox.store, ()).await?.0)
}

async fn call(sandboxes: &Arc<Sandboxes>, agent: &str) -> u32 {
    sandboxes.run(scope(agent), count).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_start_function_that_waits_is_ended_in_time() {
    let sandboxes = sandboxes(START_BLOCKS, config::Sandbox::default());
    let began = Instant::now();
    for login in [false, true] {
        let never = async |_: &mut Sandbox| Ok(());
        let ran = async {
            if login {
                sandboxes.run_login(scope("a"), never).await
            } else {
                sandboxes.run(scope("a"), never).await
            }
        };
        let ended = tokio::time::timeout(10 * TIME, ran).await.expect("it waits for ever");
        assert_eq!(ended.unwrap_err().kind, FaultKind::DeadlineExceeded);
    }
    assert!(began.elapsed() < 3 * TIME);
    assert_eq!(sandboxes.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_guest_says_at_its_deadline_is_passed_on() {
    let sandboxes = sandboxes(COUNTS, config::Sandbox::default());
    let scope = scope("a");
    let deadline = scope.deadline.instant();
    let said = sandboxes.run(scope, async |_| {
        tokio::time::sleep_until(deadline + GRACE / 2).await;
        Ok("the fault of what it waited for")
    });
    assert_eq!(said.await.unwrap(), "the fault of what it waited for");
    let silent = sandboxes.run(super::tests::scope("a"), async |_| pending::<wasmtime::Result<()>>().await);
    assert_eq!(silent.await.unwrap_err().kind, FaultKind::DeadlineExceeded);
}

#[tokio::test]
async fn without_reuse_nothing_is_remembered() {
    let sandboxes = sandboxes(COUNTS, config::Sandbox::default());
    assert_eq!((call(&sandboxes, "a").await, call(&sandboxes, "a").await), (1, 1));
    assert_eq!(sandboxes.idle.served(), 0);
}

#[tokio::test]
async fn the_next_sandbox_is_made_when_the_answer_is_on_its_way() {
    let sandboxes = sandboxes(COUNTS, config::Sandbox { concurrent: Some(1), ..config::Sandbox::default() });
    for idle_before in [0, 1] {
        assert_eq!(sandboxes.idle.len(), idle_before);
        let answered = after::collecting(|| {
            let answered = sandboxes.run(scope("a"), count).now_or_never().expect("it waits for something");
            assert_eq!((sandboxes.idle.len(), sandboxes.in_use()), (0, 1), "the answer waited for it");
            answered
        });
        assert_eq!(answered.unwrap(), 1);
        assert_eq!((sandboxes.idle.len(), sandboxes.in_use()), (1, 0));
    }
}

#[tokio::test]
async fn what_does_not_start_at_once_is_not_made_ahead() {
    let sandboxes = sandboxes(START_BLOCKS, config::Sandbox::default());
    for _ in 0..2 {
        sandboxes.make_ahead();
        assert_eq!((sandboxes.idle.len(), sandboxes.starts_late.load(Ordering::Relaxed)), (0, true));
    }
}

#[tokio::test]
async fn a_sandbox_starts_for_nobody_whether_it_is_made_ahead_or_not() {
    let sandboxes = sandboxes(START_ASKS, config::Sandbox::default());
    for idle_before in [0, 1] {
        assert_eq!(sandboxes.idle.len(), idle_before);
        assert_eq!(call(&sandboxes, "a").await, 0, "it was told how much time its caller has");
    }
}

#[tokio::test]
async fn with_reuse_a_caller_meets_only_its_own_memory() {
    let sandboxes = sandboxes(COUNTS, config::Sandbox { reuse: true, ..config::Sandbox::default() });
    assert_eq!((call(&sandboxes, "a").await, call(&sandboxes, "a").await), (1, 2));
    assert_eq!((call(&sandboxes, "b").await, call(&sandboxes, "a").await), (1, 3));
    let mut for_a_user = scope("a");
    Arc::get_mut(&mut for_a_user).unwrap().caller.subject = Some(crate::call::Subject::new("id", "someone"));
    assert_eq!(sandboxes.run(for_a_user, count).await.unwrap(), 1);
}

#[tokio::test]
async fn a_sandbox_that_leaks_traps_or_comes_late_is_not_kept() {
    let sandboxes = sandboxes(COUNTS, config::Sandbox { reuse: true, ..config::Sandbox::default() });
    let leaking = sandboxes.run(scope("a"), async |sandbox| {
        sandbox.store.data_mut().table.push(1_u8)?;
        Ok(())
    });
    leaking.await.unwrap();
    assert_eq!(sandboxes.idle.served(), 0);
    let trapping = sandboxes.run(scope("a"), async |_| Err::<(), _>(wasmtime::Error::msg("a trap")));
    assert_eq!(trapping.await.unwrap_err().kind, FaultKind::ConnectorFailed);
    assert_eq!(sandboxes.idle.served(), 0);
    let cut = sandboxes.run(scope("a"), async |_| pending::<wasmtime::Result<()>>().await);
    assert!(poll_immediate(std::pin::pin!(cut)).await.is_none());
    assert_eq!((sandboxes.idle.served(), sandboxes.in_use()), (0, 0));
}

#[tokio::test]
async fn idle_and_running_sandboxes_share_the_bound() {
    let bounds = config::Sandbox { reuse: true, concurrent: Some(3), ..config::Sandbox::default() };
    let sandboxes = sandboxes(COUNTS, bounds);
    for agent in ["a", "b", "c"] {
        call(&sandboxes, agent).await;
    }
    assert_eq!(sandboxes.idle.len(), 3);
    let (entered, leave) = (Notify::new(), Notify::new());
    let running = sandboxes.run(scope("d"), async |_| {
        entered.notify_one();
        leave.notified().await;
        Ok(())
    });
    let look = async {
        entered.notified().await;
        assert_eq!((sandboxes.idle.len(), sandboxes.in_use()), (2, 1));
        assert_eq!(call(&sandboxes, "b").await, 2, "the one that was used longest ago had to go");
        leave.notify_one();
    };
    assert!(tokio::join!(running, look).0.is_ok());
    assert_eq!((sandboxes.idle.len(), sandboxes.in_use()), (3, 0));
}

#[tokio::test]
async fn running_and_waiting_calls_are_bounded_and_their_places_come_back() {
    let sandboxes =
        sandboxes(COUNTS, config::Sandbox { concurrent: Some(2), waiting: 3, ..config::Sandbox::default() });
    let (leave, most) = (Semaphore::new(0), AtomicUsize::new(0));
    let one = || {
        sandboxes.run(scope("a"), async |_| {
            most.fetch_max(sandboxes.in_use(), Ordering::Relaxed);
            let _ = leave.acquire().await;
            Ok(())
        })
    };
    for _round in 0..2 {
        let calls = join_all((0..6).map(|_| one()));
        let release = async {
            tokio::task::yield_now().await;
            leave.add_permits(1);
        };
        let (ended, ()) = tokio::join!(calls, release);
        let refused: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1);
        assert!(refused[0].kind == FaultKind::Overloaded && refused[0].retry_at.is_some());
        assert_eq!(sandboxes.in_use(), 0);
        leave.forget_permits(1);
    }
    assert_eq!(most.into_inner(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_sandbox_no_longer_than_its_deadline() {
    let sandboxes = sandboxes(COUNTS, config::Sandbox { concurrent: Some(1), ..config::Sandbox::default() });
    let long = Scope::new(
        Purpose::Call { ceiling: Effect::Read },
        Caller::agent("a"),
        Deadline::after(3 * TIME),
        TraceContext::fresh(),
    );
    let running = sandboxes.run(Arc::new(long), async |_| pending::<wasmtime::Result<()>>().await);
    let (running, waiting) = tokio::join!(running, sandboxes.run(scope("a"), count));
    assert_eq!(running.unwrap_err().kind, FaultKind::DeadlineExceeded);
    assert_eq!(waiting.unwrap_err().kind, FaultKind::Overloaded);
    assert_eq!(call(&sandboxes, "a").await, 1);
}

/// Some connectors, and no others whose logins count.
fn connectors<const N: usize>() -> [Sandboxes; N] {
    let engine = Engine::new().unwrap();
    let logins_of_all: &'static Semaphore = Box::leak(Box::new(Semaphore::new(MAX_LOGINS_OF_ALL)));
    std::array::from_fn(|_| Sandboxes {
        logins_of_all,
        ..sandboxes_of(&engine, COUNTS, config::Sandbox::default())
    })
}

/// Places for logins that are free, of the connector and of all.
fn free(connector: &Sandboxes) -> (usize, usize) {
    (connector.logins.available_permits(), connector.logins_of_all.available_permits())
}

/// Where logins are answered, and how many wait there.
struct Desk {
    waiting: AtomicUsize,
    most: AtomicUsize,
    answers: Semaphore,
}

impl Desk {
    async fn log_in(&self, connector: &Sandboxes) -> Result<(), Fault> {
        let login = connector.run_login(scope("a"), async |_| {
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(waiting, Ordering::Relaxed);
            self.answers.acquire().await?.forget();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        });
        login.await
    }
}

#[tokio::test]
async fn logins_at_once_are_bounded_by_connector_and_in_all_and_one_too_many_waits() {
    let connectors = connectors::<4>();
    let desk = Desk { waiting: AtomicUsize::new(0), most: AtomicUsize::new(0), answers: Semaphore::new(0) };
    let logins = |connector| join_all((0..=MAX_LOGINS).map(|_| desk.log_in(connector)));
    // One poll goes as far as it can, whatever it costs.
    let mut of_one = std::pin::pin!(unconstrained(logins(&connectors[0])));
    assert!(poll_immediate(of_one.as_mut()).await.is_none());
    assert_eq!(desk.waiting.load(Ordering::Relaxed), MAX_LOGINS);
    let mut of_others = std::pin::pin!(unconstrained(join_all(connectors[1..].iter().map(logins))));
    assert!(poll_immediate(of_others.as_mut()).await.is_none());
    assert_eq!(desk.waiting.load(Ordering::Relaxed), MAX_LOGINS_OF_ALL);
    // Each that ends makes room for one.
    desk.answers.add_permits(connectors.len() * (MAX_LOGINS + 1));
    let (of_one, of_others) = tokio::join!(of_one, of_others);
    assert!(of_one.into_iter().chain(of_others.into_iter().flatten()).all(|ended| ended.is_ok()));
    assert_eq!(desk.most.load(Ordering::Relaxed), MAX_LOGINS_OF_ALL);
    assert_eq!(free(&connectors[0]), (MAX_LOGINS, MAX_LOGINS_OF_ALL));
}

#[tokio::test(start_paused = true)]
async fn a_login_gives_its_place_back_however_it_ends() {
    let [connector] = connectors();
    let all = (MAX_LOGINS, MAX_LOGINS_OF_ALL);
    let one_less = (MAX_LOGINS - 1, MAX_LOGINS_OF_ALL - 1);
    let failed = connector.run_login(scope("a"), async |_| {
        assert_eq!(free(&connector), one_less);
        Err::<(), _>(wasmtime::Error::msg("a trap"))
    });
    assert_eq!(failed.await.unwrap_err().kind, FaultKind::ConnectorFailed);
    assert_eq!(free(&connector), all);
    let never = || connector.run_login(scope("a"), async |_| pending::<wasmtime::Result<()>>().await);
    {
        let mut given_up = std::pin::pin!(never());
        assert!(poll_immediate(given_up.as_mut()).await.is_none());
        assert_eq!(free(&connector), one_less);
    }
    assert_eq!(free(&connector), all);
    assert_eq!(never().await.unwrap_err().kind, FaultKind::DeadlineExceeded);
    assert_eq!(free(&connector), all);
}

#[tokio::test(start_paused = true)]
async fn a_login_waits_for_a_place_no_longer_than_its_time_and_leaves_the_queue_with_it() {
    let [connector] = connectors();
    let places = connector.logins.acquire_many(MAX_LOGINS as u32).await.unwrap();
    let began = Instant::now();
    let waited = connector.run_login(scope("a"), count).await;
    assert_eq!(waited.unwrap_err().kind, FaultKind::DeadlineExceeded);
    assert_eq!(began.elapsed(), TIME + GRACE);
    drop(places);
    assert_eq!(free(&connector), (MAX_LOGINS, MAX_LOGINS_OF_ALL));
    assert_eq!(connector.run_login(scope("a"), count).await.unwrap(), 1);
}
