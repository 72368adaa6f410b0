//! The e-process on counts: is the shadow's event rate above `rho` times production's?
//!
//! Per flush, y events out of n requests on each side. Null: `theta_s <= rho * theta_p`, the rates
//! free to change from flush to flush. For a growth c (the alternative is `lambda = c * rho`):
//!
//! ```text
//! ln E += y_s ln c - (y_s + y_p) ln((c rho n_s + n_p) / (rho n_s + n_p))
//! ```
//!
//! Why it is an e-process. With `q = c rho n_s + n_p`, a shadow event multiplies E by
//! `1 + n_p (c - 1) / q`, a production event by `1 - rho n_s (c - 1) / q`. For Poisson counts the
//! expected factor of a flush is `exp(n_s n_p (c - 1) (theta_s - rho theta_p) / q)`: exactly 1 on
//! the boundary and below 1 inside the null, for c > 1 and, with the null turned round, for c < 1.
//! For independent Bernoulli requests it is at most that, because `1 + x <= exp(x)`; so it holds at
//! *any* rho, not only at 1. Requests mirrored from production have positively dependent events,
//! which lowers it further. Lineage: Lindon & Malek 2022 (arXiv 2011.03567), Turner & Grunwald 2023
//! (arXiv 2302.11401).

use serde::{Deserialize, Serialize};

/// The alternatives of harm, as multiples of `rho`: evidence is their mean, itself an e-process.
pub const GROWTHS: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0];

/// The alternatives of non-inferiority: `rho` divided by these. Closer together, because what is to
/// be certified is nearly always an equal version, a factor of `rho` below the margin; in the
/// simulation of `tests/figures.rs` this takes a seventh fewer requests than dividing by
/// [`GROWTHS`].
pub const DECLINES: [f64; 6] = [1.25, 1.35, 1.5, 1.7, 2.0, 3.0];

/// On which side of `rho` the alternatives lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    /// Evidence against `theta_s <= rho * theta_p`: harm.
    Above,
    /// Evidence against `theta_s >= rho * theta_p`: non-inferiority.
    Below,
}

/// Evidence against one null, over a grid of alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioTest {
    rho: f64,
    side: Side,
    log_e: [f64; 6],
}

/// The counts of one flush and metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flush {
    pub(crate) shadow_events: f64,
    pub(crate) shadow_requests: f64,
    pub(crate) events: f64,
    pub(crate) production_requests: f64,
}

impl Flush {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of one flush are far below 2^53"
    )]
    pub(crate) fn new(shadow: (u64, u64), production: (u64, u64)) -> Self {
        Self {
            shadow_events: shadow.0 as f64,
            shadow_requests: shadow.1 as f64,
            events: shadow.0 as f64 + production.0 as f64,
            production_requests: production.1 as f64,
        }
    }

    /// Whether both arms saw requests; else the flush says nothing of their ratio.
    pub(crate) fn compares(&self) -> bool {
        self.shadow_requests > 0.0 && self.production_requests > 0.0 && self.events > 0.0
    }

    /// `ln(ratio * n_s + n_p)`.
    pub(crate) fn log_mass(&self, ratio: f64) -> f64 {
        libm::log(ratio * self.shadow_requests + self.production_requests)
    }
}

impl RatioTest {
    /// Evidence that the ratio is above `rho`: against "no worse than `rho`".
    #[must_use]
    pub fn above(rho: f64) -> Self {
        Self {
            rho,
            side: Side::Above,
            log_e: [0.0; 6],
        }
    }

    /// Evidence that the ratio is below `rho`: against "at least `rho`".
    #[must_use]
    pub fn below(rho: f64) -> Self {
        Self {
            rho,
            side: Side::Below,
            log_e: [0.0; 6],
        }
    }

    /// The null's ratio.
    #[must_use]
    pub fn rho(&self) -> f64 {
        self.rho
    }

    /// Adds one flush: (events, requests) of shadow and production. A flush with requests on one
    /// side only changes nothing.
    pub fn update(&mut self, shadow: (u64, u64), production: (u64, u64)) {
        self.add(&Flush::new(shadow, production));
    }

    pub(crate) fn add(&mut self, flush: &Flush) {
        if !flush.compares() {
            return;
        }
        let null = flush.log_mass(self.rho);
        let multiples = match self.side {
            Side::Above => GROWTHS,
            Side::Below => DECLINES.map(|decline| 1.0 / decline),
        };
        for (log_e, c) in self.log_e.iter_mut().zip(multiples) {
            let spread = flush.log_mass(c * self.rho) - null;
            *log_e += flush.shadow_events * libm::log(c) - flush.events * spread;
        }
    }

    /// `ln E`, E the mean over the alternatives.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_mean_exp(&self.log_e)
    }
}

/// `ln(mean(exp(x)))`, without overflow; minus infinity for nothing.
pub(crate) fn log_mean_exp(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return top;
    }
    let sum: f64 = values.iter().map(|v| libm::exp(v - top)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a handful of values")]
    let n = values.len() as f64;
    top + libm::log(sum / n)
}
