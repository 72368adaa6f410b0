//! Every task of the daemon, what becomes of it, and how all of them end.
//!
//! A task that nobody watches fails in silence, and a task whose fate is written where it is
//! spawned has as many fates as it has callers. So there is one table ([`TaskKind::fate`]) that
//! says for every kind of task what happens when it is cancelled, when it fails and when it
//! panics; and one supervisor ([`Tasks`]) that carries the table out. No other crate may call
//! `tokio::spawn` (`.clippy.toml` says so).
//!
//! What is absent: this crate knows nothing of gRPC, pools, plans or policies. It sees none of
//! our crates, so that every one of them can be run under it.
//!
//! Reading order: [`TaskKind`] (the table), [`Backoff`], [`Stop`] (what a task is told), `fatal`
//! (what `main` is told), [`Tasks`] (the supervisor), [`Drained`] (the end).
//!
//! ```
//! use std::time::Duration;
//! use tidegate_runtime::{Options, TaskKind, Tasks};
//!
//! # fn main() {
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
//! runtime.block_on(async {
//!     let (tasks, mut fatal) = Tasks::new(tokio::runtime::Handle::current(), Options::default());
//!     tasks.spawn(TaskKind::Actuate, "pool checkout", |stop| async move {
//!         stop.requested().await;
//!         Ok::<(), std::io::Error>(())
//!     });
//!     // `main` waits for a signal or for `fatal.raised()`, then drains.
//!     tokio::select! {
//!         error = fatal.raised() => panic!("{error}"),
//!         () = tokio::time::sleep(Duration::from_millis(1)) => {}
//!     }
//!     let drained = tasks.drain(Duration::from_secs(5)).await;
//!     assert!(drained.is_clean());
//! });
//! # }
//! ```

mod kind;

mod backoff;

mod stop;

mod fatal;

mod tasks;

mod supervise;

mod drain;

pub use backoff::Backoff;
pub use drain::Drained;
pub use fatal::{Fatal, FatalError};
pub use kind::{Fate, Life, OnCancel, OnFault, TaskKind, Wave};
pub use stop::{Stop, Wake};
pub use tasks::{Counts, Options, Tasks};
