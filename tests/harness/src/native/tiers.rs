//! The shipped tierer, natively: its columns are core's under other names, its state its own bytes.

use super::{config, said};
use tidegate_core::policy::{Blob, CallError, TierInput, TierOutput, Tierer};
use tidegate_core::tier::Tier;
use tidegate_model_slo_tiers as model;

fn model_tier(tier: Tier) -> model::Tier {
    match tier {
        Tier::Bronze => model::Tier::Bronze,
        Tier::Silver => model::Tier::Silver,
        Tier::Gold => model::Tier::Gold,
    }
}

fn core_tier(tier: model::Tier) -> Tier {
    match tier {
        model::Tier::Bronze => Tier::Bronze,
        model::Tier::Silver => Tier::Silver,
        model::Tier::Gold => Tier::Gold,
    }
}

/// Tiers that follow the error budget.
#[derive(Debug)]
pub(super) struct SloTiers;

impl Tierer for SloTiers {
    fn decide(&self, text: &str, input: &TierInput) -> Result<TierOutput, CallError> {
        let config = config(text)?;
        let column = |tiers: &[Tier]| tiers.iter().copied().map(model_tier).collect();
        let question = model::Input {
            now: input.now.0,
            state: input.state.bytes.clone(),
            apis: input.apis.clone(),
            current: column(&input.current),
            base: column(&input.base),
            lowest: column(&input.lowest),
            highest: column(&input.highest),
            expected: input.expected.clone(),
            levels: input.levels.iter().map(|l| l.get()).collect(),
            peak: input.peak.clone(),
            utilisation: input.utilisation.clone(),
            burn_windows: input.burn_windows.clone(),
            burn: input.burn.clone(),
            budget_left: input.budget_left.clone(),
        };
        let output = model::decide(&config, &question).map_err(|e| CallError::Policy(said(&e)))?;
        Ok(TierOutput {
            wanted: output.wanted.into_iter().map(core_tier).collect(),
            reasons: output.reasons,
            state: Blob {
                format: model::STATE_FORMAT,
                bytes: output.state,
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
