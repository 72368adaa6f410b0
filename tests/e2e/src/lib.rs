//! The harness of the end-to-end tests: the real binary, a directory, and clients that know nothing
//! but the protocol.
//!
//! A [`Gate`] is a home (configuration, data, log) in which daemons are started one after another;
//! a [`Daemon`] is one process of it. A test that kills and restarts therefore reads as it happens:
//! `gate.start()`, `daemon.kill()`, `gate.start()`. Nothing here links the daemon: what a test knows,
//! it learned from a socket, from the output of a process, or from the directory afterwards.

pub mod catalog;
mod command;
mod daemon;
pub mod decisions;
pub mod feed;
mod warm;

pub use command::{Outcome, binary, bounded};
pub use daemon::{Daemon, Gate, gate};

use std::io::Write as _;

/// Says something even where the test runner keeps the output of tests that pass to itself: a test
/// that could not run must not look like one that did.
pub fn say(text: &str) {
    // Nothing is lost when nobody reads it.
    let _ = writeln!(std::io::stderr(), "\n*** tidegate-e2e: {text}\n");
}
