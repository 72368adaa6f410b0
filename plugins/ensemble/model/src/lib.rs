//! A combination of forecasters: `theta`, `arima`, `prophet` and `seasonal-naive`, linked in, each
//! fitted once, weighed anew at every step ahead. It is what an api gets that nobody configured.
//!
//! Combinations beat their members because unlike models err differently (Bates and Granger,
//! Operational Research Quarterly 20, 1969), and simple weights beat estimated ones, because a
//! history holds few independent errors a day ahead (Smith and Wallis, Oxford Bulletin of
//! Economics and Statistics 71, 2009). So the weights are simple: a trust in each member that
//! goes with the horizon (an autoregression knows the next hour, the repeated season knows
//! tomorrow), divided by the square of the width of the member's own 80 % interval there, which is
//! Bates and Granger's inverse variance. Each member widens its interval to the errors that it made
//! in its back-test, and lets it follow recent errors; so the width is its recent loss, measured
//! out of sample, at no further cost.
//!
//! Quantiles are averaged level by level (Vincentization: Lichtendahl, Grushka-Cockayne and
//! Winkler, Management Science 59, 2013), which is sharper than mixing distributions.
//!
//! Rejected: a back-test of the members around their own ones. It doubles the time of a fit and
//! was worth nothing on loads at 5-minute steps; and stacking by regression, which overfits there.

mod config;
mod fit;
mod floor;
mod member;
mod state;
mod weights;

pub use config::{CONFIG_SCHEMA, Config, Trust};
pub use fit::{fit, fit_with};
pub use member::Kind;
pub use state::{FORMAT, State};
pub use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};
