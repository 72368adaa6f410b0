//! Decisions: appended, never changed, equal bit for bit when read.

use super::*;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::canonical::Canonical;
use tidegate_core::ids::{Digest, Generation, PoolId};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::policy::{AllocationInput, Blob, TierInput};
use tidegate_core::ports::storage::Ledger;
use tidegate_core::record::{
    Basis, DemandRecord, Departure, FaultRecord, FloorRecord, ForecastRecord, Origin, Record,
    TierHold, TierRecord,
};
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::tier::{Tier, TierBounds};
use tidegate_core::units::{Dimension, Level, Resources};

fn served() -> Served {
    Served {
        module: ModuleRef {
            name: "waterfill".into(),
            version: "1.2.0".into(),
            digest: Digest::of(b"waterfill"),
        },
        retreat: Retreat::LastGood,
    }
}

fn blob(text: &str) -> Blob {
    Blob {
        format: 3,
        bytes: text.as_bytes().to_vec(),
    }
}

/// A record with something in every field.
pub(super) fn record(pool: &str, generation: u64, at: i64) -> Record {
    let pool: PoolId = pool.parse().unwrap();
    let at = Timestamp(at);
    let api = || "shop/orders".parse().unwrap();
    let grid = grid(60, 300, 2);
    let plan = Plan {
        pool: pool.clone(),
        generation: Generation(generation),
        parent: Generation(generation - 1),
        made_at: at,
        grid,
        expires_at: at.plus_ms(900_000),
        dimensions: vec![Dimension::Cpu, Dimension::Requests],
        capacity: vec![16.0, 1e4, 16.0, 1e4],
        wanted: vec![18.5, 1.2e4, 0.1 + 0.2, -0.0],
        apis: vec![ApiPlan {
            api: api(),
            tier: Tier::Gold,
            tier_since: Timestamp(-5),
            guaranteed: vec![1.0; 4],
            limit: vec![2.0; 4],
            demand: vec![f64::MAX; 4],
            safe: Resources::NONE.with(Dimension::Requests, 12.5),
            reason: "foreseen peak at 09:05".into(),
            tier_reason: "burns at 2.1".into(),
            emergency: Some("SLO burn".into()),
        }],
        loans: vec![Loan {
            lender: api(),
            borrower: "bank/pay".parse().unwrap(),
            dimension: Dimension::Io,
            amount: 0.5,
            from: at,
            until: at.plus_ms(60_000),
        }],
        served: served(),
        inputs: Digest::of(b"inputs"),
    };
    Record {
        at,
        pool: pool.clone(),
        plan,
        as_of: 42,
        newest: Timestamp(59_000),
        allocation: AllocationInput {
            now: at,
            seed: u64::MAX,
            state: blob("allocator"),
            grid,
            dimensions: vec![Dimension::Memory, Dimension::Network],
            capacity: vec![1.0],
            capacity_max: vec![2.0],
            apis: vec![7, u64::MAX],
            tiers: vec![Tier::Bronze, Tier::Silver],
            weights: vec![3.0],
            tenants: vec![1, u32::MAX],
            floor: vec![4.0],
            ceiling: vec![5.0],
            demand: vec![6.0],
            median: vec![7.0],
            expected: vec![8.0],
            usage: vec![9.0],
            previous_guaranteed: vec![-1.0],
            previous_limit: vec![-1.0],
            step_up: vec![1.5],
            step_down: vec![0.5],
            emergency: vec![true, false],
            quota: vec![10.0],
            lends: vec![true, false],
            borrows: vec![false, true],
            max_share: vec![1.0, 0.5, 0.25],
        },
        allocator_config: "{\"a\": 1}".into(),
        allocator_state: blob("after"),
        tiers: vec![TierRecord {
            tenant: "shop".parse().unwrap(),
            input: TierInput {
                now: at,
                seed: 1,
                state: blob("tierer"),
                apis: vec![7],
                current: vec![Tier::Gold],
                base: vec![Tier::Silver],
                lowest: vec![Tier::Bronze],
                highest: vec![Tier::Gold],
                dwell: vec![900],
                expected: vec![1.25],
                levels: Level::STANDARD.to_vec(),
                peak: vec![2.5; 9],
                utilisation: vec![0.75],
                burn_windows: vec![300, 1800],
                burn: vec![0.1, 0.2],
                budget_left: vec![0.9],
            },
            config: "{}".into(),
            served: served(),
            state: blob("tierer after"),
        }],
        holds: vec![TierHold {
            since: at,
            bounds: TierBounds {
                lowest: Tier::Bronze,
                highest: Tier::Gold,
                pinned: Some(Tier::Silver),
                dwell_s: 300,
            },
        }],
        forecasts: vec![ForecastRecord {
            key: key("shop/orders", Signal::Requests),
            served: served(),
            state: Digest::of(b"state"),
            calibration: Some(Digest::of(b"track")),
            answer: Digest::of(b"answer"),
            peak: 1234.5,
            peak_at: Timestamp(60_000),
            origin: Some(Origin {
                config: "{\"season\": 7}".into(),
                fitted_at: at,
                newest: at.plus_ms(-7),
                is_anchored: true,
            }),
        }],
        needs: vec![DemandRecord {
            api: api(),
            reasons: vec!["cpu costs 0.01 cores per request/s".into()],
            learned: blob("learned"),
        }],
        faults: vec![FaultRecord {
            module: ModuleRef::native("seasonal"),
            subject: "shop/orders requests".into(),
            error: "trap".into(),
        }],
        alerts: vec![Alert {
            kind: AlertKind::PlanHeld,
            severity: Severity::Critical,
            pool: Some(pool),
            api: Some(api()),
            subject: "cpu".into(),
            at,
            message: "held".into(),
        }],
        floors: vec![FloorRecord {
            api: api(),
            dimension: Dimension::Cpu,
            departure: Departure {
                at,
                need: 8.5,
                used: 7.25,
                given: 5.0,
            },
        }],
        amends: Some(Generation(generation)),
        basis: Some(Basis {
            catalog: Some(Digest::of(b"declared")),
            seed: 4,
            horizon: 60,
            cadence: 1,
            ahead: 2,
            target_utilisation: 0.85,
            step_tolerance: 0.1,
            fixed_tolerance: 0.2,
            hold_ms: 900_000,
            carried: vec![3],
        }),
    }
}

