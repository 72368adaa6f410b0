//! Alerts that the caller may see.
//!
//! One about a pool is written for its operator, with the apis of all tenants in it. Who holds some
//! of the pool's tenants is told of contention too, since its apis are what is cut: in words that are
//! made anew from the plan, with its own apis by name and all else as "others". To blot names out of
//! the operator's text was rejected: its sums tell what a neighbour needs.

use super::Gate;
use tidegate_core::access::Principal;
use tidegate_core::alert::{Alert, AlertKind};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::PoolId;
use tidegate_core::plan::{ApiPlan, Plan};
use tidegate_core::ports::serve::AlertsPort;
use tidegate_core::tier::Tier;

impl AlertsPort for Gate {
    fn alerts(&self, caller: &Principal) -> Vec<Alert> {
        let catalog = self.world.catalog.load();
        let told = |alert: Alert| match (&alert.api, &alert.pool) {
            (Some(api), _) => caller.sees(&api.tenant).then_some(alert),
            _ if caller.tenants.is_none() => Some(alert),
            (None, Some(pool)) if draws(caller, &catalog, pool) => {
                retold(caller, &alert, self.world.plans.get(pool).as_deref())
            }
            (None, _) => None,
        };
        self.world.alerts().into_iter().filter_map(told).collect()
    }
}

/// Whether an api of the caller's tenants is in the pool.
fn draws(caller: &Principal, catalog: &Catalog, pool: &PoolId) -> bool {
    let mut apis = catalog.apis_of(pool);
    apis.any(|api| caller.sees(&api.id.tenant))
}

/// What a caller of some of the pool's tenants hears; `None` of what concerns the operator alone.
fn retold(caller: &Principal, alert: &Alert, plan: Option<&Plan>) -> Option<Alert> {
    let pool = alert.pool.as_ref()?;
    let dimension = &alert.subject;
    let message = match alert.kind {
        AlertKind::Contention => {
            let cut = plan.map_or_else(Vec::new, |plan| cut(caller, plan, dimension));
            let cut = match cut.is_empty() {
                true => "nobody below its demand".to_owned(),
                false => cut.join(", "),
            };
            format!(
                "pool {pool} has less {dimension} than its tiers have bought. Cut: {cut}. Ask the pool's operator for more, or shed load"
            )
        }
        AlertKind::GoldFloorsCut => {
            let gold = |row: &ApiPlan| (row.tier == Tier::Gold).then(|| String::from("gold"));
            let gold = plan.map_or_else(Vec::new, |plan| named(caller, plan, gold));
            format!(
                "the floors of gold do not fit the {dimension} of pool {pool}: all are cut in proportion ({}). Ask the pool's operator for more, or lower the floors",
                gold.join(", ")
            )
        }
        AlertKind::SloBurn
        | AlertKind::ModuleFault
        | AlertKind::StaleFeed
        | AlertKind::PlanHeld
        | AlertKind::StoreRoom => return None,
    };
    Some(Alert {
        message,
        ..alert.clone()
    })
}

/// Who gets less than its demand at the step of the plan that misses most.
fn cut(caller: &Principal, plan: &Plan, dimension: &str) -> Vec<String> {
    let width = plan.dimensions.len();
    let Some(column) = plan.dimensions.iter().position(|d| d.name() == dimension) else {
        return vec![];
    };
    let missing = |step: usize| {
        let at = step * width + column;
        plan.apis.iter().map(|a| a.demand[at]).sum::<f64>() - plan.capacity[at]
    };
    let steps = 0..plan.grid.count;
    let Some(worst) = steps.max_by(|&a, &b| missing(a).total_cmp(&missing(b)).then(b.cmp(&a)))
    else {
        return vec![];
    };
    let at = worst * width + column;
    named(caller, plan, |row| {
        let (limit, demand) = (row.limit[at], row.demand[at]);
        (limit < demand * (1.0 - 1e-9))
            .then(|| format!("{}, {:.0} %", row.tier.name(), 100.0 * limit / demand))
    })
}

