//! What became of the objectives: violations, and cores granted against cores used.
//!
//! A step is *bad* when more than `1 - objective` of the requests that ended in it were slow or
//! unanswered; its minutes count as violation minutes. A step in which nothing ended is good: no
//! user waited for an answer then, and those who still wait are counted when they end. Throttled
//! requests are bad: to the caller a refusal is no answer, whoever decided it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::service::Observation;

/// Service level of an api, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Guaranteed.
    Gold,
    /// Priority.
    Silver,
    /// Best effort.
    Bronze,
}

/// A word that names no tier.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no tier; write gold, silver or bronze")]
pub struct UnknownTier(pub String);

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gold => "gold",
            Self::Silver => "silver",
            Self::Bronze => "bronze",
        })
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(word: &str) -> Result<Self, UnknownTier> {
        match word {
            "gold" => Ok(Self::Gold),
            "silver" => Ok(Self::Silver),
            "bronze" => Ok(Self::Bronze),
            other => Err(UnknownTier(other.to_owned())),
        }
    }
}

/// What an api promises, as far as the score is concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// The api's tier, for the sums.
    pub tier: Tier,
    /// Share of requests that must be answered within the threshold, e.g. 0.99.
    pub objective: f64,
    /// Which of the service's thresholds counts: an index into `ServiceSpec::slo_thresholds_s`.
    pub threshold: usize,
}

/// Sums over steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Steps seen.
    pub steps: u64,
    /// Steps in which the objective was missed.
    pub bad_steps: u64,
    /// Minutes seen.
    pub minutes: f64,
    /// Minutes of the bad steps.
    pub bad_minutes: f64,
    /// Requests that ended: served or not.
    pub requests: u64,
    /// Of those, slow or unanswered.
    pub bad_requests: u64,
    /// Core-seconds granted.
    pub granted_core_s: f64,
    /// Core-seconds used.
    pub used_core_s: f64,
}

impl Score {
    /// Share of the granted cores that nobody used, 0 to 1 (Autopilot's slack, Rzadca et al. 2020).
    pub fn slack(&self) -> f64 {
        if self.granted_core_s > 0.0 {
            1.0 - self.used_core_s / self.granted_core_s
        } else {
            0.0
        }
    }

    fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.bad_steps += other.bad_steps;
        self.minutes += other.minutes;
        self.bad_minutes += other.bad_minutes;
        self.requests += other.requests;
        self.bad_requests += other.bad_requests;
        self.granted_core_s += other.granted_core_s;
        self.used_core_s += other.used_core_s;
    }
}

/// Scores per api, for one way of dividing the pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scoreboard {
    scores: BTreeMap<String, (Tier, Score)>,
}

impl Scoreboard {
    /// A board without scores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one step of `api` that ran on `granted` cores.
    pub fn record(&mut self, api: &str, promise: Objective, granted: f64, seen: &Observation) {
        let seconds = f64::from(seen.step_s);
        let requests = seen.served + seen.errors();
        let slow = seen.slow.get(promise.threshold).copied().unwrap_or(0);
        let bad_requests = slow + seen.errors();
        let missed = bad_requests as f64 > (1.0 - promise.objective) * requests as f64;
        let step = Score {
            steps: 1,
            bad_steps: u64::from(missed),
            minutes: seconds / 60.0,
            bad_minutes: if missed { seconds / 60.0 } else { 0.0 },
            requests,
            bad_requests,
            granted_core_s: granted * seconds,
            used_core_s: seen.cpu_seconds,
        };
        let fresh = || (promise.tier, Score::default());
        let entry = self.scores.entry(api.to_owned()).or_insert_with(fresh);
        entry.0 = promise.tier;
        entry.1.add(&step);
    }

    /// Every api with its tier and score, by name.
    pub fn apis(&self) -> impl Iterator<Item = (&str, Tier, &Score)> {
        self.scores
            .iter()
            .map(|(api, (tier, score))| (api.as_str(), *tier, score))
    }

    /// Sums per tier; a bad minute of two apis counts twice.
    pub fn tiers(&self) -> BTreeMap<Tier, Score> {
        let mut sums = BTreeMap::new();
        for (tier, score) in self.scores.values() {
            sums.entry(*tier).or_insert_with(Score::default).add(score);
        }
        sums
    }

    /// The sum over all apis.
    pub fn total(&self) -> Score {
        let mut sum = Score::default();
        self.scores.values().for_each(|(_, score)| sum.add(score));
        sum
    }
}
