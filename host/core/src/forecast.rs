//! Forecasts: quantile grids with the proof of who made them, and what is kept to judge them.
//!
//! A module's quantiles are a claim. [`Track`] is what the host keeps of one module on one series to
//! check the claim against what came: it corrects the quantiles of the next forecast and adds up
//! scores; [`Standings`] tells them for people, and [`Choice`] says whom they made champion. Only
//! the words stand here; the arithmetic is `flow::forecast`'s.

mod prior;
mod standing;
mod track;
mod watch;

pub use prior::Prior;
pub use standing::{
    Candidate, Champion, Choice, Coverage, Ground, Rival, Standing, Standings, Verdict,
};
pub use track::{Band, BandTrack, Pending, SCORED, Score, Track};
pub use watch::{Shift, Sums, Watch};

use crate::ids::Digest;
use crate::roster::Served;
use crate::sample::SeriesKey;
use crate::time::Grid;
use crate::units::Level;

/// Future values of one signal, in the signal's unit. Upholds FC1 once it has been through
/// [`crate::invariant::check_grid`].
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Of what.
    pub key: SeriesKey,
    /// For when.
    pub grid: Grid,
    /// Rising.
    pub levels: Vec<Level>,
    /// `[step]`.
    pub mean: Vec<f64>,
    /// `[step][level]`.
    pub quantiles: Vec<f64>,
    /// Who made it.
    pub served: Served,
    /// Digest of the state that it was predicted from.
    pub state: Digest,
    /// What corrected the quantiles; `None`: they are as the module answered.
    pub calibration: Option<Calibration>,
}

/// What corrected a forecast's quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// Digest of the [`Track`] as it was when it corrected them.
    pub track: Digest,
    /// Outcomes that it had learned from by then; 0: its pooled prior alone.
    pub outcomes: u32,
}

impl Forecast {
    /// Where a level stands in a row.
    fn place(&self, level: Level) -> usize {
        let place = self.levels.iter().position(|&l| l >= level);
        place.unwrap_or(self.levels.len().saturating_sub(1))
    }

    /// A level's quantiles, step by step, as [`Self::quantile`] gives them.
    pub fn column(&self, level: Level) -> impl Iterator<Item = f64> + '_ {
        let (width, place) = (self.levels.len(), self.place(level));
        let at = move |step: usize| self.quantiles.get(step * width + place).copied();
        (0..self.grid.count).map(move |step| at(step).unwrap_or(0.0))
    }

    /// The quantile at a step; the nearest level that was asked for at or above `level`, else the
    /// highest there is.
    #[must_use]
    pub fn quantile(&self, step: usize, level: Level) -> f64 {
        let i = self.place(level);
        self.quantiles
            .get(step * self.levels.len() + i)
            .copied()
            .unwrap_or(0.0)
    }

    /// Keeps of the quantiles those of `levels` alone; levels that it does not have are left out.
    pub fn restrict(&mut self, levels: &[Level]) {
        let width = self.levels.len();
        let kept: Vec<usize> = (0..width)
            .filter(|&i| levels.contains(&self.levels[i]))
            .collect();
        let rows = self.quantiles.chunks(width.max(1));
        self.quantiles = rows
            .flat_map(|row| kept.iter().filter_map(|&i| row.get(i).copied()))
            .collect();
        self.levels = kept.iter().map(|&i| self.levels[i]).collect();
    }

    /// Keeps the first steps alone.
    pub fn truncate(&mut self, steps: usize) {
        self.grid.count = self.grid.count.min(steps);
        self.mean.truncate(self.grid.count);
        self.quantiles.truncate(self.grid.count * self.levels.len());
    }

    /// The highest value of a level over all steps.
    #[must_use]
    pub fn peak(&self, level: Level) -> f64 {
        self.column(level).fold(0.0, f64::max)
    }
}
