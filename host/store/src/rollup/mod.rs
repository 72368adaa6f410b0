//! Roll-ups: what is left of samples once they are dropped, in cells of five minutes and of an hour.
//!
//! **What a cell means** follows what reading samples onto a coarser grid means (`history`), so that it
//! does not matter which of the two answered. A cell of numbers is a sample of its own step: of a count the
//! sum of the counts, of everything else the mean weighted by the time that each sample covers; a sample
//! that straddles two cells gives each its share. With it goes what is needed to add and average cells
//! without loss (the time that was covered, in milliseconds, since a step that was measured in part has the
//! mean of what was measured) and what no later look could find again: the number of samples that began in
//! it, and of hours the least and the most of them in the signal's unit. Latencies are merged into the cell in which
//! they begin. A sample whose own step is longer than the cell stays as it is.
//!
//! **A cell is a function of the raw samples** that overlap it, taken in the order of time, and of nothing
//! else: not of what was sealed when, nor of how often it was rolled up. So rolling up again changes
//! nothing, a crash in the middle costs a repetition, and a sample that comes late has its cells made
//! again. Rejected: adding each block's share to what is there. It reads less, and doubles or loses a share
//! the first time that a mark and its cells come apart.
//!
//! **Late samples.** A sealed block is rolled up once the store has moved on by the out-of-order window, so
//! most late samples are in by then. One that comes later is sealed into a block of its own, whose hours
//! are rolled up again from everything that is there. Once raw samples of a series are dropped
//! (`retain`), nothing before the end of the last dropped hour is admitted any more: it counts as late.
//!
//! Reading order: `cells` (the arithmetic), `page` (what is stored of a group's roll-ups), `roll` (the
//! work).

pub(crate) mod cells;
pub(crate) mod page;
pub(crate) mod roll;

use tidegate_core::time::Step;

const FIVE_MINUTES_S: u32 = 300;
const HOUR_S: u32 = 3600;
/// An hour: everything that is rolled up is rolled up in whole hours.
pub(crate) const HOUR_MS: i64 = HOUR_S as i64 * 1000;

/// A resolution coarser than the samples' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    FiveMinutes = 0,
    Hour = 1,
}

impl Level {
    pub(crate) const ALL: [Level; 2] = [Level::FiveMinutes, Level::Hour];

    /// Length of a cell.
    pub(crate) fn step(self) -> Step {
        let seconds = match self {
            Level::FiveMinutes => FIVE_MINUTES_S,
            Level::Hour => HOUR_S,
        };
        Step::from_secs(seconds).unwrap_or(Step::MINUTE)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Start of the hour of an instant.
pub(crate) fn hour_of(t: i64) -> i64 {
    t.saturating_sub(t.rem_euclid(HOUR_MS))
}

/// The first full hour at or after an instant.
pub(crate) fn hour_after(t: i64) -> i64 {
    hour_of(t.saturating_add(HOUR_MS - 1))
}
