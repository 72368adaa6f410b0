//! Every form that a record was ever written in is read as what it said.

use super::*;
use crate::mirror::pack_as;
use tidegate_core::module::ModuleRef;
use tidegate_core::record::{Basis, Departure, Origin};
use tidegate_core::roster::Retreat;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Signal};

fn record(calibration: Option<Digest>) -> Record {
    let served = Served {
        module: ModuleRef::native("last-value"),
        retreat: Retreat::Baseline,
    };
    let plan = Plan {
        pool: "edge".parse().unwrap(),
        generation: Generation(1),
        parent: Generation(0),
        made_at: Timestamp(5),
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 1,
        },
        expires_at: Timestamp(60_000),
        dimensions: vec![],
        capacity: vec![],
        wanted: vec![],
        apis: vec![],
        loans: vec![],
        served: served.clone(),
        inputs: Digest([3; 32]),
    };
    let forecast = ForecastRecord {
        key: SeriesKey {
            api: "shop/a".parse().unwrap(),
            signal: Signal::Requests,
        },
        served,
        state: Digest([1; 32]),
        calibration,
        answer: Digest([2; 32]),
        peak: 7.5,
        peak_at: Timestamp(60_000),
        origin: None,
    };
    Record {
        at: Timestamp(5),
        pool: "edge".parse().unwrap(),
        allocation: AllocationInput {
            now: Timestamp(5),
            seed: 1,
            state: Blob::default(),
            grid: plan.grid,
            dimensions: vec![],
            capacity: vec![],
            capacity_max: vec![],
            apis: vec![7, 8],
            tiers: vec![],
            weights: vec![],
            tenants: vec![],
            floor: vec![],
            ceiling: vec![],
            demand: vec![],
            median: vec![],
            expected: vec![],
            usage: vec![],
            previous_guaranteed: vec![],
            previous_limit: vec![],
            step_up: vec![],
            step_down: vec![],
            emergency: vec![],
            quota: vec![],
            lends: vec![true; 2],
            borrows: vec![true; 2],
            max_share: vec![1.0; 3],
        },
        plan,
        as_of: 9,
        newest: Timestamp(4),
        allocator_config: "{}".into(),
        allocator_state: Blob::default(),
        tiers: vec![],
        holds: vec![],
        forecasts: vec![forecast],
        needs: vec![],
        faults: vec![],
        alerts: vec![],
        floors: vec![],
        amends: None,
        basis: None,
    }
}

/// A record as the fifth form has it.
fn stored(record: &Record) -> StoredRecord {
    let forecasts = record.forecasts.iter().map(|f| StoredForecastRecord {
        key: f.key.store(),
        served: f.served.store(),
        state: f.state.0,
        calibration: f.calibration.map(|c| c.0),
        answer: f.answer.0,
        peak: f.peak,
        peak_at: f.peak_at.0,
    });
    StoredRecord {
        at: record.at.0,
        pool: record.pool.store(),
        plan: record.plan.store(),
        as_of: record.as_of,
        newest: record.newest.0,
        allocation: record.allocation.store(),
        allocator_config: record.allocator_config.clone(),
        allocator_state: record.allocator_state.store(),
        tiers: record.tiers.store(),
        forecasts: forecasts.collect(),
        needs: record.needs.store(),
        faults: record.faults.store(),
        alerts: record.alerts.store(),
        floors: record.floors.store(),
        amends: record.amends.map(|g| g.0),
        holds: record.holds.store(),
    }
}

/// What was asked, without how tiers share: what was written of it before is the beginning of what is.
fn unshared(asked: &Stored<AllocationInput>) -> UnsharedInput {
    let bytes = postcard::to_extend(asked, vec![]).unwrap();
    postcard::take_from_bytes(&bytes).unwrap().0
}

/// What every old form begins with.
fn head(record: &Record) -> Head {
    let stored = stored(record);
    Head {
        at: stored.at,
        pool: stored.pool,
        plan: stored.plan,
        as_of: stored.as_of,
        newest: stored.newest,
        allocation: unshared(&stored.allocation),
        allocator_config: stored.allocator_config,
        allocator_state: stored.allocator_state,
        tiers: stored.tiers,
    }
}

