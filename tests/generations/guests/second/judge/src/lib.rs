//! A judge of interface 0.2, which rolls back as its first version does. Its state is of format 2: it takes over
//! those of format 1 that were shown a flush, and fails at the others.

wit_bindgen::generate!({ world: "judge", path: "../../../../../wit/0.2", generate_all });

use exports::tidegate::policy::judging::{
    Blob, Description, Guest, JudgeInput, Judgement, PolicyError, Verdict,
};
use tidegate::policy::types::ModuleKind;

struct Steady;

impl Guest for Steady {
    fn describe() -> Description {
        Description {
            name: "steady-judge".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            kind: ModuleKind::Judge,
            config_schema: include_str!("../../../config.schema.json").into(),
            state_format: 2,
        }
    }

    fn judge(input: JudgeInput) -> Result<Judgement, PolicyError> {
        let sum = |column: &[u64]| column.iter().sum::<u64>() as f64;
        let counts = &input.counts;
        let shadow = sum(&counts.shadow_events) / sum(&counts.shadow_requests).max(1.0);
        let production = sum(&counts.production_events) / sum(&counts.production_requests).max(1.0);
        let before = input.state.bytes.first().copied().unwrap_or(0);
        let shown = before.saturating_add(input.flushes.len() as u8);
        let verdict = match shadow > 2.0 * production {
            true => Verdict::RollBack,
            false => Verdict::Proceed,
        };
        Ok(Judgement {
            verdict,
            reason: format!("{shown} flushes"),
            evidence: vec![],
            state: Blob {
                format: 2,
                bytes: vec![shown],
            },
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        match state.format {
            2 => Ok(state),
            1 if state.bytes.iter().all(|b| *b == 0) => {
                Err(PolicyError::Numeric("nothing was shown to it".into()))
            }
            1 => Ok(Blob { format: 2, ..state }),
            other => Err(PolicyError::Unsupported(format!(
                "a state of format {other}"
            ))),
        }
    }
}

export!(Steady);
