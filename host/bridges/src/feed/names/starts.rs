//! Starts of cumulative streams whose senders name no instance: by them, those that look alike are told apart.
//!
//! The SDKs of OpenTelemetry name no instance by themselves, so all pods of a service send the same resource, and
//! as one stream they would seem to be started anew with every point. But each process counts from a start of its
//! own, which by the data model moves only when it is started anew. So the start is a part of who a sender is.
//!
//! Three things that are no starts look like it. A sender that does not know its start says at first that a point
//! starts when it ends, and goes on from there: what it counted before that is in its second point too, and is not
//! new. One all of whose points start when they end tells no start. And some senders, against the model, start
//! each point where the one before has ended, though the value goes on; as streams of their own, all their points
//! would count as a whole. That a start is to the nanosecond the end of an earlier point, whose own start was the
//! end of one before it, is no chance: such a sender *moves*, and is one stream without a start, read by its values
//! alone. That is known by the books, too, over restarts ([`MOVES`]). Whose starts stand still again moves no more.
//!
//! Source: OpenTelemetry metrics data model, "Resets and gaps", "Cumulative streams: inserting true reset points".

use std::collections::VecDeque;

/// Stands for the start of streams whose start moves with every point.
pub(in crate::feed) const MOVES: u64 = u64::MAX;

/// Streams of one name that begin where their first point ends, as far as they are told apart: a sender all of
/// whose points do so is one stream soon.
const UNKNOWN: usize = 4;

/// First points that are remembered of streams of one name.
const REMEMBERED: usize = 32;

/// What the start of a stream that nobody knows is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::feed) enum Worth {
    /// It has counted from there.
    Told,
    /// From there nothing is known of it.
    Untold,
    /// It moves.
    Moves,
}

/// How a point began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Began {
    /// Where it ended: its sender does not know.
    Unknown,
    /// Likewise, and it is not told apart.
    Shared,
    /// At a time that was new.
    Anew,
    /// At the end of another one.
    Behind,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    start: u64,
    time: u64,
    began: Began,
}

/// See the module. Times are in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Starts {
    points: VecDeque<Point>,
    pub(super) moves: bool,
    /// It moved once, and no more.
    steady: bool,
}

impl Starts {
    /// What an entry takes, in bytes.
    pub(super) const POINT: usize = size_of::<Point>();

    fn behind(&self, start: u64) -> Option<Began> {
        let before = self.points.iter().rev().find(|p| p.time == start);
        before.map(|p| p.began)
    }

    /// What the start of a new stream is worth, at its first point, which ends at `time`. `is_known` says whether
    /// the books know one that moves.
    pub(super) fn worth(&self, start: u64, time: u64, is_known: impl FnOnce() -> bool) -> Worth {
        if start == time {
            return Worth::Untold;
        }
        match self.behind(start) {
            Some(Began::Behind) => Worth::Moves,
            _ if !self.steady && is_known() => Worth::Moves,
            Some(Began::Unknown | Began::Shared | Began::Anew) => Worth::Untold,
            // What it did while it was taken for one that moves has counted.
            None if self.points.iter().any(|p| p.start == start) && self.steady => Worth::Untold,
            None => Worth::Told,
        }
    }

    /// Takes note of a point that was not seen before; returns how many more are remembered.
    pub(super) fn note(&mut self, start: u64, time: u64) -> usize {
        let began = match self.behind(start) {
            _ if start == time && self.is_apart(time) => Began::Unknown,
            _ if start == time => Began::Shared,
            Some(Began::Anew | Began::Behind) => Began::Behind,
            Some(Began::Unknown | Began::Shared) | None => Began::Anew,
        };
        let is = |p: &Point| (p.start, p.time) == (start, time);
        if self.points.iter().any(is) {
            return 0;
        }
        let is_full = self.points.len() == REMEMBERED;
        if is_full {
            self.points.pop_front();
        }
        self.points.push_back(Point { start, time, began });
        usize::from(!is_full)
    }

    /// Whether a stream that begins where its first point ends is told apart.
    pub(super) fn is_apart(&self, time: u64) -> bool {
        let mut unknown = self.points.iter().filter(|p| p.start == p.time);
        let known = unknown.clone().find(|p| p.time == time);
        known.map_or_else(
            || unknown.nth(UNKNOWN - 1).is_none(),
            |p| p.began == Began::Unknown,
        )
    }

    pub(super) fn begin_to_move(&mut self) {
        (self.moves, self.steady) = (true, false);
    }

    /// Whether the start of one that moves stands still.
    pub(super) fn stands(&mut self, start: u64, time: u64) -> bool {
        if self
            .points
            .iter()
            .any(|p| p.start == start && p.time < time)
        {
            (self.moves, self.steady) = (false, true);
        }
        self.steady
    }
}
