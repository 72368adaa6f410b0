//! The one stored type that has changed: a ledger record, read in all of its forms.
//!
//! Form 1 had no calibration of its forecasts, since nothing corrected them then; that is what its
//! absence means. Form 2 had nothing of what demand has learned, since it learned anew each time. Form
//! 3 knew no plan that amends another, form 4 no tier that shares otherwise than freely, and not what
//! held an api's tier. Form 5 did not tell what a forecast can be made again from, and was written as it
//! stood; the present one is compressed ([`packed`]).
//! Records are written once and kept for ever, so an old form is read and never
//! rewritten: a record's bytes are evidence.

mod packed;

use crate::codec::Malformed;
use crate::mirror::policy::UnsharedInput;
use crate::mirror::{Mirror, unpack_as};
use serde::{Deserialize, Serialize};
use tidegate_core::alert::Alert;
use tidegate_core::ids::{Digest, Generation};
use tidegate_core::plan::Plan;
use tidegate_core::policy::{AllocationInput, Blob};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::record::{
    DemandRecord, FaultRecord, FloorRecord, ForecastRecord, Record, TierHold, TierRecord,
};
use tidegate_core::roster::Served;
use tidegate_core::sample::SeriesKey;

/// The form that is written.
const FORM: u8 = 6;

/// The form before it.
const UNPACKED: u8 = 5;

/// The form before that.
const UNSHARED: u8 = 4;

/// The third form.
const UNAMENDED: u8 = 3;

/// The second form.
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

/// A forecast as forms 2 to 5 have it.
#[derive(Serialize, Deserialize)]
struct StoredForecastRecord {
    key: Stored<SeriesKey>,
    served: Stored<Served>,
    state: Stored<Digest>,
    calibration: Option<Stored<Digest>>,
    answer: Stored<Digest>,
    peak: f64,
    peak_at: i64,
}

/// The record as it was when it was written as it stood.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
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
    alerts: Stored<Vec<Alert>>,
    floors: Stored<Vec<FloorRecord>>,
    amends: Option<u64>,
    holds: Stored<Vec<TierHold>>,
}

/// What every form before the fifth begins with. Fields of a field are encoded in their place.
#[derive(Serialize, Deserialize)]
struct Head {
    at: i64,
    pool: String,
    plan: Stored<Plan>,
    as_of: u64,
    newest: i64,
    allocation: UnsharedInput,
    allocator_config: String,
    allocator_state: Stored<Blob>,
    tiers: Stored<Vec<TierRecord>>,
}

#[derive(Serialize, Deserialize)]
struct Uncalibrated {
    head: Head,
    forecasts: Vec<UncalibratedForecast>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<Alert>>,
}

/// The record as it was in between: its forecasts were calibrated, its needs not kept.
#[derive(Serialize, Deserialize)]
struct Unlearned {
    head: Head,
    forecasts: Vec<StoredForecastRecord>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<Alert>>,
}

/// The record as it was when every plan was a cycle's.
#[derive(Serialize, Deserialize)]
struct Unamended {
    head: Head,
    forecasts: Vec<StoredForecastRecord>,
    needs: Stored<Vec<DemandRecord>>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<Alert>>,
}

/// The record as it was when how a tier shares was its allocator's to know.
#[derive(Serialize, Deserialize)]
struct Unshared {
    head: Head,
    forecasts: Vec<StoredForecastRecord>,
    needs: Stored<Vec<DemandRecord>>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<Alert>>,
    floors: Stored<Vec<FloorRecord>>,
    amends: Option<u64>,
}

impl Head {
    /// The record of which these were kept too, and nothing else.
    fn record(
        self,
        forecasts: Vec<StoredForecastRecord>,
        faults: Stored<Vec<FaultRecord>>,
        alerts: Stored<Vec<Alert>>,
    ) -> StoredRecord {
        StoredRecord {
            at: self.at,
            pool: self.pool,
            plan: self.plan,
            as_of: self.as_of,
            newest: self.newest,
            allocation: self.allocation.into(),
            allocator_config: self.allocator_config,
            allocator_state: self.allocator_state,
            tiers: self.tiers,
            forecasts,
            needs: vec![],
            faults,
            alerts,
            floors: vec![],
            amends: None,
            holds: vec![],
        }
    }
}

impl From<Unshared> for StoredRecord {
    fn from(old: Unshared) -> Self {
        Self {
            needs: old.needs,
            floors: old.floors,
            amends: old.amends,
            ..old.head.record(old.forecasts, old.faults, old.alerts)
        }
    }
}

impl From<Unamended> for StoredRecord {
    fn from(old: Unamended) -> Self {
        Self {
            needs: old.needs,
            ..old.head.record(old.forecasts, old.faults, old.alerts)
        }
    }
}

impl From<Unlearned> for StoredRecord {
    fn from(old: Unlearned) -> Self {
        old.head.record(old.forecasts, old.faults, old.alerts)
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
        old.head.record(forecasts.collect(), old.faults, old.alerts)
    }
}

impl StoredForecastRecord {
    fn restore(self) -> Result<ForecastRecord, Malformed> {
        Ok(ForecastRecord {
            key: Mirror::restore(self.key)?,
            served: Mirror::restore(self.served)?,
            state: Digest(self.state),
            calibration: self.calibration.map(Digest),
            answer: Digest(self.answer),
            peak: self.peak,
            peak_at: Mirror::restore(self.peak_at)?,
            origin: None,
        })
    }
}

impl StoredRecord {
    fn restore(self) -> Result<Record, Malformed> {
        let forecasts = self
            .forecasts
            .into_iter()
            .map(StoredForecastRecord::restore);
        Ok(Record {
            at: Mirror::restore(self.at)?,
            pool: Mirror::restore(self.pool)?,
            plan: Mirror::restore(self.plan)?,
            as_of: self.as_of,
            newest: Mirror::restore(self.newest)?,
            allocation: Mirror::restore(self.allocation)?,
            allocator_config: self.allocator_config,
            allocator_state: Mirror::restore(self.allocator_state)?,
            tiers: Mirror::restore(self.tiers)?,
            holds: Mirror::restore(self.holds)?,
            forecasts: forecasts.collect::<Result<_, _>>()?,
            needs: Mirror::restore(self.needs)?,
            faults: Mirror::restore(self.faults)?,
            alerts: Mirror::restore(self.alerts)?,
            floors: Mirror::restore(self.floors)?,
            amends: self.amends.map(Generation),
            basis: None,
        })
    }
}

/// The bytes of a record.
pub(crate) fn encode_record(record: &Record) -> Result<Vec<u8>, StoreError> {
    packed::encode(record)
}

/// The record that bytes say, in whichever form.
pub(crate) fn record_of(bytes: &[u8]) -> Result<Record, Malformed> {
    let stored: StoredRecord = match bytes.first() {
        Some(&UNCALIBRATED) => unpack_as::<Uncalibrated>(UNCALIBRATED, bytes)?.into(),
        Some(&UNPACKED) => unpack_as(UNPACKED, bytes)?,
        Some(&UNSHARED) => unpack_as::<Unshared>(UNSHARED, bytes)?.into(),
        Some(&UNAMENDED) => unpack_as::<Unamended>(UNAMENDED, bytes)?.into(),
        Some(&UNLEARNED) => unpack_as::<Unlearned>(UNLEARNED, bytes)?.into(),
        _ => return packed::decode(bytes),
    };
    stored.restore()
}

#[cfg(test)]
mod tests;
