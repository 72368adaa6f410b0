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
//!
//! A cycle changes nothing that is kept: it finds an [`Advance`], judges by both together ([`Seen`]), and
//! the advance is taken in when the cycle's record is durable. Copies of whole trackers, one per SLO and
//! cycle, were a fifth of what a large world held and a tenth of what its cycles cost.

use super::counts::Counts;
use crate::history;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{BURN_WINDOWS, Burn, Events, Slo};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    /// What is counted, and in which steps.
    of: Option<(Slo, Step)>,
    /// Steps of the last [`FINE_S`] seconds.
    steps: Counts,
    /// Hours of the SLO's window and of the longest burn window, without the steps from `settled` on.
    hours: Counts,
    /// End of the steps that are not read again.
    settled: Option<Timestamp>,
    /// Where the windows end.
    end: Timestamp,
}

/// What a cycle found beyond what is kept; see the module.
#[derive(Debug, Clone)]
pub struct Advance {
    /// In place of what was kept, which was nothing or of another objective.
    anew: Option<Box<Tracker>>,
    /// In place of the steps from here on.
    from: Timestamp,
    steps: Counts,
    /// In place of the hours from its first one on.
    hours: Counts,
    settled: Timestamp,
    end: Timestamp,
}

/// What is kept of an SLO, and what a cycle found beyond it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    kept: &'a Tracker,
    advance: Option<&'a Advance>,
}

/// Windows up to here are counted by steps, in seconds; longer ones by whole hours.
const FINE_S: u32 = 21_600;

const HOUR_MS: i64 = 3_600_000;

/// After every step.
const LAST: Timestamp = Timestamp(i64::MAX);

/// How long a step's samples may take to arrive, in milliseconds.
const SETTLED_MS: i64 = 300_000;

impl Tracker {
    /// Reads what is new, up to the newest measured step that has ended; `None` where nothing was ever
    /// measured.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn look(
        &self,
        history: &dyn History,
        slo: &Slo,
        step: Step,
        now: Timestamp,
    ) -> Result<Option<Advance>, StoreError> {
        let key = SeriesKey {
            api: slo.api.clone(),
            signal: Signal::Requests,
        };
        let Some(newest) = history.newest(&key) else {
            return Ok(None);
        };
        let end = newest.min(now).floor(step);
        let settled = self.settled.filter(|_| self.is_of(slo, step));
        let (anew, from, filled) = match settled {
            Some(settled) => (None, settled, Timestamp(i64::MIN)),
            None => {
                let longest = i64::from(FINE_S) * 1000;
                let hour = Step::from_secs(3600).unwrap_or(Step::MINUTE);
                let from = end.plus_ms(-longest).floor(step);
                // Hours that end before the steps that are read below; those fill the rest.
                let filled = from.plus_ms(HOUR_MS - 1).floor(hour);
                let grid = Grid::ending_at(filled, hour, (kept_s(slo) / 3600) as usize);
                let mut hours = Counts::every(hour);
                for (i, events) in history::events(history, slo, grid)?.into_iter().enumerate() {
                    if events.total > 0.0 {
                        hours.put(grid.at(i), events);
                    }
                }
                let anew = Tracker {
                    of: Some((slo.clone(), step)),
                    steps: Counts::every(step),
                    hours,
                    ..Tracker::default()
                };
                (Some(Box::new(anew)), from, filled)
            }
        };
        let kept = anew.as_deref().unwrap_or(self);
        let mut advance = Advance {
            from,
            steps: Counts::every(step),
            hours: kept.hours.last(),
            settled: from,
            end: end.max(from).max(now.plus_ms(-SETTLED_MS - step.ms())),
            anew,
        };
        let count = usize::try_from(end.since_ms(from).max(0) / step.ms()).unwrap_or(0);
        if count > 0 {
            let grid = Grid {
                start: from,
                step,
                count,
            };
            for (i, events) in history::events(history, slo, grid)?.into_iter().enumerate() {
                let at = grid.at(i);
                advance.steps.put(at, events);
                if end.since_ms(grid.at(i + 1)) >= SETTLED_MS {
                    advance.settled = grid.at(i + 1);
                    if at >= filled {
                        let hour = Timestamp(at.0 - at.0.rem_euclid(HOUR_MS));
                        advance.hours.add(hour, events);
                    }
                }
            }
        }
        Ok(Some(advance))
    }

    fn is_of(&self, slo: &Slo, step: Step) -> bool {
        self.of
            .as_ref()
            .is_some_and(|(s, t)| s == slo && *t == step)
    }

    /// Takes in what a cycle found.
    pub fn take(&mut self, advance: Advance) {
        if let Some(anew) = advance.anew {
            *self = *anew;
        }
        self.steps.cut_from(advance.from);
        self.steps.append(&advance.steps);
        self.hours.append(&advance.hours);
        self.settled = Some(advance.settled);
        self.end = advance.end;
        let since = |seconds: u32| self.end.plus_ms(-i64::from(seconds) * 1000);
        self.steps.cut_before(since(FINE_S));
        if let Some((slo, _)) = &self.of {
            self.hours.cut_before(since(kept_s(slo)));
        }
    }
}

impl<'a> Seen<'a> {
    /// What is kept, with what was found.
    #[must_use]
    pub fn of(kept: &'a Tracker, advance: Option<&'a Advance>) -> Self {
        let anew = advance.and_then(|a| a.anew.as_deref());
        Self {
            kept: anew.unwrap_or(kept),
            advance,
        }
    }

