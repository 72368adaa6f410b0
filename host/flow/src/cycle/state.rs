//! What a pool's cycle carries from turn to turn, and how it comes back after a restart.

use super::carry::Carried;
use crate::adjust::Floors;
use crate::compact::Compact;
use crate::demand::Learned;
use crate::forecast::{Bank, Drifts, Earlier, Held, Tracks, Watch, Watched};
use crate::tier::{Advance, Tracker};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::forecast::{Choice, Track};
use tidegate_core::ids::{ApiId, Generation, ScopedId, TenantId};
use tidegate_core::plan::{ApiPlan, Plan};
use tidegate_core::policy::{AllocationInput, Blob, Kept};
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::record::{DemandRecord, Record, TierRecord};
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::TierState;
use tidegate_core::time::Timestamp;

/// Ordinary load of an api, refreshed now and then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Median requests/s of the trailing 7 days.
    pub expected: f64,
    /// When it was computed.
    pub at: Timestamp,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct PoolState {
    /// The plan that was last published.
    pub last: Option<Arc<Plan>>,
    /// Tiers in force.
    pub tiers: BTreeMap<ApiId, TierState>,
    /// What tierers keep, per tenant.
    pub tier_states: BTreeMap<TenantId, Kept>,
    /// What the allocator keeps.
    pub allocator_state: Kept,
    /// Fitted states.
    pub bank: Bank,
    /// Forecasts that were made of them, and may still hold.
    pub held: Held,
    /// The watch over them.
    pub drifts: Drifts,
    /// What is known of their promises.
    pub tracks: Tracks,
    /// Who answers, for series with challengers.
    pub choices: BTreeMap<SeriesKey, Choice>,
    /// Error budgets, per SLO.
    pub trackers: BTreeMap<ScopedId, Tracker>,
    /// Ordinary loads.
    pub profiles: BTreeMap<ApiId, Profile>,
    /// What apis' requests cost, and how their latency follows utilisation.
    pub learned: BTreeMap<ApiId, Learned>,
    /// Measured needs that departed from plans, and are kept to for a while.
    pub floors: Floors,
    /// What the allocator was asked for the plan that was last published.
    pub asked: Option<Arc<AllocationInput>>,
    /// The plan of the last cycle, where later ones amend it.
    pub base: Option<Generation>,
    /// What stands in for what was not looked at again since the start.
    pub carried: Carried,
    /// Of `trackers` and `profiles`.
    compact: [Compact; 2],
}

/// What a cycle changes, committed when its record is durable.
#[derive(Debug, Default)]
pub struct Delta {
    /// States that moved on.
    pub states: Vec<SeriesState>,
    /// Forecasts that were made anew.
    pub made: Vec<Earlier>,
    /// Number of series that a forecast was told of.
    pub told: usize,
    /// Series that should have been forecast, and nobody could.
    pub unserved: Vec<SeriesKey>,
    /// The watch over fitted states, where it saw something.
    pub drifts: Vec<(Watched, Watch)>,
    /// Tracks that have learned or taken promises.
    pub tracks: Vec<Track>,
    /// Who is chosen, where that has changed.
    pub choices: Vec<(SeriesKey, Choice)>,
    /// Tiers to be in force.
    pub tiers: BTreeMap<ApiId, TierState>,
    /// What tierers keep.
    pub tier_states: BTreeMap<TenantId, Kept>,
    /// What was found of error budgets, of every SLO of the pool; `None` where nothing was.
    pub budgets: BTreeMap<ScopedId, Option<Advance>>,
    /// Ordinary loads that were refreshed.
    pub profiles: BTreeMap<ApiId, Profile>,
    /// What was learned of needs, of every api of the pool.
    pub learned: BTreeMap<ApiId, Learned>,
    /// Floors that are still kept to.
    pub floors: Floors,
    /// What goes on standing in.
    pub carried: Carried,
}

/// What a pool knows of one api, on its way to another pool.
#[derive(Debug)]
pub struct Parting {
    api: ApiId,
    tier: Option<TierState>,
    states: Vec<SeriesState>,
    tracks: Vec<Track>,
    choices: Vec<(SeriesKey, Choice)>,
    profile: Option<Profile>,
    learned: Option<Learned>,
}

/// What a tenant's tierer returned, and who it was.
pub(super) fn kept_by_tierer(record: &TierRecord) -> (TenantId, Kept) {
    let kept = Kept::of(record.served.module.clone(), record.state.clone());
    (record.tenant.clone(), kept)
}

/// What is left of a record once its plan is the last one: what versions on trial are asked from. What is
/// large, it shares with the pool's state, so that a trial costs a cycle no copy.
#[derive(Debug, Clone)]
pub struct Left {
    /// The cycle's time.
    pub at: Timestamp,
    /// The plan.
    pub plan: Arc<Plan>,
    /// What the allocator was asked.
    pub allocation: Arc<AllocationInput>,
    /// With which config.
    pub allocator_config: String,
    /// The tierer calls, one per tenant.
    pub tiers: Vec<TierRecord>,
    /// What was made of forecasts, one per api.
    pub needs: Vec<DemandRecord>,
    /// The plan of the last cycle, of one that amends it.
    pub amends: Option<Generation>,
}

