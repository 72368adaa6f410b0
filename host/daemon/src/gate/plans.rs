//! Plans, grants and their reasons, cut down to what the caller may see.

use super::{Gate, not_found, stored};
use crate::world::lock;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::Mode;
use tidegate_core::ids::{ApiId, Generation, PoolId};
use tidegate_core::plan::{Grant, Loan, Plan};
use tidegate_core::ports::serve::{Allowance, AppliedReport, Explanation, PlansPort, ServeError};
use tidegate_core::ports::storage::Ledger;
use tidegate_core::tier::Tier;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Resources;
use tidegate_flow::observe;

/// Most actuators that may report of one api.
const MAX_ACTUATORS: usize = 64;

/// What a person must know of numbers that bind nobody.
fn not_in_force(mode: Mode) -> Option<String> {
    let text = match mode {
        Mode::Enforce => return None,
        Mode::Recommend => {
            "Mode: recommend. None of this is in force: it is what Tidegate would give. Set `mode: enforce` of the api to let it act"
        }
        Mode::Observe => {
            "Mode: observe. None of this is in force, and newer plans hold no share for it: the api is only forecast"
        }
    };
    Some(format!("{text}."))
}

/// A plan with the caller's apis alone; `None` when there is none of them.
fn cut(caller: &Principal, plan: &Arc<Plan>) -> Option<Arc<Plan>> {
    if caller.tenants.is_none() {
        return Some(plan.clone());
    }
    let mut mine = Plan::clone(plan);
    mine.apis.retain(|a| caller.sees(&a.api.tenant));
    mine.loans.retain(|l| touches(caller, l));
    (!mine.apis.is_empty()).then(|| Arc::new(mine))
}

/// Whether a loan is the caller's business: the other side of it is "others" on the wire.
fn touches(caller: &Principal, loan: &Loan) -> bool {
    caller.sees(&loan.lender.tenant) || caller.sees(&loan.borrower.tenant)
}

impl Gate {
    fn no_plan(pool: &PoolId, generation: Option<Generation>) -> ServeError {
        match generation {
            Some(generation) => not_found(
                format!("plan {generation} of pool `{pool}`"),
                "`tidegate status` shows the newest generation of every pool",
            ),
            None => not_found(
                format!("a plan of pool `{pool}`"),
                "a plan is made within a cycle of declaring the pool and its apis; `tidegate get pool` lists pools",
            ),
        }
    }
}

impl PlansPort for Gate {
    fn plan(
        &self,
        caller: &Principal,
        pool: &PoolId,
        generation: Option<Generation>,
    ) -> Result<Arc<Plan>, ServeError> {
        let newest = self.world.plans.get(pool);
        let plan = match generation {
            None => newest,
            Some(g) if newest.as_ref().is_some_and(|p| p.generation == g) => newest,
            Some(g) => self
                .world
                .store
                .record(pool, g)
                .map_err(stored)?
                .map(|r| Arc::new(r.plan)),
        };
        plan.and_then(|p| cut(caller, &p))
            .ok_or_else(|| Self::no_plan(pool, generation))
    }

    fn pools(&self, caller: &Principal) -> Vec<(PoolId, Generation)> {
        let catalog = self.world.catalog.load();
        let pools = catalog.pools.keys();
        let newest = |pool: &PoolId| Some((pool.clone(), self.newest(caller, pool)?));
        pools.filter_map(newest).collect()
    }

    fn newest(&self, caller: &Principal, pool: &PoolId) -> Option<Generation> {
        let catalog = self.world.catalog.load();
        catalog.pools.get(pool)?;
        let sees = || catalog.apis_of(pool).any(|a| caller.sees(&a.id.tenant));
        let plan = || self.world.plans.get(pool);
        (caller.tenants.is_none() || sees())
            .then(|| plan().map(|p| p.generation).unwrap_or_default())
    }

