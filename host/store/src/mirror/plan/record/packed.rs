//! The present form of a record: what is the same is written once, and the whole is compressed.
//!
//! A plan holds each api's demand, and so does the question that it answers; forecasts name their module and
//! config again and again; needs and holds are told per api. So everything of an api stands in one row, side
//! by side, where the compressor finds what repeats: floats of a grant that equal those of the demand, texts
//! that differ by a number. What is repeated elsewhere is named by its place.
//!
//! The compressor's window is 64 KB, and that is why rows and not columns.

use super::FORM;
use crate::codec::Malformed;
use crate::mirror::Mirror;
use crate::packing;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::alert::Alert;
use tidegate_core::ids::{ApiId, Digest, Generation};
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::policy::{AllocationInput, Blob};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::record::{
    Basis, DemandRecord, FaultRecord, FloorRecord, ForecastRecord, Origin, Record, TierHold,
    TierRecord,
};
use tidegate_core::roster::Served;
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Dimension, Resources, Signal};

type Stored<T> = <T as Mirror>::Stored;

#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    at: i64,
    pool: String,
    as_of: u64,
    newest: i64,
    generation: u64,
    parent: u64,
    made_at: i64,
    grid: Stored<Grid>,
    expires_at: i64,
    dimensions: Stored<Vec<Dimension>>,
    capacity: Cow<'a, [f64]>,
    wanted: Cow<'a, [f64]>,
    loans: Stored<Vec<Loan>>,
    served: Stored<Served>,
    inputs: Stored<Digest>,
    rows: Vec<Row<'a>>,
    /// Without `demand` and `median`, where the rows tell them.
    allocation: Stored<AllocationInput>,
    rows_tell: bool,
    allocator_config: Cow<'a, str>,
    allocator_state: Bytes<'a>,
    tiers: Stored<Vec<TierRecord>>,
    holds: Stored<Vec<TierHold>>,
    makers: Vec<(Stored<Served>, Option<String>)>,
    forecasts: Vec<Foretold>,
    /// Empty where the rows tell them.
    needs: Vec<(String, Need<'a>)>,
    faults: Stored<Vec<FaultRecord>>,
    alerts: Stored<Vec<Alert>>,
    floors: Stored<Vec<FloorRecord>>,
    amends: Option<u64>,
    basis: Option<Based>,
}

/// What concerns one api.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    api: String,
    tier: Stored<Tier>,
    tier_since: i64,
    safe: Stored<Resources>,
    demand: Cow<'a, [f64]>,
    guaranteed: Cow<'a, [f64]>,
    limit: Cow<'a, [f64]>,
    /// Of the question, where the rows tell it.
    median: Cow<'a, [f64]>,
    reason: Cow<'a, str>,
    tier_reason: Cow<'a, str>,
    emergency: Option<Cow<'a, str>>,
    need: Option<Need<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Need<'a> {
    reasons: Vec<Cow<'a, str>>,
    learned: Bytes<'a>,
}

/// A blob, without a length for each of its bytes' elements.
struct Bytes<'a> {
    format: u32,
    bytes: Cow<'a, [u8]>,
}

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple as _;
        struct Raw<'b>(&'b [u8]);
        impl Serialize for Raw<'_> {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_bytes(self.0)
            }
        }
        let mut pair = to.serialize_tuple(2)?;
        pair.serialize_element(&self.format)?;
        pair.serialize_element(&Raw(&self.bytes))?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Bytes<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (format, bytes) = <(u32, &[u8])>::deserialize(from)?;
        Ok(Self {
            format,
            bytes: Cow::Owned(bytes.to_vec()),
        })
    }
}

impl<'a> Bytes<'a> {
    fn of(blob: &'a Blob) -> Self {
        Self {
            format: blob.format,
            bytes: Cow::Borrowed(&blob.bytes),
        }
    }

    fn blob(self) -> Blob {
        Blob {
            format: self.format,
            bytes: self.bytes.into_owned(),
        }
    }
}

