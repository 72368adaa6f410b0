//! What a store holds, by kind: for a person who wonders where the room went.
//!
//! Beside the figures that are always at hand ([`Stat`]) it reads every value once, as a check does; nobody
//! waits for it.

use crate::keys::{self, Kind};
use crate::shared::reading;
use crate::store::{Stat, Store};
use std::collections::BTreeMap;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::time::Timestamp;

/// What there is of a kind of value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindStat {
    /// Its name, for example `block`; `layout` for the one value that belongs to none.
    pub kind: String,
    /// Values; a large one counts by its parts.
    pub values: u64,
    /// Their bytes, with their keys.
    pub bytes: u64,
}

/// Figures of a store, with those that have to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Those at hand.
    pub stat: Stat,
    /// Begin of the oldest sample and end of the newest; `None` without samples.
    pub span: Option<(Timestamp, Timestamp)>,
    /// By kind, in the order of their keys.
    pub kinds: Vec<KindStat>,
}

impl Survey {
    /// Bytes of everything that lives.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.kinds.iter().map(|k| k.bytes).sum()
    }
}

impl Store {
    /// Looks through everything; `tell` hears how many bytes were read so far.
    ///
    /// # Errors
    /// When the database cannot be read; what is damaged counts like the rest.
    pub fn survey(&self, tell: &mut dyn FnMut(u64)) -> Result<Survey, StoreError> {
        let mut counts: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
        let mut read = 0;
        for item in self.shared.disk.scan_after(None) {
            let (key, value) = item?;
            let size = (key.len() + value.len()) as u64;
            let of = Kind::of(&key).map_or(u8::MAX, |kind| kind as u8);
            let (values, bytes) = counts.entry(of).or_default();
            *values += 1;
            *bytes += size;
            read += size;
            tell(read);
        }
        let span = self.span();
        Ok(Survey {
            stat: self.stat()?,
            span,
            kinds: counts
                .into_iter()
                .map(|(kind, (values, bytes))| KindStat {
                    kind: keys::kind_name(kind),
                    values,
                    bytes,
                })
                .collect(),
        })
    }

    /// Begin of the oldest sample and end of the newest; `None` without samples.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let registry = reading(&self.shared.registry);
        let blocks = registry.groups.iter().flat_map(|g| &g.blocks);
        let sealed = blocks.map(|b| (b.start, b.end));
        let heads = registry.series.iter().flat_map(|s| &s.head);
        let heads = heads.filter_map(|run| {
            let last = run.last()?.saturating_add(run.step.ms());
            Some((run.first()?, last))
        });
        let all = sealed.chain(heads);
        let span = all.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        span.map(|(oldest, newest)| (Timestamp(oldest), Timestamp(newest)))
    }
}
