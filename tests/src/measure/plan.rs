//! How much is measured.

/// Numbers of calls and repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often the routes take turns.
    pub rounds: usize,
    /// Calls of one block, by the number of connections that they are made over.
    pub blocks: [Block; 2],
    /// Starts without a cache of compiled components, and with one.
    pub cold_starts: usize,
    pub warm_starts: usize,
    /// Connectors of the largest configuration.
    pub many: usize,
    /// Look-ups that are made at about the same time.
    pub lookups: usize,
    /// Whether the policies are measured with a few calls only.
    pub is_quick: bool,
}

/// A block of calls over one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub connections: usize,
    pub calls: usize,
}

/// About 0.3 kB and 8 kB: a short request, and one with a document in it.
pub const ARGUMENT_BYTES: [usize; 2] = [300, 8_000];

impl Plan {
    /// A few minutes.
    pub fn full() -> Self {
        Self {
            rounds: 20,
            blocks: [Block { connections: 1, calls: 500 }, Block { connections: 32, calls: 3_200 }],
            cold_starts: 3,
            warm_starts: 10,
            many: 100,
            lookups: 1_000,
            is_quick: false,
        }
    }

    /// Some seconds, without the builds.
    pub fn quick() -> Self {
        Self {
            rounds: 2,
            blocks: [Block { connections: 1, calls: 50 }, Block { connections: 32, calls: 320 }],
            cold_starts: 1,
            warm_starts: 1,
            many: 6,
            lookups: 100,
            is_quick: true,
        }
    }
}