/// A forecast; its api is a row's, or has its name.
#[derive(Serialize, Deserialize)]
struct Foretold {
    row: u32,
    name: Option<String>,
    signal: Stored<Signal>,
    maker: u32,
    fitted_at: i64,
    newest: i64,
    is_anchored: bool,
    peak: f64,
    peak_at: i64,
    state: Stored<Digest>,
    calibration: Option<Stored<Digest>>,
    answer: Stored<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Based {
    catalog: Option<Stored<Digest>>,
    seed: u64,
    horizon: u32,
    cadence: u32,
    ahead: u32,
    target_utilisation: f64,
    step_tolerance: f64,
    fixed_tolerance: f64,
    hold_ms: i64,
    carried: Vec<u32>,
}

/// The bytes of a record.
pub(super) fn encode(record: &Record) -> Result<Vec<u8>, StoreError> {
    packing::pack(FORM, &pack(record))
}

/// What [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
    let plain = packing::plain(FORM, bytes)?;
    unpack(packing::unpack(&plain)?)
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Whether the question's demand is that of the plan's rows, and its median lies alongside.
fn rows_tell(plan: &Plan, asked: &AllocationInput) -> bool {
    let cells = plan.apis.first().map_or(0, |api| api.demand.len());
    let whole = cells * plan.apis.len();
    cells > 0
        && asked.demand.len() == whole
        && asked.median.len() == whole
        && plan
            .apis
            .iter()
            .zip(asked.demand.chunks_exact(cells))
            .all(|(api, demand)| same(&api.demand, demand))
}

fn pack(record: &Record) -> Packed<'_> {
    let Record {
        plan, allocation, ..
    } = record;
    let rows_tell = rows_tell(plan, allocation);
    let in_rows = record.needs.len() == plan.apis.len()
        && plan
            .apis
            .iter()
            .zip(&record.needs)
            .all(|(api, need)| api.api == need.api);
    let cells = if rows_tell {
        allocation.median.len() / plan.apis.len()
    } else {
        0
    };
    let rows = plan.apis.iter().enumerate().map(|(n, api)| Row {
        api: api.api.store(),
        tier: api.tier.store(),
        tier_since: api.tier_since.0,
        safe: api.safe.store(),
        demand: Cow::Borrowed(&api.demand),
        guaranteed: Cow::Borrowed(&api.guaranteed),
        limit: Cow::Borrowed(&api.limit),
        median: Cow::Borrowed(&allocation.median[n * cells..(n + 1) * cells]),
        reason: Cow::Borrowed(&api.reason),
        tier_reason: Cow::Borrowed(&api.tier_reason),
        emergency: api.emergency.as_deref().map(Cow::Borrowed),
        need: in_rows.then(|| need(&record.needs[n])),
    });
    let (makers, forecasts) = forecasts(record);
    Packed {
        at: record.at.0,
        pool: record.pool.store(),
        as_of: record.as_of,
        newest: record.newest.0,
        generation: plan.generation.0,
        parent: plan.parent.0,
        made_at: plan.made_at.0,
        grid: plan.grid.store(),
        expires_at: plan.expires_at.0,
        dimensions: plan.dimensions.store(),
        capacity: Cow::Borrowed(&plan.capacity),
        wanted: Cow::Borrowed(&plan.wanted),
        loans: plan.loans.store(),
        served: plan.served.store(),
        inputs: plan.inputs.store(),
        rows: rows.collect(),
        allocation: question(allocation, rows_tell),
        rows_tell,
        allocator_config: Cow::Borrowed(&record.allocator_config),
        allocator_state: Bytes::of(&record.allocator_state),
        tiers: record.tiers.store(),
        holds: record.holds.store(),
        makers,
        forecasts,
        needs: match in_rows {
            true => vec![],
            false => record
                .needs
                .iter()
                .map(|n| (n.api.store(), need(n)))
                .collect(),
        },
        faults: record.faults.store(),
        alerts: record.alerts.store(),
        floors: record.floors.store(),
        amends: record.amends.map(|g| g.0),
        basis: record.basis.as_ref().map(based),
    }
}

