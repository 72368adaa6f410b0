//! What every allocator shares: a pool's columns, and the fit of any allocation to its rules.
//!
//! The host refuses a plan that breaks an invariant and never repairs it. So a rule as simple as
//! "twice the load, twice the share" needs a last step that makes its wish lawful, and that step
//! must be the same for all of them. [`fit_to_pool`] is it: a pure function from a wish to the
//! nearest lawful allocation, in the order AL1 (capacity) > AL4 (tenant quota) > AL2 (Gold
//! floors) > AL3 (step bounds) > the wish itself.
//!
//! A crate of its own, because plugin authors get it through the SDK, the shipped models use it
//! natively, and neither should see the other. No I/O, no clock, no transcendental functions:
//! only sums, products and comparisons in a fixed order, hence the same bits on every machine.
//!
//! ```
//! use tidegate_fit::{Allocation, Dimension, PoolColumns, Tier, fit_to_pool};
//!
//! let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![10.0]); // one step, ten cores
//! pool.push(Tier::Gold, &[4.0]);
//! pool.push(Tier::Bronze, &[0.0]);
//! let mut plan = Allocation { guaranteed: vec![4.0, 0.0], limit: vec![8.0, 16.0] };
//! fit_to_pool(&pool, &mut plan)?;
//! // Gold keeps its floor of four; what is left is cut in proportion to the wish (4 : 16).
//! assert!((plan.limit[0] - 5.2).abs() < 1e-9 && (plan.limit[1] - 4.8).abs() < 1e-9);
//! # Ok::<(), tidegate_fit::Error>(())
//! ```

mod columns;
mod fit;
mod ladder;

pub use columns::{Dimension, PoolColumns, Tier, UNBOUNDED};
pub use fit::{Allocation, Cut, FitReport, Level, Scope, fit_step, fit_to_pool, fit_with_loans};
pub use fit::{step_ceiling, step_floor};
pub use tidegate_model_kit::ModelError as Error;
