//! A simulated service under a grant: the world that the demo and the tests shape.
//!
//! A [`Service`] gets a request rate and a [`Grant`] per step and answers with an [`Observation`]:
//! counts, CPU, memory and a latency distribution, as a collector would report them.
//! [`Scoreboard`] adds up what became of the objectives, and [`static_split`], [`Reactive`] and
//! [`priority_split`] are the rivals that a shaping must beat on the same seeds.
//!
//! **Architecture invariant: no part of the forecast or demand code may know these formulas.**
//! Nothing in the host depends on this crate's `sim` but the demo and tests, and what crosses over
//! is an observation. A learner that recovers the cost of a request has learned it from there.
//! The formulas are therefore chosen for realism and not for being learnable: costs drift as a
//! mean-reverting random walk (not as a sine that a seasonal model would find), bursts are
//! over-dispersed, and a queue turns a lack of cores into latency late and all at once.
//!
//! How it works, and what is approximate:
//! - Time is cut in slots of one second. Arrivals of a slot are negative binomial (a gamma-mixed
//!   Poisson) around the rate, which is interpolated linearly over the step.
//! - A request costs lognormal CPU seconds. Few requests are drawn one by one; the sum of many is
//!   one lognormal with the exact mean and variance of the sum (Fenton 1960).
//! - Work waits in a first-come first-served *fluid* queue of cohorts, one per slot, drained at
//!   the granted cores (Lindley's recursion in continuous time, as in Kleinrock 1976, vol. II,
//!   ch. 2). A request's latency is its fluid delay, plus a wait for the unevenness inside the
//!   second (Sakasegawa 1977 for the mean of G/G/m, exponential given that one waits, as in
//!   Kingman 1961), plus its own lognormal service time. Among requests in service the cores are
//!   shared, but a request never runs on more than one core.
//! - A discrete-event simulation of every request was rejected: 10^9 events for two days of the
//!   demo's load, where this takes about a second.
//!
//! Everything is a pure function of the seed, the api's name, the index of the step, and the
//! rates and grants so far. Demand and latency have separate random streams, so two services with
//! one seed meet the *same* arrivals and costs whatever they are granted: comparisons are paired.
//! No async, no clock.

mod baseline;
mod histogram;
mod latency;
mod queue;
mod random;
mod scoreboard;
mod service;
mod spec;

pub use baseline::{Reactive, Surplus, equal_split, priority_split, static_split};
pub use histogram::ExponentialHistogram;
pub use scoreboard::{Objective, Score, Scoreboard, Tier, UnknownTier};
pub use service::{Grant, Observation, Service};
pub use spec::{CpuCost, ServiceSpec, SpecError};
