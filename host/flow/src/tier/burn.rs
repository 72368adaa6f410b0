//! Keeps the good and bad events of one SLO over its windows, step by step.
//!
//! Burn windows reach hours, an SLO's own window a month; reading them afresh in every cycle would
//! cost more than the forecast. So steps of the last hours and whole hours of the window are kept,
//! and only new steps are read. A restart fills both from history once.

use crate::history;
use std::collections::VecDeque;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{BURN_WINDOWS, Events, Slo};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    steps: VecDeque<(Timestamp, Events)>,
    hours: VecDeque<(Timestamp, Events)>,
    seen: Option<Timestamp>,
}

const HOUR_MS: i64 = 3_600_000;

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
        let end = newest.min(now).floor(step);
        let longest = i64::from(BURN_WINDOWS[3]) * 1000;
        let from = match self.seen {
            Some(seen) => seen,
            None => {
                let hour = Step::from_secs(3600).unwrap_or(Step::MINUTE);
                let hours = Grid::ending_at(end, hour, (slo.window_s / 3600) as usize);
                let events = history::events(history, slo, hours)?;
                self.hours = events
                    .into_iter()
                    .enumerate()
                    .map(|(i, e)| (hours.at(i), e))
                    .collect();
                self.hours.retain(|(_, e)| e.total > 0.0);
                end.plus_ms(-longest).floor(step)
            }
        };
        let filled = if self.seen.is_none() {
            end.0 - end.0.rem_euclid(HOUR_MS)
        } else {
            i64::MIN
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
                self.steps.push_back((at, events));
                if at.0 >= filled {
                    self.add_to_hour(at, events);
                }
            }
        }
        self.seen = Some(end.max(from));
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
            .is_some_and(|(t, _)| end.since_ms(*t) > i64::from(slo.window_s) * 1000)
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

    /// Burn per window of [`BURN_WINDOWS`], ending at the newest step seen.
    #[must_use]
    pub fn burn(&self, slo: &Slo) -> [f64; 4] {
        let end = self.seen.unwrap_or_default();
        BURN_WINDOWS.map(|window| {
            let mut sum = Events::default();
            let inside = |t: &Timestamp| end.since_ms(*t) <= i64::from(window) * 1000;
            self.steps
                .iter()
                .rev()
                .take_while(|(t, _)| inside(t))
                .for_each(|(_, e)| sum.add(*e));
            slo.burn(sum)
        })
    }

    /// Part of the error budget that is left in the SLO's window.
    #[must_use]
    pub fn budget_left(&self, slo: &Slo) -> f64 {
        let mut sum = Events::default();
        self.hours.iter().for_each(|(_, e)| sum.add(*e));
        slo.budget_left(sum)
    }
}
