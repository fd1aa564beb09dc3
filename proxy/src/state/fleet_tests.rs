//! Eight processes share one wall through a real Redis, and are killed and begun anew at random. A stand-in that only sees what arrives
//! judges: never more than the wall in any window, and the wall is used.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ferrata_test_redis::RedisServer;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::shared::Shared;
use super::{Home, Store};
use crate::policy::Priority;
use crate::policy::limit::{Asked, Keeping, Leases, Limits, Source, Wall, WallSet};
use crate::policy::time::{Moment, Now};

const REDIS: &str = "FERRATA_TEST_FLEET_REDIS";
const JUDGE: &str = "FERRATA_TEST_FLEET_JUDGE";

/// Limit and window in milliseconds; the same as text.
const WALLS: [(usize, u128, &str); 2] = [(200, 2_000, "200/2s"), (450, 6_000, "450/6s")];
const LEASES: Leases = Leases { lease_ms: 1_000, tail_ms: 500, emergency_ms: 1_000 };
const PROCESSES: usize = 8;
const ARRIVALS: usize = 1_000;

/// Arrivals between two kills.
const LIFE: usize = 60;

/// One sidecar's limits.
struct Sidecar {
    limits: Mutex<Limits>,
    begun: Instant,
    poke: Arc<Notify>,
    woken: Notify,
}

impl Sidecar {
    fn now(&self) -> Now {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mono = Moment(u64::try_from(self.begun.elapsed().as_millis()).unwrap());
        Now { mono, wall: i64::try_from(wall.as_millis()).unwrap() }
    }
}

impl Home for Sidecar {
    fn with(&self, work: &mut dyn FnMut(&mut Limits, Now)) {
        work(&mut self.limits.lock().unwrap(), self.now());
    }

    fn wake(&self) {
        self.woken.notify_waiters();
    }
}

/// A process of the fleet: four callers that send as fast as they may. Runs only for the test below.
#[test]
fn member() {
    let (Ok(redis), Ok(judge)) = (std::env::var(REDIS), std::env::var(JUDGE)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let walls = WALLS.map(|(_, _, text)| Wall::new(text.parse().unwrap(), Source::Operator));
        let limits = Mutex::new(Limits::kept(&WallSet::new(walls).unwrap(), Keeping::Shared(LEASES)));
        let (poke, woken) = (Arc::new(Notify::new()), Notify::new());
        let sidecar = Arc::new(Sidecar { limits, begun: Instant::now(), poke: Arc::clone(&poke), woken });
        let store = Store::Shared(Arc::new(Shared::new(&redis, None, LEASES).unwrap()));
        let home: Arc<dyn Home> = Arc::clone(&sidecar) as _;
        tokio::spawn(store.keep("acme".into(), home, poke));
        let callers: Vec<_> =
            (0..4).map(|_| tokio::spawn(call(Arc::clone(&sidecar), judge.clone()))).collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
}

async fn call(sidecar: Arc<Sidecar>, judge: String) {
    let mut wire = TcpStream::connect(judge).unwrap();
    let mut answers = BufReader::new(wire.try_clone().unwrap()).lines();
    let asked =
        Asked { operation: "read", resource: None, cost: 1, priority: Priority::Interactive, owner: None };
    loop {
        let woken = sidecar.woken.notified();
        let (result, wants) = {
            let mut limits = sidecar.limits.lock().unwrap();
            (limits.try_acquire(&asked, sidecar.now()), limits.wants_store())
        };
        if wants {
            sidecar.poke.notify_one();
        }
        match result {
            Ok(charge) => {
                if wire.write_all(b"sent\n").is_err() || answers.next().is_none_or(|a| a.is_err()) {
                    return;
                }
                sidecar.limits.lock().unwrap().answered(charge, sidecar.now());
            }
            Err(refused) => {
                let until =
                    refused.retry_at.map_or(u64::MAX, |at| at.mono.0.saturating_sub(sidecar.now().mono.0));
                let _ = tokio::time::timeout(Duration::from_millis(until.min(100)), woken).await;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Notes when what arrives, and answers.
fn judge(listener: TcpListener, begun: Instant, arrivals: mpsc::Sender<u128>) {
    for wire in listener.incoming().map_while(Result::ok) {
        let arrivals = arrivals.clone();
        std::thread::spawn(move || {
            let mut answers = wire.try_clone().unwrap();
            for _ in BufReader::new(wire).lines().map_while(Result::ok) {
                let sent = arrivals.send(begun.elapsed().as_micros());
                if sent.is_err() || answers.write_all(b"ok\n").is_err() {
                    return;
                }
            }
        });
    }
}

struct Fleet {
    members: HashMap<usize, Child>,
    environment: [(&'static str, String); 2],
}

impl Fleet {
    fn begin(&mut self, place: usize) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::fleet_tests::member", "--nocapture", "--test-threads=1"])
            .envs(self.environment.clone())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.members.insert(place, child);
    }

    fn kill(&mut self, place: usize) {
        if let Some(mut member) = self.members.remove(&place) {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        (0..PROCESSES).for_each(|place| self.kill(place));
    }
}

#[test]
fn a_fleet_that_dies_at_random_never_passes_the_wall() {
    let Some(server) = RedisServer::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let environment = [(REDIS, server.url()), (JUDGE, listener.local_addr().unwrap().to_string())];
    let (tell, arrivals) = mpsc::channel();
    let begun = Instant::now();
    std::thread::spawn(move || judge(listener, begun, tell));
    let mut fleet = Fleet { members: HashMap::new(), environment };
    (0..PROCESSES).for_each(|place| fleet.begin(place));

    let (mut times, mut kills) = (Vec::new(), 0);
    let random = AtomicU64::new(7);
    let mut next_kill = LIFE;
    while times.len() < ARRIVALS {
        times.push(arrivals.recv_timeout(Duration::from_secs(30)).expect("nothing arrives any more"));
        if times.len() >= next_kill {
            let roll = random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) >> 32;
            let place = usize::try_from(roll).unwrap() % PROCESSES;
            fleet.kill(place);
            fleet.begin(place);
            kills += 1;
            next_kill = times.len() + 1 + usize::try_from(roll >> 8).unwrap() % (2 * LIFE);
        }
    }
    drop(fleet);
    times.extend(arrivals.try_iter());
    times.sort_unstable();
    for (limit, window, text) in WALLS {
        for (first, &time) in times.iter().enumerate() {
            let within = times[first..].iter().take_while(|&&t| t <= time + window * 1_000).count();
            assert!(within <= limit, "{within} against {text} from {time} µs, after {kills} kills");
        }
    }
    assert!(kills > 10, "{kills}");
    let seconds = times[times.len() - 1] / 1_000_000 + 1;
    println!("{} arrivals in {seconds} s, {kills} kills", times.len());
}
