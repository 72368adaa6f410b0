//! An allocator of interface 0.1: floors, and what is left of each dimension in equal parts. Its state, of
//! format 1, is how often it was asked.

wit_bindgen::generate!({ world: "allocator", path: "../../../../../wit/0.1", generate_all });

use exports::tidegate::policy::allocation::{
    AllocationInput, AllocationOutput, Blob, Description, Guest, PolicyError,
};
use tidegate::policy::types::ModuleKind;

struct Steady;

impl Guest for Steady {
    fn describe() -> Description {
        Description {
            name: "steady-shares".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            kind: ModuleKind::Allocator,
            config_schema: include_str!("../../../config.schema.json").into(),
            state_format: 1,
        }
    }

    fn allocate(input: AllocationInput) -> Result<AllocationOutput, PolicyError> {
        let (n, d) = (input.apis.len(), input.dimensions.len());
        let steps = input.steps as usize;
        let mut limit = vec![0.0; n * steps * d];
        for step in 0..steps {
            for k in 0..d {
                let ready = input.capacity[step * d + k];
                let floors: f64 = (0..n).map(|i| input.floor[i * d + k]).sum();
                let part = if floors > ready { ready / floors } else { 1.0 };
                let left = (ready - floors).max(0.0) / n as f64;
                for i in 0..n {
                    let share = input.floor[i * d + k] * part + left;
                    limit[(i * steps + step) * d + k] = share.min(input.ceiling[i * d + k]);
                }
            }
        }
        let asked = input
            .state
            .bytes
            .first()
            .copied()
            .unwrap_or(0)
            .saturating_add(1);
        Ok(AllocationOutput {
            guaranteed: limit.clone(),
            limit,
            loans: vec![],
            wanted: input.capacity,
            reasons: (0..n)
                .map(|_| format!("an equal part, asked {asked} times"))
                .collect(),
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
