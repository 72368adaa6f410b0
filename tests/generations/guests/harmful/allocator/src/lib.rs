//! An allocator that keeps every invariant and does harm: everybody keeps what they have, but Silver, which
//! falls in every plan as far as its steps allow, to a tenth of what it needs.

wit_bindgen::generate!({ world: "allocator", path: "../../../../../wit/0.1", generate_all });

use exports::tidegate::policy::allocation::{
    AllocationInput, AllocationOutput, Blob, Description, Guest, PolicyError,
};
use tidegate::policy::types::{ModuleKind, Tier};

struct Starving;

/// What is left to Silver of its demand.
const LEFT: f64 = 0.1;

impl Guest for Starving {
    fn describe() -> Description {
        Description {
            name: "starving".into(),
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
        for k in 0..d {
            let ready = |step: usize| input.capacity[step * d + k];
            let new = ready(0) / n as f64;
            let mut held: Vec<f64> = (0..n)
                .map(|i| match input.previous_limit[i * d + k] {
                    before if before < 0.0 => new,
                    before => before,
                })
                .collect();
            for step in 0..steps {
                for i in 0..n {
                    let at = (i * steps + step) * d + k;
                    if input.tiers[i] == Tier::Silver {
                        let least = held[i] * input.step_down[i];
                        held[i] = (LEFT * input.demand[at]).max(least).min(held[i]);
                    }
                    // Floors come first: what is declared is kept to the letter.
                    let floor = match input.tiers[i] {
                        Tier::Gold => input.floor[i * d + k],
                        Tier::Silver | Tier::Bronze => 0.0,
                    };
                    held[i] = held[i].max(floor).min(input.ceiling[i * d + k]);
                }
                let all: f64 = held.iter().sum();
                // Beyond the last bit of the sum.
                let part = if all > ready(step) { 0.999_999 * ready(step) / all } else { 1.0 };
                for i in 0..n {
                    held[i] *= part;
                    limit[(i * steps + step) * d + k] = held[i];
                }
            }
        }
        Ok(AllocationOutput {
            guaranteed: limit.clone(),
            limit,
            loans: vec![],
            wanted: input.capacity,
            reasons: (0..n).map(|_| "it keeps what it has".into()).collect(),
            state: Blob {
                format: 1,
                bytes: vec![],
            },
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        Ok(state)
    }
}

export!(Starving);
