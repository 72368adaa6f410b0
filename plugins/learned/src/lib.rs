//! Learned headroom as a component: glue over [`tidegate_model_learned`].
//!
//! The model reads and checks its own state bytes; the host's seed is not needed.

use tidegate_guest::allocator::{Loan, Moment, Plan};
use tidegate_guest::{AllocatorPolicy, Error, Policy, PoolColumns};
use tidegate_model_learned::{self as model, CONFIG_SCHEMA, Config, STATE_FORMAT, State};

/// The policy.
#[derive(Debug)]
pub struct Learned;

impl Policy for Learned {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = STATE_FORMAT;
    type Config = Config;
    type State = State;

    fn validate(config: &Config) -> Result<(), Error> {
        config.validate()
    }

    fn encode(state: &State) -> Result<Vec<u8>, Error> {
        state.encode()
    }

    fn decode(bytes: &[u8]) -> Result<State, Error> {
        State::decode(bytes)
    }
}

impl AllocatorPolicy for Learned {
    fn allocate(
        config: &Config,
        state: &mut State,
        &Moment { start, step, .. }: &Moment,
        pool: &PoolColumns,
    ) -> Result<Plan, Error> {
        let output = model::allocate(config, state, model::Moment { start, step }, pool)?;
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

tidegate_guest::export_allocator!(Learned);
