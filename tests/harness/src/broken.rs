//! Policies that go bad at the flick of a switch, each in the way that one invariant is about.
//!
//! A wrapper and not a set of bad policies: what breaks in production is a module that was good
//! yesterday, with its states, its slot and its place in the chain. So the same module is broken
//! and mended again while the world runs.

use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::invariant::check_allocation;
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, Blobs, CallError, Fitted, Forecaster, Forecasts,
    Frames, Horizon, PolicyError, TierInput, TierOutput, Tierer,
};
use tidegate_core::tier::Tier;

/// How a module fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// It traps.
    Trap,
    /// It does not come back; the engine ends it at its deadline.
    Hang,
    /// It says of itself that it has a defect.
    Internal,
    /// A forecast is not a number (FC1), a share is not a number (AL1), a tier is missing (TI1).
    NotANumber,
    /// Limits are half again what they were and what the pool has (AL1).
    Overcommit,
    /// Gold gets nothing (AL2).
    StarveGold,
    /// One tenant gets more than its quota (AL4).
    OverQuota,
    /// Loans without an end (AL5).
    EndlessLoan,
    /// Silver gets as little as its steps allow, and a tenth of what it needs in the end. No invariant is
    /// broken by it.
    StarveSilver,
    /// Forecasts of the hours from six in the evening to midnight are twice what they should be.
    DoubleEvenings,
    /// Every api is wanted in the lowest tier that it may have.
    DemoteAll,
}

impl Breakage {
    /// All, with the names by which scripts call them.
    pub const ALL: [(&str, Breakage); 11] = [
        ("trap", Breakage::Trap),
        ("hang", Breakage::Hang),
        ("internal", Breakage::Internal),
        ("nan", Breakage::NotANumber),
        ("overcommit", Breakage::Overcommit),
        ("starve-gold", Breakage::StarveGold),
        ("over-quota", Breakage::OverQuota),
        ("endless-loan", Breakage::EndlessLoan),
        ("starve-silver", Breakage::StarveSilver),
        ("double-evenings", Breakage::DoubleEvenings),
        ("demote-all", Breakage::DemoteAll),
    ];

    /// Whether what it answers then is worse, and yet as it should be: nothing refuses it.
    #[must_use]
    pub fn is_lawful(self) -> bool {
        matches!(
            self,
            Breakage::StarveSilver | Breakage::DoubleEvenings | Breakage::DemoteAll
        )
    }

    /// The error instead of an answer, for those that give none.
    fn instead(self) -> Result<(), CallError> {
        match self {
            Breakage::Trap => Err(CallError::Trap("unreachable code was reached".into())),
            Breakage::Hang => Err(CallError::Deadline { limit_ms: 250 }),
            Breakage::Internal => Err(CallError::Policy(PolicyError::Internal(
                "a table is empty".into(),
            ))),
            Breakage::NotANumber
            | Breakage::Overcommit
            | Breakage::StarveGold
            | Breakage::OverQuota
            | Breakage::EndlessLoan
            | Breakage::StarveSilver
            | Breakage::DoubleEvenings
            | Breakage::DemoteAll => Ok(()),
        }
    }
}

/// Shared between a module and the test that breaks it.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<Mutex<Option<Breakage>>>);

impl Switch {
    /// Breaks the module, or mends it with `None`.
    pub fn set(&self, breakage: Option<Breakage>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = breakage;
    }

    fn get(&self) -> Option<Breakage> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the module answers at all.
    fn answers(&self) -> Result<Option<Breakage>, CallError> {
        let now = self.get();
        now.map_or(Ok(()), Breakage::instead).map(|()| now)
    }
}

/// A policy behind a [`Switch`].
#[derive(Debug)]
pub struct Breakable<P: ?Sized> {
    inner: Arc<P>,
    switch: Switch,
}

impl<P: ?Sized> Breakable<P> {
    /// Wraps a policy.
    pub fn new(inner: Arc<P>, switch: Switch) -> Self {
        Self { inner, switch }
    }
}

impl Forecaster for Breakable<dyn Forecaster> {
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        self.switch.answers()?;
        self.inner.fit_from(config, base, frames)
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        self.switch.answers()?;
        self.inner.update(model, states, frames)
    }

    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        let broken = self.switch.answers()?;
        let mut answer = self.inner.predict(model, states, horizon)?;
        if broken == Some(Breakage::DoubleEvenings) {
            double_evenings(horizon, &mut answer);
        } else if broken.is_some()
            && let Some(first) = answer.quantiles.first_mut()
        {
            *first = f64::NAN;
        }
        Ok(answer)
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        self.switch.answers()?;
        self.inner.migrate(model, states)
    }
}

