//! The shipped judge, natively: the same counts and paired losses as the component gets, and its state as its own
//! bytes, so that a test judges by what a daemon judges by.

use super::{config, said};
use tidegate_core::policy::{Blob, CallError, Evidence, Judge, JudgeInput, Judgement, Verdict};
use tidegate_model_sequential_judge as model;

/// Sequential tests.
#[derive(Debug)]
pub(super) struct Sequential;

impl Judge for Sequential {
    fn judge(&self, text: &str, input: &JudgeInput) -> Result<Judgement, CallError> {
        let config = config(text)?;
        let metrics = input.metrics.iter().map(|m| model::Metric {
            name: m.name.clone(),
            group: m.group.clone(),
            rho_warn: m.rho_warn,
            rho_rollback: m.rho_rollback,
            rho_promote: m.rho_promote,
            critical: m.critical,
        });
        let question = model::Input {
            now: input.now.0,
            state: input.state.bytes.clone(),
            metrics: metrics.collect(),
            flushes: input.flushes.iter().map(|t| t.0).collect(),
            counts: model::Counts {
                shadow_events: input.counts.shadow_events.clone(),
                shadow_requests: input.counts.shadow_requests.clone(),
                production_events: input.counts.production_events.clone(),
                production_requests: input.counts.production_requests.clone(),
            },
            dispersion: input.dispersion.clone(),
            paired_losses: input.paired_losses.clone(),
            paired_horizon: input.paired_horizon,
            remaining: input.remaining_s,
        };
        let said = model::judge(&config, &question).map_err(|e| CallError::Policy(said(&e)))?;
        let evidence = said.evidence.into_iter().map(|e| Evidence {
            metric: e.metric,
            harm: e.harm,
            warning: e.warning,
            parity: e.parity,
            ratio_low: e.ratio_low,
            ratio_high: e.ratio_high,
            shadow_events: e.shadow_events,
            shadow_requests: e.shadow_requests,
        });
        Ok(Judgement {
            verdict: match said.verdict {
                model::Verdict::Continue => Verdict::Proceed,
                model::Verdict::Promote => Verdict::Promote,
                model::Verdict::RollBack => Verdict::RollBack,
                model::Verdict::Starved => Verdict::Starved,
                model::Verdict::Inconclusive => Verdict::Inconclusive,
            },
            reason: said.reason,
            evidence: evidence.collect(),
            state: Blob {
                format: model::STATE_FORMAT,
                bytes: said.state,
            },
        })
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        let bytes = model::migrate(&state.bytes).map_err(|e| CallError::Policy(said(&e)))?;
        Ok(Blob {
            format: model::STATE_FORMAT,
            bytes,
        })
    }
}
