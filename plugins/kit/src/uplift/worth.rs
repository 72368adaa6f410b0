//! What events do to one step of a forecast: the mean moves, the quantiles move and widen.
//!
//! The worth's spread is independent of the base's, so distances from the centre add in squares,
//! factors in logarithms and amounts as they are. Rejected: simulation. It costs paths, and its
//! noise would be the only chance in models that have none.

use super::effects::Belief;

/// What the events of one row are worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worth {
    /// Of the logarithm of a factor.
    pub(crate) log: Belief,
    /// Of an amount, in the signal's unit.
    pub(crate) amount: Belief,
}

impl Worth {
    /// Moves a mean and its quantiles, and widens these. Independent spreads add in squares: on
    /// each side of the mean the distance of a quantile and that of the worth do.
    pub(crate) fn apply(&self, mean: &mut f64, quantiles: &mut [f64], deviates: &[f64]) {
        let centre = *mean;
        let factor = libm::exp(self.log.mean);
        let sd = self.log.variance.sqrt();
        if self.log.mean != 0.0 || sd > 0.0 {
            for (q, z) in quantiles.iter_mut().zip(deviates) {
                let around = if *q > 0.0 && centre > 0.0 {
                    centre * libm::exp(widened(libm::log(*q / centre), z * sd))
                } else {
                    *q * libm::exp(z * sd)
                };
                *q = around * factor;
            }
            *mean = centre * factor;
        }
        let (centre, sd) = (*mean, self.amount.variance.sqrt());
        if self.amount.mean != 0.0 || sd > 0.0 {
            for (q, z) in quantiles.iter_mut().zip(deviates) {
                *q = centre + widened(*q - centre, z * sd) + self.amount.mean;
            }
            *mean = centre + self.amount.mean;
        }
    }
}

/// A distance from the centre, further out by an independent one on the side of `more`. It rises
/// in both arguments.
pub(crate) fn widened(distance: f64, more: f64) -> f64 {
    let both = (distance * distance + more * more).sqrt();
    distance + (both - distance.abs()).copysign(more)
}
