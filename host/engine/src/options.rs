//! What an operator may choose about the engine, and what a module may use.
//!
//! [`Options`] shape the process (pool, stack, ticker) and are fixed for its life; [`Limits`] bound
//! one module and are given at admission, so that a tenant's plan can be narrower than another's.
//! A module asks for memory and time in its manifest; it gets what it asks for up to the ceiling
//! and is refused above it, since a module that silently got less would fail later and obscurely.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One MiB in bytes.
pub(crate) const MIB: usize = 1 << 20;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Calls that may run at the same time; more wait their turn. Each reserves about 4 GiB of
    /// address space (not of memory), which is what lets a guest's loads run without checks.
    pub instances: u32,
    /// Largest linear memory of any module, in bytes; the ceiling of [`Limits::memory_max`].
    pub memory_max: usize,
    /// What all calls that run may have together, in bytes, each counted with what its module may have;
    /// more wait. Instances that are kept between calls come on top.
    pub memory_total: u64,
    /// Stack of a guest, in bytes. Threads that call modules need twice as much.
    pub stack: usize,
    /// Where compiled code is kept between starts; `None` compiles at every start.
    pub cache: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            instances: 64,
            memory_max: 1024 * MIB,
            memory_total: 4096 * MIB as u64,
            stack: MIB,
            cache: None,
        }
    }
}

/// What one module may be and use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Size of the component in bytes, checked before anything is parsed. An interpreter with its
    /// library (Python) takes 18 MB.
    pub component_bytes: usize,
    /// Memory of a module that asks for none: linear memories and tables together, in bytes.
    pub memory_default: u64,
    /// Most that a manifest may ask for, in bytes.
    pub memory_max: u64,
    /// What all calls of one module may have together, in bytes: it has as many places as fit into it, and
    /// at least one.
    pub memory_of_module: u64,
    /// Wall time of a call other than `fit` for a module that asks for none, in milliseconds.
    pub deadline_ms_default: u64,
    /// Most that a manifest may ask for, in milliseconds.
    pub deadline_ms_max: u64,
    /// Wall time of `fit` for a module that asks for none, in milliseconds.
    pub fit_deadline_ms_default: u64,
    /// Most that a manifest may ask for, in milliseconds.
    pub fit_deadline_ms_max: u64,
    /// Bytes that one answer, or one log message, may copy out of the guest.
    pub returned_bytes: usize,
    /// Bytes of log that one call may write; what is over is dropped and counted.
    pub log_bytes: usize,
    /// Calls of one module at the same time; more wait. Fits take at most three quarters of them.
    pub concurrency: u32,
    /// Calls of one module through one binding at the same time; more wait. Fits as above. A binding that
    /// has none under way gets one in any case.
    pub concurrency_of_binding: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 * MIB,
            memory_default: 64 * MIB as u64,
            memory_max: 512 * MIB as u64,
            memory_of_module: 1024 * MIB as u64,
            deadline_ms_default: 500,
            deadline_ms_max: 10_000,
            fit_deadline_ms_default: 30_000,
            fit_deadline_ms_max: 600_000,
            returned_bytes: 32 * MIB,
            log_bytes: 8 * 1024,
            concurrency: 16,
            concurrency_of_binding: 8,
        }
    }
}

/// The limits of one call, after manifest and ceilings met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallLimits {
    pub(crate) memory: u64,
    pub(crate) deadline_ms: u64,
    pub(crate) fit_deadline_ms: u64,
    pub(crate) returned_bytes: usize,
    pub(crate) log_bytes: usize,
    pub(crate) stack: usize,
    pub(crate) concurrency: u32,
    pub(crate) concurrency_of_binding: u32,
}
