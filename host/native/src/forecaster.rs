//! One adapter for every plugin: the functions that its component exports, called as plain Rust.
//!
//! A panic is caught here and told as the trap that it would be in the sandbox, so that one bad
//! series of an evaluation does not end it. What the sandbox adds is absent: deadlines, memory
//! limits, a fresh memory for each call. A policy has no memory of its own between calls by the
//! rules of the interface, so that the answers are the same.

use crate::convert;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tidegate_core::policy::{
    Advanced, Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon,
};
use tidegate_guest::wit::forecaster::exports::tidegate::policy::forecasting::Guest;

/// The component `G` (of either shape: one series at a time, or a cohort together) as `core` calls
/// it.
pub struct Native<G>(PhantomData<fn() -> G>);

impl<G> Native<G> {
    /// The component `G`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<G> Default for Native<G> {
    fn default() -> Self {
        Self::new()
    }
}

impl<G: Guest> std::fmt::Debug for Native<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Native").field(&G::describe().name).finish()
    }
}

/// Calls the policy; a panic is a trap.
fn call<T>(body: impl FnOnce() -> Result<T, CallError>) -> Result<T, CallError> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("the policy panicked").to_owned();
        Err(CallError::Trap(text))
    })
}

impl<G: Guest> Forecaster for Native<G> {
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        call(|| {
            let frames = convert::frames(frames);
            convert::fitted(G::fit(config.to_owned(), base.to_vec(), frames))
        })
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        call(|| {
            let (states, frames) = (convert::blobs_in(states), convert::frames(frames));
            convert::fitted(G::update(model.to_vec(), states, frames))
        })
    }

    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        call(|| {
            let (states, ask) = (convert::blobs_in(states), convert::horizon(horizon));
            convert::forecasts(G::predict(model.to_vec(), states, ask))
        })
    }

    fn advance(
        &self,
        model: &[u8],
        states: &Blobs,
        news: &Frames,
        horizon: &Horizon,
    ) -> Result<Advanced, CallError> {
        call(|| {
            let (states, news) = (convert::blobs_in(states), convert::frames(news));
            let ask = convert::horizon(horizon);
            convert::advanced(G::advance(model.to_vec(), states, news, ask))
        })
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        call(|| convert::fitted(G::migrate(model.to_vec(), convert::blobs_in(states))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecasters;
    use tidegate_core::invariant::check_forecasts;
    use tidegate_core::policy::PolicyError;
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::{Level, Signal};

    fn frames(from: i64, values: &[f64]) -> Frames {
        let hour = Step::from_secs(3600).unwrap();
        let mut frames = Frames::new(hour);
        let start = Timestamp(0).plus_steps(hour, from);
        frames.push(Signal::Requests, start, values, 7);
        frames
    }

    fn ask(from: i64) -> Horizon {
        let hour = Step::from_secs(3600).unwrap();
        Horizon {
            step: hour,
            steps: 24,
            levels: Level::STANDARD.to_vec(),
            starts: vec![Timestamp(0).plus_steps(hour, from)],
            future: tidegate_core::policy::Covariates::default(),
            seeds: vec![7],
        }
    }

    fn day(t: i64) -> f64 {
        100.0 + 10.0 * (t % 24) as f64 + (t * 7919 % 13) as f64
    }

    #[test]
    fn every_linked_forecaster_fits_predicts_moves_on_and_migrates() {
        let all: Vec<f64> = (0..336).map(day).collect();
        for linked in forecasters() {
            let name = &linked.name;
            let fitted = linked.forecaster.fit("{}", &frames(0, &all)).expect(name);
            let first = linked
                .forecaster
                .predict(&fitted.model, &fitted.states, &ask(336))
                .expect(name);
            assert_eq!(check_forecasts(&ask(336), &first), Ok(()), "{name}");
            let moved = linked
                .forecaster
                .update(&fitted.model, &fitted.states, &frames(336, &[day(336)]))
                .expect(name);
            let next = linked
                .forecaster
                .predict(&moved.model, &moved.states, &ask(337))
                .expect(name);
            assert_eq!(check_forecasts(&ask(337), &next), Ok(()), "{name}");
            let same = linked.forecaster.migrate(&moved.model, &moved.states);
            assert_eq!(same.expect(name), moved, "{name}");
        }
    }

    #[test]
    fn names_are_those_that_bindings_use() {
        let names: Vec<String> = forecasters().into_iter().map(|l| l.name).collect();
        assert!(names.contains(&"ets".to_owned()), "{names:?}");
        assert!(names.iter().all(|n| !n.contains("tidegate")), "{names:?}");
    }

    #[test]
    fn a_wrong_config_is_the_policys_own_error() {
        let linked = crate::forecaster("ets").unwrap();
        let refused = linked
            .forecaster
            .fit(r#"{"sesaon":1}"#, &frames(0, &[1.0; 48]));
        let Err(CallError::Policy(PolicyError::InvalidInput(text))) = refused else {
            panic!("{refused:?}");
        };
        assert!(text.contains("sesaon"), "{text}");
    }
}
