//! Good and bad events step by step, in four bytes a step, or eight where any are bad.
//!
//! There are hundreds of steps and hours for every objective of every api, so what one of them takes is
//! most of what an api takes. Steps follow each other, hence one time stands for all of them; and counts
//! are whole numbers, which 24 bits hold exactly up to 16 million a step. That also takes off what the
//! way through a rate has left on them: seven errors a minute come back as 7.000000000000001. Sums over
//! windows are made in `f64`.

use std::collections::VecDeque;
use tidegate_core::slo::Events;
use tidegate_core::time::{Step, Timestamp};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    first: Timestamp,
    every_ms: i64,
    all: VecDeque<f32>,
    /// Up to the last step in which anything was bad.
    bad: VecDeque<f32>,
}

impl Counts {
    /// Nothing yet, in such steps.
    pub(super) fn every(step: Step) -> Self {
        Self {
            every_ms: step.ms(),
            ..Self::default()
        }
    }

    fn at(&self, index: usize) -> Timestamp {
        self.first.plus_ms(index as i64 * self.every_ms)
    }

    /// Number of the steps that begin before an instant.
    fn before(&self, at: Timestamp) -> usize {
        if self.all.is_empty() {
            return 0;
        }
        let past = at.since_ms(self.first).saturating_add(self.every_ms - 1);
        let steps = past.div_euclid(self.every_ms);
        usize::try_from(steps).map_or(0, |n| n.min(self.all.len()))
    }

    /// Steps that begin in a stretch of time, oldest first.
    pub(super) fn between(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl DoubleEndedIterator<Item = (Timestamp, Events)> + '_ {
        let begin = self.before(from);
        let range = begin..self.before(until).max(begin);
        let start = range.start;
        let values = self.all.range(range).enumerate();
        values.map(move |(i, total)| {
            let at = start + i;
            let events = Events {
                bad: f64::from(self.bad.get(at).copied().unwrap_or(0.0)),
                total: f64::from(*total),
            };
            (self.at(at), events)
        })
    }

    /// Start of the first step; `None`: there is none.
    pub(super) fn first(&self) -> Option<Timestamp> {
        (!self.all.is_empty()).then_some(self.first)
    }

    /// Sets a step at or behind the last one; steps without events fill what is between.
    pub(super) fn put(&mut self, at: Timestamp, events: Events) {
        self.cut_from(at);
        if self.all.is_empty() {
            self.first = at;
        }
        while self.at(self.all.len()) < at {
            self.push([0.0; 2]);
        }
        self.push([events.bad as f32, events.total as f32]);
    }

    /// Adds to the last step, or sets one behind it.
    pub(super) fn add(&mut self, at: Timestamp, events: Events) {
        let mut sum = events;
        let last = self.between(at, Timestamp(i64::MAX)).next();
        if let Some((_, there)) = last {
            sum = there;
            sum.add(events);
        }
        self.put(at, sum);
    }

    /// A little more than is needed at a time: to double is to hold twice as much as is used.
    fn push(&mut self, [bad, all]: [f32; 2]) {
        fn room(values: &mut VecDeque<f32>, more: usize) {
            if values.len() + more > values.capacity() {
                values.reserve_exact(more + values.len() / 16 + 8);
            }
        }
        if bad != 0.0 {
            let none = self.all.len() - self.bad.len();
            room(&mut self.bad, none + 1);
            self.bad.extend(std::iter::repeat_n(0.0, none));
            self.bad.push_back(bad);
        }
        room(&mut self.all, 1);
        self.all.push_back(all);
    }

    /// The last step alone.
    pub(super) fn last(&self) -> Self {
        let at = self.all.len().saturating_sub(1);
        Self {
            first: self.at(at),
            every_ms: self.every_ms,
            all: self.all.range(at..).copied().collect(),
            bad: self.bad.range(at.min(self.bad.len())..).copied().collect(),
        }
    }

    /// Takes over later steps, in place of those from their first one on.
    pub(super) fn append(&mut self, later: &Counts) {
        for (at, events) in later.between(later.first, Timestamp(i64::MAX)) {
            self.put(at, events);
        }
    }

