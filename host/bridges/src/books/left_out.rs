//! Steps that were added up and are not stored, because not everybody was heard in them.
//!
//! That is the law of the books, but what is lost by it was acknowledged: a past that is sent instance by
//! instance loses all that lies before the last one's first point. So it is told, by api. A step or two of each
//! signal go that way whenever a signal begins to be fed, which is nobody's mistake; what lies further back is
//! counted apart, so that a log need not cry wolf.

use super::Books;
use std::collections::BTreeMap;
use tidegate_core::ids::ApiId;
use tidegate_core::time::Timestamp;

/// What of an api was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Steps, of each signal for itself.
    pub steps: u64,
    /// Of them, those that lie before what the beginning of a signal explains.
    pub past: u64,
    /// End of the last of those that are counted in `past`.
    pub until: Timestamp,
}

impl LeftOut {
    /// Notes a step that begins at `start`. Instances begin to be heard within `hold` of each other; `past` is so
    /// long before the last one was.
    pub(super) fn note(&mut self, start: i64, step: i64, past: i64) {
        self.steps += 1;
        let end = start.saturating_add(step);
        if end.saturating_add(step) <= past {
            self.past += 1;
            self.until = self.until.max(Timestamp(end));
        }
    }

    /// Adds what was left out later.
    pub fn add(&mut self, later: &Self) {
        self.steps += later.steps;
        self.past += later.past;
        self.until = self.until.max(later.until);
    }
}

impl Books {
    /// What was left out since this was asked last, by api.
    pub fn left_out(&mut self) -> BTreeMap<ApiId, LeftOut> {
        std::mem::take(&mut self.left_out)
    }
}