    fn grant(&self, caller: &Principal, api: &ApiId) -> Result<Allowance, ServeError> {
        let declared = self.api(caller, api)?;
        let mode = declared.mode;
        let now = self.world.clock.now();
        let plan = self.world.plans.get(&declared.pool);
        if let Some(grant) = plan.and_then(|p| p.grant(api, now)) {
            let mut grant = grant;
            grant.loans.retain(|l| touches(caller, l));
            return Ok(Allowance { grant, mode });
        }
        // Never planned: its declared safe capacity, else its floor. A dimension for which neither
        // is declared stays out of the grant, which leaves it unlimited: an api that Tidegate has
        // no plan for must not be throttled to nothing.
        let dimensions = self
            .world
            .catalog
            .load()
            .pools
            .get(&declared.pool)
            .map(|p| p.value.ready.dimensions());
        let safe = dimensions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|d| Some((d, declared.safe.get(d).or(declared.floor.get(d))?)))
            .fold(Resources::NONE, |r, (d, amount)| r.with(d, amount));
        let grant = Grant {
            api: api.clone(),
            pool: declared.pool,
            generation: Generation(0),
            tier: declared
                .pinned_tier
                .unwrap_or(declared.base_tier)
                .max(Tier::Bronze),
            guaranteed: safe,
            limit: safe,
            from: now,
            expires_at: now.plus_ms(self.world.settings.validity_ms),
            safe,
            loans: vec![],
        };
        Ok(Allowance { grant, mode })
    }

    fn mode(&self, api: &ApiId) -> Mode {
        let catalog = self.world.catalog.load();
        catalog
            .apis
            .get(api)
            .map_or(Mode::Observe, |a| a.value.mode)
    }

    fn explain(
        &self,
        caller: &Principal,
        api: &ApiId,
        at: Option<Timestamp>,
    ) -> Result<Explanation, ServeError> {
        let declared = self.api(caller, api)?;
        let at = at.unwrap_or_else(|| self.world.clock.now());
        let none = || {
            not_found(
                format!("a plan for `{api}` at {at}"),
                "name a later instant with --at",
            )
        };
        let generation = self
            .world
            .store
            .at(&declared.pool, at)
            .map_err(stored)?
            .ok_or_else(none)?;
        let record = self
            .world
            .store
            .whole(&declared.pool, generation)
            .map_err(stored)?
            .ok_or_else(none)?;
        let input = observe::ExplainInput {
            record: &record,
            api,
            at,
            caller,
        };
        let (grant, mut sentences) = observe::explain(&input).ok_or_else(none)?;
        sentences.extend(observe::declared(&self.world.catalog.load(), api));
        sentences.extend(not_in_force(declared.mode));
        Ok(Explanation {
            grant,
            mode: declared.mode,
            sentences,
            inputs: record.plan.inputs,
        })
    }

    fn report_applied(&self, caller: &Principal, report: AppliedReport) -> Result<(), ServeError> {
        let declared = self.api(caller, &report.api)?;
        if !caller.may(Role::Writer, &report.api.tenant) {
            return Err(ServeError::Denied(
                "reporting what was applied needs role writer".into(),
            ));
        }
        let newest = self
            .world
            .plans
            .get(&declared.pool)
            .map(|p| p.generation)
            .unwrap_or_default();
        if report.generation > newest {
            let text = format!(
                "plan {} of pool `{}` was never published; the newest is {newest}",
                report.generation, declared.pool
            );
            return Err(ServeError::field(
                format!("report of {}", report.api),
                "report.generation",
                text,
            ));
        }
        let key = (report.api.clone(), report.actuator.clone());
        let mut applied = lock(&self.world.applied);
        // Names of actuators are the callers': without a bound they would fill the memory.
        let of_api = applied.keys().filter(|(api, _)| *api == report.api).count();
        if of_api >= MAX_ACTUATORS && !applied.contains_key(&key) {
            return Err(ServeError::field(
                format!("report of {}", report.api),
                "actuator",
                format!("{MAX_ACTUATORS} actuators report of this api already; use a name again"),
            ));
        }
        if applied
            .get(&key)
            .is_some_and(|old| old.generation > report.generation && !report.safe)
        {
            return Ok(()); // a report that was overtaken changes nothing
        }
        applied.insert(key, report);
        Ok(())
    }

    fn applied(&self, caller: &Principal) -> Vec<AppliedReport> {
        lock(&self.world.applied)
            .values()
            .filter(|r| caller.sees(&r.api.tenant))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{api, gate, of, pool, tenant};

    #[test]
    fn names_of_actuators_do_not_fill_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge")]);
        let report = |n: usize| {
            let report = AppliedReport {
                api: "shop/orders".parse().unwrap(),
                generation: Generation(0),
                at: Timestamp(0),
                actuator: format!("envoy-{n}"),
                limit: Resources::NONE,
                safe: false,
            };
            gate.report_applied(&of(Role::Writer, &["shop"]), report)
        };
        assert!((0..MAX_ACTUATORS).all(|n| report(n).is_ok()));
        assert!(report(MAX_ACTUATORS).is_err());
        assert!(report(0).is_ok());
    }
}