/// The caller's apis of which there is something to say, and "others" where it is so of any.
fn named(caller: &Principal, plan: &Plan, say: impl Fn(&ApiPlan) -> Option<String>) -> Vec<String> {
    let mut names = Vec::new();
    let mut others = None;
    for row in &plan.apis {
        match say(row) {
            Some(what) if caller.sees(&row.api.tenant) => {
                names.push(format!("{} ({what})", row.api));
            }
            Some(_) => others = Some(String::from("others")),
            None => {}
        }
    }
    names.extend(others);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{api, gate, of, pool, tenant};
    use std::sync::Arc;
    use tidegate_core::access::Role;
    use tidegate_core::alert::Severity;
    use tidegate_core::ids::{Digest, Generation};
    use tidegate_core::module::ModuleRef;
    use tidegate_core::roster::{Retreat, Served};
    use tidegate_core::time::{Grid, Step, Timestamp};
    use tidegate_core::units::{Dimension, Resources};

    fn about_the_pool(kind: AlertKind) -> Alert {
        Alert {
            kind,
            severity: Severity::Warning,
            pool: Some("edge".parse().unwrap()),
            api: None,
            subject: "cpu".into(),
            at: Timestamp(0),
            message: "in 5 min pool edge needs 9.0 cores. Cut: bank/cards (bronze, 50 %)".into(),
        }
    }

    /// One step of one dimension: each api with its tier, limit and demand.
    fn plan(rows: &[(&str, Tier, f64, f64)]) -> Plan {
        let row = |&(api, tier, limit, demand): &(&str, Tier, f64, f64)| ApiPlan {
            api: api.parse().unwrap(),
            tier,
            tier_since: Timestamp(0),
            guaranteed: vec![0.0],
            limit: vec![limit],
            demand: vec![demand],
            safe: Resources::NONE,
            reason: String::new(),
            tier_reason: String::new(),
            emergency: None,
        };
        Plan {
            pool: "edge".parse().unwrap(),
            generation: Generation(1),
            parent: Generation(0),
            made_at: Timestamp(0),
            grid: Grid {
                start: Timestamp(0),
                step: Step::MINUTE,
                count: 1,
            },
            expires_at: Timestamp(60_000),
            dimensions: vec![Dimension::Cpu],
            capacity: vec![8.0],
            wanted: vec![8.0],
            apis: rows.iter().map(row).collect(),
            loans: vec![],
            served: Served {
                module: ModuleRef::native("floors-first"),
                retreat: Retreat::Baseline,
            },
            inputs: Digest::of(b""),
        }
    }

    #[test]
    fn an_operator_of_one_tenant_hears_of_contention_in_its_pool_with_all_else_as_others() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), tenant("bank"), tenant("park")]);
        gate.put(vec![pool("edge"), pool("yard")]);
        gate.put(vec![
            api("bank/cards", "edge"),
            api("bank/loans", "edge"),
            api("shop/pay", "edge"),
            api("park/gate", "yard"),
        ]);
        let edge = "edge".parse().unwrap();
        gate.world.publish(&Arc::new(plan(&[
            ("bank/cards", Tier::Bronze, 1.0, 2.0),
            ("bank/loans", Tier::Bronze, 3.0, 4.0),
            ("shop/pay", Tier::Gold, 4.0, 5.0),
        ])));
        let all = [
            AlertKind::Contention,
            AlertKind::GoldFloorsCut,
            AlertKind::ModuleFault,
        ];
        gate.world
            .raise(&edge, Timestamp(0), &all.map(about_the_pool));
        let heard = |tenant: &str| -> Vec<String> {
            let alerts = gate.alerts(&of(Role::Operator, &[tenant])).into_iter();
            alerts.map(|a| a.message).collect()
        };

        let mut shop = heard("shop");
        shop.sort();
        assert_eq!(
            shop,
            [
                "pool edge has less cpu than its tiers have bought. Cut: shop/pay (gold, 80 %), others. Ask the pool's operator for more, or shed load",
                "the floors of gold do not fit the cpu of pool edge: all are cut in proportion (shop/pay (gold)). Ask the pool's operator for more, or lower the floors",
            ]
        );
        let bank = heard("bank").join(" ");
        assert!(
            bank.contains("Cut: bank/cards (bronze, 50 %), bank/loans (bronze, 75 %), others."),
            "{bank}"
        );
        assert!(!bank.contains("shop"), "{bank}");
        assert!(heard("park").is_empty(), "it draws from another pool");
        assert_eq!(gate.alerts(&Principal::local()).len(), 3);
    }
}
