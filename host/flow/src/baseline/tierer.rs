//! Every api in the tier that its owner wants in quiet times.

use tidegate_core::policy::{Blob, CallError, PolicyError, TierInput, TierOutput, Tierer};

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct BaseTier;

impl Tierer for BaseTier {
    fn decide(&self, _config: &str, input: &TierInput) -> Result<TierOutput, CallError> {
        Ok(TierOutput {
            wanted: input.base.clone(),
            reasons: vec![
                "the engine's own rule: the tier that the owner declared".into();
                input.base.len()
            ],
            state: Blob::default(),
        })
    }

    fn migrate(&self, _state: &Blob) -> Result<Blob, CallError> {
        Err(CallError::Policy(PolicyError::Unsupported(
            "the baseline keeps no state".into(),
        )))
    }
}
