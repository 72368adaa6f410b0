//! A sequential judge: it may look after every flush, and its error rate still holds.
//!
//! Fixed-sample tests looked at each second raise false alarms on 18 % of healthy releases at a
//! nominal 1 %. Here evidence is an e-process: under the null its expectation never exceeds 1, at
//! any stopping time, so by Ville's inequality it ever reaches `1 / alpha` with probability at
//! most alpha. Counts (errors, timeouts, requests slower than an edge) are compared flush by flush
//! ([`RatioTest`]), never as pooled totals, so a ramp of the mirror share or a drifting base rate
//! cannot fake an effect. Policy modules are judged by paired loss differences
//! ([`BettingTest`]).
//!
//! The rules of a verdict:
//! * *roll back* when a critical group's harm reaches `k / alpha`, k the number of critical groups
//!   (Bonferroni). Where no A/A run told the over-dispersion, only severe harm counts.
//! * *promote* when every critical metric is shown to be within its margin, and nothing warns. All
//!   must pass, so alpha needs no split, and edges of a latency group are not averaged here: one
//!   good edge must not vouch for a bad one.
//! * *starved* when at this rate of requests no verdict can be expected; *inconclusive* when time
//!   is up. No data is a state, never a pass.
//!
//! Evidence is kept as running maxima, so that it does not matter how flushes are batched into
//! calls. Rejected: Mann-Whitney over flush means (blind to rare events, not sequential), and
//! adaptive bets (a state that no person can check by hand).

mod betting;
mod bounds;
mod config;
mod evidence;
mod input;
mod ratio;
mod verdict;

pub use betting::BettingTest;
pub use bounds::RatioBounds;
pub use config::{CONFIG_SCHEMA, Config};
pub use evidence::{State, migrate};
pub use input::{Counts, Input, Metric};
pub use ratio::{DECLINES, GROWTHS, RatioTest};
pub use tidegate_model_kit::ModelError as Error;
pub use verdict::{Evidence, Judgement, Verdict};

/// Format number of the state that this version writes.
pub const STATE_FORMAT: u32 = 1;

/// Adds the new flushes to the evidence and says what should become of the shadow.
///
/// # Errors
/// [`Error::InvalidInput`] for wrong columns, configuration or a damaged state, and for flushes
/// that were counted before; [`Error::Unsupported`] for a state of another format.
pub fn judge(config: &Config, input: &Input) -> Result<Judgement, Error> {
    config.validate()?;
    input.validate()?;
    let mut state = State::open(&input.state, input)?;
    state.absorb(config, input)?;
    verdict::decide(config, input, &state)
}
