//! Waits: without a judge, nothing is promoted and nothing is rolled back.

use tidegate_core::policy::{
    Blob, CallError, Evidence, Judge, JudgeInput, Judgement, PolicyError, Verdict,
};

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wait;

impl Judge for Wait {
    fn judge(&self, _config: &str, input: &JudgeInput) -> Result<Judgement, CallError> {
        let verdict = if input.remaining_s == 0 {
            Verdict::Inconclusive
        } else {
            Verdict::Proceed
        };
        let evidence = input.metrics.iter().enumerate().map(|(i, metric)| {
            let sum = |column: &[u64]| {
                column
                    .iter()
                    .skip(i)
                    .step_by(input.metrics.len())
                    .fold(0_u64, |a, &b| a.saturating_add(b))
            };
            Evidence {
                metric: metric.name.clone(),
                harm: 1.0,
                warning: 1.0,
                parity: 1.0,
                ratio_low: 0.0,
                ratio_high: f64::MAX,
                shadow_events: sum(&input.counts.shadow_events),
                shadow_requests: sum(&input.counts.shadow_requests),
            }
        });
        Ok(Judgement {
            verdict,
            reason: "the engine's own rule: no judge is bound, so nothing is concluded".into(),
            evidence: evidence.collect(),
            state: Blob::default(),
        })
    }

    fn migrate(&self, _state: &Blob) -> Result<Blob, CallError> {
        Err(CallError::Policy(PolicyError::Unsupported(
            "the baseline keeps no state".into(),
        )))
    }
}
