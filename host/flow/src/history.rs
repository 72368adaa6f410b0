//! Gives out frames: what other rooms may know about the past.

use tidegate_core::frame::Frame;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{Events, Indicator, Slo};
use tidegate_core::time::Grid;
use tidegate_core::units::Signal;

/// What the room needs.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// Where samples are.
    pub history: &'a dyn History,
    /// Whose.
    pub api: &'a ApiId,
    /// Which.
    pub signals: &'a [Signal],
    /// When.
    pub grid: Grid,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("api", self.api)
            .field("grid", &self.grid)
            .finish_non_exhaustive()
    }
}

/// A frame with the asked signals.
pub type Output = Frame;

/// Stored data cannot be read.
pub type Error = StoreError;

/// Reads a frame; signals that were never sampled are columns of NaN.
///
/// # Errors
/// When stored data cannot be read.
pub fn run(input: Input<'_>) -> Result<Output, Error> {
    let columns = input
        .signals
        .iter()
        .map(|&signal| {
            input.history.column(
                &SeriesKey {
                    api: input.api.clone(),
                    signal,
                },
                input.grid,
            )
        })
        .collect::<Result<_, _>>()?;
    Ok(Frame {
        grid: input.grid,
        columns,
    })
}

/// Good and bad events of an SLO, per step of the grid.
///
/// A latency SLO counts a failed request as bad too: who times out was not answered in time. The
/// distribution holds answered requests; failures beyond it are told by the errors signal.
///
/// # Errors
/// When stored data cannot be read.
pub fn events(history: &dyn History, slo: &Slo, grid: Grid) -> Result<Vec<Events>, Error> {
    let frame = run(Input {
        history,
        api: &slo.api,
        signals: &[Signal::Requests, Signal::Errors],
        grid,
    })?;
    let seconds = f64::from(grid.step.secs());
    let count = |i: usize, step: usize| {
        let v = frame.columns[i].values[step];
        if v.is_finite() { v * seconds } else { 0.0 }
    };
    let slow = match slo.indicator {
        Indicator::Availability => vec![None; grid.count],
        Indicator::Latency { .. } => history.distributions(&slo.api, grid)?,
    };
    Ok((0..grid.count)
        .map(|step| {
            let (requests, errors) = (count(0, step), count(1, step));
            match (&slo.indicator, &slow[step]) {
                (Indicator::Availability, _) => Events {
                    bad: errors.min(requests),
                    total: requests,
                },
                (Indicator::Latency { threshold }, Some(d)) => {
                    let total = requests.max(d.count() as f64);
                    Events {
                        bad: (d.above(*threshold) + errors).min(total),
                        total,
                    }
                }
                // No distribution: only failures are known to be bad.
                (Indicator::Latency { .. }, None) => Events {
                    bad: errors.min(requests),
                    total: requests,
                },
            }
        })
        .collect())
}