fn need(of: &DemandRecord) -> Need<'_> {
    Need {
        reasons: of
            .reasons
            .iter()
            .map(|r| Cow::Borrowed(r.as_str()))
            .collect(),
        learned: Bytes::of(&of.learned),
    }
}

/// The question, without what the rows tell.
fn question(asked: &AllocationInput, rows_tell: bool) -> Stored<AllocationInput> {
    if !rows_tell {
        return asked.store();
    }
    // The two that are left out are half of it: so it is not copied as a whole.
    AllocationInput {
        now: asked.now,
        seed: asked.seed,
        state: asked.state.clone(),
        grid: asked.grid,
        dimensions: asked.dimensions.clone(),
        capacity: asked.capacity.clone(),
        capacity_max: asked.capacity_max.clone(),
        apis: asked.apis.clone(),
        tiers: asked.tiers.clone(),
        weights: asked.weights.clone(),
        tenants: asked.tenants.clone(),
        floor: asked.floor.clone(),
        ceiling: asked.ceiling.clone(),
        demand: vec![],
        median: vec![],
        expected: asked.expected.clone(),
        usage: asked.usage.clone(),
        previous_guaranteed: asked.previous_guaranteed.clone(),
        previous_limit: asked.previous_limit.clone(),
        step_up: asked.step_up.clone(),
        step_down: asked.step_down.clone(),
        emergency: asked.emergency.clone(),
        quota: asked.quota.clone(),
        lends: asked.lends.clone(),
        borrows: asked.borrows.clone(),
        max_share: asked.max_share.clone(),
    }
    .store()
}

type Makers = Vec<(Stored<Served>, Option<String>)>;

/// Forecasts, and who made them with which config, each once.
fn forecasts(record: &Record) -> (Makers, Vec<Foretold>) {
    let rows: BTreeMap<&ApiId, u32> = record.plan.apis.iter().map(|a| &a.api).zip(0..).collect();
    let mut makers: Makers = vec![];
    let mut known: Vec<(&Served, Option<&str>)> = vec![];
    let all = record.forecasts.iter().map(|f| {
        let maker = (&f.served, f.origin.as_ref().map(|o| &*o.config));
        let place = known.iter().position(|k| *k == maker).unwrap_or_else(|| {
            known.push(maker);
            makers.push((f.served.store(), maker.1.map(str::to_owned)));
            known.len() - 1
        });
        let row = rows.get(&f.key.api).copied();
        let of = |pick: fn(&Origin) -> Timestamp| f.origin.as_ref().map_or(0, |o| pick(o).0);
        Foretold {
            row: row.unwrap_or(0),
            name: row.is_none().then(|| f.key.api.store()),
            signal: f.key.signal.store(),
            maker: u32::try_from(place).unwrap_or(u32::MAX),
            fitted_at: of(|o| o.fitted_at),
            newest: of(|o| o.newest),
            is_anchored: f.origin.as_ref().is_some_and(|o| o.is_anchored),
            peak: f.peak,
            peak_at: f.peak_at.0,
            state: f.state.0,
            calibration: f.calibration.map(|c| c.0),
            answer: f.answer.0,
        }
    });
    let all = all.collect();
    (makers, all)
}

fn based(basis: &Basis) -> Based {
    Based {
        catalog: basis.catalog.map(|c| c.0),
        seed: basis.seed,
        horizon: basis.horizon,
        cadence: basis.cadence,
        ahead: basis.ahead,
        target_utilisation: basis.target_utilisation,
        step_tolerance: basis.step_tolerance,
        fixed_tolerance: basis.fixed_tolerance,
        hold_ms: basis.hold_ms,
        carried: basis.carried.clone(),
    }
}

