//! The part of the configuration that is about the ledger: how far back decisions can be explained and made
//! again.
//!
//! Two bounds, because one is what somebody wants and the other what a disk holds: whichever is reached first
//! decides. Both count what a replay needs beside records. Samples have ages of their own (`store`), which never take
//! what a record that is kept was made from; modules are never dropped.

use super::Seconds;
use serde::Deserialize;
use tidegate_core::time::Timestamp;
use tidegate_store::Keep;

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerConfig {
    /// How long a record is kept.
    pub(crate) keep: Seconds,
    /// What all records may take, in MiB; the oldest go first.
    pub(crate) size: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            keep: Seconds(14 * 86_400),
            size: 16_384,
        }
    }
}

/// The shortest time for which records are kept: that of an incident which somebody still has to look into.
const LEAST_S: u32 = 3_600;
/// The least that records may take, in MiB: those of an hour of a small world.
const LEAST_MIB: u64 = 64;

impl LedgerConfig {
    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.keep.0 < LEAST_S {
            return Err(format!(
                "ledger.keep: after {} s nobody could say why a plan was made; write at least 1h",
                self.keep.0
            ));
        }
        if self.size < LEAST_MIB {
            return Err(format!(
                "ledger.size: {} MiB hold too few records to explain a plan by; write at least {LEAST_MIB}",
                self.size
            ));
        }
        Ok(())
    }

    /// What is to stay at an instant of the data's clock.
    pub(crate) fn at(&self, now: Timestamp) -> Keep {
        Keep {
            since: now.plus_ms(-i64::from(self.keep.0) * 1000),
            bytes: self.size.saturating_mul(1 << 20),
        }
    }
}
