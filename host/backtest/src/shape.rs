//! What shaping would have brought: Tidegate and its rivals over the same past, second by second.
//!
//! One simulated clock drives a *service model* ([`service`]) under seeded arrivals; every policy
//! sees what a daemon or an autoscaler would have been fed, asks for whole replicas, and gets them
//! after the same delay. Tidegate's part is `flow`'s own cycle over a history in memory, so that what
//! is scored is what serves. The service model belongs to another family than anything `demand`
//! assumes: a policy must not be judged by the formula that it was built on.
//!
//! Rejected: replaying recorded latencies. They were made by the capacity that was there then, and
//! say nothing of what another capacity would have done.
//!
//! Reading order: chance and arrivals, the service, the case, the clock, the policies, the scores.

pub mod arrivals;
mod chance;

pub mod service;

pub mod case;

pub mod replicas;
pub mod scaler;
pub mod simulate;

pub mod hpa;
pub mod oracle;
pub mod reactive;
pub mod schedule;
pub mod tidegate;

pub mod frontier;
pub mod score;

pub mod runs;
pub mod summary;

pub mod fail;
pub mod page;
pub mod table;
