//! Lines on their way to the sink, and how many there may be.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::memory;
use crate::telemetry::metric;

/// Most lines and bytes that are written at once: one request of ordinary size to an HTTP service.
const MAX_BATCH_ITEMS: usize = 512;
const MAX_BATCH_BYTES: usize = 1 << 20;

/// The calls' end.
pub struct Queue {
    shared: Arc<Shared>,
    /// None once it is closed. Unbounded, because every line has a [`Place`], and those are bounded.
    lines: Mutex<Option<UnboundedSender<Line>>>,
}

/// The writer's end.
pub struct Lines {
    shared: Arc<Shared>,
    lines: UnboundedReceiver<Line>,
    /// One that was taken out and did not fit any more.
    next: Option<Line>,
}

struct Shared {
    max_items: usize,
    max_bytes: usize,
    items: AtomicUsize,
    bytes: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    failing: AtomicBool,
    problem: Mutex<Option<String>>,
}

/// Room for one line, given back when it is dropped.
pub struct Place {
    shared: Arc<Shared>,
    held: memory::Held,
}

struct Line {
    text: Vec<u8>,
    place: Place,
}

/// Lines that are written at once, with their places.
#[derive(Default)]
pub struct Batch {
    pub text: Vec<u8>,
    places: Vec<Place>,
}

/// What has become of lines so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub items: usize,
    pub bytes: usize,
    pub written: u64,
    pub dropped: u64,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({} bytes)", self.held.bytes())
    }
}

impl Queue {
    pub fn new(max_items: usize, max_bytes: usize) -> (Self, Lines) {
        let shared = Arc::new(Shared {
            max_items,
            max_bytes,
            items: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            problem: Mutex::default(),
        });
        let (sender, lines) = unbounded_channel();
        let queue = Self { shared: Arc::clone(&shared), lines: Mutex::new(Some(sender)) };
        (queue, Lines { shared, lines, next: None })
    }

    /// Room for a line of about so many bytes, if there is.
    pub fn place(&self, bytes: usize) -> Option<Place> {
        let shared = &self.shared;
        let place = Place { shared: Arc::clone(shared), held: memory::PROCESS.hold(bytes) };
        let items = shared.items.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = shared.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // One line may be larger than everything that waits together.
        (items <= shared.max_items && (bytes <= shared.max_bytes || items == 1)).then_some(place)
    }

    pub fn push(&self, text: Vec<u8>, mut place: Place) {
        place.resize(text.len());
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = lines.as_ref().is_some_and(|lines| lines.send(Line { text, place }).is_ok());
        drop(lines);
        if !sent {
            self.note_dropped(1);
        }
    }

    /// Nothing more comes; what is there is still written.
    pub fn close(&self) {
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Acquire)
    }

    /// Why lines cannot be written, for the operator.
    pub fn problem(&self) -> Option<String> {
        self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn note_dropped(&self, lines: u64) {
        self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
        metrics::counter!(metric::AUDIT_LINES, "outcome" => "dropped").increment(lines);
    }

    pub fn seen(&self) -> Seen {
        let Shared { items, bytes, written, dropped, .. } = &*self.shared;
        Seen {
            items: items.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
            written: written.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
        }
    }
}

impl Place {
    fn resize(&mut self, bytes: usize) {
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(self.held.bytes(), Ordering::Relaxed);
        self.held.resize(bytes);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.items.fetch_sub(1, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(self.held.bytes(), Ordering::Relaxed);
    }
}

impl Lines {
    /// The next lines; none once it is closed and empty.
    pub async fn batch(&mut self) -> Option<Batch> {
        let first = match self.next.take() {
            Some(line) => line,
            None => self.lines.recv().await?,
        };
        let mut batch = Batch::default();
        batch.add(first);
        while batch.places.len() < MAX_BATCH_ITEMS {
            let Ok(line) = self.lines.try_recv() else { break };
            if batch.text.len() + line.text.len() > MAX_BATCH_BYTES {
                self.next = Some(line);
                break;
            }
            batch.add(line);
        }
        Some(batch)
    }

    /// They are where they should be.
    pub fn note_written(&self, batch: &Batch) {
        let lines = batch.places.len() as u64;
        self.shared.written.fetch_add(lines, Ordering::Relaxed);
        metrics::counter!(metric::AUDIT_LINES, "outcome" => "written").increment(lines);
        self.say(None);
    }

    /// They could not be written.
    pub fn note_failed(&self, why: String) {
        self.say(Some(why));
    }

    fn say(&self, problem: Option<String>) {
        let failing = problem.is_some();
        if self.shared.failing.swap(failing, Ordering::AcqRel) != failing {
            match &problem {
                Some(why) => tracing::error!(%why, "the audit cannot be written"),
                None => tracing::info!("the audit can be written again"),
            }
            metrics::gauge!(metric::AUDIT_FAILING).set(if failing { 1.0 } else { 0.0 });
            *self.shared.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        }
    }
}

impl Batch {
    fn add(&mut self, line: Line) {
        self.text.extend_from_slice(&line.text);
        self.places.push(line.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_for_so_many_lines_and_bytes() {
        let (queue, mut lines) = Queue::new(2, 100);
        let one = queue.place(60).unwrap();
        assert!(queue.place(60).is_none(), "too many bytes");
        let two = queue.place(40).unwrap();
        assert!(queue.place(0).is_none(), "too many lines");
        queue.push(b"a\n".to_vec(), one);
        queue.push(b"b\n".to_vec(), two);
        assert_eq!((queue.seen().items, queue.seen().bytes), (2, 4));
        let batch = lines.batch().await.unwrap();
        assert_eq!(batch.text, b"a\nb\n");
        assert!(queue.place(0).is_none(), "what is being written still counts");
        lines.note_written(&batch);
        drop(batch);
        assert_eq!(queue.seen(), Seen { items: 0, bytes: 0, written: 2, dropped: 0 });
        assert!(queue.place(500).is_some(), "a line alone may be long");
    }

    #[tokio::test]
    async fn what_is_queued_when_it_is_closed_is_still_there() {
        let (queue, mut lines) = Queue::new(9, 2 * MAX_BATCH_BYTES);
        let long = vec![b'x'; MAX_BATCH_BYTES - 1];
        for line in [long, b"b\n".to_vec()] {
            let place = queue.place(0).unwrap();
            queue.push(line, place);
        }
        let late = queue.place(0).unwrap();
        queue.close();
        queue.push(b"late\n".to_vec(), late);
        assert_eq!(lines.batch().await.unwrap().text.len(), MAX_BATCH_BYTES - 1);
        assert_eq!(lines.batch().await.unwrap().text, b"b\n");
        assert!(lines.batch().await.is_none());
        assert_eq!(queue.seen().dropped, 1);
    }
}
