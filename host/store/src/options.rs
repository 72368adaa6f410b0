//! What an operator may choose about the store. Every bound has a default that suits one machine; none
//! can be switched off, because each keeps a full disk or memory from being met by surprise.

/// How a store behaves. The defaults suit a daemon with up to 100,000 series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When the database cannot be opened because it is damaged, or a write-ahead record fails its
    /// checksum: set the database aside under another name (or skip the record), say so in the log
    /// and in [`crate::Stat`], and go on with what is left. Otherwise opening fails.
    pub recover: bool,
    /// sled's page cache, in bytes; a soft limit.
    pub page_cache_bytes: u64,
    /// Decoded columns of sealed blocks kept for readers, in bytes.
    pub column_cache_bytes: usize,
    /// Samples that may wait for the writer, in bytes of memory; beyond it a batch is answered with
    /// [`tidegate_core::ports::storage::StoreError::Busy`].
    pub max_waiting_bytes: usize,
    /// Unsealed samples kept in memory, in bytes; beyond it the oldest groups are sealed early, and half
    /// again beyond it no batch is taken until they are.
    pub max_head_bytes: usize,
    /// Write-ahead records kept on disk, in bytes; beyond it the oldest groups are sealed early.
    /// This bounds how long opening after a crash takes. Half again beyond it no batch is taken until they
    /// are sealed.
    pub max_wal_bytes: u64,
    /// Size at which a group's samples are sealed into a block, in encoded bytes.
    pub block_bytes: usize,
    /// Span of samples, in milliseconds of their own time, after which a group is sealed in any
    /// case.
    pub seal_after_ms: i64,
    /// How far behind the newest sample of its series a sample may lie, in milliseconds. A sample
    /// inside is checked against what is stored (the first value stands); one beyond is counted as
    /// late and refused, unread: looking into arbitrarily old blocks would let one sender decide
    /// how much the store reads. A sealed block is rolled up once the store has moved on by as much.
    pub out_of_order_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recover: false,
            page_cache_bytes: 64 << 20,
            column_cache_bytes: 64 << 20,
            max_waiting_bytes: 64 << 20,
            max_head_bytes: 512 << 20,
            max_wal_bytes: 256 << 20,
            block_bytes: 20_000,
            seal_after_ms: 86_400_000,
            out_of_order_ms: 86_400_000,
        }
    }
}
