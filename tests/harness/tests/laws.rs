//! The numbered invariants on random worlds: whatever is declared, asked, broken or taken away.
//!
//! A world is drawn with its pools, apis, quotas, loads and policies, and then things happen to it
//! while it runs. After that every record of its ledger is read back and held to the laws, and the
//! whole world is run again for its bytes.

mod common;
mod recorded;

use common::{World as Drawn, worlds};
use proptest::prelude::*;
use recorded::Recorded;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_backtest::replay::Replay;
use tidegate_core::canonical::Canonical;
use tidegate_core::ids::{ApiId, Generation};
use tidegate_core::invariant::{check_allocation, check_grid, check_succession};
use tidegate_core::plan::Plan;
use tidegate_core::policy::{Allocation, LoanRow};
use tidegate_core::record::{ForecastRecord, Record};
use tidegate_core::roster::Retreat;
use tidegate_core::tier::TierState;
use tidegate_core::units::Level;
use tidegate_harness::World;

/// The answer that a plan was made of.
fn answer(record: &Record) -> Allocation {
    let plan = &record.plan;
    let column = |pick: fn(&tidegate_core::plan::ApiPlan) -> &Vec<f64>| {
        plan.apis
            .iter()
            .flat_map(|a| pick(a).iter().copied())
            .collect()
    };
    let index = |api: &ApiId| {
        let found = plan.apis.iter().position(|a| a.api == *api);
        u32::try_from(found.expect("a loan is between apis of the plan")).expect("few apis")
    };
    let step = |t: tidegate_core::time::Timestamp| {
        let steps = t.since_ms(plan.grid.start) / plan.grid.step.ms();
        u32::try_from(steps).expect("a loan lies within its plan")
    };
    Allocation {
        guaranteed: column(|a| &a.guaranteed),
        limit: column(|a| &a.limit),
        loans: plan
            .loans
            .iter()
            .map(|l| LoanRow {
                lender: index(&l.lender),
                borrower: index(&l.borrower),
                dimension: 0,
                amount: l.amount,
                from_step: step(l.from),
                until_step: step(l.until),
            })
            .collect(),
        wanted: plan.wanted.clone(),
        reasons: plan.apis.iter().map(|a| a.reason.clone()).collect(),
        state: record.allocator_state.clone(),
    }
}

/// AL1 to AL5, on what was published and not on what was answered.
fn shares_are_lawful(record: &Record) -> Result<(), TestCaseError> {
    let checked = check_allocation(&record.allocation, &answer(record));
    prop_assert!(
        checked.is_ok(),
        "plan {}: {checked:?}",
        record.plan.generation
    );
    Ok(())
}

/// What applies when the daemon is gone fits the pool too.
fn safe_capacity_fits(record: &Record) -> Result<(), TestCaseError> {
    let (plan, asked) = (&record.plan, &record.allocation);
    let d = plan.dimensions.len();
    for (i, dimension) in plan.dimensions.iter().enumerate() {
        let safe = plan.apis.iter().filter_map(|a| a.safe.get(*dimension));
        let sum: f64 = safe.sum();
        prop_assert!(
            sum <= plan.capacity[i],
            "plan {}: {sum} of {}",
            plan.generation,
            plan.capacity[i]
        );
        // AL4 holds for it as well.
        for tenant in 0..asked.quota.len() / d.max(1) {
            let theirs = plan.apis.iter().zip(&asked.tenants);
            let held: f64 = theirs
                .filter(|(_, t)| **t as usize == tenant)
                .filter_map(|(a, _)| a.safe.get(*dimension))
                .sum();
            let quota = asked.quota[tenant * d + i];
            prop_assert!(
                held <= quota * (1.0 + 1e-9),
                "plan {}: tenant {tenant} keeps {held} of {quota}",
                plan.generation
            );
        }
    }
    Ok(())
}

