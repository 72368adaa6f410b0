//! Asks the tierer per tenant, and applies dwell times, bounds and pins to what it wants.

mod burn;
mod counts;
mod group;

pub use burn::{Advance, Seen, Tracker};
pub use group::{Apart, Groups, Spent};

use std::collections::BTreeMap;
use tidegate_core::catalog::{Api, Catalog};
use tidegate_core::ids::{ApiId, TenantId};
use tidegate_core::invariant::{Breach, Invariant};
use tidegate_core::policy::{Blob, Kept, TierInput, TierOutput, Tierer};
use tidegate_core::record::{TierHold, TierRecord};
use tidegate_core::roster::{Fault, Roster};
use tidegate_core::slo::{BURN_WINDOWS, Burn};
use tidegate_core::tier::{self, TierBounds, TierState};
use tidegate_core::time::Timestamp;
use tidegate_core::units::Level;
use tidegate_core::{canonical, invariant};

/// What is known of one api.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Ordinary requests/s.
    pub expected: f64,
    /// Highest predicted requests/s, one per level of [`LEVELS`].
    pub peak: [f64; 3],
    /// Used over granted, scarcest dimension.
    pub utilisation: f64,
    /// Worst burn per window of [`BURN_WINDOWS`].
    pub burn: Burn,
    /// Worst SLO's budget that is left.
    pub budget_left: f64,
    /// The same without what is judged over groups, and that by group; `None` where nothing is.
    pub apart: Option<Box<Apart>>,
}

/// The levels at which peaks are told.
pub const LEVELS: [Level; 3] = [Level::P50, Level::P90, Level::P99];

/// What the room needs, for one pool.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cycle's time.
    pub now: Timestamp,
    /// Root seed.
    pub seed: u64,
    /// Bounds and base tiers.
    pub catalog: &'a Catalog,
    /// The pool's apis, ascending.
    pub apis: &'a [&'a Api],
    /// One per api.
    pub facts: &'a [Facts],
    /// Tiers in force; an api that is new starts in its base tier.
    pub current: &'a BTreeMap<ApiId, TierState>,
    /// Tierer per tenant.
    pub rosters: &'a BTreeMap<TenantId, Roster<dyn Tierer>>,
    /// Tierer states per tenant.
    pub states: &'a BTreeMap<TenantId, Kept>,
}

/// Tiers to be in force.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// One per api.
    pub tiers: BTreeMap<ApiId, (TierState, String)>,
    /// One per tenant.
    pub records: Vec<TierRecord>,
    /// What held each api's tier, for the record.
    pub holds: BTreeMap<ApiId, TierHold>,
    /// Who failed on the way.
    pub faults: Vec<Fault>,
}

/// There is no way to fail: without any answer, tiers stay as they are.
pub type Error = std::convert::Infallible;

/// Decides tiers.
///
/// # Errors
/// Never.
pub fn run(input: &Input<'_>) -> Result<Output, Error> {
    let mut output = Output::default();
    let mut tenants: BTreeMap<&TenantId, Vec<usize>> = BTreeMap::new();
    for (i, api) in input.apis.iter().enumerate() {
        tenants.entry(&api.id.tenant).or_default().push(i);
    }
    for (tenant, rows) in tenants {
        let question = question(input, tenant, &rows);
        let n = rows.len();
        let none = Kept::default();
        let kept = input.states.get(tenant).unwrap_or(&none);
        let answer = input.rosters.get(tenant).and_then(|roster| {
            roster.call(
                &format!("tenant {tenant}"),
                &mut output.faults,
                |member| {
                    let state = kept.for_module(&member.module, |blob| member.policy.migrate(blob));
                    let asked = TierInput {
                        state,
                        ..question.clone()
                    };
                    let out = member.policy.decide(&member.config, &asked)?;
                    Ok((out, member.config.clone(), asked))
                },
                |(out, _, _)| check(out, n),
            )
        });
        for (row, &i) in rows.iter().enumerate() {
            let api = input.apis[i];
            let state = TierState {
                tier: question.current[row],
                since: since(input, api),
            };
            let hold = TierHold {
                since: state.since,
                bounds: bounds(input, api, state),
            };
            let (next, reason) = match &answer {
                None => (state, "no tierer answered; the tier stays".to_owned()),
                Some(a) => (
                    tier::apply(state, a.value.0.wanted[row], hold.bounds, input.now),
                    a.value.0.reasons[row].clone(),
                ),
            };
            output.tiers.insert(api.id.clone(), (next, reason));
            output.holds.insert(api.id.clone(), hold);
        }
        if let Some(answer) = answer {
            let (out, config, asked) = answer.value;
            output.records.push(TierRecord {
                tenant: tenant.clone(),
                input: asked,
                config: config.to_string(),
                served: answer.served,
                state: out.state,
            });
        }
    }
    Ok(output)
}

