//! What a build tells while it runs. A library prints nothing: the caller decides whether this is
//! a terminal line, a `cargo::warning` of a build script, or nothing.

use std::path::Path;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A command that changes the machine is about to run (only where the caller allowed it).
    Installing {
        /// The whole command line.
        command: &'a str,
    },
    /// The compiler has no library for the guest target; it is built from its source, about a
    /// minute the first time.
    LibraryFromSource {
        /// The compiler.
        rustc: &'a Path,
    },
    /// A line of the nested cargo's own report.
    Cargo(&'a str),
    /// A component is being encoded.
    Encoding {
        /// The module.
        module: &'a str,
    },
    /// A component is as it was.
    Fresh {
        /// The module.
        module: &'a str,
    },
}

/// Gets every [`Progress`]; may be called from another thread than the caller's.
pub type Callback = dyn Fn(Progress<'_>) + Send + Sync;
