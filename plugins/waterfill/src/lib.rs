//! The waterfill as a component: glue over [`tidegate_model_waterfill`].
//!
//! The model looks at the plan in force, which is in the question, so there is no state.

use tidegate_guest::allocator::{Loan, Moment, Plan};
use tidegate_guest::{AllocatorPolicy, Error, Policy, PoolColumns};
use tidegate_model_waterfill::{CONFIG_SCHEMA, Config, allocate};

/// The policy.
#[derive(Debug)]
pub struct Waterfill;

impl Policy for Waterfill {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    type State = ();

    fn validate(config: &Config) -> Result<(), Error> {
        config.validate()
    }
}

impl AllocatorPolicy for Waterfill {
    fn allocate(
        config: &Config,
        (): &mut (),
        _: &Moment,
        pool: &PoolColumns,
    ) -> Result<Plan, Error> {
        let output = allocate(config, pool)?;
        let loans = output.loans.into_iter().map(|loan| Loan {
            lender: loan.lender,
            borrower: loan.borrower,
            dimension: loan.dimension,
            amount: loan.amount,
            from_step: loan.from_step,
            until_step: loan.until_step,
        });
        Ok(Plan {
            allocation: output.allocation,
            loans: loans.collect(),
            wanted: output.wanted,
            reasons: output.reasons,
        })
    }
}

tidegate_guest::export_allocator!(Waterfill);
