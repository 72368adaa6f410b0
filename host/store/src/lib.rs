//! The only crate that sees sled.
//!
//! One directory holds samples, decisions, modules, states and the catalog. Three rules carry it:
//!
//! 1. **Acked means durable.** Write, then `sync_data` on the very file through a handle of our own; only
//!    then an ack, and only then may a reader see it.
//! 2. **sled holds what changes and says what counts; what is large, or soon gone, is in logs.** Point per key costs
//!    a hundred times the CPU and space in sled, a block two to three times its size, and what is soon removed pushes
//!    apart what is not; so samples travel in write-ahead records and rest in blocks of twenty series, both in files
//!    of their own, and whatever is larger than a value is stored in parts.
//! 3. **Every value is checked.** A checksum over key and payload, numbers that must follow each
//!    other, a layout version that another binary can read. Damage is an error with a name, never
//!    a panic and never a silent gap.
//!
//! **Absent by rule:** async, clocks (all time is the samples' own), any policy about what a sample
//! means. Two threads: the writer's, which alone changes history, and the keeper's, which encodes for it.
//!
//! Reading order: [`Store`] (open, figures), `writer` and `commit` (samples in), `keeper`, `seal`
//! and `block` (samples at rest), `rollup` and `retain` (what becomes of them with age), `history`, `plain` and `sources`
//! (columns out), then `ledger`, `modules`, `journal`, `notes`, `states`,
//! `tracks`, `trials`, `catalog`; for who keeps it `survey`, `backup`, `compact`, `migrate`,
//! `salvage`; below them `registry`, `run`,
//! `wal`, `snapshot`, `swap`, `disk`, `database`, `log`, `keys`, `codec`, and the stored mirrors of core's types.

mod options;
mod store;
mod verify;

mod commit;
mod keeper;
mod queue;
mod seal;
mod shared;
mod writer;

mod retain;
mod rollup;

mod columns;
mod history;
mod plain;
mod sight;
mod sources;

mod backup;
mod compact;
mod examine;
mod salvage;
mod survey;

mod catalog;
mod copy;
mod journal;
mod ledger;
mod modules;
mod notes;
mod states;
mod tracks;
mod trials;
mod trim;

mod block;
mod distribution;
mod registry;
mod run;
mod values;
mod wal;

mod codec;
mod database;
mod disk;
mod keys;
mod log;
mod migrate;
mod mirror;
mod opening;
mod packing;
mod parts;
mod snapshot;
mod space;
mod swap;

#[cfg(test)]
mod crash;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use backup::{Manifest, Onto};
pub use compact::Compacted;
pub use copy::Copied;
pub use options::Options;
pub use retain::{Gone, Held, Retained, Retention};
pub use salvage::{Loss, Salvaged};
pub use sight::Pinned;
pub use sources::{Resolution, Rollup, Source};
pub use store::{Stat, Store};
pub use survey::{KindStat, Survey};
pub use trim::{Keep, Kept, Trimmed};
pub use verify::{Problem, Report};
