//! A gate in memory that answers everybody alike.

mod forecasts;
mod policies;

use policies::slot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tidegate_core::access::Principal;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::catalog::{Catalog, Change, Mode, Object, ObjectKey, ObjectKind, Versioned};
use tidegate_core::forecast::{
    Band, Calibration, Candidate, Champion, Choice, Coverage, Forecast, Ground, Prior, Standing,
    Standings, Verdict,
};
use tidegate_core::ids::{ApiId, Digest, Generation, Name, PoolId, TenantId};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::ports::events::{EventsPort, Happening};
use tidegate_core::ports::serve::{
    Acked, AlertsPort, Allowance, Applied, AppliedReport, CatalogPort, ClockPort, Explanation,
    Fares, ForecastView, ForecastsPort, IngestPort, ModuleInfo, PlansPort, Run, ServeError,
    StatusPort,
};
use tidegate_core::quota::Usage;
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::sample::{Rejection, SampleBatch, SeriesKey, Stored, Values};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Level, Resources, Signal};

type Outcome = (Stored, Vec<Rejection>);

/// The gate, and the strings that a test pulls.
#[derive(Default)]
pub(crate) struct Fake {
    catalog: Mutex<Catalog>,
    /// What was handed to the port, in order.
    pub(crate) batches: Mutex<Vec<SampleBatch>>,
    stored: Mutex<BTreeSet<(SeriesKey, Timestamp)>>,
    sequence: AtomicU64,
    /// Keeps acks back until they are released.
    pub(crate) hold: AtomicBool,
    held: Mutex<Vec<(Acked, Outcome)>>,
    /// Samples of each batch that it calls late.
    pub(crate) late: AtomicU64,
    /// What the next batches are refused with.
    pub(crate) refuse: Mutex<Option<ServeError>>,
    /// The ledger of the pool `main`.
    pub(crate) plans: Mutex<BTreeMap<u64, Arc<Plan>>>,
    /// What stands now.
    pub(crate) alerts: Mutex<Vec<Alert>>,
    reports: Mutex<Vec<AppliedReport>>,
    modules: Mutex<Vec<ModuleInfo>>,
    /// Whether the clock is driven.
    pub(crate) driven: AtomicBool,
    now: AtomicI64,
    /// The spans in which batches came.
    pub(crate) spans: Mutex<Vec<tracing::Span>>,
    /// Makes the next port that may block panic.
    pub(crate) broken: AtomicBool,
}

impl Fake {
    /// Adds the next plan, and gives its generation.
    pub(crate) fn publish(&self) -> u64 {
        let mut plans = self.plans.lock().unwrap();
        let generation = plans.last_key_value().map_or(1, |(g, _)| g + 1);
        plans.insert(generation, Arc::new(plan(generation)));
        generation
    }

    /// Acks what was held, the newest first.
    pub(crate) fn release_backwards(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        for (done, outcome) in held.into_iter().rev() {
            done(Ok(outcome));
        }
    }

    /// Forgets what was held without an answer.
    pub(crate) fn drop_held(&self) {
        self.held.lock().unwrap().clear();
    }

    /// Number of batches that wait for their ack.
    pub(crate) fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }
}

/// A plan of the pool `main` with one api of each of two tenants, and a loan between them.
pub(crate) fn plan(generation: u64) -> Plan {
    let row = |name: &str, limit: f64| ApiPlan {
        api: name.parse().unwrap(),
        tier: Tier::Silver,
        tier_since: Timestamp(0),
        guaranteed: vec![limit / 2.0; 4],
        limit: vec![limit; 4],
        demand: vec![limit; 4],
        safe: Resources::NONE.with(Dimension::Requests, 1.0),
        reason: format!("a share for {name}"),
        tier_reason: "quiet".into(),
        emergency: None,
    };
    let loan = |lender: &str, borrower: &str| Loan {
        lender: lender.parse().unwrap(),
        borrower: borrower.parse().unwrap(),
        dimension: Dimension::Requests,
        amount: 3.0,
        from: Timestamp(0),
        until: Timestamp(120_000),
    };
    Plan {
        pool: "main".parse().unwrap(),
        generation: Generation(generation),
        parent: Generation(generation - 1),
        made_at: Timestamp(0),
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 2,
        },
        expires_at: Timestamp(120_000),
        dimensions: vec![Dimension::Cpu, Dimension::Requests],
        capacity: vec![100.0; 4],
        wanted: vec![120.0; 4],
        apis: vec![
            row("bank/pay", 40.0),
            row("shop/orders", 50.0 + generation as f64),
        ],
        loans: vec![
            loan("bank/pay", "shop/orders"),
            loan("bank/pay", "bank/log"),
        ],
        served: served(),
        inputs: Digest::of(b"inputs"),
    }
}

fn served() -> Served {
    Served {
        module: ModuleRef::native("waterfill"),
        retreat: Retreat::Baseline,
    }
}

/// An alert about an api.
pub(crate) fn alert(api: &str) -> Alert {
    Alert {
        kind: AlertKind::SloBurn,
        severity: Severity::Critical,
        pool: None,
        api: Some(api.parse().unwrap()),
        subject: "fast".into(),
        at: Timestamp(60_000),
        message: format!("the budget of {api} burns"),
    }
}

