//! One stand-in on a port of its own: starting and ending it, and what a test may see and ask for.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::failure::{Failure, Planned};
use crate::serve;
use crate::system::{Request, System};

/// Requests kept for inspection; the oldest are forgotten. Far more than a test sends, little enough to leave a
/// stand-in running for days.
pub(crate) const MAX_REQUESTS_KEPT: usize = 10_000;

/// A request that arrived, and when by the stand-in's clock.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Since the Unix epoch.
    pub at: Duration,
    pub request: Request,
}

/// What the serving side and the test share.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    pub(crate) system: S,
    planned: Mutex<Planned>,
    seen: Mutex<VecDeque<Seen>>,
}

impl<S: System> Shared<S> {
    pub(crate) fn force(&self, failure: Failure, times: u32, path_end: &str) {
        lock(&self.planned).add(failure, times, path_end);
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        lock(&self.seen).iter().cloned().collect()
    }

    /// Notes a request and says which failure was planned for it.
    pub(crate) fn arrive(&self, request: &Request) -> Option<Failure> {
        let mut seen = lock(&self.seen);
        if seen.len() == MAX_REQUESTS_KEPT {
            seen.pop_front();
        }
        seen.push_back(Seen { at: self.system.clock().now(), request: request.clone() });
        lock(&self.planned).take(&request.path)
    }
}

/// A running stand-in. It ends, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct Sandbox<S> {
    address: SocketAddr,
    shared: Arc<Shared<S>>,
    accepting: JoinHandle<()>,
}

impl<S: System> Sandbox<S> {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(system: S) -> io::Result<Self> {
        Self::start_on(system, 0).await
    }

    /// Starts on this port of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start_on(system: S, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { system, planned: Mutex::default(), seen: Mutex::default() });
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// The base URL to give to a client, in the vendor's form: `http://127.0.0.1:PORT` and the system's base path.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, S::BASE_PATH)
    }

    /// The stand-in's state.
    pub fn system(&self) -> &S {
        &self.shared.system
    }

    /// Lets the next `times` requests fail, whatever they ask.
    pub fn force(&self, failure: Failure, times: u32) {
        self.force_at("", failure, times);
    }

    /// Lets the next `times` requests fail whose path ends with `path_end`.
    pub fn force_at(&self, path_end: &str, failure: Failure, times: u32) {
        self.shared.force(failure, times, path_end);
    }

    /// Requests since the start, oldest first, failed ones included; the last [`MAX_REQUESTS_KEPT`].
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.requests()
    }
}

impl<S> Drop for Sandbox<S> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A poisoned lock only says that a test panicked; what is behind it is still of use to the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
