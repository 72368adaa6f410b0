//! What a policy cost, and who suffered under it.

use super::case::Case;
use super::simulate::Trail;
use std::collections::BTreeMap;
use tidegate_core::tier::Tier;

/// A policy's result on one api, or on several together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// Minutes that were scored.
    pub minutes: u64,
    /// Minutes that missed their objective.
    pub violations: u64,
    /// Of them, by the tier of the api.
    pub by_tier: BTreeMap<Tier, u64>,
    /// Replica-hours paid for.
    pub resource_hours: f64,
    /// Core-hours used.
    pub used_hours: f64,
    /// Replicas asked for or given up.
    pub churn: u64,
    /// Requests that came.
    pub requests: f64,
    /// Refused or timed out.
    pub errors: f64,
    /// Answered too late.
    pub slow: f64,
}

impl Score {
    /// Of one api.
    #[must_use]
    pub fn of(tier: Tier, trail: &Trail) -> Self {
        let violations = trail.bad.iter().filter(|bad| **bad).count() as u64;
        Self {
            minutes: trail.bad.len() as u64,
            violations,
            by_tier: BTreeMap::from([(tier, violations)]),
            resource_hours: trail.held_s / 3600.0,
            used_hours: trail.used_s / 3600.0,
            churn: trail.churn,
            requests: trail.requests,
            errors: trail.errors,
            slow: trail.slow,
        }
    }

    /// Of all apis of a case.
    #[must_use]
    pub fn total(case: &Case, trails: &[Trail]) -> Self {
        let mut total = Self::default();
        for (api, trail) in case.apis.iter().zip(trails) {
            total.add(&Self::of(api.tier, trail));
        }
        total
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.minutes += other.minutes;
        self.violations += other.violations;
        for (tier, count) in &other.by_tier {
            *self.by_tier.entry(*tier).or_default() += count;
        }
        self.resource_hours += other.resource_hours;
        self.used_hours += other.used_hours;
        self.churn += other.churn;
        self.requests += other.requests;
        self.errors += other.errors;
        self.slow += other.slow;
    }

    /// Violations by minutes; 0 without minutes.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.violations as f64 / self.minutes.max(1) as f64
    }

    /// Part of what was paid for that was not used.
    #[must_use]
    pub fn slack(&self) -> f64 {
        match self.resource_hours > 0.0 {
            true => 1.0 - self.used_hours / self.resource_hours,
            false => 0.0,
        }
    }

    /// Replicas that came or went, per api and hour.
    #[must_use]
    pub fn churn_per_hour(&self) -> f64 {
        self.churn as f64 * 60.0 / self.minutes.max(1) as f64
    }
}
