//! Plans and ledger records. What comes back is equal bit for bit: a replay hashes it.

mod record;

pub(crate) use record::{encode_record, record_of};

use super::{mirror_enum, mirror_struct};
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::ids::{Digest, Generation, PoolId, ScopedId, TenantId};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::policy::{Blob, TierInput};
use tidegate_core::record::{
    DemandRecord, Departure, FaultRecord, FloorRecord, TierHold, TierRecord,
};
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::tier::{Tier, TierBounds};
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Dimension, Resources};

mirror_enum!(Retreat {
    0 => Active, 1 => LastGood, 2 => Baseline, 3 => HeldPlan, 4 => SafeCapacity,
});
mirror_enum!(AlertKind {
    0 => Contention, 1 => GoldFloorsCut, 2 => SloBurn, 3 => ModuleFault, 4 => StaleFeed,
    5 => PlanHeld, 6 => StoreRoom,
});
mirror_enum!(Severity { 0 => Info, 1 => Warning, 2 => Critical });

mirror_struct!(ModuleRef as StoredModuleRef { name: String, version: String, digest: Digest });
mirror_struct!(Served as StoredServed { module: ModuleRef, retreat: Retreat });

mirror_struct!(ApiPlan as StoredApiPlan {
    api: ScopedId,
    tier: Tier,
    tier_since: Timestamp,
    guaranteed: Vec<f64>,
    limit: Vec<f64>,
    demand: Vec<f64>,
    safe: Resources,
    reason: String,
    tier_reason: String,
    emergency: Option<String>,
});

mirror_struct!(Loan as StoredLoan {
    lender: ScopedId,
    borrower: ScopedId,
    dimension: Dimension,
    amount: f64,
    from: Timestamp,
    until: Timestamp,
});

mirror_struct!(Plan as StoredPlan {
    pool: PoolId,
    generation: Generation,
    parent: Generation,
    made_at: Timestamp,
    grid: Grid,
    expires_at: Timestamp,
    dimensions: Vec<Dimension>,
    capacity: Vec<f64>,
    wanted: Vec<f64>,
    apis: Vec<ApiPlan>,
    loans: Vec<Loan>,
    served: Served,
    inputs: Digest,
});

mirror_struct!(TierRecord as StoredTierRecord {
    tenant: TenantId,
    input: TierInput,
    config: String,
    served: Served,
    state: Blob,
});

mirror_struct!(TierBounds as StoredTierBounds {
    lowest: Tier,
    highest: Tier,
    pinned: Option<Tier>,
    dwell_s: u32,
});

mirror_struct!(TierHold as StoredTierHold {
    since: Timestamp,
    bounds: TierBounds,
});

mirror_struct!(DemandRecord as StoredDemandRecord {
    api: ScopedId,
    reasons: Vec<String>,
    learned: Blob,
});

mirror_struct!(Departure as StoredDeparture {
    at: Timestamp,
    need: f64,
    used: f64,
    given: f64,
});

mirror_struct!(FloorRecord as StoredFloorRecord {
    api: ScopedId,
    dimension: Dimension,
    departure: Departure,
});

mirror_struct!(FaultRecord as StoredFaultRecord {
    module: ModuleRef,
    subject: String,
    error: String,
});

mirror_struct!(Alert as StoredAlert {
    kind: AlertKind,
    severity: Severity,
    pool: Option<PoolId>,
    api: Option<ScopedId>,
    subject: String,
    at: Timestamp,
    message: String,
});
