//! What the host keeps beside one running guest: its memory account and its log.
//!
//! Both are bounded per call and die with the store. wasmtime's own `StoreLimits` bounds each
//! memory alone, so a guest with many memories or tables could multiply it; this account is
//! cumulative over all of them.

use crate::options::CallLimits;
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Bytes that a table element takes in the host.
const TABLE_ELEMENT: u64 = 16;

/// Most elements of one table, with and without a pool.
pub(crate) const TABLE_ELEMENTS: usize = 64 * 1024;

/// Longest part of a guest's message that an error repeats, in bytes.
const QUOTE: usize = 400;

/// How much a message matters, whatever interface version it came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Debug,
    Info,
    Warn,
    Error,
}

/// Data of one store.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) account: Account,
    pub(crate) log: Log,
}

impl Guest {
    pub(crate) fn new(module: Arc<str>, limits: &CallLimits) -> Self {
        Self {
            account: Account {
                used: 0,
                limit: limits.memory,
                refused: None,
            },
            log: Log::new(module, limits),
        }
    }

    /// Another call on the same instance: what it holds stays in the account.
    pub(crate) fn renew(&mut self, limits: &CallLimits) {
        self.account.refused = None;
        self.log = Log::new(self.log.module.clone(), limits);
    }
}

/// Memory and tables of one store, in bytes.
#[derive(Debug)]
pub(crate) struct Account {
    used: u64,
    limit: u64,
    /// The limit at which a growth was refused: a trap that follows is its doing.
    pub(crate) refused: Option<(&'static str, u64)>,
}

impl Account {
    /// Bytes of memories and tables now.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Most that they may be, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// A refused growth answers -1 to the guest, as the Wasm standard has it, so that a careful
    /// guest may do with less; most allocators trap on it.
    fn grow(&mut self, by: u64) -> bool {
        match self.used.checked_add(by).filter(|&sum| sum <= self.limit) {
            Some(sum) => {
                self.used = sum;
                true
            }
            None => {
                self.refused = Some(("memory", self.limit));
                false
            }
        }
    }
}

impl ResourceLimiter for Account {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow((desired.saturating_sub(current)) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.refused = Some(("table-elements", TABLE_ELEMENTS as u64));
            return Ok(false);
        }
        let elements = desired.saturating_sub(current) as u64;
        Ok(self.grow(elements.saturating_mul(TABLE_ELEMENT)))
    }
}

/// What one call has written.
#[derive(Debug)]
pub(crate) struct Log {
    module: Arc<str>,
    left: usize,
    dropped: u32,
    /// A guest's panic hook logs its message before it traps: this is how the error gets it.
    pub(crate) last_error: Option<String>,
}

impl Log {
    fn new(module: Arc<str>, limits: &CallLimits) -> Self {
        Self {
            module,
            left: limits.log_bytes,
            dropped: 0,
            last_error: None,
        }
    }

    /// Writes a line while the bound lasts.
    pub(crate) fn write(&mut self, severity: Severity, message: &str) {
        if severity == Severity::Error {
            self.last_error = Some(clip(message, QUOTE).to_owned());
        }
        // An empty message still costs a line.
        let cost = message.len().max(32);
        let Some(left) = self.left.checked_sub(cost) else {
            self.left = 0;
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        self.left = left;
        let module = &*self.module;
        match severity {
            Severity::Debug => tracing::debug!(target: "tidegate::module", module, "{message}"),
            Severity::Info => tracing::info!(target: "tidegate::module", module, "{message}"),
            Severity::Warn => tracing::warn!(target: "tidegate::module", module, "{message}"),
            Severity::Error => tracing::error!(target: "tidegate::module", module, "{message}"),
        }
    }

    /// Says once per call how much was dropped.
    pub(crate) fn close(&self) {
        if self.dropped > 0 {
            let (module, lines) = (&*self.module, self.dropped);
            tracing::warn!(
                target: "tidegate::module",
                module,
                lines,
                "log lines over the module's bound were dropped"
            );
        }
    }
}

/// At most `most` bytes of `text`, cut at a character.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallLimits = CallLimits {
        memory: 1000,
        deadline_ms: 1,
        fit_deadline_ms: 1,
        returned_bytes: 1,
        log_bytes: 100,
        stack: 1,
        concurrency: 1,
        concurrency_of_binding: 1,
    };

    #[test]
    fn memories_and_tables_share_one_account() {
        let mut account = Guest::new("m".into(), &LIMITS).account;
        assert!(account.memory_growing(0, 600, None).unwrap());
        assert!(account.table_growing(0, 25, None).unwrap());
        assert_eq!(account.refused, None);
        assert!(!account.memory_growing(0, 1, None).unwrap());
        assert_eq!(account.refused, Some(("memory", 1000)));
    }

    #[test]
    fn a_log_is_bounded_and_keeps_the_last_error() {
        let mut log = Guest::new("m".into(), &LIMITS).log;
        log.write(Severity::Info, &"x".repeat(90));
        log.write(Severity::Error, "panicked at é");
        log.write(Severity::Debug, "");
        assert_eq!((log.left, log.dropped), (0, 2));
        assert_eq!(log.last_error.as_deref(), Some("panicked at é"));
        assert_eq!(clip("aé", 2), "a");
    }
}
