//! How much is in the books: streams, what open steps take in memory, what was done, and what a checkpoint would
//! take, by which the feed knows when its journal is much longer than the state it leads to.

use super::{Books, Tally};

/// Bytes that an account or a stream takes in a checkpoint, about.
const ENTRY: usize = 80;

impl Books {
    /// Streams that are known.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.by_key.len()
    }

    /// Memory that open steps take, in bytes.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    /// What was done since the start.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes that a checkpoint would take, about and rather too many.
    pub(crate) fn about(&self) -> usize {
        (self.accounts.len() + self.sources.len()) * ENTRY + self.open
    }
}