    fn end(&self) -> Timestamp {
        self.advance.map_or(self.kept.end, |a| a.end)
    }

    fn settled(&self) -> Timestamp {
        let settled = self.advance.map(|a| a.settled).or(self.kept.settled);
        settled.unwrap_or_default()
    }

    /// Steps that begin in a stretch of time, oldest first.
    fn steps(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> impl DoubleEndedIterator<Item = (Timestamp, Events)> + use<'a> {
        let old = self.advance.map_or(until, |a| a.from.min(until));
        let kept = self.kept.steps.between(from, old);
        let new = self.advance.into_iter();
        kept.chain(new.flat_map(move |a| a.steps.between(from, until)))
    }

    /// Hours that begin at an instant or later, oldest first.
    fn hours(
        &self,
        from: Timestamp,
    ) -> impl DoubleEndedIterator<Item = (Timestamp, Events)> + use<'a> {
        let replaced = self.advance.and_then(|a| a.hours.first());
        let kept = self.kept.hours.between(from, replaced.unwrap_or(LAST));
        let new = self.advance.into_iter();
        kept.chain(new.flat_map(move |a| a.hours.between(from, LAST)))
    }

    /// Steps from `from` on that are not read again, oldest first; at most those of the longest
    /// burn window.
    pub fn settled_since(&self, from: Timestamp) -> impl Iterator<Item = (Timestamp, Events)> + 'a {
        let oldest = self.end().plus_ms(-i64::from(FINE_S) * 1000);
        self.steps(from.max(oldest), self.settled())
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
        let since = self.end().plus_ms(-i64::from(seconds) * 1000);
        let mut sum = Events::default();
        if seconds <= FINE_S {
            let steps = self.steps(since, LAST).rev();
            steps.for_each(|(_, e)| sum.add(e));
            return sum;
        }
        let new = self.steps(since.max(self.settled()), LAST).rev();
        let hours = self.hours(since).rev();
        hours.chain(new).for_each(|(_, e)| sum.add(e));
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
        let found = tracker.look(rates, slo, Step::MINUTE, now).unwrap();
        let before = Seen::of(tracker, found.as_ref());
        let told = (before.burn(slo), before.budget_left(slo));
        found.into_iter().for_each(|found| tracker.take(found));
        let after = Seen::of(tracker, None);
        assert_eq!(told, (after.burn(slo), after.budget_left(slo)));
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
        assert!(close(Seen::of(&tracker, None).burn(&slo)[0], 0.0));
        rates.feed(Signal::Errors, 595..600, 10.0);
        advance(&mut tracker, &rates, &slo, 600);
        assert!(
            close(Seen::of(&tracker, None).burn(&slo)[0], 10.0),
            "{:?}",
            Seen::of(&tracker, None).burn(&slo)
        );
        assert!(close(
            Seen::of(&tracker, None).budget_left(&slo),
            1.0 - 5.0 / 60.0
        ));
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
        for (a, b) in Seen::of(&walked, None)
            .burn(&slo)
            .into_iter()
            .zip(Seen::of(&fresh, None).burn(&slo))
        {
            assert!(close(a, b), "{a} {b}");
        }
        assert!(close(
            Seen::of(&walked, None).budget_left(&slo),
            Seen::of(&fresh, None).budget_left(&slo)
        ));
    }

    #[test]
    fn a_feed_that_died_while_it_burned_does_not_burn_for_ever() {
        let (slo, mut rates, mut tracker) =
            (slo(0.9, 86_400), Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..600, 10.0);
        rates.feed(Signal::Errors, 0..600, 10.0);
        advance(&mut tracker, &rates, &slo, 602);
        assert!(close(Seen::of(&tracker, None).burn(&slo)[0], 10.0));
        advance(&mut tracker, &rates, &slo, 612);
        assert!(close(Seen::of(&tracker, None).burn(&slo)[0], 0.0));
        advance(&mut tracker, &rates, &slo, 600 + 7 * 60);
        let burn = Seen::of(&tracker, None).burn(&slo);
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
        assert!(close(Seen::of(&tracker, None).budget_left(&short), 1.0));
        let long = slo(0.5, 90 * 86_400);
        advance(&mut tracker, &rates, &long, 3000);
        assert!(close(
            Seen::of(&tracker, None).budget_left(&long),
            1.0 - 0.05 / 0.5
        ));
    }

    #[test]
    fn a_slow_burn_shows_over_three_days_whatever_the_window_of_the_objective() {
        let (slo, mut rates, mut tracker) =
            (slo(0.9, 86_400), Rates::default(), Tracker::default());
        rates.feed(Signal::Requests, 0..4 * 1440, 10.0);
        rates.feed(Signal::Errors, 1440..3 * 1440, 1.5);
        advance(&mut tracker, &rates, &slo, 4 * 1440);
        let burn = Seen::of(&tracker, None).burn(&slo);
        assert!(close(burn[3], 0.0) && close(burn[4], 1.0), "{burn:?}");
        assert!(close(Seen::of(&tracker, None).budget_left(&slo), 1.0));
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
            close(Seen::of(&tracker, None).budget_left(&slo), 0.5),
            "{}",
            Seen::of(&tracker, None).budget_left(&slo)
        );
    }
}
