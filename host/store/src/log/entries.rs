//! Entries of a log in the order of their keys.

use super::{Log, Place};
use crate::shared::reading;
use std::ops::Bound;
use std::sync::Arc;
use tidegate_core::ports::storage::StoreError;

impl Log {
    /// The entry that follows a bound, or comes before one.
    fn beside(&self, range: Range, end: End) -> Result<Option<Entry>, StoreError> {
        let inner = reading(&self.inner);
        let mut found = inner.places.range(range);
        let next = match end {
            End::Front => found.next(),
            End::Back => found.next_back(),
        };
        let read = |(key, place): (&Vec<u8>, &Place)| Ok((key.clone(), inner.read(*place)?));
        next.map(read).transpose()
    }
}

type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);
/// A key with its value.
type Entry = (Vec<u8>, Vec<u8>);

#[derive(Debug, Clone, Copy)]
enum End {
    Front,
    Back,
}

/// Entries in the order of their keys, as they are when each is asked for.
#[derive(Debug)]
pub(crate) struct Entries {
    log: Arc<Log>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    /// Nothing follows, or reading has failed.
    is_over: bool,
}

impl Entries {
    /// All entries in a range.
    pub(crate) fn new(log: &Arc<Log>, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Self {
        Self {
            log: log.clone(),
            from,
            to,
            is_over: false,
        }
    }

    fn take(&mut self, end: End) -> Option<Result<(sled::IVec, sled::IVec), StoreError>> {
        let is_empty = match (&self.from, &self.to) {
            (Bound::Excluded(a), Bound::Excluded(b) | Bound::Included(b))
            | (Bound::Included(a), Bound::Excluded(b)) => a >= b,
            (Bound::Included(a), Bound::Included(b)) => a > b,
            _ => false,
        };
        if self.is_over || is_empty {
            return None;
        }
        match self.log.beside((self.from.clone(), self.to.clone()), end) {
            Ok(Some((key, value))) => {
                let bound = Bound::Excluded(key.clone());
                match end {
                    End::Front => self.from = bound,
                    End::Back => self.to = bound,
                }
                Some(Ok((key.into(), value.into())))
            }
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(error))
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<(sled::IVec, sled::IVec), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(End::Front)
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(End::Back)
    }
}
