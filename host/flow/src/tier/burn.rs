//! Keeps the good and bad events of one SLO over its windows, step by step.
//!
//! Burn windows reach hours, an SLO's own window a month; reading them afresh in every cycle would
//! cost more than the forecast. So steps of the last hours and whole hours of the window are kept,
//! and only new steps are read. A restart fills both from history once, and so does a change of the
//! SLO: what was counted under another threshold says nothing of this one.
//!
//! The signals of one step do not arrive at one instant, so the newest steps are read again in every
//! cycle until they are [`SETTLED_MS`] old. And the windows do not wait for a feed that has died: they
//! end at most that and one step before now, or its last burn would stand, and lift step bounds, for ever.

use crate::history;
use std::collections::VecDeque;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{BURN_WINDOWS, Burn, Events, Slo};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    /// What is counted.
    slo: Option<Slo>,
    /// Steps of the last [`FINE_S`] seconds.
    steps: VecDeque<(Timestamp, Events)>,
    /// Hours of the SLO's window and of the longest burn window, without the steps from `settled` on.
    hours: VecDeque<(Timestamp, Events)>,
    /// End of the steps that are not read again.
    settled: Option<Timestamp>,
    /// Where the windows end.
    end: Timestamp,
}

/// Windows up to here are counted by steps, in seconds; longer ones by whole hours.
const FINE_S: u32 = 21_600;

const HOUR_MS: i64 = 3_600_000;

/// How long a step's samples may take to arrive, in milliseconds.
const SETTLED_MS: i64 = 300_000;

impl Tracker {
    /// Reads what is new, up to the newest measured step that has ended.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn advance(
        &mut self,
        history: &dyn History,
        slo: &Slo,
        step: Step,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = SeriesKey {
            api: slo.api.clone(),
            signal: Signal::Requests,
        };
        let Some(newest) = history.newest(&key) else {
            return Ok(());
        };
        if self.slo.as_ref() != Some(slo) {
            *self = Self {
                slo: Some(slo.clone()),
                ..Self::default()
            };
        }
        let end = newest.min(now).floor(step);
        let longest = i64::from(FINE_S) * 1000;
        let (from, filled) = match self.settled {
            Some(settled) => (settled, Timestamp(i64::MIN)),
            None => {
                let hour = Step::from_secs(3600).unwrap_or(Step::MINUTE);
                let from = end.plus_ms(-longest).floor(step);
                // Hours that end before the steps that are read below; those fill the rest.
                let filled = from.plus_ms(HOUR_MS - 1).floor(hour);
                let hours = Grid::ending_at(filled, hour, (kept_s(slo) / 3600) as usize);
                let events = history::events(history, slo, hours)?;
                self.hours = events
                    .into_iter()
                    .enumerate()
                    .map(|(i, e)| (hours.at(i), e))
                    .filter(|(_, e)| e.total > 0.0)
                    .collect();
                (from, filled)
            }
        };
        while self.steps.back().is_some_and(|(t, _)| *t >= from) {
            self.steps.pop_back();
        }
        let mut settled = from;
        let count = usize::try_from(end.since_ms(from).max(0) / step.ms()).unwrap_or(0);
        if count > 0 {
            let grid = Grid {
                start: from,
                step,
                count,
            };
            for (i, events) in history::events(history, slo, grid)?.into_iter().enumerate() {
                let at = grid.at(i);
                self.steps.push_back((at, events));
                if end.since_ms(grid.at(i + 1)) >= SETTLED_MS {
                    settled = grid.at(i + 1);
                    if at >= filled {
                        self.add_to_hour(at, events);
                    }
                }
            }
        }
        self.settled = Some(settled);
        self.end = end.max(from).max(now.plus_ms(-SETTLED_MS - step.ms()));
        let end = self.end;
        while self
            .steps
            .front()
            .is_some_and(|(t, _)| end.since_ms(*t) > longest)
        {
            self.steps.pop_front();
        }
        while self
            .hours
            .front()
            .is_some_and(|(t, _)| end.since_ms(*t) > i64::from(kept_s(slo)) * 1000)
        {
            self.hours.pop_front();
        }
        Ok(())
    }

    fn add_to_hour(&mut self, at: Timestamp, events: Events) {
        let hour = Timestamp(at.0 - at.0.rem_euclid(HOUR_MS));
        match self.hours.back_mut() {
            Some((t, sum)) if *t == hour => sum.add(events),
            _ => self.hours.push_back((hour, events)),
        }
    }

    /// Steps from `from` on that are not read again, oldest first; at most those of the longest
    /// burn window.
    pub fn settled_since(&self, from: Timestamp) -> impl Iterator<Item = (Timestamp, Events)> + '_ {
        let settled = self.settled.unwrap_or_default();
        let begin = self.steps.partition_point(|(t, _)| *t < from);
        self.steps
            .range(begin..)
            .take_while(move |(t, _)| *t < settled)
            .copied()
    }

    /// Burn per window of [`BURN_WINDOWS`].
    #[must_use]
    pub fn burn(&self, slo: &Slo) -> Burn {
        BURN_WINDOWS.map(|window| slo.burn(self.within(window)))
    }

    /// Part of the error budget that is left in the SLO's window.
    #[must_use]
    pub fn budget_left(&self, slo: &Slo) -> f64 {
        slo.budget_left(self.within(slo.window_s))
    }

    /// Events of the last so many seconds. Whole hours are too coarse for a window of a few; the steps
    /// reach that far themselves.
    pub(super) fn within(&self, seconds: u32) -> Events {
        let is_within = |t: Timestamp| self.end.since_ms(t) <= i64::from(seconds) * 1000;
        let settled = self.settled.unwrap_or_default();
        let steps = self.steps.iter().rev();
        let mut sum = Events::default();
        if seconds <= FINE_S {
            let steps = steps.take_while(|(t, _)| is_within(*t));
            steps.for_each(|(_, e)| sum.add(*e));
            return sum;
        }
        let hours = self.hours.iter().rev().take_while(|(t, _)| is_within(*t));
        let new = steps.take_while(|(t, _)| *t >= settled);
        hours.chain(new).for_each(|(_, e)| sum.add(*e));
        sum
    }
}

