//! How the store fares: figures that are at hand at any moment, for whoever has to keep it.
//!
//! Apart from what it holds ([`super::serve::Holds`]), which has to be looked for by reading all of it.

use crate::time::Timestamp;

/// What is held of samples at one resolution, in sealed blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldSpan {
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The oldest instant in them; `None` without one.
    pub oldest: Option<Timestamp>,
}

/// What retention has dropped when it last dropped anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// When, by the machine's clock.
    pub at: Timestamp,
    /// Blocks of every resolution.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, blocks that went before their age, since there was no room for them.
    pub early_blocks: u64,
    /// And their bytes.
    pub early_bytes: u64,
}

/// The last backup of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBackup {
    /// When, by the machine's clock.
    pub at: Timestamp,
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether all of it was read again and found whole.
    pub is_checked: bool,
}

/// How the store fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreHealth {
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Bytes left where they lie; `None` where the file system does not say.
    pub free_bytes: Option<u64>,
    /// Samples as they came.
    pub raw: HeldSpan,
    /// Cells of five minutes.
    pub five_minutes: HeldSpan,
    /// Cells of an hour.
    pub hour: HeldSpan,
    /// Samples that are in no block yet, and their bytes in memory.
    pub head: (u64, u64),
    /// Write-ahead records, and their bytes.
    pub wal: (u64, u64),
    /// Records of the ledger, and their bytes.
    pub ledger: (u64, u64),
    /// Groups of series that wait to be sealed or are being sealed.
    pub sealing_groups: u64,
    /// Blocks that are old enough to be rolled up and are not yet.
    pub unrolled_blocks: u64,
    /// What retention dropped last; `None` while nothing has been since the daemon started.
    pub dropped: Option<Dropped>,
    /// Bytes by which what may not be dropped exceeds the size that is allowed.
    pub over_bytes: u64,
    /// The last backup; `None` where none is known.
    pub backup: Option<LastBackup>,
}
