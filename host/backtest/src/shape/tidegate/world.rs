//! The catalog of a case: one tenant, one pool, an api and a p95 SLO per trace, and the calendar.

use crate::shape::case::{Case, CaseApi, Known, Supply};
use crate::shape::scaler::Failure;
use crate::shape::service::{SLOW_SHARE, THRESHOLD_S};
use std::collections::BTreeMap;
use tidegate_core::catalog::{Api, Catalog, Change, Mode, Object, Pool, Tenant};
use tidegate_core::event::{Event, Occurrences, Recurrence};
use tidegate_core::ids::{ApiId, PoolId, ScopedId};
use tidegate_core::slo::{Indicator, Slo};
use tidegate_core::tier::Tier;
use tidegate_core::units::{Dimension, Resources};

/// So many times the highest load is more than anybody asks for.
const PLENTY: f64 = 20.0;
/// 30 days.
const WINDOW_S: u32 = 30 * 86_400;

/// The pool's name, and everything that is declared.
pub(super) fn catalog(case: &Case) -> Result<(PoolId, Catalog), Failure> {
    let pool: PoolId = "backtest".parse()?;
    let cores = match case.supply {
        Supply::Elastic => case.apis.iter().map(|a| f64::from(a.first)).sum::<f64>() * PLENTY,
        Supply::Scarce(replicas) => f64::from(replicas),
    };
    // An autoscaler may shrink an elastic pool to one replica: what is there is what was wanted.
    let least = match case.supply {
        Supply::Elastic => Resources::NONE.with(Dimension::Cpu, 1.0),
        Supply::Scarce(_) => Resources::NONE,
    };
    let mut objects = vec![
        Object::Tenant(Tenant {
            id: "backtest".parse()?,
            max_series: u64::MAX,
            max_samples_per_s: u64::MAX,
            max_modules: u64::MAX,
        }),
        Object::Pool(Pool {
            id: pool.clone(),
            ready: Resources::NONE.with(Dimension::Cpu, cores),
            max: Resources::NONE,
            min: least,
            lead_time_s: u32::try_from(case.lead_s).unwrap_or(u32::MAX),
            unit_cost: Resources::NONE,
            quotas: BTreeMap::new(),
        }),
    ];
    for of in &case.apis {
        objects.push(Object::Api(api(of, &pool, case.supply)));
        objects.push(Object::Slo(Slo {
            id: of.id.clone(),
            api: of.id.clone(),
            indicator: Indicator::Latency {
                threshold: THRESHOLD_S,
            },
            objective: 1.0 - SLOW_SHARE,
            window_s: WINDOW_S,
            template: None,
        }));
    }
    let mut spans = BTreeMap::new();
    for (i, api) in case.apis.iter().enumerate() {
        for (j, known) in api.events.iter().enumerate() {
            let id: ScopedId = format!("backtest/{i}.{j}").parse()?;
            let Some(event) = event(&id, &api.id, known) else {
                continue;
            };
            objects.push(Object::Event(event));
            spans.insert(id, known.spans.clone());
        }
    }
    let changes: Vec<Change> = objects
        .into_iter()
        .map(|object| Change::Put {
            object: Box::new(object),
            expect: None,
        })
        .collect();
    let applied = Catalog::default().apply(&changes);
    let told = |problems: Vec<_>| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::World(all.join("; "))
    };
    let (mut catalog, _) = applied.map_err(told)?;
    catalog.recurring = Occurrences::new((case.start, case.at(case.end)), spans);
    Ok((pool, catalog))
}

/// An event of one api, whose occurrences stand in the catalog's table whatever made them come back;
/// `None` for one that never happens.
fn event(id: &ScopedId, api: &ApiId, known: &Known) -> Option<Event> {
    let (from, to) = known.spans.first().copied()?;
    let seconds = u32::try_from(to.since_ms(from) / 1000).unwrap_or(u32::MAX);
    Some(Event {
        apis: vec![api.clone()],
        minimum_uplift: known.minimum_uplift,
        recurrence: Some(Recurrence {
            extra: vec![from],
            ..Recurrence::default()
        }),
        ..Event::once(id.clone(), &known.kind, from, seconds.max(1))
    })
}

fn api(of: &CaseApi, pool: &PoolId, supply: Supply) -> Api {
    // Where capacity is bought, an api that suffers may rise; where it is not, it would rise at the
    // expense of those whose tier is a promise.
    let (highest, floor) = match supply {
        Supply::Elastic => (Tier::Gold, Resources::NONE.with(Dimension::Cpu, 1.0)),
        Supply::Scarce(_) => (of.tier, Resources::NONE),
    };
    Api {
        id: of.id.clone(),
        pool: pool.clone(),
        labels: BTreeMap::new(),
        category: "backtest".into(),
        mode: Mode::Enforce,
        base_tier: of.tier,
        lowest_tier: of.tier,
        highest_tier: highest,
        pinned_tier: None,
        weight: 1.0,
        floor,
        ceiling: Resources::NONE,
        safe: Resources::NONE,
        expected: None,
        time_zone: "UTC".into(),
        open: BTreeMap::new(),
    }
}
