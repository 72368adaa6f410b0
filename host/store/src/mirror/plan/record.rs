//! The one stored type that has changed: a ledger record, read in all of its forms.
//!
//! Form 1 had no calibration of its forecasts, since nothing corrected them then; that is what its
//! absence means. Form 2 had nothing of what demand has learned, since it learned anew each time. Form
//! 3 knew no plan that amends another.
//! Records are written once and kept for ever, so an old form is read and never
//! rewritten: a record's bytes are evidence.

use super::{StoredForecastRecord, StoredRecord};
use crate::codec::Malformed;
use crate::mirror::{Mirror, pack_as, unpack_as};
use serde::{Deserialize, Serialize};
use tidegate_core::ids::Digest;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{AllocationInput, Blob};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::record::{DemandRecord, FaultRecord, Record, TierRecord};
use tidegate_core::roster::Served;
use tidegate_core::sample::SeriesKey;

/// The form that is written.
const FORM: u8 = 4;

/// The form before it.
const UNAMENDED: u8 = 3;

/// The form before that.
const UNLEARNED: u8 = 2;

/// The first form.
const UNCALIBRATED: u8 = 1;

type Stored<T> = <T as Mirror>::Stored;

#[derive(Serialize, Deserialize)]
struct UncalibratedForecast {
    key: Stored<SeriesKey>,
    served: Stored<Served>,
    state: Stored<Digest>,
    answer: Stored<Digest>,
    peak: f64,
    peak_at: i64,
}

#[derive(Serialize, Deserialize)]
struct Uncalibrated {
    at: i64,
    pool: String,
    plan: Stored<Plan>,
    as_of: u64,
    newest: i64,
    allocation: Stored<AllocationInput>,
    allocator_config: String,
    allocator_state: Stored<Blob>,
    tiers: Stored<Vec<TierRecord>>,
    forecasts: Vec<UncalibratedForecast>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<tidegate_core::alert::Alert>>,
}

/// The record as it was in between: its forecasts were calibrated, its needs not kept.
#[derive(Serialize, Deserialize)]
struct Unlearned {
    at: i64,
    pool: String,
    plan: Stored<Plan>,
    as_of: u64,
    newest: i64,
    allocation: Stored<AllocationInput>,
    allocator_config: String,
    allocator_state: Stored<Blob>,
    tiers: Stored<Vec<TierRecord>>,
    forecasts: Vec<StoredForecastRecord>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<tidegate_core::alert::Alert>>,
}

/// The record as it was when every plan was a cycle's.
#[derive(Serialize, Deserialize)]
struct Unamended {
    at: i64,
    pool: String,
    plan: Stored<Plan>,
    as_of: u64,
    newest: i64,
    allocation: Stored<AllocationInput>,
    allocator_config: String,
    allocator_state: Stored<Blob>,
    tiers: Stored<Vec<TierRecord>>,
    forecasts: Vec<StoredForecastRecord>,
    needs: Stored<Vec<DemandRecord>>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<tidegate_core::alert::Alert>>,
}

impl From<Unamended> for StoredRecord {
    fn from(old: Unamended) -> Self {
        Self {
            at: old.at,
            pool: old.pool,
            plan: old.plan,
            as_of: old.as_of,
            newest: old.newest,
            allocation: old.allocation,
            allocator_config: old.allocator_config,
            allocator_state: old.allocator_state,
            tiers: old.tiers,
            forecasts: old.forecasts,
            needs: old.needs,
            faults: old.faults,
            alerts: old.alerts,
            floors: vec![],
            amends: None,
        }
    }
}

impl From<Unlearned> for StoredRecord {
    fn from(old: Unlearned) -> Self {
        Self {
            at: old.at,
            pool: old.pool,
            plan: old.plan,
            as_of: old.as_of,
            newest: old.newest,
            allocation: old.allocation,
            allocator_config: old.allocator_config,
            allocator_state: old.allocator_state,
            tiers: old.tiers,
            forecasts: old.forecasts,
            needs: vec![],
            faults: old.faults,
            alerts: old.alerts,
            floors: vec![],
            amends: None,
        }
    }
}

