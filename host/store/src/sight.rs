//! What a reader sees: everything, what there was when it began, or what there was when a decision was made.
//!
//! A cycle reads for up to a second, series after series, while samples go on coming; a decision that saw some
//! series earlier than others could not be made again. So a cycle reads through a [`Pinned`] view. Nothing is
//! copied for it: while a view is open, the writer notes of each series that moves where it ended before, and
//! which samples came late; a reader leaves those out. Without an open view nothing is noted.
//!
//! What was seen *then* needs almost nothing on disk, because samples that move a series on come in the order of
//! their ends: whoever knows where a series ended knows which of them were there. Only a sample that does not
//! move its series on, a late one, needs its arrival sequence, and only those are written down, with the batch
//! that brings them. Rejected: a sequence beside every sample. It doubles what a counter takes, for one in a
//! thousand.

use crate::codec::{Malformed, Reader, put_int, put_uint};
use crate::disk::Disk;
use crate::keys::{self, Kind};
use crate::queue::Job;
use crate::registry::Registry;
use crate::shared::{Shared, locked, reading, writing};
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{Completion, History, StoreError, Watermark};
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{Grid, Timestamp};

/// What a reader sees.
#[derive(Debug)]
pub(crate) enum Sight {
    /// Everything.
    Now,
    /// What was published up to a sequence, while the registry remembers.
    Pinned(u64),
    /// What was there when a record was made.
    Then {
        sequence: u64,
        ends: BTreeMap<SeriesKey, Timestamp>,
        late: Arc<Lates>,
    },
}

/// Of one series, what is left out.
#[derive(Debug)]
pub(crate) struct Seen {
    /// End of the newest step that was there.
    end: i64,
    /// Times of samples that came later, ascending.
    hidden: Vec<i64>,
}

impl Seen {
    /// The end of what was there, where nothing before it is left out.
    pub(crate) fn end_of_all(&self) -> Option<i64> {
        self.hidden.is_empty().then_some(self.end)
    }

    /// Whether a sample was there.
    pub(crate) fn holds(&self, time: i64, step: i64) -> bool {
        time.saturating_add(step) <= self.end && self.hidden.binary_search(&time).is_err()
    }
}

impl Sight {
    /// What is left out of a series; `None`: nothing.
    pub(crate) fn of(&self, registry: &Registry, id: u32) -> Option<Seen> {
        let series = &registry.series[id as usize];
        let (end, late, sequence) = match self {
            Sight::Now => return None,
            Sight::Pinned(sequence) => {
                let memory = &registry.memory;
                let end = memory.end(id, *sequence);
                let late = memory.late.get(&id);
                if end.is_none() && late.is_none() {
                    return None;
                }
                (end.unwrap_or(series.end), late, *sequence)
            }
            Sight::Then {
                sequence,
                ends,
                late,
            } => {
                let end = ends.get(&series.key).map_or(series.end, |t| t.0);
                (end, late.0.get(&registry.number(id)), *sequence)
            }
        };
        let later = late
            .into_iter()
            .flatten()
            .filter(|(_, came)| *came > sequence);
        let mut hidden: Vec<i64> = later.map(|(time, _)| *time).collect();
        hidden.sort_unstable();
        Some(Seen { end, hidden })
    }
}

/// Samples that came late: time and arrival sequence.
type Late = Vec<(i64, u64)>;

/// What the registry remembers while views are open.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Open views by the sequence that they see.
    pins: BTreeMap<u64, usize>,
    /// By series: the sequence of a commit that moved it, and where it ended before; ascending.
    moved: BTreeMap<u32, Vec<(u64, i64)>>,
    /// By series.
    late: BTreeMap<u32, Late>,
}

impl Memory {
    /// Whether anybody looks.
    pub(crate) fn is_open(&self) -> bool {
        !self.pins.is_empty()
    }

    /// Notes where a series ended before the commit that ends with a sequence.
    pub(crate) fn note(&mut self, id: u32, sequence: u64, end: i64) {
        let moves = self.moved.entry(id).or_default();
        if moves.last().is_none_or(|(last, _)| *last < sequence) {
            moves.push((sequence, end));
        }
    }

    /// Notes a sample that came late.
    pub(crate) fn note_late(&mut self, id: u32, sequence: u64, time: i64) {
        self.late.entry(id).or_default().push((time, sequence));
    }

    /// Where a series ended at a sequence; `None`: where it ends now.
    fn end(&self, id: u32, sequence: u64) -> Option<i64> {
        let moves = self.moved.get(&id)?;
        let first = moves.iter().find(|(came, _)| *came > sequence);
        first.map(|(_, end)| *end)
    }

    fn unpin(&mut self, sequence: u64) {
        if let Some(count) = self.pins.get_mut(&sequence) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&sequence);
            }
        }
        let Some((oldest, _)) = self.pins.first_key_value() else {
            self.moved.clear();
            self.late.clear();
            return;
        };
        let oldest = *oldest;
        self.moved.retain(|_, moves| {
            moves.retain(|(came, _)| *came > oldest);
            !moves.is_empty()
        });
        self.late.retain(|_, late| {
            late.retain(|(_, came)| *came > oldest);
            !late.is_empty()
        });
    }
}