/// TI1: one level per dwell time of the tier that is left.
fn tiers_move_by_dwell(
    world: &World,
    before: &mut BTreeMap<ApiId, TierState>,
    plan: &Plan,
) -> Result<(), TestCaseError> {
    for row in &plan.apis {
        let now = TierState {
            tier: row.tier,
            since: row.tier_since,
        };
        if let Some(old) = before.insert(row.api.clone(), now)
            && old != now
        {
            prop_assert_eq!(old.tier.towards(now.tier), now.tier, "one level");
            prop_assert_ne!(
                old.tier,
                now.tier,
                "a tier's start moves with the tier alone"
            );
            prop_assert_eq!(now.since, plan.made_at);
            let dwelt = now.since.since_ms(old.since);
            let dwell = i64::from(world.catalog().tier(old.tier).dwell_s) * 1000;
            prop_assert!(
                dwelt >= dwell,
                "{} moved after {dwelt} of {dwell} ms",
                row.api
            );
        }
    }
    Ok(())
}

fn every_plan(world: &World, expected: u64) -> Result<(), TestCaseError> {
    for pool in world.catalog().pools.keys() {
        let records = world.records(pool);
        prop_assert!(records.len() as u64 <= expected);
        // LE1: what the records say was asked gives what they say was answered, bit for bit.
        let mut replay = Replay::whole(world.store());
        let mut last: Option<Generation> = None;
        let mut tiers = BTreeMap::new();
        for record in &records {
            let succession = check_succession(&record.plan, last);
            prop_assert!(succession.is_ok(), "{succession:?}");
            last = Some(record.plan.generation);
            shares_are_lawful(record)?;
            safe_capacity_fits(record)?;
            tiers_move_by_dwell(world, &mut tiers, &record.plan)?;
            let again = replay.record(record, &Recorded(world));
            prop_assert!(
                again.divergences.is_empty() && again.unknown.is_empty(),
                "{again:?}"
            );
            prop_assert!(again.decisions > 0);
            // What stood in by itself took samples of other series too; all else is made again.
            let own_rule = |f: &ForecastRecord| f.served.retreat == Retreat::Baseline;
            let (own, by_rule): (Vec<_>, Vec<_>) =
                record.forecasts.iter().partition(|f| !own_rule(f));
            prop_assert!(again.forecasts >= own.len(), "{again:?}");
            // With such a forecast the demand is left open as well, and where no tierer has answered.
            let tenants: BTreeSet<_> = record.plan.apis.iter().map(|a| &a.api.tenant).collect();
            let unasked = usize::from(record.tiers.len() < tenants.len());
            prop_assert!(
                again.unmade.len() <= 2 * by_rule.len() + unasked,
                "{again:?}"
            );
            prop_assert!(again.demands == 1 || !again.unmade.is_empty(), "{again:?}");
        }
    }
    Ok(())
}

/// FC1, on what the rooms see after calibration: the asked steps and levels, finite, not negative, and
/// rising from level to level.
fn forecasts_are_lawful(world: &World) -> Result<(), TestCaseError> {
    let settings = world.settings();
    for forecast in world
        .catalog()
        .apis
        .keys()
        .filter_map(|api| world.forecast(api))
    {
        let grid = forecast.grid;
        prop_assert_eq!(grid.step, settings.step);
        prop_assert_eq!(grid.count, settings.horizon as usize);
        prop_assert_eq!(&forecast.levels[..], &Level::STANDARD[..]);
        let lawful = check_grid(&forecast.mean, &forecast.quantiles, forecast.levels.len());
        prop_assert!(lawful.is_ok(), "{lawful:?}");
        prop_assert_eq!(forecast.mean.len(), grid.count);
    }
    Ok(())
}

fn bytes(world: &World) -> Vec<Vec<u8>> {
    let pools = world.catalog().pools.keys();
    let records = pools.flat_map(|pool| world.records(pool));
    records.map(|r| r.plan.canonical()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_of_every_world_is_lawful_and_recomputable(drawn in worlds()) {
        let mut world = drawn.run();
        let steps = Drawn::STEPS;
        // Who is asked again must not be broken still; then every pool has a plan at once.
        drawn.mend(&mut world);
        every_plan(&world, steps)?;
        forecasts_are_lawful(&world)?;
        world.run_until(world.now().plus_steps(world.settings().step, 1));
        for pool in world.catalog().pools.keys() {
            let plan = world.plan(pool.as_str()).expect("there is data and a rule");
            prop_assert_eq!(plan.made_at, world.now());
        }
        every_plan(&world, steps + 1)?;
        forecasts_are_lawful(&world)?;
    }

    #[test]
    fn the_same_world_gives_the_same_bytes(drawn in worlds()) {
        prop_assert_eq!(bytes(&drawn.run()), bytes(&drawn.run()));
    }
}
