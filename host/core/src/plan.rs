//! Plans and grants: immutable decisions about one pool.

use crate::ids::{ApiId, Digest, Generation, PoolId};
use crate::roster::Served;
use crate::tier::Tier;
use crate::time::{Grid, Timestamp};
use crate::units::{Dimension, Resources};

/// One api's share of one pool over the plan's steps.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiPlan {
    /// Whose.
    pub api: ApiId,
    /// Its tier in this plan.
    pub tier: Tier,
    /// Since when it has that tier (TI1).
    pub tier_since: Timestamp,
    /// `[step][dimension]`: kept for it.
    pub guaranteed: Vec<f64>,
    /// `[step][dimension]`: what it may use.
    pub limit: Vec<f64>,
    /// `[step][dimension]`: demand at its tier's quantile, for `why`.
    pub demand: Vec<f64>,
    /// What applies when the plan has expired and no newer one is there.
    pub safe: Resources,
    /// Why, for a person.
    pub reason: String,
    /// Why it has this tier, for a person.
    pub tier_reason: String,
    /// Whether its step bounds were lifted (AL3), and why.
    pub emergency: Option<String>,
}

/// Guaranteed but unused, given to another until it is reclaimed (AL5).
#[derive(Debug, Clone, PartialEq)]
pub struct Loan {
    /// Whose guarantee it is.
    pub lender: ApiId,
    /// Who uses it.
    pub borrower: ApiId,
    /// What.
    pub dimension: Dimension,
    /// How much.
    pub amount: f64,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// What shall happen in one pool, from `grid.start` on. Never changed after it was published; a
/// rollback is a new plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The pool.
    pub pool: PoolId,
    /// PL1: rises by one.
    pub generation: Generation,
    /// PL1: the plan that was last published, 0 for the first.
    pub parent: Generation,
    /// When it was made.
    pub made_at: Timestamp,
    /// The steps.
    pub grid: Grid,
    /// When it stops being valid: after that, `safe` applies.
    pub expires_at: Timestamp,
    /// The columns of the matrices.
    pub dimensions: Vec<Dimension>,
    /// `[step][dimension]`: capacity that it divides.
    pub capacity: Vec<f64>,
    /// `[step][dimension]`: capacity that it would like, for autoscalers.
    pub wanted: Vec<f64>,
    /// By api, ascending.
    pub apis: Vec<ApiPlan>,
    /// Who lends what to whom.
    pub loans: Vec<Loan>,
    /// Who allocated.
    pub served: Served,
    /// Hash of everything that it was made from (LE1).
    pub inputs: Digest,
}

/// What one api may use at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Whose.
    pub api: ApiId,
    /// Of which pool.
    pub pool: PoolId,
    /// From which plan; 0 when none was ever made.
    pub generation: Generation,
    /// Its tier.
    pub tier: Tier,
    /// Kept for it.
    pub guaranteed: Resources,
    /// What it may use.
    pub limit: Resources,
    /// When the grant began.
    pub from: Timestamp,
    /// When it ends unless renewed.
    pub expires_at: Timestamp,
    /// What applies after that.
    pub safe: Resources,
    /// Loans that it gives or takes at this instant.
    pub loans: Vec<Loan>,
}

impl Plan {
    /// The row of an api.
    #[must_use]
    pub fn api(&self, api: &ApiId) -> Option<&ApiPlan> {
        self.apis
            .binary_search_by(|row| row.api.cmp(api))
            .ok()
            .map(|i| &self.apis[i])
    }

    /// Index of the step in force at `now`: the first before the plan begins, the last after its
    /// grid ends (until it expires).
    #[must_use]
    pub fn step_at(&self, now: Timestamp) -> usize {
        if now < self.grid.start {
            return 0;
        }
        self.grid
            .index_of(now)
            .unwrap_or(self.grid.count.saturating_sub(1))
    }

    /// Row `step` of a `[step][dimension]` matrix as a vector.
    #[must_use]
    pub fn row(&self, matrix: &[f64], step: usize) -> Resources {
        let d = self.dimensions.len();
        self.dimensions
            .iter()
            .enumerate()
            .fold(Resources::NONE, |r, (i, &dim)| {
                r.with(dim, matrix.get(step * d + i).copied().unwrap_or(0.0))
            })
    }

    /// What an api may use at an instant, as its [`Plan::grant`] says, without a look at the loans.
    #[must_use]
    pub fn limit(&self, api: &ApiId, now: Timestamp) -> Option<Resources> {
        let row = self.api(api)?;
        if now >= self.expires_at {
            return Some(row.safe);
        }
        Some(self.row(&row.limit, self.step_at(now)))
    }

    /// The grant of an api at an instant; after expiry its limit is the safe capacity.
    #[must_use]
    pub fn grant(&self, api: &ApiId, now: Timestamp) -> Option<Grant> {
        let row = self.api(api)?;
        let step = self.step_at(now);
        let expired = now >= self.expires_at;
        let pick = |matrix: &[f64]| {
            if expired {
                row.safe
            } else {
                self.row(matrix, step)
            }
        };
        let loans = self
            .loans
            .iter()
            .filter(|l| {
                !expired
                    && (l.lender == *api || l.borrower == *api)
                    && l.from <= now
                    && now < l.until
            })
            .cloned()
            .collect();
        Some(Grant {
            api: api.clone(),
            pool: self.pool.clone(),
            generation: self.generation,
            tier: row.tier,
            guaranteed: pick(&row.guaranteed),
            limit: pick(&row.limit),
            from: self.grid.at(step),
            expires_at: self.expires_at,
            safe: row.safe,
            loans,
        })
    }
}
