//! What an api needed of a resource in a step that has passed.
//!
//! What a service used is what it needed, unless it used all that it had: then it says what was granted.
//! So a use that filled its grant (95 %, as [`crate::demand`] has it) counts for no less than what its
//! requests are known to cost, or, where that is not known, than the median that was foreseen of the step.
//! A step that missed an objective counts for no less than what was asked for at the tier's quantile: that
//! includes the headroom at which objectives hold. All of these are the same for both plans: a need is not
//! a plan's.
//!
//! Where a candidate that serves starves somebody, requests go on being counted, and with them the need.
//! A gate behind which refused requests are not seen at all cannot know them; nor can anybody else.

use crate::demand::Learned;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{Indicator, Slo};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Signal};

/// Part of a grant at which a use says no more what was needed.
const FILLED: f64 = 0.95;

/// One step of one api.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Which.
    pub api: &'a ApiId,
    /// Start of the step.
    pub start: Timestamp,
    /// Its length.
    pub step: Step,
    /// Its objectives.
    pub slos: &'a [&'a Slo],
}

/// What was foreseen of a resource, and given.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The limit that was in force.
    pub limit: f64,
    /// The median that was foreseen, with headroom.
    pub median: f64,
    /// What was asked for at the tier's quantile.
    pub demand: f64,
}

/// A step as it was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    look: Look<'a>,
    requests: f64,
    is_missed: bool,
}

impl<'a> Measured<'a> {
    /// Reads a step.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn read(history: &dyn History, look: Look<'a>) -> Result<Self, StoreError> {
        let requests = value(history, look, Signal::Requests)?;
        Ok(Self {
            look,
            requests,
            is_missed: missed(history, look, requests)?,
        })
    }

    /// What was needed; `None` where nobody measured it. `learned` is asked for where a use says too
    /// little.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn need(
        &self,
        history: &dyn History,
        dimension: Dimension,
        asked: Asked,
        learned: impl FnOnce() -> Option<Learned>,
    ) -> Result<Option<f64>, StoreError> {
        if dimension == Dimension::Requests {
            return Ok(Some(self.requests).filter(|r| r.is_finite()));
        }
        let used = value(history, self.look, dimension.signal())?;
        if !used.is_finite() {
            return Ok(None);
        }
        let mut need = used.max(0.0);
        if used >= FILLED * asked.limit {
            let cost = learned().and_then(|l| l.cost(dimension).map(|c| c.at(self.requests)));
            need = need.max(cost.filter(|c| c.is_finite()).unwrap_or(asked.median));
        }
        if self.is_missed {
            need = need.max(asked.demand);
        }
        Ok(Some(need))
    }
}

fn value(history: &dyn History, look: Look<'_>, signal: Signal) -> Result<f64, StoreError> {
    let key = SeriesKey {
        api: look.api.clone(),
        signal,
    };
    let column = history.column(&key, grid(look))?;
    Ok(column.values.first().copied().unwrap_or(f64::NAN))
}

fn grid(look: Look<'_>) -> Grid {
    Grid {
        start: look.start,
        step: look.step,
        count: 1,
    }
}

/// Whether the step missed an objective: more of it was bad than the objective leaves.
fn missed(history: &dyn History, look: Look<'_>, requests: f64) -> Result<bool, StoreError> {
    for slo in look.slos {
        let bad = match slo.indicator {
            Indicator::Availability => value(history, look, Signal::Errors)? / requests,
            Indicator::Latency { threshold } => {
                let all = history.distributions(look.api, grid(look))?;
                match all.first() {
                    Some(Some(d)) if d.count() > 0 => d.above(threshold) / d.count() as f64,
                    _ => f64::NAN,
                }
            }
        };
        if bad > 1.0 - slo.objective {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the data of a step has had the time to come.
#[must_use]
pub fn has_come(start: Timestamp, step: Step, now: Timestamp) -> bool {
    now.since_ms(start.plus_steps(step, 1)) >= super::LATE_MS.min(step.ms())
}