/// The past as it was when the view was opened, whatever comes while it is.
#[derive(Debug)]
pub struct Pinned {
    shared: Arc<Shared>,
    watermark: Watermark,
    sight: Sight,
}

impl Store {
    /// Opens a view of what is there now. Samples that come while it is open take a little memory each.
    #[must_use]
    pub fn pin(&self) -> Pinned {
        let mut registry = writing(&self.shared.registry);
        let sequence = registry.sequence;
        *registry.memory.pins.entry(sequence).or_default() += 1;
        Pinned {
            shared: self.shared.clone(),
            watermark: Watermark {
                sequence,
                newest: registry.newest,
            },
            sight: Sight::Pinned(sequence),
        }
    }
}

#[cfg(test)]
impl Pinned {
    pub(crate) fn sight(&self) -> &Sight {
        &self.sight
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut registry = writing(&self.shared.registry);
        registry.memory.unpin(self.watermark.sequence);
    }
}

/// The past as it was when a record was made.
#[derive(Debug)]
pub(crate) struct Then {
    shared: Arc<Shared>,
    sight: Sight,
    sequence: u64,
}

impl Then {
    pub(crate) fn of(
        shared: &Arc<Shared>,
        sequence: u64,
        ends: BTreeMap<SeriesKey, Timestamp>,
    ) -> Self {
        let late = shared.late();
        Self {
            shared: shared.clone(),
            sight: Sight::Then {
                sequence,
                ends,
                late,
            },
            sequence,
        }
    }
}

macro_rules! history {
    ($view:ident, $watermark:expr) => {
        impl History for $view {
            fn append(&self, batch: SampleBatch, done: Completion) {
                self.shared.queue.push(Job::new(batch, done));
            }

            fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
                self.shared.column(&self.sight, key, grid)
            }

            fn distributions(
                &self,
                api: &ApiId,
                grid: Grid,
            ) -> Result<Vec<Option<Distribution>>, StoreError> {
                self.shared.distributions(&self.sight, api, grid)
            }

            fn series(&self) -> Vec<SeriesKey> {
                self.shared.series()
            }

            fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
                self.shared.newest(&self.sight, key)
            }

            fn watermark(&self) -> Watermark {
                let watermark: fn(&Self) -> Watermark = $watermark;
                watermark(self)
            }
        }
    };
}

history!(Pinned, |view| view.watermark);
history!(Then, |view| Watermark {
    sequence: view.sequence,
    newest: reading(&view.shared.registry).newest,
});

/// Late samples of every series, by the number of the series on disk.
#[derive(Debug, Default)]
pub(crate) struct Lates(BTreeMap<u32, Late>);

impl Shared {
    /// End of a series' newest step, as it is seen.
    pub(crate) fn newest(&self, sight: &Sight, key: &SeriesKey) -> Option<Timestamp> {
        if let Sight::Then { ends, .. } = sight
            && let Some(end) = ends.get(key)
        {
            return Some(*end);
        }
        let registry = reading(&self.registry);
        let id = registry.id(key)?;
        let seen = match sight {
            Sight::Pinned(sequence) => registry.memory.end(id, *sequence),
            Sight::Now | Sight::Then { .. } => None,
        };
        let end = seen.unwrap_or(registry.series[id as usize].end);
        (end != i64::MIN).then_some(Timestamp(end))
    }

    /// Every late sample that is still told apart; read once, until another comes.
    fn late(&self) -> Arc<Lates> {
        let mut kept = locked(&self.late);
        kept.get_or_insert_with(|| {
            Arc::new(Lates::load(&self.disk).unwrap_or_else(|error| {
                tracing::error!(%error, "late samples cannot be told apart: a replay may see some too early");
                Lates::default()
            }))
        })
        .clone()
    }
}

impl Lates {
    fn load(disk: &Disk) -> Result<Self, StoreError> {
        let mut lates = Self::default();
        disk.scan_large(&Kind::Late.prefix(), |key, bytes| {
            let sequence = keys::trailing_u64(key).ok_or(Malformed("its key has no number"));
            let sequence = sequence.map_err(|e| e.at(key))?;
            for (series, time) in read(&bytes).map_err(|e| e.at(key))? {
                lates.0.entry(series).or_default().push((time, sequence));
            }
            Ok(())
        })?;
        Ok(lates)
    }
}

/// The late samples of a batch: number of the series on disk, and time.
pub(crate) fn write(late: &[(u32, i64)]) -> Vec<u8> {
    let mut bytes = vec![];
    put_uint(&mut bytes, late.len() as u64);
    let (mut series, mut time) = (0_i64, 0_i64);
    for (of, at) in late {
        put_int(&mut bytes, i64::from(*of) - series);
        put_int(&mut bytes, at.wrapping_sub(time));
        (series, time) = (i64::from(*of), *at);
    }
    bytes
}

/// What [`write`] wrote.
pub(crate) fn read(payload: &[u8]) -> Result<Vec<(u32, i64)>, Malformed> {
    let r = &mut Reader::new(payload);
    let count = r.count(2)?;
    let (mut series, mut time) = (0_i64, 0_i64);
    (0..count)
        .map(|_| {
            series = series.wrapping_add(r.int()?);
            time = time.wrapping_add(r.int()?);
            let of = u32::try_from(series).map_err(|_| Malformed("it names no series"))?;
            Ok((of, time))
        })
        .collect()
}
