//! Decisions made once more from the ledger, and compared bit for bit.
//!
//! A record holds what the tierers and the allocator were asked, with which config and state, and who
//! answered. So each answer can be had again from the module of that digest, and must be the same to
//! the last bit: then the plan is what those modules said of those inputs, and nothing else had a say
//! (LE1). What was answered is never looked at before it is compared: the state that a policy was
//! handed is held against the one that its own answer of the record before gave, as it came out here.
//!
//! Where the store is at hand, what was asked is made again too (`forecasts`): forecasts from samples as they
//! were seen and states that are moved on from their last snapshot, and from the forecasts demand.
//!
//! What is *not* made again is a fault: whether a module trapped or ran out of time is an input that was
//! written down, and the replay asks who answered in the end. Nor is what was learned of costs and latency,
//! nor what a tierer was told of burn and use: the record has them by value.
//!
//! Rejected: to run the cycle over stored samples and compare plans. It tells that the engine agrees with
//! itself today, not that a given plan was what its record says.

mod compare;
mod forecasts;

pub use forecasts::Unmade;

use compare::{same, whole};
use forecasts::Forecasts;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::ids::{ApiId, TenantId};
use tidegate_core::invariant;
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::{Loan, Plan};
use tidegate_core::policy::{Allocation, Allocator, Blob, CallError, Forecaster, Tierer};
use tidegate_core::ports::storage::Replays;
use tidegate_core::record::{Record, TierRecord};
use tidegate_core::tier::{self, Tier, TierState};
use tidegate_flow::allocate::inputs_digest;

/// Who decides when a decision is made again.
pub trait Deciders {
    /// The allocator that a record names, or another one that is to be held against it.
    ///
    /// # Errors
    /// Why it cannot be asked, for a person.
    fn allocator(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Allocator>), String>;

    /// The tierer that a record names, or another one.
    ///
    /// # Errors
    /// Why it cannot be asked, for a person.
    fn tierer(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Tierer>), String>;

    /// The forecaster that a record names.
    ///
    /// # Errors
    /// Why it cannot be asked, for a person.
    fn forecaster(&self, module: &ModuleRef) -> Result<Arc<dyn Forecaster>, String>;

    /// The config with which another allocator is asked; `None` for that of the record.
    fn config(&self) -> Option<&str> {
        None
    }
}

/// Something that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Of what: an api's limit, a tier, a state.
    pub what: String,
    /// As the record has it.
    pub recorded: String,
    /// As it came out again.
    pub replayed: String,
}

impl Divergence {
    fn new(what: impl Into<String>, recorded: &str, replayed: &str) -> Self {
        Self {
            what: what.into(),
            recorded: recorded.to_owned(),
            replayed: replayed.to_owned(),
        }
    }
}

/// One plan's decisions, made again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Tierers and allocators that were asked.
    pub decisions: usize,
    /// Forecasts that were made again, and compared.
    pub forecasts: usize,
    /// Whether demand was: 1 or 0 of one record.
    pub demands: usize,
    /// What came out otherwise; empty: bit for bit the same.
    pub divergences: Vec<Divergence>,
    /// Decisions that could not be made again, and why.
    pub unknown: Vec<String>,
    /// Forecasts and demand that could not.
    pub unmade: Vec<Unmade>,
}

/// Replays the records of one pool in the order of their generations.
#[derive(Debug, Default)]
pub struct Replay<'a> {
    /// What the allocator's last answer was worth keeping, and whose it was.
    allocator: Option<(ModuleRef, Blob)>,
    tierers: BTreeMap<TenantId, (ModuleRef, Blob)>,
    plan: Option<Plan>,
    forecasts: Option<Forecasts<'a>>,
}

impl<'a> Replay<'a> {
    /// Of records whose forecasts and demand are made again, from what a store keeps.
    #[must_use]
    pub fn whole(store: &'a dyn Replays) -> Self {
        Self {
            forecasts: Some(Forecasts::new(store)),
            ..Self::default()
        }
    }

