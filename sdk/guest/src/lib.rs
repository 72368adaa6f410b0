//! What a plugin author links: a trait and an exporting macro for each kind of policy, and
//! `fit_to_pool`.
//!
//! The interface `tidegate:policy` is columnar and batched, because that is fast and lets the host
//! hold all state; it is no pleasure to implement by hand. So this crate turns it into one pure
//! function per series or pool: it parses the config, checks every shape, cuts batches into series,
//! makes missing rows NaN, carries states with their format number, turns errors into the
//! interface's, and answers `describe` and `migrate`. What an author writes is
//!
//! ```
//! use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};
//!
//! /// Tomorrow is like now.
//! struct LastValue;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {}
//!
//! impl Policy for LastValue {
//!     const CONFIG_SCHEMA: &str = r#"{"type": "object", "additionalProperties": false}"#;
//!     const STATE_FORMAT: u32 = 1;
//!     type Config = Config;
//!     type State = f64;
//! }
//!
//! impl ForecasterPolicy for LastValue {
//!     fn fit(_: &Config, history: &SeriesView<'_>) -> Result<f64, Error> {
//!         let known = history.values.iter().rev().find(|v| !v.is_nan());
//!         known.copied().ok_or(Error::InsufficientData { have: 0, need: 1 })
//!     }
//!     fn update(_: &Config, last: &mut f64, rows: &SeriesView<'_>) -> Result<(), Error> {
//!         rows.values.iter().filter(|v| !v.is_nan()).for_each(|v| *last = *v);
//!         Ok(())
//!     }
//!     fn predict(_: &Config, last: &f64, ask: &Horizon<'_>) -> Result<Prediction, Error> {
//!         Ok(Prediction {
//!             mean: vec![*last; ask.steps],
//!             quantiles: vec![*last; ask.steps * ask.levels.len()],
//!         })
//!     }
//! }
//!
//! tidegate_guest::export_forecaster!(LastValue);
//! ```
//!
//! and a `[package.metadata.tidegate]` in its Cargo.toml, from which `tidegate policy build` makes
//! the manifest. On any other target than Wasm nothing is exported, and the policy is an ordinary
//! type for ordinary tests; [`forecaster::Component`] and its siblings show it as the host sees it.
//!
//! A forecaster that learns many series together (a network, a pooled regression) implements
//! [`JointForecaster`] instead and is exported by [`export_joint_forecaster!`]; the host sees no
//! difference.
//!
//! Rejected: procedural macros that write the glue (errors nobody can read), and one trait for all
//! four kinds (three quarters of it would be `unsupported`).

pub mod allocator;
pub mod forecaster;
pub mod joint;
pub mod judge;
pub mod log;
pub mod policy;
pub mod series;
pub mod tierer;

mod batch;
mod convert;
mod export;
mod glue;
mod state;

pub mod wit;

pub use allocator::AllocatorPolicy;
pub use forecaster::{ForecasterPolicy, Horizon};
pub use joint::{Cohort, Joint, JointForecaster};
pub use judge::JudgePolicy;
pub use policy::{Exported, Policy};
pub use series::{Covariates, SeriesView};
/// A pool's columns and the fit of any allocation to the pool's rules.
pub use tidegate_fit as fit;
pub use tidegate_fit::{Allocation, Dimension, FitReport, PoolColumns, fit_to_pool};
/// Arithmetic that forecasters share: quantiles, seasons, covariates, state bytes.
pub use tidegate_model_kit as kit;
pub use tidegate_model_kit::{ModelError as Error, Prediction, Series};
pub use tierer::TiererPolicy;
