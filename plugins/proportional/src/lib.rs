//! Proportional shares as a component: glue over [`tidegate_model_proportional`].
//!
//! The rule looks at one question at a time, so there is no state.

use tidegate_guest::allocator::{Moment, Plan};
use tidegate_guest::{AllocatorPolicy, Error, Policy, PoolColumns};
use tidegate_model_proportional::{CONFIG_SCHEMA, Config, allocate};

/// The policy.
#[derive(Debug)]
pub struct Proportional;

impl Policy for Proportional {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    type State = ();

    fn validate(config: &Config) -> Result<(), Error> {
        config.validate()
    }
}

impl AllocatorPolicy for Proportional {
    fn allocate(
        config: &Config,
        (): &mut (),
        _: &Moment,
        pool: &PoolColumns,
    ) -> Result<Plan, Error> {
        let output = allocate(config, pool)?;
        Ok(Plan {
            allocation: output.allocation,
            loans: Vec::new(),
            wanted: output.wanted,
            reasons: output.reasons,
        })
    }
}

tidegate_guest::export_allocator!(Proportional);
