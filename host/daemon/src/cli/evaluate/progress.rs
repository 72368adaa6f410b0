//! What a person sees while it runs, and the clock that tells CPU time.
//!
//! A line on stderr that overwrites itself, on a terminal alone: a log file is not filled with
//! percentages. CPU time is that of the calling thread, so that `--jobs` and a busy machine do not
//! change what a fit is said to cost.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_backtest::evaluate::subject::Meter;

/// CPU time of the calling thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThreadTime;

impl Meter for ThreadTime {
    fn cpu_seconds(&self) -> f64 {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
    }
}

/// A line for a person beside the answer, at once: what is told at the end may be hours away.
pub(in crate::cli) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody is owed a note; the answer says it again.
    let _ = writeln!(err, "{text}");
}

/// A bar with a name; gone when it is dropped.
#[derive(Debug)]
pub(in crate::cli) struct Bar {
    name: String,
    shown: bool,
    last: AtomicUsize,
}

impl Bar {
    /// A bar, if somebody looks.
    pub(in crate::cli) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            shown: std::io::stderr().is_terminal(),
            last: AtomicUsize::new(usize::MAX),
        }
    }

    /// So many of so many are done.
    pub(in crate::cli) fn tell(&self, done: usize, all: usize) {
        let percent = done * 100 / all.max(1);
        if !self.shown || self.last.swap(percent, Ordering::Relaxed) == percent {
            return;
        }
        let full = percent * 30 / 100;
        let (bar, rest) = ("━".repeat(full), "╌".repeat(30 - full));
        self.write(&format!("\r{}  {bar}{rest} {percent:3}% ", self.name));
    }

    fn write(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        // Nobody is owed a progress bar.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown && self.last.load(Ordering::Relaxed) != usize::MAX {
            self.write("\r\x1b[2K");
        }
    }
}
