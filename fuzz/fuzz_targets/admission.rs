//! The whole of admission on anything, and one call of each function to what passes.
//!
//! An input that begins like a component is taken as one; any other is a number of a good guest and edits of
//! it, since a random byte in a length ends most components before anything of interest is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidegate_engine::{AdmissionError, Engine, Options, Policy};
use tidegate_fuzz::{edited, good, limits};
use tidegate_hostile::{frames, horizon, states};
use wasmparser::{Validator, WasmFeatures};

static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(good);
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let options = Options {
        instances: 4,
        memory_max: 4 << 20,
        ..Options::default()
    };
    Engine::new(options).expect("an engine starts")
});

fuzz_target!(|data: &[u8]| {
    let component = match data {
        [0, b'a', ..] => data.to_vec(),
        [which, edits @ ..] => edited(GOOD[usize::from(*which) % GOOD.len()].clone(), edits),
        [] => return,
    };
    match ENGINE.admit(&component, &limits()) {
        Ok(loaded) => {
            if let Policy::Forecaster(policy) = loaded.policy() {
                let (states, horizon) = (states(2), horizon(&[1, 2], 3));
                let _ = policy.fit("{}", &frames(&[1, 2]));
                let _ = policy.predict(&[], &states, &horizon);
                let _ = policy.update(&[], &states, &frames(&[1, 2]));
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 4096, "a refusal of {} bytes", text.len());
            // What the standard allows may be refused for its limits, not for what it became here.
            if let AdmissionError::Invalid(text) = &error {
                let features = WasmFeatures::WASM2 | WasmFeatures::COMPONENT_MODEL;
                let is_valid = Validator::new_with_features(features).validate_all(&component);
                assert!(is_valid.is_err(), "valid before it was rewritten: {text}");
            }
        }
    }
});