impl Tierer for Breakable<dyn Tierer> {
    fn decide(&self, config: &str, input: &TierInput) -> Result<TierOutput, CallError> {
        let broken = self.switch.answers()?;
        let mut answer = self.inner.decide(config, input)?;
        match broken {
            Some(Breakage::DemoteAll) => answer.wanted.clone_from(&input.lowest),
            Some(_) => drop(answer.wanted.pop()),
            None => {}
        }
        Ok(answer)
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        self.switch.answers()?;
        self.inner.migrate(state)
    }
}

impl Allocator for Breakable<dyn Allocator> {
    fn allocate(&self, config: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        let broken = self.switch.answers()?;
        let answer = self.inner.allocate(config, input)?;
        let Some(breakage) = broken else {
            return Ok(answer);
        };
        let mut spoilt = answer.clone();
        if breakage == Breakage::StarveSilver {
            starve_silver(input, &mut spoilt);
            return Ok(spoilt);
        }
        spoil(breakage, input, &mut spoilt);
        // Where nothing is wrong with the spoilt answer (no quota, no floor), it is not one that
        // this breakage is about; used, it would be a plan that the mended module cannot repeat.
        Ok(if check_allocation(input, &spoilt).is_ok() {
            answer
        } else {
            spoilt
        })
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        self.switch.answers()?;
        self.inner.migrate(state)
    }
}

/// Makes a good answer a bad one.
fn spoil(breakage: Breakage, input: &AllocationInput, answer: &mut Allocation) {
    let (n, steps, dims) = input.shape();
    let mut rows = |api: usize, f: &dyn Fn(usize, usize) -> f64| {
        for step in 0..steps {
            for dim in 0..dims {
                answer.limit[input.at(api, step, dim)] = f(step, dim);
            }
        }
    };
    match breakage {
        Breakage::Trap
        | Breakage::Hang
        | Breakage::Internal
        | Breakage::StarveSilver
        | Breakage::DoubleEvenings
        | Breakage::DemoteAll => {}
        Breakage::NotANumber => rows(0, &|_, _| f64::NAN),
        Breakage::Overcommit => {
            let each = 1.5 / n.max(1) as f64;
            for api in 0..n {
                rows(api, &|step, dim| input.capacity[step * dims + dim] * each);
            }
        }
        Breakage::StarveGold => {
            answer.loans.clear();
            for api in (0..n).filter(|&a| input.tiers[a] == Tier::Gold) {
                rows(api, &|_, _| 0.0);
            }
        }
        Breakage::OverQuota => {
            answer.loans.clear();
            let bounded = |a: usize| {
                input.quota[input.tenants[a] as usize * dims] < tidegate_core::policy::UNBOUNDED
            };
            let favoured = (0..n).find(|&a| bounded(a));
            for api in 0..n {
                rows(api, &|_, dim| {
                    if Some(api) == favoured {
                        input.quota[input.tenants[api] as usize * dims + dim] * 1.25
                    } else {
                        0.0
                    }
                });
            }
        }
        Breakage::EndlessLoan => {
            answer.loans = vec![tidegate_core::policy::LoanRow {
                lender: 0,
                borrower: 1,
                dimension: 0,
                amount: 1.0,
                from_step: 0,
                until_step: u32::MAX,
            }];
        }
    }
}

/// Cuts Silver as far as its steps allow, down to a tenth of its demand.
fn starve_silver(input: &AllocationInput, answer: &mut Allocation) {
    let (n, steps, dims) = input.shape();
    answer.loans.clear();
    for api in 0..n {
        for dim in 0..dims {
            let mut before = input.previous_limit[api * dims + dim];
            for step in 0..steps {
                let at = input.at(api, step, dim);
                if input.tiers[api] == Tier::Silver {
                    let least = match before >= 0.0 {
                        true => before * input.step_down[api],
                        false => 0.0,
                    };
                    let little = (0.1 * input.demand[at]).max(least).min(answer.limit[at]);
                    answer.limit[at] = little;
                }
                answer.guaranteed[at] = answer.guaranteed[at].min(answer.limit[at]);
                before = answer.limit[at];
            }
        }
    }
}

/// Doubles what is said of steps that begin between six in the evening and midnight.
fn double_evenings(horizon: &Horizon, answer: &mut Forecasts) {
    let steps = horizon.steps as usize;
    let levels = horizon.levels.len();
    for (series, start) in horizon.starts.iter().enumerate() {
        for step in 0..steps {
            let at = start.plus_steps(horizon.step, i64::try_from(step).unwrap_or(0));
            if at.secs().rem_euclid(86_400) < 18 * 3_600 {
                continue;
            }
            let row = series * steps + step;
            answer.mean[row] *= 2.0;
            let row = &mut answer.quantiles[row * levels..(row + 1) * levels];
            row.iter_mut().for_each(|q| *q *= 2.0);
        }
    }
}
