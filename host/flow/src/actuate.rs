//! Says what every actuator has to do so that a plan becomes true.
//!
//! Idempotent: an actuator that already reported this generation has nothing to do. A stale
//! generation is refused, so that a delayed message cannot turn the world back. Execution makes no
//! choices: what is not in the plan is not done.

use std::collections::BTreeMap;
use tidegate_core::catalog::{Catalog, Mode};
use tidegate_core::ids::{ApiId, Generation, PoolId};
use tidegate_core::plan::{Grant, Plan};
use tidegate_core::time::Timestamp;

/// What the room needs.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The time.
    pub now: Timestamp,
    /// The plan to realise.
    pub plan: &'a Plan,
    /// Newest generation that was published for the pool.
    pub published: Generation,
    /// Modes.
    pub catalog: &'a Catalog,
    /// What is in force, per api: the generation last reported by its actuator.
    pub in_force: &'a BTreeMap<ApiId, Generation>,
}

/// Grants to put in force, ascending by api.
pub type Output = Vec<Grant>;

/// A plan that must not be realised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A newer plan was published.
    #[error("plan {generation} of pool `{pool}` is stale: plan {published} was published since")]
    Stale {
        /// The pool.
        pool: PoolId,
        /// Of the plan.
        generation: Generation,
        /// The newest.
        published: Generation,
    },
    /// It is over: safe capacity applies.
    #[error(
        "plan {generation} of pool `{pool}` has expired; safe capacity applies until a new plan is made"
    )]
    Expired {
        /// The pool.
        pool: PoolId,
        /// Of the plan.
        generation: Generation,
    },
}

/// Lists the grants that are not in force yet, of apis in mode enforce.
///
/// # Errors
/// When the plan is stale or expired.
pub fn run(input: &Input<'_>) -> Result<Output, Error> {
    let Plan {
        pool, generation, ..
    } = input.plan;
    if *generation < input.published {
        return Err(Error::Stale {
            pool: pool.clone(),
            generation: *generation,
            published: input.published,
        });
    }
    if input.now >= input.plan.expires_at {
        return Err(Error::Expired {
            pool: pool.clone(),
            generation: *generation,
        });
    }
    let enforced = |api: &ApiId| {
        input
            .catalog
            .apis
            .get(api)
            .is_some_and(|a| a.value.mode == Mode::Enforce)
    };
    Ok(input
        .plan
        .apis
        .iter()
        .filter(|row| enforced(&row.api) && input.in_force.get(&row.api) != Some(generation))
        .filter_map(|row| input.plan.grant(&row.api, input.now))
        .collect())
}