/// How far back hours are kept, in seconds.
fn kept_s(slo: &Slo) -> u32 {
    BURN_WINDOWS.into_iter().fold(slo.window_s, u32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Rates;
    use tidegate_core::slo::{BURN_RULES, Indicator};

    fn slo(objective: f64, window_s: u32) -> Slo {
        Slo {
            id: "shop/up".parse().unwrap(),
            api: "shop/orders".parse().unwrap(),
            indicator: Indicator::Availability,
            objective,
            window_s,
            template: None,
        }
    }

    fn advance(tracker: &mut Tracker, rates: &Rates, slo: &Slo, minute: i64) {
        let now = Timestamp(minute * 60_000);
        tracker.advance(rates, slo, Step::MINUTE, now).unwrap();
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn errors_that_arrive_after_their_requests_are_counted() {
        let (slo, mut rates, mut tracker) =
            (slo(0.9, 86_400), Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..600, 10.0);
        advance(&mut tracker, &rates, &slo, 600);
        assert!(close(tracker.burn(&slo)[0], 0.0));
        rates.feed(Signal::Errors, 595..600, 10.0);
        advance(&mut tracker, &rates, &slo, 600);
        assert!(
            close(tracker.burn(&slo)[0], 10.0),
            "{:?}",
            tracker.burn(&slo)
        );
        assert!(close(tracker.budget_left(&slo), 1.0 - 5.0 / 60.0));
    }

    #[test]
    fn counting_step_by_step_gives_what_counting_afresh_gives() {
        let (slo, mut rates, mut walked) = (slo(0.9, 86_400), Rates::default(), Tracker::default());
        for minute in 0..2000 {
            rates.feed(Signal::Requests, minute..minute + 1, 10.0);
            rates.feed(
                Signal::Errors,
                minute..minute + 1,
                (minute % 7) as f64 * 0.1,
            );
            advance(&mut walked, &rates, &slo, minute + 1);
        }
        let mut fresh = Tracker::default();
        advance(&mut fresh, &rates, &slo, 2000);
        for (a, b) in walked.burn(&slo).into_iter().zip(fresh.burn(&slo)) {
            assert!(close(a, b), "{a} {b}");
        }
        assert!(close(walked.budget_left(&slo), fresh.budget_left(&slo)));
    }

    #[test]
    fn a_feed_that_died_while_it_burned_does_not_burn_for_ever() {
        let (slo, mut rates, mut tracker) =
            (slo(0.9, 86_400), Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..600, 10.0);
        rates.feed(Signal::Errors, 0..600, 10.0);
        advance(&mut tracker, &rates, &slo, 602);
        assert!(close(tracker.burn(&slo)[0], 10.0));
        advance(&mut tracker, &rates, &slo, 612);
        assert!(close(tracker.burn(&slo)[0], 0.0));
        advance(&mut tracker, &rates, &slo, 600 + 7 * 60);
        let burn = tracker.burn(&slo);
        assert!(burn[..4].iter().all(|b| close(*b, 0.0)), "{burn:?}");
        assert!(burn[4] > 1.0 && BURN_RULES.iter().all(|r| !r.fires(&burn)));
    }

    #[test]
    fn a_changed_objective_is_counted_afresh() {
        let (mut rates, mut tracker) = (Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..3000, 10.0);
        rates.feed(Signal::Errors, 0..1500, 1.0);
        let short = slo(0.5, 6 * 3600 + 1);
        advance(&mut tracker, &rates, &short, 3000);
        assert!(close(tracker.budget_left(&short), 1.0));
        let long = slo(0.5, 90 * 86_400);
        advance(&mut tracker, &rates, &long, 3000);
        assert!(close(tracker.budget_left(&long), 1.0 - 0.05 / 0.5));
    }

    #[test]
    fn a_slow_burn_shows_over_three_days_whatever_the_window_of_the_objective() {
        let (slo, mut rates, mut tracker) =
            (slo(0.9, 86_400), Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..4 * 1440, 10.0);
        rates.feed(Signal::Errors, 1440..3 * 1440, 1.5);
        advance(&mut tracker, &rates, &slo, 4 * 1440);
        let burn = tracker.burn(&slo);
        assert!(close(burn[3], 0.0) && close(burn[4], 1.0), "{burn:?}");
        assert!(close(tracker.budget_left(&slo), 1.0));
    }

    #[test]
    fn the_budget_of_a_window_shorter_than_an_hour_is_counted_by_steps() {
        let (slo, mut rates, mut tracker) = (slo(0.9, 600), Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..650, 10.0);
        rates.feed(Signal::Errors, 640..650, 0.5);
        for minute in 630..=650 {
            advance(&mut tracker, &rates, &slo, minute);
        }
        assert!(
            close(tracker.budget_left(&slo), 0.5),
            "{}",
            tracker.budget_left(&slo)
        );
    }
}