    /// Drops the steps that begin at an instant or later.
    pub(super) fn cut_from(&mut self, at: Timestamp) {
        let stays = self.before(at);
        self.all.truncate(stays);
        self.bad.truncate(stays);
    }

    /// Drops the steps that begin before an instant.
    pub(super) fn cut_before(&mut self, at: Timestamp) {
        let gone = self.before(at);
        self.first = self.at(gone);
        self.all.drain(..gone);
        self.bad.drain(..gone.min(self.bad.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp(i64::MAX);

    fn events(total: f64) -> Events {
        Events { bad: 1.0, total }
    }

    fn told(counts: &Counts) -> Vec<(i64, f64)> {
        let all = counts.between(Timestamp(i64::MIN), END);
        all.map(|(t, e)| (t.0 / 60_000, e.total)).collect()
    }

    #[test]
    fn steps_are_told_with_their_times_and_gaps_are_empty() {
        let mut counts = Counts::every(Step::MINUTE);
        let minute = |m: i64| Timestamp(m * 60_000);
        counts.put(minute(5), events(10.0));
        counts.put(minute(7), events(30.0));
        counts.add(minute(7), events(5.0));
        counts.add(minute(8), events(2.0));
        assert_eq!(told(&counts), [(5, 10.0), (6, 0.0), (7, 35.0), (8, 2.0)]);
        let newest = counts.between(minute(6), minute(8)).next_back();
        assert_eq!(newest.map(|(t, _)| t), Some(minute(7)));
        counts.cut_before(minute(7));
        counts.put(minute(7), events(1.0));
        assert_eq!(told(&counts), [(7, 1.0)]);
        assert_eq!(told(&counts.last()), [(7, 1.0)]);
    }

    #[test]
    fn what_comes_later_takes_the_place_of_what_was_told_before() {
        let mut counts = Counts::every(Step::MINUTE);
        let mut later = Counts::every(Step::MINUTE);
        for minute in 0..6 {
            counts.put(Timestamp(minute * 60_000), events(1.0));
            later.put(Timestamp((minute + 4) * 60_000), events(2.0));
        }
        counts.append(&later);
        assert_eq!(told(&counts).len(), 10);
        assert_eq!(told(&counts)[3..5], [(3, 1.0), (4, 2.0)]);
        counts.append(&Counts::every(Step::MINUTE));
        assert_eq!(told(&counts).len(), 10);
    }

    #[test]
    fn bad_steps_are_told_where_they_were_and_forgotten_with_them() {
        let mut counts = Counts::every(Step::MINUTE);
        let put = |counts: &mut Counts, minute: i64, bad: f64| {
            let events = Events { bad, total: 9.0 };
            counts.put(Timestamp(minute * 60_000), events);
        };
        let bad = |counts: &Counts| -> Vec<f64> {
            let all = counts.between(Timestamp(i64::MIN), END);
            all.map(|(_, e)| e.bad).collect()
        };
        for (minute, n) in [(0, 0.0), (1, 0.0), (2, 3.0), (3, 0.0), (4, 1.0), (5, 0.0)] {
            put(&mut counts, minute, n);
        }
        assert_eq!(bad(&counts), [0.0, 0.0, 3.0, 0.0, 1.0, 0.0]);
        assert_eq!(bad(&counts.last()), [0.0]);
        counts.cut_before(Timestamp(3 * 60_000));
        assert_eq!(bad(&counts), [0.0, 1.0, 0.0]);
        put(&mut counts, 4, 0.0);
        assert_eq!(bad(&counts), [0.0, 0.0]);
        put(&mut counts, 6, 2.0);
        assert_eq!(bad(&counts), [0.0, 0.0, 0.0, 2.0]);
        assert_eq!(bad(&counts.last()), [2.0]);
        counts.cut_before(Timestamp(90 * 60_000));
        assert_eq!((bad(&counts), counts.bad.len()), (vec![], 0));
    }

    #[test]
    fn a_count_that_went_through_a_rate_comes_back_whole() {
        let mut counts = Counts::every(Step::MINUTE);
        counts.put(Timestamp(0), events(7.0 / 60.0 * 60.000_000_000_000_01));
        assert_eq!(told(&counts), [(0, 7.0)]);
    }
}
