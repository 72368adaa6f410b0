//! What is known of whether a fitted model still fits: cumulative sums over its residuals.
//!
//! Only the words stand here, because they are kept with the track that they belong to; the arithmetic
//! is `flow::forecast`'s. The sums are few numbers that took hours of residuals to come together: a
//! daemon that begins them anew at every restart does not notice a slow shift as long as it is
//! restarted often, which is when deployments change loads.

use crate::time::Timestamp;

/// How a model stopped to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// What comes lies above what is foreseen.
    Up,
    /// What comes lies below what is foreseen.
    Down,
    /// Errors grew, in both directions.
    Wider,
}

impl Shift {
    /// The name in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Shift::Up => "up",
            Shift::Down => "down",
            Shift::Wider => "wider",
        }
    }
}

/// The sums over one model's residuals since its fit. Residuals are in units of the spread that was
/// foreseen, sums in standard deviations of the residuals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// Residuals that were seen, up to the memory of the means.
    pub seen: u32,
    /// Running mean of the residuals.
    pub mean: f64,
    /// Running mean of their distance from the mean.
    pub size: f64,
    /// Of residuals above the mean.
    pub up: f64,
    /// Of those below it.
    pub down: f64,
    /// Of their sizes.
    pub wider: f64,
}

/// What a daemon knows of one model's fit to a series when it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watch {
    /// When the model was fitted that is watched.
    pub fitted_at: Timestamp,
    /// Over its residuals.
    pub sums: Sums,
    /// When it stopped to fit, and how, if it did.
    pub shifted: Option<(Timestamp, Shift)>,
}