    /// Makes the decisions of one record again.
    pub fn record(&mut self, record: &Record, deciders: &dyn Deciders) -> Replayed {
        let mut told = Replayed::default();
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.record(record, deciders, &mut told);
        }
        // An amendment carries no tierer's calls of its own.
        if record.amends.is_none() {
            for call in &record.tiers {
                self.tiers(record, call, deciders, &mut told);
            }
        }
        self.succession(record, &mut told);
        self.allocation(record, deciders, &mut told);
        self.plan = Some(record.plan.clone());
        told
    }

    /// Takes a record for what has led to those after it: states are moved on, and nothing is compared.
    pub fn walk(&mut self, record: &Record, deciders: &dyn Deciders) {
        if let Some(forecasts) = &mut self.forecasts {
            forecasts.record(record, deciders, &mut Replayed::default());
        }
        self.plan = Some(record.plan.clone());
        (self.allocator, self.tierers) = (None, BTreeMap::new());
    }

    /// What a question says of the plan in force must be that plan, where the record before is at hand.
    fn succession(&self, record: &Record, told: &mut Replayed) {
        let Some(before) = &self.plan else { return };
        if before.generation != record.plan.parent {
            return;
        }
        let asked = &record.allocation;
        let dimensions = &asked.dimensions;
        let expired = record.at >= before.expires_at;
        let step = before.step_at(record.at);
        for (row, api) in record.plan.apis.iter().enumerate() {
            let found = before.api(&api.api);
            for (d, dimension) in dimensions.iter().enumerate() {
                let of = |matrix: &[f64]| before.row(matrix, step).get(*dimension);
                let (limit, sure) = match found {
                    Some(plan) if expired => (plan.safe.get(*dimension), plan.safe.get(*dimension)),
                    Some(plan) => (of(&plan.limit), of(&plan.guaranteed)),
                    None => (None, None),
                };
                let at = row * dimensions.len() + d;
                let unit = dimension.unit();
                for (what, asked, then) in [
                    ("limit", asked.previous_limit.get(at), limit),
                    ("guarantee", asked.previous_guaranteed.get(at), sure),
                ] {
                    same(
                        &mut told.divergences,
                        || format!("the {what} of {} in the plan before, in {unit}", api.api),
                        asked.copied().unwrap_or(f64::NAN),
                        then.unwrap_or(-1.0),
                    );
                }
            }
        }
    }

    fn allocation(&mut self, record: &Record, deciders: &dyn Deciders, told: &mut Replayed) {
        let plan = &record.plan;
        let asked = &record.allocation;
        let digest = inputs_digest(asked, &record.allocator_config, &plan.served);
        if digest != plan.inputs {
            told.divergences.push(Divergence::new(
                "the digest of what the plan was made from",
                &plan.inputs.to_string(),
                &digest.to_string(),
            ));
        }
        let (module, allocator) = match deciders.allocator(&plan.served.module) {
            Ok(found) => found,
            Err(why) => {
                self.allocator = None;
                return told.unknown.push(why);
            }
        };
        let foreign = module != plan.served.module;
        if !foreign {
            carried(
                self.allocator.as_ref(),
                &module,
                &asked.state,
                || format!("the state that {module} was handed"),
                &mut told.divergences,
            );
        }
        told.decisions += 1;
        let config = deciders
            .config()
            .filter(|_| foreign)
            .unwrap_or(&record.allocator_config);
        let question = if foreign {
            // A stranger's state is no state of its own.
            let state = match self.allocator.take() {
                Some((writer, state)) if writer == module => state,
                _ => Blob::default(),
            };
            &tidegate_core::policy::AllocationInput {
                state,
                ..asked.clone()
            }
        } else {
            asked
        };
        let answer = allocator.allocate(config, question).and_then(|answer| {
            invariant::check_allocation(question, &answer).map_err(CallError::Refused)?;
            Ok(answer)
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.allocator = None;
                let what = format!("the answer of {module}");
                let divergence = Divergence::new(what, "a plan", &format!("none: {error}"));
                return told.divergences.push(divergence);
            }
        };
        if foreign {
            let what = "who answered";
            let (was, is) = (plan.served.module.to_string(), module.to_string());
            told.divergences.push(Divergence::new(what, &was, &is));
        } else if answer.state != record.allocator_state {
            let what = format!("the state that {module} returned");
            told.divergences
                .push(compare::blobs(what, &record.allocator_state, &answer.state));
        }
        whole(plan, &again(record, &answer), &mut told.divergences);
        self.allocator = Some((module, answer.state));
    }

    fn tiers(
        &mut self,
        record: &Record,
        call: &TierRecord,
        deciders: &dyn Deciders,
        told: &mut Replayed,
    ) {
        let (module, tierer) = match deciders.tierer(&call.served.module) {
            Ok(found) => found,
            Err(why) => {
                self.tierers.remove(&call.tenant);
                return told.unknown.push(why);
            }
        };
        let tenant = &call.tenant;
        carried(
            self.tierers.get(tenant),
            &module,
            &call.input.state,
            || format!("the state that {module} was handed for tenant {tenant}"),
            &mut told.divergences,
        );
        told.decisions += 1;
        let answer = match tierer.decide(&call.config, &call.input) {
            Ok(answer) => answer,
            Err(error) => {
                self.tierers.remove(tenant);
                let what = format!("the answer of {module} for tenant {tenant}");
                let divergence = Divergence::new(what, "tiers", &format!("none: {error}"));
                return told.divergences.push(divergence);
            }
        };
        if answer.state != call.state {
            let what = format!("the state that {module} returned for tenant {tenant}");
            let divergence = compare::blobs(what, &call.state, &answer.state);
            told.divergences.push(divergence);
        }
        let rows = record.plan.apis.iter().enumerate();
        let rows = rows.filter(|(_, a)| a.api.tenant == *tenant);
        for (i, (at, row)) in rows.enumerate() {
            let (Some(wanted), Some(reason)) = (answer.wanted.get(i), answer.reasons.get(i)) else {
                let what = format!("the tier of {}", row.api);
                told.divergences
                    .push(Divergence::new(what, row.tier.name(), "no answer"));
                continue;
            };
            if *reason != row.tier_reason {
                let what = format!("the reason for the tier of {}", row.api);
                told.divergences
                    .push(Divergence::new(what, &row.tier_reason, reason));
            }
            let before = call.input.current.get(i).copied();
            let hold = record.holds.get(at).copied();
            // What was written before holds were kept cannot be moved again.
            let Some((tier, hold)) = before.zip(hold) else {
                continue;
            };
            let state = TierState {
                tier,
                since: hold.since,
            };
            let next = tier::apply(state, *wanted, hold.bounds, record.at);
            if (next.tier, next.since) != (row.tier, row.tier_since) {
                let text = |tier: Tier, since| format!("{} since {since}", tier.name());
                told.divergences.push(Divergence::new(
                    format!("the tier of {}", row.api),
                    &text(row.tier, row.tier_since),
                    &text(next.tier, next.since),
                ));
            }
        }
        self.tierers.insert(tenant.clone(), (module, answer.state));
    }
}

