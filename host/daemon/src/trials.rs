//! Asks versions on trial, and does what their gates conclude.
//!
//! Who is compared with whom is [`crate::life`]'s to say, what they are asked and how they are judged is
//! [`tidegate_flow::shadow`]'s. Here is when: after a pool's plan was published, in a task of its own, from
//! what the cycle has left. A cycle hands over its forecasts and what is left of its record, which it
//! would drop, shares with it what it goes on with itself, copies nothing, and goes on; so a candidate that is slow or traps costs nobody a plan. Where this part falls behind, it takes the
//! newest cycle of a pool and passes over those before: a pair less is no harm. Under a driven clock it
//! follows each step before the clock moves on, so that a replay concludes the same on any machine.
//!
//! What is known is written by the hour of the data's clock, when a trial ends, and when the daemon does:
//! a crash costs an hour of pairs.

mod conclude;
mod look;
mod past;
mod stored;

use crate::clock::Clock;
use crate::life;
use crate::world::{World, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{BindingId, PoolId};
use tidegate_core::policy::{Forecaster, Kept, Verdict};
use tidegate_core::ports::serve::{ShadowStanding, TrialsPort};
use tidegate_core::roster::Member;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_flow::cycle;
use tidegate_flow::shadow::{About, Conclusion, Trial};
use tidegate_runtime::{Stop, Wake};

/// One trial, and what it came to last.
#[derive(Debug)]
struct Known {
    trial: Trial,
    conclusion: Conclusion,
}

/// What a pool's cycle has left.
#[derive(Debug)]
struct Left {
    record: cycle::Left,
    forecasts: BTreeMap<SeriesKey, Forecast>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct OnTrial {
    /// The newest cycle of each pool that was not looked at.
    left: Mutex<BTreeMap<PoolId, Left>>,
    known: Mutex<BTreeMap<BindingId, Known>>,
    /// Names in the store.
    stored: Mutex<BTreeSet<String>>,
    /// When it was written.
    written: Mutex<Option<Timestamp>>,
    /// One look at a time.
    looking: Mutex<()>,
}

impl OnTrial {
    /// Follows the cycles until it is asked to stop.
    pub(crate) fn run(
        world: &Arc<World>,
        every: Duration,
        stop: &Stop,
    ) -> Result<(), anyhow::Error> {
        loop {
            if matches!(world.clock, Clock::System) {
                look::turn(world, world.clock.now());
            }
            if stop.sleep_blocking(every) == Wake::Stop {
                return Ok(());
            }
        }
    }

    /// Looks at what the cycles of a step have left, now.
    pub(crate) fn catch_up(world: &Arc<World>, now: Timestamp) {
        look::turn(world, now);
    }

    /// Whether anything is on trial.
    pub(crate) fn any(world: &World) -> bool {
        !life::trials(world).is_empty()
    }

    /// Takes what a cycle has left, where anything is on trial.
    pub(crate) fn leave(
        world: &World,
        pool: &PoolId,
        record: Option<cycle::Left>,
        forecasts: BTreeMap<SeriesKey, Forecast>,
    ) {
        if let Some(record) = record
            && Self::any(world)
        {
            let left = Left { record, forecasts };
            lock(&world.trials.left).insert(pool.clone(), left);
        }
    }

    /// Silent forecasters by binding: they have to be fitted, and their states are needed.
    pub(crate) fn forecasters(world: &World) -> BTreeMap<BindingId, Member<dyn Forecaster>> {
        let all = life::trials(world).into_iter();
        all.filter_map(|trial| Some((trial.binding.clone(), look::forecaster(&trial)?)))
            .collect()
    }

    /// What judges keep of every trial that is known, by binding and question.
    pub(crate) fn evidence(world: &World) -> Vec<(BindingId, &'static str, Kept)> {
        let all = lock(&world.trials.known);
        let of = |(id, known): (&BindingId, &Known)| {
            let questions = known.trial.questions.iter();
            let kept = questions.map(|q| (id.clone(), q.name.said(), q.kept().clone()));
            kept.collect::<Vec<_>>()
        };
        all.iter().flat_map(of).collect()
    }

    /// Writes down what is known.
    pub(crate) fn write(world: &World) {
        stored::write(world);
    }

    /// Goes on with what was written down, at the start.
    pub(crate) fn restore(world: &World) {
        stored::restore(world);
    }
}

/// What two versions are compared about.
fn about(trial: &life::Trial) -> About {
    About {
        binding: trial.binding.clone(),
        kind: trial.kind,
        serves: trial.serving,
        candidate: trial.candidate.clone(),
        incumbent: trial.incumbent.clone(),
        since: trial.since,
    }
}

impl TrialsPort for World {
    fn standing(&self, id: &BindingId) -> Option<ShadowStanding> {
        let trial = life::trial(self, id)?;
        let mut told = ShadowStanding {
            binding: trial.binding.clone(),
            candidate: trial.candidate.clone(),
            incumbent: trial.incumbent.clone(),
            serving: trial.serving,
            since: trial.since,
            gate: trial.gate,
            pairs: 0,
            difference: None,
            bounds: None,
            verdict: Verdict::Proceed,
            reason: "nothing was compared yet".into(),
        };
        let all = lock(&self.trials.known);
        let Some(known) = all.get(id).filter(|k| about(&trial) == k.trial.about) else {
            return Some(told);
        };
        // Of several questions, the one on which the candidate stands worst.
        let standing = known.trial.standing();
        let asked = standing.questions.into_iter().filter(|q| q.pairs > 0);
        if let Some(worst) = asked.max_by(|a, b| a.mean.total_cmp(&b.mean)) {
            told.pairs = worst.pairs;
            told.difference = Some(worst.mean);
            told.bounds = worst.bounds;
        }
        told.verdict = verdict(&known.conclusion);
        told.reason = known.conclusion.why().to_owned();
        Some(told)
    }
}

/// In a judge's words.
fn verdict(conclusion: &Conclusion) -> Verdict {
    match conclusion {
        Conclusion::Continue { starved: true, .. } => Verdict::Starved,
        Conclusion::Continue { starved: false, .. } | Conclusion::Watched(_) => Verdict::Proceed,
        Conclusion::Ready(_) | Conclusion::Promote(_) => Verdict::Promote,
        Conclusion::RollBack(_) => Verdict::RollBack,
        Conclusion::Inconclusive(_) | Conclusion::Refused(_) => Verdict::Inconclusive,
    }
}

#[cfg(test)]
mod tests;