impl From<Uncalibrated> for StoredRecord {
    fn from(old: Uncalibrated) -> Self {
        let forecasts = old.forecasts.into_iter().map(|f| StoredForecastRecord {
            key: f.key,
            served: f.served,
            state: f.state,
            calibration: None,
            answer: f.answer,
            peak: f.peak,
            peak_at: f.peak_at,
        });
        Self {
            at: old.at,
            pool: old.pool,
            plan: old.plan,
            as_of: old.as_of,
            newest: old.newest,
            allocation: old.allocation,
            allocator_config: old.allocator_config,
            allocator_state: old.allocator_state,
            tiers: old.tiers,
            forecasts: forecasts.collect(),
            needs: vec![],
            faults: old.faults,
            alerts: old.alerts,
            floors: vec![],
            amends: None,
        }
    }
}

/// The bytes of a record.
pub(crate) fn encode_record(record: &Record) -> Result<Vec<u8>, StoreError> {
    pack_as(FORM, &record.store())
}

/// The record that bytes say, in whichever form.
pub(crate) fn record_of(bytes: &[u8]) -> Result<Record, Malformed> {
    let stored = match bytes.first() {
        Some(&UNCALIBRATED) => unpack_as::<Uncalibrated>(UNCALIBRATED, bytes)?.into(),
        Some(&UNAMENDED) => unpack_as::<Unamended>(UNAMENDED, bytes)?.into(),
        Some(&UNLEARNED) => unpack_as::<Unlearned>(UNLEARNED, bytes)?.into(),
        _ => unpack_as(FORM, bytes)?,
    };
    Record::restore(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::ids::Generation;
    use tidegate_core::module::ModuleRef;
    use tidegate_core::record::{Departure, FloorRecord, ForecastRecord};
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
                apis: vec![],
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
            },
            plan,
            as_of: 9,
            newest: Timestamp(4),
            allocator_config: "{}".into(),
            allocator_state: Blob::default(),
            tiers: vec![],
            forecasts: vec![forecast],
            needs: vec![],
            faults: vec![],
            alerts: vec![],
            floors: vec![],
            amends: None,
        }
    }

    #[test]
    fn a_record_of_before_calibration_is_read_as_one_without() {
        let wanted = record(None);
        let stored = wanted.store();
        let forecasts = stored.forecasts.into_iter().map(|f| UncalibratedForecast {
            key: f.key,
            served: f.served,
            state: f.state,
            answer: f.answer,
            peak: f.peak,
            peak_at: f.peak_at,
        });
        let old = Uncalibrated {
            at: stored.at,
            pool: stored.pool,
            plan: stored.plan,
            as_of: stored.as_of,
            newest: stored.newest,
            allocation: stored.allocation,
            allocator_config: stored.allocator_config,
            allocator_state: stored.allocator_state,
            tiers: stored.tiers,
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
        let stored = wanted.store();
        let old = Unlearned {
            at: stored.at,
            pool: stored.pool,
            plan: stored.plan,
            as_of: stored.as_of,
            newest: stored.newest,
            allocation: stored.allocation,
            allocator_config: stored.allocator_config,
            allocator_state: stored.allocator_state,
            tiers: stored.tiers,
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
        let stored = wanted.store();
        let old = Unamended {
            at: stored.at,
            pool: stored.pool,
            plan: stored.plan,
            as_of: stored.as_of,
            newest: stored.newest,
            allocation: stored.allocation,
            allocator_config: stored.allocator_config,
            allocator_state: stored.allocator_state,
            tiers: stored.tiers,
            forecasts: stored.forecasts,
            needs: stored.needs,
            faults: stored.faults,
            alerts: stored.alerts,
        };
        let bytes = pack_as(UNAMENDED, &old).unwrap();
        assert_eq!(record_of(&bytes).unwrap(), wanted);
    }

    #[test]
    fn a_record_comes_back_with_its_calibration_and_another_form_is_refused() {
        let mut wanted = record(Some(Digest([4; 32])));
        wanted.amends = Some(Generation(1));
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
        let mut bytes = encode_record(&wanted).unwrap();
        assert_eq!(record_of(&bytes).unwrap(), wanted);
        bytes[0] = FORM + 1;
        assert!(record_of(&bytes).is_err());
    }
}
