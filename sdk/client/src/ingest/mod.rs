//! Feeds samples, so that "flushed" means "on disk", across reconnects.
//!
//! [`Outbox`] is the whole protocol as a state machine without I/O: what is gathered, what is under
//! way, what an ack settles, what a broken stream makes due again. [`Feeder`] is the thin part that
//! moves its frames. The alternative, a background task with a queue, was rejected: it needs a
//! place to report its errors, and a caller that forgot to look there would lose data in silence.

mod feeder;
mod outbox;

pub use feeder::{FeedError, Feeder, FeederOptions};
pub use outbox::{Outbox, Sample, SeriesKey, Totals, Value};