impl Left {
    /// Taken out of a record, with what the allocator keeps: of a large pool each is megabytes.
    fn with_state(record: Record) -> (Self, Blob) {
        let left = Self {
            at: record.at,
            plan: Arc::new(record.plan),
            allocation: Arc::new(record.allocation),
            allocator_config: record.allocator_config,
            tiers: record.tiers,
            needs: record.needs,
            amends: record.amends,
        };
        (left, record.allocator_state)
    }
}

impl From<Record> for Left {
    fn from(record: Record) -> Self {
        Self::with_state(record).0
    }
}

impl PoolState {
    /// Gives an api's tier, fitted states and ordinary load away.
    pub fn release(&mut self, api: &ApiId) -> Parting {
        self.held.forget(api);
        Parting {
            api: api.clone(),
            tier: self.tiers.remove(api),
            states: self.bank.take(api),
            tracks: self.tracks.take(api),
            choices: self
                .choices
                .extract_if(.., |key, _| key.api == *api)
                .collect(),
            profile: self.profiles.remove(api),
            learned: self.learned.remove(api),
        }
    }

    /// Takes over an api that another pool gave away; what is known of it here stands.
    pub fn receive(&mut self, parting: Parting) {
        let Parting {
            api,
            tier,
            states,
            tracks,
            choices,
            profile,
            learned,
        } = parting;
        states.into_iter().for_each(|s| self.bank.put(s));
        tracks.into_iter().for_each(|t| self.tracks.put(t));
        self.choices.extend(choices);
        if let Some(tier) = tier {
            self.tiers.entry(api.clone()).or_insert(tier);
        }
        if let Some(profile) = profile {
            self.profiles.entry(api.clone()).or_insert(profile);
        }
        if let Some(learned) = learned {
            self.learned.entry(api).or_insert(learned);
        }
    }

    /// The state after the last record of the ledger (of one that amends another, see
    /// [`Record::resting_on`]); what is not in it is learned anew from history.
    #[must_use]
    pub fn resume(record: Option<Record>) -> Self {
        let Some(record) = record else {
            return Self::default();
        };
        let tier = |a: &ApiPlan| TierState {
            tier: a.tier,
            since: a.tier_since,
        };
        let tiers = record.plan.apis.iter().map(|a| (a.api.clone(), tier(a)));
        let needs = record.needs.iter();
        let learned = needs.map(|n| (n.api.clone(), Learned::of(&n.learned)));
        let resumed = Self {
            tiers: tiers.collect(),
            tier_states: record.tiers.iter().map(kept_by_tierer).collect(),
            base: Some(record.amends.unwrap_or(record.plan.generation)),
            floors: record.floors.iter().cloned().collect(),
            carried: Carried::of(&record),
            learned: learned.collect(),
            ..Self::default()
        };
        let writer = record.plan.served.module.clone();
        let (left, blob) = Left::with_state(record);
        Self {
            last: Some(left.plan),
            asked: Some(left.allocation),
            allocator_state: Kept::of(writer, blob),
            ..resumed
        }
    }

    /// Takes over what a cycle changed; with a record, its plan is the last one now, and what is left of it
    /// is answered.
    pub fn commit(&mut self, mut delta: Delta, record: Option<Record>) -> Option<Left> {
        // States and budgets only follow the data, so they move on even when no plan was made.
        delta.states.into_iter().for_each(|s| self.bank.put(s));
        let apis = &delta.learned;
        delta.unserved.iter().for_each(|key| self.held.remove(key));
        match record {
            None => self.held.unfollow(&delta.made),
            Some(_) => self
                .held
                .commit(delta.made, delta.told, |api| apis.contains_key(api)),
        }
        let bank = &self.bank;
        self.drifts.commit(delta.drifts, |w| bank.knows(w));
        delta.tracks.into_iter().for_each(|t| self.tracks.put(t));
        self.choices.extend(delta.choices);
        self.trackers
            .retain(|slo, _| delta.budgets.contains_key(slo));
        for (slo, found) in delta.budgets {
            if let Some(found) = found {
                self.trackers.entry(slo).or_default().take(found);
            }
        }
        self.profiles.extend(delta.profiles);
        self.bank.compact();
        self.tracks.compact();
        let [trackers, profiles] = &mut self.compact;
        trackers.after(&mut self.trackers);
        profiles.after(&mut self.profiles);
        Compact::default().after(&mut delta.learned);
        self.learned = delta.learned;
        self.floors = delta.floors;
        self.carried = delta.carried;
        let record = record?;
        self.tiers = delta.tiers;
        for (tenant, kept) in delta.tier_states {
            let Some(writer) = kept.writer else { continue };
            let states = self.tier_states.entry(tenant).or_default();
            states.follow(writer, kept.blob, record.at);
        }
        self.base = Some(record.plan.generation);
        Some(self.publish(record))
    }

    /// Takes over what a look between two cycles changed; with a record, its plan is the last one now.
    pub fn adjust(&mut self, floors: Floors, record: Option<Record>) {
        self.floors = floors;
        if let Some(record) = record {
            self.publish(record);
        }
    }

    fn publish(&mut self, record: Record) -> Left {
        let (writer, at) = (record.plan.served.module.clone(), record.at);
        let (left, blob) = Left::with_state(record);
        self.last = Some(left.plan.clone());
        self.asked = Some(left.allocation.clone());
        self.allocator_state.follow(writer, blob, at);
        left
    }
}
