//! What happens in a run, and is put on its agenda.

use crate::upstream::Reply;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Calls {
        agent: usize,
    },
    Arrives {
        call: usize,
        attempt: u32,
    },
    Unreachable {
        call: usize,
        attempt: u32,
    },
    Answers {
        call: usize,
        attempt: u32,
        reply: Reply,
    },
    Again {
        call: usize,
    },
    Deadline {
        call: usize,
    },
    Leaves {
        call: usize,
    },
    Wakes {
        sidecar: usize,
    },
    Outsider {
        trouble: usize,
    },
    Step {
        index: usize,
    },
    /// A workflow reserves its steps, makes one, gives back what is left.
    Reserves {
        workflow: usize,
    },
    Goes {
        workflow: usize,
    },
    GivesBack {
        workflow: usize,
    },
    /// The disk has what it was given.
    Written {
        sidecar: usize,
        life: u32,
    },
    /// A sidecar goes to the shared store, if it has reason to.
    Visits {
        sidecar: usize,
    },
    /// A question reaches the store, is done there, its answer reaches the sidecar, nobody waits for that any more.
    StoreHears {
        letter: u64,
    },
    StoreDoes {
        letter: u64,
    },
    Heard {
        letter: u64,
    },
    Unheard {
        letter: u64,
    },
    StoreFault {
        fault: usize,
    },
    Dies {
        crash: usize,
    },
    Lives {
        sidecar: usize,
    },
    Looks,
    /// The upstream beside this one is asked more.
    Hangs,
}