impl IngestPort for Fake {
    fn ingest(&self, _: &Principal, batch: SampleBatch, done: Acked) {
        self.spans.lock().unwrap().push(tracing::Span::current());
        if let Some(error) = self.refuse.lock().unwrap().clone() {
            return done(Err(error));
        }
        let mut stored = Stored {
            sequence: self.sequence.fetch_add(1, SeqCst) + 1,
            late: self.late.load(SeqCst),
            ..Stored::default()
        };
        let mut rejections = vec![];
        for (i, series) in batch.series.iter().enumerate() {
            for (j, &time) in series.times.iter().enumerate() {
                if matches!(&series.values, Values::Numbers(v) if v[j] < 0.0) {
                    rejections.push(Rejection {
                        field: format!("series[{i}].values[{j}]"),
                        samples: 1,
                        reason: "it is negative".into(),
                        retry_ms: None,
                    });
                } else if self
                    .stored
                    .lock()
                    .unwrap()
                    .insert((series.key.clone(), time))
                {
                    stored.stored += 1;
                } else {
                    stored.duplicates += 1;
                }
            }
        }
        self.batches.lock().unwrap().push(batch);
        if self.hold.load(SeqCst) {
            self.held.lock().unwrap().push((done, (stored, rejections)));
        } else {
            done(Ok((stored, rejections)));
        }
    }
}

impl CatalogPort for Fake {
    fn apply(&self, _: &Principal, changes: Vec<Change>, run: Run) -> Result<Applied, ServeError> {
        let mut catalog = self.catalog.lock().unwrap();
        let (next, effects) = catalog
            .apply(&changes)
            .map_err(|problems| ServeError::Invalid { problems })?;
        let generation = next.generation;
        if run == Run::Real {
            *catalog = next;
        }
        Ok(Applied {
            generation,
            effects,
        })
    }

    fn get(&self, _: &Principal, key: &ObjectKey) -> Result<Versioned<Object>, ServeError> {
        let found = self.catalog.lock().unwrap().get(key);
        found.ok_or_else(|| ServeError::NotFound {
            what: key.to_string(),
            remedy: "words of the port, which a caller of one tenant must not tell apart".into(),
        })
    }

    fn list(&self, _: &Principal, kind: ObjectKind) -> Result<Vec<Versioned<Object>>, ServeError> {
        Ok(self.catalog.lock().unwrap().list(kind))
    }

    fn usage(&self, _: &Principal, _: &TenantId) -> Option<Usage> {
        None
    }
}

impl EventsPort for Fake {
    fn generation(&self) -> Generation {
        self.catalog.lock().unwrap().generation
    }

    /// Of everybody's events, as they would be without a rule: what crosses tenants is the api's to
    /// keep back.
    fn happenings(
        &self,
        _: &Principal,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Happening>, ServeError> {
        let catalog = self.catalog.lock().unwrap();
        let mut found = vec![];
        for event in catalog.events.values().map(|e| &e.value) {
            let spans = catalog.occurrences(event, from, to);
            found.extend(spans.map(|(start, end)| Happening {
                start,
                end,
                event: event.clone(),
            }));
        }
        Ok(found)
    }
}

impl PlansPort for Fake {
    fn plan(
        &self,
        _: &Principal,
        pool: &PoolId,
        generation: Option<Generation>,
    ) -> Result<Arc<Plan>, ServeError> {
        let plans = self.plans.lock().unwrap();
        let found = match generation {
            Some(g) => plans.get(&g.0),
            None => plans.values().next_back(),
        };
        found.cloned().ok_or_else(|| ServeError::NotFound {
            what: format!("plan of pool {pool}"),
            remedy: "ask for a generation that is in the ledger".into(),
        })
    }

    fn pools(&self, _: &Principal) -> Vec<(PoolId, Generation)> {
        let plans = self.plans.lock().unwrap();
        let newest = plans.keys().next_back().copied().unwrap_or(0);
        vec![("main".parse().unwrap(), Generation(newest))]
    }

    fn grant(&self, _: &Principal, api: &ApiId) -> Result<Allowance, ServeError> {
        let newest = self.plans.lock().unwrap().values().next_back().cloned();
        let grant = newest.and_then(|plan| plan.grant(api, self.now()));
        let grant = grant.ok_or_else(|| ServeError::NotFound {
            what: format!("api {api}"),
            remedy: "declare it".into(),
        })?;
        Ok(Allowance {
            grant,
            mode: self.mode(api),
        })
    }

    fn mode(&self, api: &ApiId) -> Mode {
        let catalog = self.catalog.lock().unwrap();
        let declared = catalog.apis.get(api);
        declared.map_or(Mode::Enforce, |a| a.value.mode)
    }

    fn explain(
        &self,
        caller: &Principal,
        api: &ApiId,
        at: Option<Timestamp>,
    ) -> Result<Explanation, ServeError> {
        Ok(Explanation {
            grant: self.grant(caller, api)?.grant,
            mode: self.mode(api),
            sentences: vec![format!("asked about {at:?}")],
            inputs: Digest::of(b"inputs"),
        })
    }

    fn report_applied(&self, _: &Principal, report: AppliedReport) -> Result<(), ServeError> {
        self.reports.lock().unwrap().push(report);
        Ok(())
    }

    fn applied(&self, _: &Principal) -> Vec<AppliedReport> {
        self.reports.lock().unwrap().clone()
    }
}

impl AlertsPort for Fake {
    fn alerts(&self, _: &Principal) -> Vec<Alert> {
        self.alerts.lock().unwrap().clone()
    }
}

impl ClockPort for Fake {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(SeqCst))
    }

    fn advance(&self, _: &Principal, now: Timestamp) -> Result<Timestamp, ServeError> {
        if !self.driven.load(SeqCst) {
            let text = "the daemon follows the machine's clock; start it with a driven one";
            return Err(ServeError::Precondition(text.into()));
        }
        self.now.store(now.0, SeqCst);
        Ok(now)
    }
}