/// The bytes of an old form are the fields in their order, whatever holds them together here.
#[test]
fn a_head_is_written_as_its_fields_one_by_one() {
    let wanted = record(None);
    let Head {
        at,
        pool,
        plan,
        as_of,
        newest,
        allocation,
        allocator_config,
        allocator_state,
        tiers,
    } = head(&wanted);
    let one_by_one = postcard::to_extend(
        &(
            (at, pool, plan, as_of, newest),
            (allocation, allocator_config, allocator_state, tiers),
        ),
        vec![],
    );
    let whole = postcard::to_extend(&head(&wanted), vec![]);
    assert_eq!(whole.unwrap(), one_by_one.unwrap());
}

#[test]
fn a_record_of_before_tiers_said_how_they_share_is_read_as_of_tiers_that_share_freely() {
    let mut wanted = record(Some(Digest([4; 32])));
    wanted.amends = Some(Generation(1));
    assert!(wanted.allocation.is_shared_freely());
    let stored = stored(&wanted);
    let old = Unshared {
        head: head(&wanted),
        forecasts: stored.forecasts,
        needs: stored.needs,
        faults: stored.faults,
        alerts: stored.alerts,
        floors: stored.floors,
        amends: stored.amends,
    };
    let bytes = pack_as(UNSHARED, &old).unwrap();
    assert_eq!(record_of(&bytes).unwrap(), wanted);
}

#[test]
fn a_record_of_before_calibration_is_read_as_one_without() {
    let wanted = record(None);
    let stored = stored(&wanted);
    let forecasts = stored.forecasts.into_iter().map(|f| UncalibratedForecast {
        key: f.key,
        served: f.served,
        state: f.state,
        answer: f.answer,
        peak: f.peak,
        peak_at: f.peak_at,
    });
    let old = Uncalibrated {
        head: head(&wanted),
        forecasts: forecasts.collect(),
        faults: stored.faults,
        alerts: stored.alerts,
    };
    let bytes = pack_as(UNCALIBRATED, &old).unwrap();
    assert_eq!(record_of(&bytes).unwrap(), wanted);
}

#[test]
fn a_record_of_before_needs_were_kept_is_read_as_one_without() {
    let wanted = record(Some(Digest([4; 32])));
    let stored = stored(&wanted);
    let old = Unlearned {
        head: head(&wanted),
        forecasts: stored.forecasts,
        faults: stored.faults,
        alerts: stored.alerts,
    };
    let bytes = pack_as(UNLEARNED, &old).unwrap();
    assert_eq!(record_of(&bytes).unwrap(), wanted);
}

#[test]
fn a_record_of_before_amendments_is_read_as_that_of_a_cycle() {
    let wanted = record(Some(Digest([4; 32])));
    let stored = stored(&wanted);
    let old = Unamended {
        head: head(&wanted),
        forecasts: stored.forecasts,
        needs: stored.needs,
        faults: stored.faults,
        alerts: stored.alerts,
    };
    let bytes = pack_as(UNAMENDED, &old).unwrap();
    assert_eq!(record_of(&bytes).unwrap(), wanted);
}

#[test]
fn a_record_of_before_origins_were_kept_is_read_as_one_without() {
    let mut wanted = record(Some(Digest([4; 32])));
    wanted.amends = Some(Generation(1));
    wanted.allocation.lends[1] = false;
    let bytes = pack_as(UNPACKED, &stored(&wanted)).unwrap();
    assert_eq!(record_of(&bytes).unwrap(), wanted);
}

#[test]
fn a_record_comes_back_with_its_calibration_and_another_form_is_refused() {
    let mut wanted = record(Some(Digest([4; 32])));
    wanted.amends = Some(Generation(1));
    wanted.allocation.lends[1] = false;
    wanted.allocation.max_share[0] = 0.25;
    wanted.floors = vec![FloorRecord {
        api: "shop/a".parse().unwrap(),
        dimension: Dimension::Cpu,
        departure: Departure {
            at: Timestamp(4),
            need: 8.5,
            used: 7.25,
            given: 5.0,
        },
    }];
    wanted.forecasts[0].origin = Some(Origin {
        config: "{\"season\": 1}".into(),
        fitted_at: Timestamp(-3),
        newest: Timestamp(2),
        is_anchored: true,
    });
    wanted.basis = Some(Basis {
        catalog: Some(Digest([9; 32])),
        seed: 1,
        horizon: 2,
        cadence: 3,
        ahead: 4,
        target_utilisation: 0.5,
        step_tolerance: 0.25,
        fixed_tolerance: 0.125,
        hold_ms: 6,
        carried: vec![0, 7],
    });
    let mut bytes = encode_record(&wanted).unwrap();
    assert_eq!(record_of(&bytes).unwrap(), wanted);
    bytes[0] = FORM + 1;
    assert!(record_of(&bytes).is_err());
}