/// A state goes back to its writer as it was returned; to another module it goes through `migrate`, which
/// is not asked again here.
fn carried(
    before: Option<&(ModuleRef, Blob)>,
    module: &ModuleRef,
    handed: &Blob,
    what: impl Fn() -> String,
    divergences: &mut Vec<Divergence>,
) {
    if let Some((writer, state)) = before
        && writer == module
        && state != handed
    {
        divergences.push(compare::blobs(what(), handed, state));
    }
}

/// The plan that an answer makes, of the question and who asked it.
fn again(record: &Record, answer: &Allocation) -> Plan {
    let (plan, asked) = (&record.plan, &record.allocation);
    let (_, steps, dimensions) = asked.shape();
    let cells = steps * dimensions;
    let part = |matrix: &[f64], row: usize| {
        let end = matrix.len().min((row + 1) * cells);
        matrix.get(row * cells..end).unwrap_or(&[]).to_vec()
    };
    let api = |row: u32| -> Option<ApiId> { Some(plan.apis.get(row as usize)?.api.clone()) };
    let loans = answer.loans.iter().filter_map(|l| {
        Some(Loan {
            lender: api(l.lender)?,
            borrower: api(l.borrower)?,
            dimension: *asked.dimensions.get(l.dimension as usize)?,
            amount: l.amount,
            from: asked.grid.at(l.from_step as usize),
            until: asked.grid.at(l.until_step as usize),
        })
    });
    let mut apis = plan.apis.clone();
    for (row, api) in apis.iter_mut().enumerate() {
        api.guaranteed = part(&answer.guaranteed, row);
        api.limit = part(&answer.limit, row);
        api.demand = part(&asked.demand, row);
        api.reason = answer.reasons.get(row).cloned().unwrap_or_default();
        if let Some(tier) = asked.tiers.get(row) {
            api.tier = *tier;
        }
    }
    Plan {
        made_at: asked.now,
        grid: asked.grid,
        dimensions: asked.dimensions.clone(),
        capacity: asked.capacity.clone(),
        wanted: answer.wanted.clone(),
        loans: loans.collect(),
        apis,
        ..plan.clone()
    }
}
