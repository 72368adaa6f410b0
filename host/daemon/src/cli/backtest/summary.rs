//! From runs to an answer: each policy's totals, and Tidegate beside its rivals.

use super::runs::{Done, Policy, World};
use std::collections::BTreeMap;
use tidegate_backtest::shape::frontier::{Frontier, Point};
use tidegate_backtest::shape::score::Score;
use tidegate_backtest::shape::tidegate::Tally;

/// One policy.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) policy: Policy,
    /// Over all apis.
    pub(super) total: Score,
    /// By trace.
    pub(super) traces: BTreeMap<&'a str, Score>,
    /// One per case, of Tidegate's.
    pub(super) tallies: Vec<&'a Tally>,
}

/// Tidegate beside its rivals.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Versus {
    /// Violations over those of HPA's frontier at the same cost.
    pub(super) violations_vs_hpa: Option<f64>,
    /// Cost over that of HPA's frontier at the same violations.
    pub(super) cost_vs_hpa: Option<f64>,
    /// Cost over the oracle's.
    pub(super) cost_vs_oracle: Option<f64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    pub(super) rows: Vec<Row<'a>>,
    /// Of the totals.
    pub(super) versus: Versus,
    /// By trace.
    pub(super) per_trace: BTreeMap<&'a str, Versus>,
}

impl<'a> Summary<'a> {
    /// Of all runs.
    pub(super) fn of(world: &'a World, done: &'a [Done]) -> Self {
        let row = |(at, policy): (usize, &Policy)| {
            let mut row = Row {
                policy: *policy,
                total: Score::default(),
                traces: BTreeMap::new(),
                tallies: vec![],
            };
            for run in done.iter().filter(|d| d.policy == at) {
                let case = &world.cases[run.case];
                row.total.add(&Score::total(case, &run.trails));
                for (api, trail) in case.apis.iter().zip(&run.trails) {
                    row.traces.insert(&api.name, Score::of(api.tier, trail));
                }
                row.tallies.extend(&run.tally);
            }
            row
        };
        let rows: Vec<Row<'_>> = world.policies.iter().enumerate().map(row).collect();
        let names: Vec<&str> = rows
            .first()
            .map_or(vec![], |r| r.traces.keys().copied().collect());
        Self {
            versus: versus(&rows, |r| Some(&r.total)),
            per_trace: names
                .into_iter()
                .map(|name| (name, versus(&rows, |r| r.traces.get(name))))
                .collect(),
            rows,
        }
    }

    /// The row of Tidegate that counts.
    pub(super) fn tidegate(&self) -> Option<&Row<'a>> {
        self.rows
            .iter()
            .find(|r| matches!(r.policy, Policy::Tidegate(_)))
    }
}

fn versus<'r>(rows: &'r [Row<'_>], score: impl Fn(&'r Row<'_>) -> Option<&'r Score>) -> Versus {
    let of = |is: &dyn Fn(Policy) -> bool| -> Vec<&Score> {
        rows.iter()
            .filter(|r| is(r.policy))
            .filter_map(&score)
            .collect()
    };
    let points: Vec<Point> = of(&|p| matches!(p, Policy::Hpa(_)))
        .into_iter()
        .map(|s| Point {
            cost: s.resource_hours,
            violations: s.violations as f64,
        })
        .collect();
    let hpa = Frontier::of(&points);
    let Some(own) = of(&|p| matches!(p, Policy::Tidegate(_))).first().copied() else {
        return Versus::default();
    };
    let ratio = |a: f64, b: f64| match (a, b) {
        (0.0, 0.0) => Some(1.0),
        (_, b) if b > 0.0 => Some(a / b),
        _ => None,
    };
    let violations = own.violations as f64;
    Versus {
        violations_vs_hpa: hpa
            .violations_at(own.resource_hours)
            .and_then(|v| ratio(violations, v)),
        cost_vs_hpa: hpa
            .cost_at(violations)
            .and_then(|c| ratio(own.resource_hours, c)),
        cost_vs_oracle: of(&|p| p == Policy::Oracle)
            .first()
            .and_then(|o| ratio(own.resource_hours, o.resource_hours)),
    }
}
