//! Between fits: how large errors are now, and whether they all point one way.
//!
//! The noise follows squared errors slowly, because loads are calm at times. And a load may shift
//! for good: a deployment, a new client. The residuals' weights are those of a calm history and may
//! forget in minutes what has come to stay. So a tracking signal (Trigg and Leach, Operational
//! Research Quarterly 18, 1967) averages the standardised errors, and while it says that they are
//! off by deviations in one direction, an offset moves with a large gain: neither trend nor season
//! is taught by a shift.

use serde::{Deserialize, Serialize};

/// The share of each new squared error in the noise: a memory of about 100 steps.
const NOISE_GAIN: f64 = 0.01;
/// Errors count up to this many deviations there.
const NOISE_BOUND: f64 = 4.0;
/// The share of each new error in the tracking signal, and its bound there.
const SIGNAL_GAIN: f64 = 0.15;
const SIGNAL_BOUND: f64 = 8.0;
/// The signal beyond which the load is shifting (white noise stays within 1.4, at five of its own
/// deviations), and that below which it has arrived.
const SHIFT: f64 = 4.0;
const ARRIVED: f64 = 1.0;
/// The part of an error that the offset takes up while the load shifts.
const SHIFT_GAIN: f64 = 0.5;

/// The running size and direction of errors one step ahead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Follow {
    /// The variance of errors, in fitted ones.
    pub(crate) variance: f64,
    /// What is added to every load since it shifted.
    pub(crate) offset: f64,
    signal: f64,
    shifting: bool,
}

impl Follow {
    /// As fitted, and no direction.
    pub(crate) fn new() -> Self {
        Self {
            variance: 1.0,
            offset: 0.0,
            signal: 0.0,
            shifting: false,
        }
    }

    /// Learns from an error whose fitted deviation is `sd`; gives what the offset moved by.
    pub(crate) fn observe(&mut self, error: f64, sd: f64) -> f64 {
        // Without any error so far, the smallest one is beyond all measure.
        let deviate = if error == 0.0 { 0.0 } else { error / sd };
        let deviate = deviate.clamp(-SIGNAL_BOUND, SIGNAL_BOUND);
        if deviate * self.signal < 0.0 && deviate.abs() > ARRIVED {
            // Overshot, or the end of an outage: the way back is a shift of its own.
            self.signal = 0.0;
        }
        self.signal += SIGNAL_GAIN * (deviate - self.signal);
        self.shifting = self.signal.abs() > if self.shifting { ARRIVED } else { SHIFT };
        let square = deviate.clamp(-NOISE_BOUND, NOISE_BOUND);
        self.variance += NOISE_GAIN * (square * square - self.variance);
        let moved = if self.shifting {
            SHIFT_GAIN * error
        } else {
            0.0
        };
        self.offset += moved;
        moved
    }

    /// Whether decoded numbers can be read.
    pub(crate) fn is_sound(&self) -> bool {
        (0.0..=1e3).contains(&self.variance)
            && self.offset.abs() < 1e15
            && self.signal.abs() <= SIGNAL_BOUND
    }
}
