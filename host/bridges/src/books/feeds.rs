//! What a stream feeds.
//!
//! Every point asks for it, and nearly every stream has one: so that one lies in the stream itself, which is at
//! hand, and not in memory of its own.

use crate::mapping::How;
use std::sync::Arc;

/// What a stream feeds: accounts, by number, and how. The first stands in the stream itself, since most have
/// no other.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Feeds {
    first: Option<(u32, How)>,
    more: Arc<[(u32, How)]>,
}

impl Feeds {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u32, How)> {
        self.first.iter().chain(self.more.iter())
    }

    pub(super) fn get(&self, at: usize) -> Option<(u32, How)> {
        match at {
            0 => self.first,
            _ => self.more.get(at - 1).copied(),
        }
    }
}

impl FromIterator<(u32, How)> for Feeds {
    fn from_iter<T: IntoIterator<Item = (u32, How)>>(feeds: T) -> Self {
        let mut feeds = feeds.into_iter();
        Self {
            first: feeds.next(),
            more: feeds.collect(),
        }
    }
}