/// After the clock stepped back, a tier that began "later" begins now: it would dwell until the clock
/// has caught up.
fn since(input: &Input<'_>, api: &Api) -> Timestamp {
    input
        .current
        .get(&api.id)
        .map_or(input.now, |s| s.since.min(input.now))
}

/// An api's dwell time is that of the tier it is in. One that is new may move at once.
fn bounds(input: &Input<'_>, api: &Api, state: TierState) -> TierBounds {
    let dwell_s = if input.current.contains_key(&api.id) {
        input.catalog.tier(state.tier).dwell_s
    } else {
        0
    };
    TierBounds {
        lowest: api.lowest_tier,
        highest: api.highest_tier,
        pinned: api.pinned_tier,
        dwell_s,
    }
}

fn question(input: &Input<'_>, tenant: &TenantId, rows: &[usize]) -> TierInput {
    let apis = || rows.iter().map(|&i| input.apis[i]);
    let facts = || rows.iter().map(|&i| &input.facts[i]);
    TierInput {
        now: input.now,
        seed: canonical::seed(input.seed, "tier", tenant.as_str(), input.now.0),
        state: Blob::default(), // each member gets its own
        apis: apis().map(|a| canonical::api_key(&a.id)).collect(),
        current: apis()
            .map(|a| input.current.get(&a.id).map_or(a.base_tier, |s| s.tier))
            .collect(),
        base: apis().map(|a| a.base_tier).collect(),
        lowest: apis().map(|a| a.lowest_tier).collect(),
        highest: apis().map(|a| a.highest_tier).collect(),
        dwell: apis()
            .map(|a| {
                u32::try_from(input.now.since_ms(since(input, a)).max(0) / 1000).unwrap_or(u32::MAX)
            })
            .collect(),
        expected: facts().map(|f| f.expected).collect(),
        levels: LEVELS.to_vec(),
        peak: facts().flat_map(|f| f.peak).collect(),
        utilisation: facts().map(|f| f.utilisation).collect(),
        burn_windows: BURN_WINDOWS.to_vec(),
        burn: facts().flat_map(|f| f.burn).collect(),
        budget_left: facts().map(|f| f.budget_left).collect(),
    }
}

/// An answer must have a tier and a reason per api.
pub(crate) fn check(out: &TierOutput, n: usize) -> Result<(), Breach> {
    if out.wanted.len() != n || out.reasons.len() != n {
        let text = format!(
            "{} tiers and {} reasons for {n} apis",
            out.wanted.len(),
            out.reasons.len()
        );
        return Err(invariant::Breach::new(Invariant::TI1, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::BaseTier;
    use std::sync::Arc;
    use tidegate_core::module::ModuleRef;
    use tidegate_core::roster::{Member, Retreat};
    use tidegate_core::tier::Tier;

    #[test]
    fn a_clock_that_stepped_back_does_not_freeze_a_tier() {
        let api = crate::fake::api("shop/orders");
        let roster = Roster::of(vec![Member {
            module: ModuleRef::native("base-tier"),
            binding: None,
            retreat: Retreat::Baseline,
            config: "{}".into(),
            policy: Arc::new(BaseTier) as Arc<dyn Tierer>,
        }]);
        let facts = Facts {
            expected: 0.0,
            peak: [0.0; 3],
            utilisation: 0.0,
            burn: Burn::default(),
            budget_left: 1.0,
            apart: None,
        };
        let decide = |now: Timestamp, state: TierState| {
            let out = run(&Input {
                now,
                seed: 0,
                catalog: &Catalog::default(),
                apis: &[&api],
                facts: std::slice::from_ref(&facts),
                current: &[(api.id.clone(), state)].into(),
                rosters: &[(api.id.tenant.clone(), roster.clone())].into(),
                states: &BTreeMap::new(),
            });
            out.unwrap().tiers[&api.id].0
        };
        let ahead = TierState {
            tier: Tier::Gold,
            since: Timestamp::from_secs(1_000_000),
        };
        let back = decide(Timestamp::from_secs(1000), ahead);
        assert_eq!(
            (back.tier, back.since),
            (Tier::Gold, Timestamp::from_secs(1000))
        );
        let dwelt = decide(Timestamp::from_secs(1900), back);
        assert_eq!(dwelt.tier, Tier::Silver);
    }
}