#[test]
fn a_record_comes_back_exactly_after_a_restart_too() {
    let mut f = Fixture::new(Options::default());
    let pool: PoolId = "edge".parse().unwrap();
    let mut large = record("edge", 2, 2000);
    large.allocation.demand = (0..40_000).map(|i| f64::from(i) * 0.1).collect();
    let all = [record("edge", 1, 1000), large, record("edge", 3, 3000)];
    for r in &all {
        Ledger::append(&**f.store(), r).unwrap();
    }
    for _ in 0..2 {
        for r in &all {
            let read = f.store().record(&pool, r.plan.generation).unwrap().unwrap();
            assert_eq!(&read, r);
            // Bits, not only values: -0 and 0 are equal, and a replay would tell them apart.
            assert_eq!(format!("{read:?}"), format!("{r:?}"));
            assert_eq!(read.plan.digest(), r.plan.digest());
        }
        assert_eq!(f.store().record(&pool, Generation(4)).unwrap(), None);
        assert_eq!(f.store().last(&pool), Some(Generation(3)));
        assert_eq!(f.store().stat().unwrap().ledger_records, 3);
        f.clean();
        f.restart();
    }
}

#[test]
fn a_plan_that_breaks_pl1_is_refused_and_leaves_nothing() {
    let f = Fixture::new(Options::default());
    let pool: PoolId = "edge".parse().unwrap();
    Ledger::append(&**f.store(), &record("edge", 1, 0)).unwrap();
    let mut orphan = record("edge", 2, 0);
    orphan.plan.parent = Generation(0);
    let mut stray = record("edge", 2, 0);
    stray.pool = "core".parse().unwrap();
    for (bad, word) in [
        (record("edge", 1, 0), "PL1"),
        (record("edge", 3, 0), "PL1"),
        (orphan, "PL1"),
        (stray, "pool core"),
    ] {
        let error = Ledger::append(&**f.store(), &bad).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(f.store().last(&pool), Some(Generation(1)));
    assert_eq!(f.store().last(&"core".parse().unwrap()), None);
    Ledger::append(&**f.store(), &record("edge", 2, 0)).unwrap();
    Ledger::append(&**f.store(), &record("core", 1, 0)).unwrap();
    f.clean();
}

#[test]
fn the_plan_of_an_instant_is_the_newest_made_by_then_even_if_the_clock_stepped() {
    let mut f = Fixture::new(Options::default());
    let pool: PoolId = "edge".parse().unwrap();
    for (generation, at) in [(1, 100), (2, 200), (3, 150), (4, 300)] {
        Ledger::append(&**f.store(), &record("edge", generation, at)).unwrap();
    }
    for _ in 0..2 {
        let at = |t| f.store().at(&pool, Timestamp(t)).unwrap().map(|g| g.0);
        let found: Vec<_> = [99, 100, 149, 150, 250, 300, 999].map(at).to_vec();
        assert_eq!(
            found,
            [None, Some(1), Some(1), Some(3), Some(3), Some(4), Some(4)]
        );
        f.restart();
    }
}
