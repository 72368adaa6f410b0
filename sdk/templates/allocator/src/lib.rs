//! An allocator: everybody's demand and a little more, cut to what the pool's rules allow.
//!
//! A rule wishes and `fit_to_pool` makes the wish lawful: capacity, quotas, floors, ceilings and step
//! bounds. So a first allocator can be three lines; the host refuses any plan that breaks an invariant.

use serde::Deserialize;
use tidegate_guest::allocator::{Moment, Plan};
use tidegate_guest::{Allocation, AllocatorPolicy, Error, Policy, PoolColumns, fit_to_pool};

/// The policy.
#[derive(Debug)]
pub struct Allocator;

/// What `--config` may hold; `{}` means the defaults.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What each api gets above its demand, as a part of it, 0 to 10.
    pub headroom: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { headroom: 0.1 }
    }
}

impl Policy for Allocator {
    const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    /// A rule that learns keeps here what it learned: it comes back with the next call.
    type State = ();

    fn validate(config: &Config) -> Result<(), Error> {
        if (0.0..=10.0).contains(&config.headroom) {
            return Ok(());
        }
        Err(Error::invalid("headroom must be within 0 and 10"))
    }
}

impl AllocatorPolicy for Allocator {
    fn allocate(
        config: &Config,
        (): &mut (),
        _: &Moment,
        pool: &PoolColumns,
    ) -> Result<Plan, Error> {
        let wish = |demand: &f64| demand * (1.0 + config.headroom);
        let mut allocation = Allocation {
            guaranteed: pool.demand.clone(),
            limit: pool.demand.iter().map(wish).collect(),
        };
        fit_to_pool(pool, &mut allocation)?;
        let reasons = (0..pool.len()).map(|api| {
            let at = pool.cell(api, 0, 0);
            let (demand, limit) = (pool.demand[at], allocation.limit[at]);
            let name = pool.dimensions[0].name();
            format!("{limit:.2} of {name} for a demand of {demand:.2}")
        });
        Ok(Plan {
            reasons: reasons.collect(),
            loans: Vec::new(),
            wanted: pool.wanted(config.headroom),
            allocation,
        })
    }
}

tidegate_guest::export_allocator!(Allocator);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_guest::Dimension;
    use tidegate_guest::fit::Tier;

    fn pool(capacity: f64, demands: &[f64]) -> PoolColumns {
        let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![capacity; 2]);
        for demand in demands {
            pool.push(Tier::Silver, &[0.0]);
            let steps = pool.cell(pool.len() - 1, 0, 0)..;
            pool.demand[steps].fill(*demand);
        }
        pool
    }

    fn plan(pool: &PoolColumns) -> Plan {
        let moment = Moment {
            now: 0,
            start: 0,
            step: 60,
            seed: 1,
        };
        Allocator::allocate(&Config::default(), &mut (), &moment, pool).expect("it answers")
    }

    #[test]
    fn where_there_is_room_everybody_has_headroom() {
        let plan = plan(&pool(100.0, &[10.0, 20.0]));
        assert!(plan.allocation.limit[0] >= 11.0 && plan.allocation.limit[2] >= 22.0);
    }

    #[test]
    fn no_plan_gives_more_than_there_is() {
        let plan = plan(&pool(10.0, &[10.0, 20.0]));
        let first: f64 = plan.allocation.limit.iter().step_by(2).sum();
        assert!(first <= 10.0, "{first}");
    }
}
