//! Which bound keeps an api short, where more capacity alone would not help: its ceiling, its tenant's
//! quota, its tier's share of the pool, a tier that may not borrow, or others' tiers that do not lend.
//!
//! Told from the question that was asked and the plan that came of it, never guessed from the allocator's
//! own words: every allocator is held to the same bounds.

use super::{ExplainInput, capital};
use tidegate_core::plan::{ApiPlan, Plan};
use tidegate_core::policy::AllocationInput;
use tidegate_core::tier::Tier;

/// A bound counts as reached from this part of it on.
const REACHED: f64 = 1.0 - 1e-6;

/// One sentence for each bound that is reached by an api that is short.
pub(super) fn active(
    input: &ExplainInput<'_>,
    row: &ApiPlan,
    dimension: usize,
    step: usize,
) -> Vec<String> {
    let plan = &input.record.plan;
    // The question's rows are the plan's.
    let Some(index) = plan.apis.iter().position(|a| a.api == *input.api) else {
        return vec![];
    };
    let at = At {
        plan,
        question: &input.record.allocation,
        row,
        index,
        dimension,
        step,
    };
    let all = [at.ceiling(), at.quota(), at.share(), at.loans()];
    all.into_iter().flatten().collect()
}

/// One api's cell of the plan.
struct At<'a> {
    plan: &'a Plan,
    question: &'a AllocationInput,
    row: &'a ApiPlan,
    index: usize,
    dimension: usize,
    step: usize,
}

impl At<'_> {
    fn cell(&self) -> usize {
        self.step * self.plan.dimensions.len() + self.dimension
    }

    fn unit(&self) -> &'static str {
        self.plan.dimensions[self.dimension].unit()
    }

    fn held(&self, mine: impl Fn(&ApiPlan) -> bool) -> f64 {
        let all = self.plan.apis.iter().filter(|a| mine(a));
        all.filter_map(|a| a.limit.get(self.cell())).sum()
    }

    fn ceiling(&self) -> Option<String> {
        let width = self.plan.dimensions.len();
        let ceiling = *(self.question.ceiling).get(self.index * width + self.dimension)?;
        let reached = *self.row.limit.get(self.cell())? >= ceiling * REACHED;
        reached.then(|| {
            format!(
                "It holds all of its ceiling of {ceiling:.2} {}: only a higher `ceiling` helps.",
                self.unit()
            )
        })
    }

    fn quota(&self) -> Option<String> {
        let tenant = *self.question.tenants.get(self.index)? as usize;
        let width = self.plan.dimensions.len();
        let quota = *(self.question.quota).get(tenant * width + self.dimension)?;
        let owner = &self.row.api.tenant;
        (self.held(|a| a.api.tenant == *owner) >= quota * REACHED).then(|| {
            format!(
                "Tenant {owner} holds all of its quota of {quota:.2} {}: only a larger quota helps.",
                self.unit()
            )
        })
    }

    fn share(&self) -> Option<String> {
        let tier = self.row.tier;
        let share = self.question.share_of(tier);
        let most = share * self.plan.capacity.get(self.cell())?;
        (share < 1.0 && self.held(|a| a.tier == tier) >= most * REACHED).then(|| {
            format!(
                "{} apis hold all of the {most:.2} {} that their tier may hold together: only a larger \
                 `max_share` than {share} helps.",
                capital(tier.name()),
                self.unit()
            )
        })
    }

    /// What others do not use and it does not get: because its tier may not borrow, or theirs do not lend.
    fn loans(&self) -> Option<String> {
        let idle = |i: usize, a: &ApiPlan| {
            let unused = a.guaranteed.get(self.cell())? - a.demand.get(self.cell())?;
            (i != self.index && unused > 0.0).then_some(unused)
        };
        let rows = || self.plan.apis.iter().enumerate();
        if !self
            .question
            .borrows
            .get(self.index)
            .copied()
            .unwrap_or(true)
        {
            let any = rows().any(|(i, a)| idle(i, a).is_some());
            return any.then(|| {
                format!(
                    "Others do not use all that is guaranteed to them, and {} apis do not borrow: only \
                     `borrows: true` on the tier helps.",
                    self.row.tier.name()
                )
            });
        }
        let kept = |(i, a): (usize, &ApiPlan)| {
            let lends = self.question.lends.get(i).copied().unwrap_or(true);
            (!lends).then(|| Some((a.tier, idle(i, a)?))).flatten()
        };
        let kept: Vec<(Tier, f64)> = rows().filter_map(kept).collect();
        let amount: f64 = kept.iter().map(|(_, unused)| unused).sum();
        let tiers = Tier::ALL.into_iter().rev();
        let tiers: Vec<&str> = tiers
            .filter(|tier| kept.iter().any(|(of, _)| of == tier))
            .map(Tier::name)
            .collect();
        (!kept.is_empty()).then(|| {
            format!(
                "{} apis do not use {amount:.2} {} of what is guaranteed to them and do not lend it: \
                 `lends: true` on the tier would.",
                capital(&tiers.join(" and ")),
                self.unit()
            )
        })
    }
}
