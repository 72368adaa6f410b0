//! What follows from a conclusion: the act, and an alert where harm was found.
//!
//! The acts are [`life`]'s, so that the journal tells them as it tells those of people, with the evidence
//! for a reason. One that is refused, because somebody has changed the binding meanwhile, is told in the
//! log and not forced: the trial is looked at again with the next cycle, as the binding then is. A promotion
//! that the candidate itself does not allow, since it does not read what the version before has stored, ends
//! the shadow: it would be refused again, at the cost of another rehearsal.

use crate::life::{self, End, Word};
use crate::world::{World, lock};
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::ids::PoolId;
use tidegate_core::life::Side;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::time::Timestamp;
use tidegate_flow::shadow::{Conclusion, Trial};

/// Does what a trial came to; answers whether it is done.
pub(super) fn draw(
    world: &World,
    of: &life::Trial,
    trial: &Trial,
    conclusion: &Conclusion,
    pool: Option<&PoolId>,
    now: Timestamp,
) -> bool {
    let id = &of.binding;
    let evidence = match figures(trial) {
        figures if figures.is_empty() => conclusion.why().to_owned(),
        figures => format!("{} ({figures})", conclusion.why()),
    };
    let word = Word::gate(evidence.clone());
    let done = match (conclusion, of.serving) {
        (Conclusion::Continue { .. } | Conclusion::Ready(_), _) => return false,
        (Conclusion::Promote(_), _) => {
            let done = life::promote(world, id, &word);
            if done.is_ok() {
                hand_over(world, trial);
            }
            done
        }
        (Conclusion::Inconclusive(_) | Conclusion::Refused(_), _) => {
            life::end_shadow(world, id, End::Harmless, &word)
        }
        (Conclusion::Watched(_), _) => life::end_watch(world, id, &word),
        (Conclusion::RollBack(_), Side::Incumbent) => {
            life::end_shadow(world, id, End::Harmful, &word)
        }
        (Conclusion::RollBack(_), Side::Candidate) => life::roll_back(world, id, &word),
    };
    let outcome = conclusion.name();
    if let (Conclusion::Promote(_), Err(ServeError::Precondition(why))) = (conclusion, &done) {
        tracing::error!(binding = %id, candidate = %of.candidate.module, "as good, and not promoted: {why}");
        let word = Word::gate(format!("as good, and not promoted: {why}"));
        return life::end_shadow(world, id, End::Harmless, &word).is_ok();
    }
    if let Err(error) = done {
        tracing::error!(binding = %id, outcome, error = %error, "what a gate has concluded could not be done: {evidence}");
        return false;
    }
    world.metrics.trial_concluded(of.kind.name(), outcome);
    if let Conclusion::RollBack(_) = conclusion {
        tracing::error!(binding = %id, candidate = %of.candidate.module, outcome, "{evidence}");
        if let Some(pool) = pool {
            world.raise_one(pool, now, alert(of, pool, &evidence, now));
        }
    } else {
        tracing::info!(binding = %id, candidate = %of.candidate.module, outcome, "{evidence}");
    }
    true
}

fn alert(of: &life::Trial, pool: &PoolId, evidence: &str, now: Timestamp) -> Alert {
    let (done, severity) = match of.serving {
        Side::Incumbent => ("its shadow has ended", Severity::Warning),
        Side::Candidate => ("it was rolled back", Severity::Critical),
    };
    Alert {
        kind: AlertKind::ModuleFault,
        severity,
        pool: Some(pool.clone()),
        api: None,
        subject: of.candidate.module.name.clone(),
        at: now,
        message: format!(
            "{} does harm at binding {}: {evidence}. {done} and it is quarantined there; `tidegate policy history {}` tells its life",
            of.candidate.module, of.binding, of.binding
        ),
    }
}

/// Gives what a promoted forecaster has learned of its own promises to the pools of its series.
fn hand_over(world: &World, trial: &Trial) {
    let catalog = world.catalog.load_full();
    for track in trial.tracks() {
        if let Some(api) = catalog.apis.get(&track.key.api) {
            lock(&world.pool(&api.value.pool)).tracks.put(track.clone());
        }
    }
}

/// The judge's figures, question by question, of those of which there are any.
fn figures(trial: &Trial) -> String {
    let standing = trial.standing();
    let asked = standing.questions.iter().filter(|q| q.pairs > 0);
    let all = asked.map(|q| {
        let harm = q.evidence.as_ref();
        let harm = harm.map_or_else(String::new, |e| {
            format!(", evidence of harm {:.2e}", e.harm)
        });
        format!(
            "{}: lost more in {} of {} pairs, by {:+.1} % in the mean{harm}",
            q.name,
            q.worse,
            q.pairs,
            100.0 * q.mean
        )
    });
    all.collect::<Vec<_>>().join("; ")
}
