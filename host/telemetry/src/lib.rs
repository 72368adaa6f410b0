//! The operator's view: logs, traces and metrics, and their export.
//!
//! Rules of the room:
//! - **It watches and never weighs.** A collector that is slow, full or dead costs the daemon a
//!   bounded queue and one line in the log, neither a wait nor an error ([`Telemetry::start`]).
//! - **No secret is ever printed.** What authenticates us to a collector is a [`Secret`], which
//!   can be sent but not shown.
//! - **One trace from a sample to its plan.** A remote caller's trace is continued
//!   ([`adopt_parent`]), and [`TraceHandoff`] carries it over the gap between the call that brought
//!   the data and the cycle that used it.
//! - **Names live in one table** ([`INSTRUMENTS`]), with units, and the daemon calls methods.
//!
//! What is absent: this crate holds no state that a decision reads. It sees none of our crates,
//! and none but `daemon` sees it; the others use plain `tracing`, and `api` is handed
//! [`adopt_parent`] as a function.
//!
//! Reading order: `options`, `start`, `export`, `propagation`, `handoff`, `metrics`.

mod options;

mod start;

mod export;

mod propagation;

mod handoff;

mod metrics;

pub use handoff::{Origins, TraceHandoff};
pub use metrics::{
    CallOutcome, FitOutcome, INSTRUMENTS, Instrument, InstrumentKind, Metrics, MigrationOutcome,
    StoreFigures, SwapOutcome, TOLD_APIS,
};
pub use options::{LogFormat, Options, Otlp, Secret};
pub use propagation::{Adopted, adopt_parent, inject};
pub use start::{Error, Flushed, Handle, Telemetry};