fn unpack(packed: Packed<'_>) -> Result<Record, Malformed> {
    let mut allocation = AllocationInput::restore(packed.allocation)?;
    let (mut apis, mut needs) = (Vec::with_capacity(packed.rows.len()), vec![]);
    for row in packed.rows {
        let api = ApiId::restore(row.api)?;
        if packed.rows_tell {
            allocation.demand.extend_from_slice(&row.demand);
            allocation.median.extend_from_slice(&row.median);
        }
        needs.extend(row.need.map(|need| needed(api.clone(), need)));
        apis.push(ApiPlan {
            api,
            tier: Tier::restore(row.tier)?,
            tier_since: Timestamp(row.tier_since),
            guaranteed: row.guaranteed.into_owned(),
            limit: row.limit.into_owned(),
            demand: row.demand.into_owned(),
            safe: Resources::restore(row.safe)?,
            reason: row.reason.into_owned(),
            tier_reason: row.tier_reason.into_owned(),
            emergency: row.emergency.map(Cow::into_owned),
        });
    }
    for (api, need) in packed.needs {
        needs.push(needed(ApiId::restore(api)?, need));
    }
    let mut makers = vec![];
    for (served, config) in packed.makers {
        makers.push((Served::restore(served)?, config.map(Arc::from)));
    }
    let mut forecasts = Vec::with_capacity(packed.forecasts.len());
    for foretold in packed.forecasts {
        forecasts.push(forecast(foretold, &apis, &makers)?);
    }
    let pool = Mirror::restore(packed.pool)?;
    Ok(Record {
        at: Timestamp(packed.at),
        plan: Plan {
            pool: Clone::clone(&pool),
            generation: Generation(packed.generation),
            parent: Generation(packed.parent),
            made_at: Timestamp(packed.made_at),
            grid: Mirror::restore(packed.grid)?,
            expires_at: Timestamp(packed.expires_at),
            dimensions: Mirror::restore(packed.dimensions)?,
            capacity: packed.capacity.into_owned(),
            wanted: packed.wanted.into_owned(),
            apis,
            loans: Mirror::restore(packed.loans)?,
            served: Mirror::restore(packed.served)?,
            inputs: Mirror::restore(packed.inputs)?,
        },
        pool,
        as_of: packed.as_of,
        newest: Timestamp(packed.newest),
        allocation,
        allocator_config: packed.allocator_config.into_owned(),
        allocator_state: packed.allocator_state.blob(),
        tiers: Mirror::restore(packed.tiers)?,
        holds: Mirror::restore(packed.holds)?,
        forecasts,
        needs,
        faults: Mirror::restore(packed.faults)?,
        alerts: Mirror::restore(packed.alerts)?,
        floors: Mirror::restore(packed.floors)?,
        amends: packed.amends.map(Generation),
        basis: packed.basis.map(basis),
    })
}

fn needed(api: ApiId, need: Need<'_>) -> DemandRecord {
    DemandRecord {
        api,
        reasons: need.reasons.into_iter().map(Cow::into_owned).collect(),
        learned: need.learned.blob(),
    }
}

fn forecast(
    of: Foretold,
    apis: &[ApiPlan],
    makers: &[(Served, Option<Arc<str>>)],
) -> Result<ForecastRecord, Malformed> {
    let api = match of.name {
        Some(name) => ApiId::restore(name)?,
        None => {
            let row = apis.get(of.row as usize);
            row.ok_or(Malformed("a forecast names no row"))?.api.clone()
        }
    };
    let maker = makers.get(of.maker as usize);
    let (served, config) = maker.ok_or(Malformed("a forecast names no module"))?;
    Ok(ForecastRecord {
        key: SeriesKey {
            api,
            signal: Signal::restore(of.signal)?,
        },
        served: served.clone(),
        state: Digest(of.state),
        calibration: of.calibration.map(Digest),
        answer: Digest(of.answer),
        peak: of.peak,
        peak_at: Timestamp(of.peak_at),
        origin: config.clone().map(|config| Origin {
            config,
            fitted_at: Timestamp(of.fitted_at),
            newest: Timestamp(of.newest),
            is_anchored: of.is_anchored,
        }),
    })
}

fn basis(of: Based) -> Basis {
    Basis {
        catalog: of.catalog.map(Digest),
        seed: of.seed,
        horizon: of.horizon,
        cadence: of.cadence,
        ahead: of.ahead,
        target_utilisation: of.target_utilisation,
        step_tolerance: of.step_tolerance,
        fixed_tolerance: of.fixed_tolerance,
        hold_ms: of.hold_ms,
        carried: of.carried,
    }
}
