//! What is done once the answer is on its way, so that nobody waits for it.
//!
//! Where an answer is made, its connection is being polled; the answer is written before that poll ends. What can wait so long is handed
//! over here, and done as soon as the poll has ended.

use std::cell::RefCell;

type Work = Box<dyn FnOnce()>;

thread_local! {
    /// Of the poll that is under way on this thread.
    static WORK: RefCell<Option<Vec<Work>>> = const { RefCell::new(None) };
}

/// Does something after the poll that is under way has ended, and at once where none is collecting.
pub fn the_answer(work: impl FnOnce() + 'static) {
    let not_collected = WORK.with_borrow_mut(|collected| match collected {
        Some(collected) => {
            collected.push(Box::new(work));
            None
        }
        None => Some(work),
    });
    // Not within the borrow: what is done may hand over something itself.
    if let Some(work) = not_collected {
        work();
    }
}

/// Polls, and then does what was handed over meanwhile. If the poll panics that is dropped.
pub fn collecting<R>(poll: impl FnOnce() -> R) -> R {
    let collecting = Collecting::begin();
    let polled = poll();
    collecting.end().into_iter().for_each(|work| work());
    polled
}

struct Collecting;

impl Collecting {
    fn begin() -> Self {
        drop(WORK.replace(Some(Vec::new())));
        Self
    }

    fn end(self) -> Vec<Work> {
        WORK.take().unwrap_or_default()
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // What is dropped may hand over something itself: not within the borrow.
        drop(WORK.take());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    fn note(notes: &Rc<RefCell<Vec<&'static str>>>, text: &'static str) {
        notes.borrow_mut().push(text);
    }

    #[test]
    fn what_is_handed_over_is_done_when_the_poll_has_ended_and_elsewhere_at_once() {
        let notes = Rc::default();
        for _ in 0..2 {
            let (within, after) = (Rc::clone(&notes), Rc::clone(&notes));
            collecting(|| {
                the_answer(move || {
                    note(&after, "after");
                    the_answer(move || note(&after, "of what came after"));
                });
                note(&within, "polled");
            });
            let outside = Rc::clone(&notes);
            the_answer(move || note(&outside, "outside"));
        }
        let once = ["polled", "after", "of what came after", "outside"];
        assert_eq!(*notes.borrow(), [once, once].concat());
    }

    #[test]
    fn a_panic_ends_the_collecting_and_drops_what_was_collected() {
        let kept = Rc::new(());
        let held = Rc::clone(&kept);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            collecting(|| {
                the_answer(move || drop(held));
                panic!("while polling");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(Rc::strong_count(&kept), 1);
        assert!(WORK.with_borrow(Option::is_none));
    }
}
