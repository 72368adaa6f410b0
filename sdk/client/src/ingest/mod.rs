//! Feeds samples, so that "flushed" means "on disk", across reconnects.
//!
//! [`Outbox`] is the whole protocol as a state machine without I/O: what is gathered, what is under
//! way, what an ack settles, what a broken stream makes due again. [`Feeder`] is the thin part that
//! moves its frames. The alternative, a background task with a queue, was rejected: it needs a
//! place to report its errors, and a caller that forgot to look there would lose data in silence.
//!
//! Nothing is lost in silence here either: what is held is bounded ([`FeederOptions::buffer`]), what
//! happens beyond is chosen ([`WhenFull`], [`SpillFile`]), and what is dropped is counted and told
//! ([`Metrics`], [`Event`]). A frame may be sent twice, and is stored once: the first value of a
//! series and an instant stands.
//!
//! ```no_run
//! use tidegate_client::ingest::{Event, Feeder, FeederOptions, Sample, SeriesKey, Value, WhenFull};
//! use tidegate_client::{Client, Options, v1};
//!
//! # async fn run(mut measured: tokio::sync::mpsc::Receiver<(i64, f64)>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(&Options {
//!     endpoint: "http://127.0.0.1:7400".into(),
//!     ..Options::default()
//! })
//! .await?;
//! let options = FeederOptions {
//!     session: Some("gateway-7".into()),
//!     buffer: 16 << 20,
//!     when_full: WhenFull::DropOldest,
//!     attempts: u32::MAX,
//!     seed: std::process::id().into(),
//!     ..FeederOptions::default()
//! };
//! let mut feeder = Feeder::open(client, options)?;
//! feeder.on_event(|event| match event {
//!     Event::Dropped { samples } => eprintln!("{samples} samples were dropped"),
//!     other => eprintln!("{other:?}"),
//! });
//! let key = SeriesKey {
//!     api: "shop/checkout".into(),
//!     signal: v1::Signal::Requests,
//!     step_s: 60,
//! };
//! loop {
//!     tokio::select! {
//!         next = measured.recv() => match next {
//!             Some((start_ms, count)) => {
//!                 let value = Value::Number(count);
//!                 // `Err(Full)` only comes with `WhenFull::Wait`.
//!                 let _ = feeder.offer(&key, Sample { start_ms, value })?;
//!             }
//!             None => break,
//!         },
//!         sent = feeder.drive(), if !feeder.is_idle() => sent?,
//!     }
//! }
//! let totals = feeder.flush().await?;
//! println!("{} on disk, {} refused", totals.stored + totals.duplicates, totals.rejected);
//! # Ok(())
//! # }
//! ```

mod feeder;
mod options;
mod outbox;
mod sample;

mod backoff;
mod pack;
mod spill;
mod stream;

pub use feeder::Feeder;
pub use options::{Event, FeedError, FeederOptions, Full, Metrics, SpillFile, WhenFull};
pub use outbox::{Outbox, Totals, Window};
pub use sample::{Sample, SeriesKey, Value};
