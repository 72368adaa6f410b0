//! How a feeder behaves, and what it tells of itself.

use super::outbox::Totals;
use std::path::PathBuf;
use std::time::Duration;
use tonic::Status;

/// How much is gathered, how much is held, and how hard is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeederOptions {
    /// Samples per frame.
    pub batch: usize,
    /// Frames that may wait for an ack before [`Feeder::add`](super::Feeder::add) waits too.
    pub unacked: usize,
    /// Most memory that samples may take, in bytes: 16 a number; 104 a distribution, and 8 a bucket
    /// and 16 a threshold.
    pub buffer: usize,
    /// What happens beyond it.
    pub when_full: WhenFull,
    /// A file that is filled before that happens.
    pub spill: Option<SpillFile>,
    /// A name under which a broken stream is resumed: 1 to 100 characters, unique among the feeders
    /// that use one credential. Without it, frames whose ack was lost are sent again and count as
    /// duplicates; nothing is lost or doubled either way.
    pub session: Option<String>,
    /// Connections in a row without a single ack before it gives up; `u32::MAX` never does.
    pub attempts: u32,
    /// Wait before the first reconnect; doubles up to `max_backoff`, and up to half of it is chance.
    pub backoff: Duration,
    /// Longest wait before a reconnect.
    pub max_backoff: Duration,
    /// Seeds that chance. Give every process its own, so that those which were cut off together do
    /// not come back together.
    pub seed: u64,
}

impl Default for FeederOptions {
    fn default() -> Self {
        Self {
            batch: 4096,
            unacked: 16,
            buffer: 64 << 20,
            when_full: WhenFull::Wait,
            spill: None,
            session: None,
            attempts: 8,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            seed: 0,
        }
    }
}

/// What happens to samples when the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Nothing is dropped: [`Feeder::add`](super::Feeder::add) waits,
    /// [`Feeder::offer`](super::Feeder::offer) refuses.
    #[default]
    Wait,
    /// The oldest frame that is not under way is dropped, and told; for those to whom the present
    /// matters more than a whole past. With a file, which is emptied from its front alone, the
    /// newest sample.
    DropOldest,
    /// The newest sample is dropped, and told.
    DropNewest,
}

/// A file in which frames wait when memory is full. It is opened by one feeder at a time; what is
/// left in it when a program ends is sent by the next feeder that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpillFile {
    /// Where; it is created if it is not there.
    pub path: PathBuf,
    /// Most bytes of it.
    pub bytes: u64,
}

/// What a feeder has to tell as it happens; see [`Feeder::on_event`](super::Feeder::on_event).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A stream was opened. `taken`: the newest frame of the session that the server had already.
    Connected {
        /// 0 without a session, in a new one, and where the server has forgotten it.
        taken: u64,
    },
    /// The stream is gone, or was not had.
    Disconnected {
        /// Why.
        status: Status,
        /// Wait before the next attempt.
        wait: Duration,
    },
    /// The server asks to wait: a quota is used up, or its store is behind.
    PushedBack {
        /// For how long.
        wait: Duration,
    },
    /// Samples were dropped, because the buffer was full.
    Dropped {
        /// How many.
        samples: u64,
    },
    /// Frames went into the file.
    Spilled {
        /// Samples.
        samples: u64,
    },
}

/// Where samples stand, counted from the feeder's start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Samples in memory, without an ack.
    pub buffered: u64,
    /// Bytes that they take.
    pub buffered_bytes: usize,
    /// Samples in the file.
    pub spilled: u64,
    /// Bytes of the file.
    pub spilled_bytes: u64,
    /// Frames under way without an ack.
    pub under_way: usize,
    /// Samples that were dropped.
    pub dropped: u64,
    /// Streams that were opened.
    pub connects: u64,
    /// What was acked, and how.
    pub acked: Totals,
}

/// Why feeding stopped. What had no ack is still held: a later `flush` tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The server refuses this caller or this stream; trying again is useless.
    #[error("the server refuses the samples: {}", .0.message())]
    Refused(Status),
    /// The server cannot be reached.
    #[error("no ack came in {attempts} attempts; the last error: {}", .last.message())]
    GaveUp {
        /// How many.
        attempts: u32,
        /// What the last one met.
        last: Status,
    },
    /// The file cannot be used; what it held stays in it.
    #[error("the file {} of waiting samples cannot be used; check the disk and its permissions", .path.display())]
    Spill {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The buffer is full, and nothing may be dropped: the sample was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the buffer of samples is full; let the feeder run until acks have made room")]
pub struct Full;
