//! The next version of the same tierer, of interface 0.2: it counts in two bytes, format 2.

wit_bindgen::generate!({ world: "tierer", path: "../../../../../wit/0.2", generate_all });

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
            state_format: 2,
        }
    }

    fn decide(input: TierInput) -> Result<TierOutput, PolicyError> {
        let before = <[u8; 2]>::try_from(&input.state.bytes[..]).unwrap_or_default();
        let asked = u16::from_le_bytes(before).saturating_add(1);
        Ok(TierOutput {
            reasons: input
                .base
                .iter()
                .map(|_| format!("asked {asked} times"))
                .collect(),
            wanted: input.base,
            state: Blob {
                format: 2,
                bytes: asked.to_le_bytes().to_vec(),
            },
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        match (state.format, &state.bytes[..]) {
            (2, _) => Ok(state),
            (1, &[asked]) => Ok(Blob {
                format: 2,
                bytes: vec![asked, 0],
            }),
            // More would not have fitted into a byte, and nobody knows how much more.
            (1, _) => Err(PolicyError::Numeric("a count of more than one byte".into())),
            (other, _) => Err(PolicyError::Unsupported(format!(
                "a state of format {other}"
            ))),
        }
    }
}

export!(Steady);
