//! A tierer of interface 0.1: every api in its base tier. Its state, of format 1, is how often it was asked.

wit_bindgen::generate!({ world: "tierer", path: "../../../../../wit/0.1", generate_all });

use exports::tidegate::policy::tiering::{
    Blob, Description, Guest, PolicyError, TierInput, TierOutput,
};
use tidegate::policy::types::ModuleKind;

struct Steady;

impl Guest for Steady {
    fn describe() -> Description {
        Description {
            name: "steady-tiers".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            kind: ModuleKind::Tierer,
            config_schema: include_str!("../../../config.schema.json").into(),
            state_format: 1,
        }
    }

    fn decide(input: TierInput) -> Result<TierOutput, PolicyError> {
        let asked = input
            .state
            .bytes
            .first()
            .copied()
            .unwrap_or(0)
            .saturating_add(1);
        Ok(TierOutput {
            reasons: input
                .base
                .iter()
                .map(|_| format!("asked {asked} times"))
                .collect(),
            wanted: input.base,
            state: Blob {
                format: 1,
                bytes: vec![asked],
            },
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        match state.format {
            1 => Ok(state),
            other => Err(PolicyError::Unsupported(format!(
                "a state of format {other}"
            ))),
        }
    }
}

export!(Steady);
