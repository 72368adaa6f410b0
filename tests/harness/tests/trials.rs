//! Two versions that are equally good are not taken for better and worse, however long one looks.
#![expect(
    clippy::unwrap_used,
    reason = "a test's fixture may unwrap; clippy only knows #[test] functions"
)]

use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::life::{Gate, Promotion};
use tidegate_core::policy::{Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon};
use tidegate_core::tier::Tier;
use tidegate_engine::Policy;
use tidegate_harness::{Load, Native, World, day, gate, native};

/// A forecaster with errors of its own on top, of the same law for every salt.
#[derive(Debug)]
struct Noisy {
    inner: Arc<dyn Forecaster>,
    salt: &'static str,
}

impl Forecaster for Noisy {
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        self.inner.fit_from(config, base, frames)
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        self.inner.update(model, states, frames)
    }

    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        let mut answer = self.inner.predict(model, states, horizon)?;
        let steps = horizon.steps as usize;
        let width = steps * horizon.levels.len();
        for (series, seed) in horizon.seeds.iter().enumerate() {
            let drawn = canonical::seed(*seed, "noise", self.salt, 0) % 10_001;
            let factor = 0.8 + 0.4 * drawn as f64 / 10_000.0;
            let mean = &mut answer.mean[series * steps..(series + 1) * steps];
            mean.iter_mut().for_each(|m| *m *= factor);
            let rows = &mut answer.quantiles[series * width..(series + 1) * width];
            rows.iter_mut().for_each(|q| *q *= factor);
        }
        Ok(answer)
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        self.inner.migrate(model, states)
    }
}

fn noisy(version: &'static str) -> Native {
    let Some(Policy::Forecaster(inner)) = native("seasonal-naive").map(|n| n.policy) else {
        panic!("it is shipped as a forecaster");
    };
    let salt = version;
    Native::new(
        "noisy",
        version,
        Policy::Forecaster(Arc::new(Noisy { inner, salt })),
    )
}

fn world(seed: u64) -> World {
    let load = |peak: i64| Load::day(100.0, 400.0, peak * 3600).noise(0.1);
    let mut world = gate()
        .seed(seed)
        .pool("edge", 20.0)
        .api("shop/orders", Tier::Gold)
        .api("shop/search", Tier::Silver)
        .feed("shop/orders", load(12))
        .feed("shop/search", load(15))
        .policy("judging", native("sequential-judge").unwrap())
        .policy("forecasts", noisy("1"))
        .policy("shares", native("waterfill").unwrap())
        .start()
        .unwrap();
    world.push(noisy("2"));
    world
}

#[test]
fn equally_good_versions_are_not_rolled_back_over_weeks() {
    const WORLDS: u64 = 3;
    // Nobody promotes, so that the comparison goes on.
    let gate = Gate {
        promote: Promotion::Manual,
        max_duration_s: Gate::LONGEST_S,
        ..Gate::default()
    };
    let mut pairs = 0;
    for seed in 1..=WORLDS {
        let mut world = world(seed);
        let (forecasts, shares) = ("forecasts".parse().unwrap(), "shares".parse().unwrap());
        world.shadow(&forecasts, "noisy@2", "{}", gate).unwrap();
        world
            .shadow(&shares, "waterfill@0.2.0", "{}", gate)
            .unwrap();
        world.run_until(day(12, 0, 0));
        let harmed: Vec<_> = world
            .journal()
            .iter()
            .filter(|n| n.text.contains("quarantined"))
            .collect();
        assert!(harmed.is_empty(), "world {seed}: {harmed:?}");
        let trials = world.trials();
        assert_eq!(trials.len(), 2);
        pairs += trials.iter().map(|t| t.questions[0].pairs).sum::<u64>();
        let forecasts = &trials[0].questions;
        assert!(
            forecasts.iter().all(|q| q.worse > q.pairs / 4),
            "{forecasts:?}"
        );
    }
    println!("no false alarm in {pairs} pairs of {WORLDS} worlds");
}
