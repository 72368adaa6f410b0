//! The numbered invariants, checked on every answer of a policy before it is used.
//!
//! A breach is refused and counted by its number, never repaired in silence: a repaired plan would
//! hide the module's defect and would not be what the ledger can recompute. Tolerance is relative
//! (1e-9) and only where sums of floats are compared; AL1 itself is exact, since a limit that
//! exceeds the machine exceeds it however little.

mod allocation;
mod forecast;
mod holding;

pub use allocation::check_allocation;
pub use forecast::{check_forecasts, check_forecasts_shape, check_grid};

use crate::ids::Generation;
use crate::plan::Plan;
use std::fmt;

/// The numbers of DESIGN section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A forecast is complete, finite, >= 0 and monotone.
    FC1,
    /// A tier moves at most one level per dwell time.
    TI1,
    /// Limits fit the capacity that is ready.
    AL1,
    /// Gold floors are covered whenever they fit.
    AL2,
    /// Grants move within their step bounds.
    AL3,
    /// Tenants stay within their quota, apis within their ceiling, tiers within their share.
    AL4,
    /// Loans have an amount and an end, can be reclaimed, and are from and to whom they may be.
    AL5,
    /// Generations rise by one from the parent.
    PL1,
    /// One module version serves a slot at every instant.
    MO1,
    /// What was rolled back does not come back by itself.
    RB1,
    /// Every plan has a record.
    LE1,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub struct Breach {
    /// Which.
    pub invariant: Invariant,
    /// Where and by how much.
    pub detail: String,
}

impl Breach {
    /// A breach with its detail.
    #[must_use]
    pub fn new(invariant: Invariant, detail: impl Into<String>) -> Self {
        Self {
            invariant,
            detail: detail.into(),
        }
    }
}

/// Relative tolerance of comparisons between sums.
pub const TOLERANCE: f64 = 1e-9;

/// PL1 against the plan that was last published.
///
/// # Errors
/// When the generation does not rise by one or the parent is another.
pub fn check_succession(plan: &Plan, last: Option<Generation>) -> Result<(), Breach> {
    let last = last.unwrap_or_default();
    if plan.parent != last || plan.generation != last.next() {
        return Err(Breach::new(
            Invariant::PL1,
            format!(
                "plan {} of pool {} with parent {} cannot follow plan {last}",
                plan.generation, plan.pool, plan.parent
            ),
        ));
    }
    Ok(())
}
