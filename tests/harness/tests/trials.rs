//! Two versions that are equally good are not taken for better and worse, however long one looks; and the
//! past tells a good one from a bad one before it is in shadow.
#![expect(
    clippy::unwrap_used,
    reason = "a test's fixture may unwrap; clippy only knows #[test] functions"
)]

use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::life::{Gate, Promotion, Side, Version};
use tidegate_core::policy::{Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, Horizon};
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::Tier;
use tidegate_core::units::Signal;
use tidegate_engine::Policy;
use tidegate_flow::shadow::past::{self, Figures, Forecasters};
use tidegate_flow::shadow::{About, Input, Silent, Trial};
use tidegate_harness::{Breakage, Load, Native, World, day, gate, native};

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

fn version(native: &Native) -> Version {
    Version {
        module: native.module.clone(),
        config: "{}".into(),
    }
}

fn member<P: ?Sized>(native: &Native, policy: &Arc<P>) -> Member<P> {
    Member {
        module: native.module.clone(),
        binding: None,
        retreat: Retreat::Active,
        config: "{}".into(),
        policy: policy.clone(),
    }
}

/// What two days of a world that has run say of a candidate.
fn rehearsed(world: &World, candidate: &Native, incumbent: &Native) -> Figures {
    let (step, horizon) = (world.settings().step, world.settings().horizon);
    let about = About {
        binding: "default".parse().unwrap(),
        kind: candidate.kind(),
        serves: Side::Incumbent,
        candidate: version(candidate),
        incumbent: version(incumbent),
        since: world.now(),
    };
    let trial = Trial::new(about, step, horizon).unwrap();
    let (nobody, rules) = (Roster::of(vec![]), Gate::default());
    let edge = "edge".parse().unwrap();
    let records = world.records(&edge);
    let input = |silent| Input {
        now: world.now(),
        seed: 1,
        step,
        horizon,
        trial: &trial,
        gate: &rules,
        silent,
        scenes: &[],
        judge: &nobody,
        history: world.store(),
        catalog: world.catalog(),
    };
    match (&candidate.policy, &incumbent.policy) {
        (Policy::Allocator(policy), _) => {
            let silent = member(candidate, policy);
            let input = input(Silent::Allocator(&silent));
            let all = records.into_iter().map(Ok);
            past::records(&input, &edge, all, |_| false).unwrap()
        }
        (Policy::Tierer(one), Policy::Tierer(other)) => {
            let (silent, serving) = (member(candidate, one), member(incumbent, other));
            let input = input(Silent::Tierer {
                silent: &silent,
                serving: &serving,
            });
            let all = records.into_iter().map(Ok);
            past::records(&input, &edge, all, |_| true).unwrap()
        }
        (Policy::Forecaster(one), Policy::Forecaster(other)) => {
            let (candidate, incumbent) = (member(candidate, one), member(incumbent, other));
            let keys = ["shop/orders", "shop/search"].map(|api| SeriesKey {
                api: api.parse().unwrap(),
                signal: Signal::Requests,
            });
            let of = Forecasters {
                candidate: &candidate,
                incumbent: &incumbent,
                keys: &keys,
                window: 7 * 288,
                record: &records[0].clone().into(),
            };
            let window = (world.now().plus_ms(-86_400_000), world.now());
            let input = input(Silent::Forecaster(&candidate));
            past::forecasts(&input, &of, window, || false).unwrap()
        }
        _ => panic!("two of one kind"),
    }
}

#[test]
fn the_past_refuses_what_would_have_done_harm_and_lets_the_same_thinking_pass() {
    let load = |peak: i64| Load::day(100.0, 400.0, peak * 3600).noise(0.05);
    let mut world = gate()
        .pool("edge", 10.0)
        .api("shop/orders", Tier::Gold)
        .api("shop/search", Tier::Silver)
        .feed("shop/orders", load(12))
        .feed("shop/search", load(15))
        .policy("forecasts", native("seasonal-naive").unwrap())
        .policy("tiers", native("slo-tiers").unwrap())
        .policy("shares", native("waterfill").unwrap())
        .start()
        .unwrap();
    world.run_until(day(4, 0, 0));
    let check = |candidate: &str, breakage: Option<Breakage>, incumbent: &str, refused: bool| {
        let candidate = native(candidate).unwrap();
        candidate.switch.set(breakage);
        let figures = rehearsed(&world, &candidate, &native(incumbent).unwrap());
        assert!(figures.pairs > past::LEAST, "{figures:?}");
        assert_eq!(figures.exceeds(0.1), refused, "{figures:?}");
    };
    check("waterfill@0.2.0", None, "waterfill", false);
    check(
        "proportional",
        Some(Breakage::StarveSilver),
        "waterfill",
        true,
    );
    check("slo-tiers@0.2.0", None, "slo-tiers", false);
    check("slo-tiers@0.2.0", Some(Breakage::Trap), "slo-tiers", true);
    check("seasonal-naive@0.2.0", None, "seasonal-naive", false);
    check("ets", None, "seasonal-naive", false);
    check(
        "seasonal-naive@0.2.0",
        Some(Breakage::DoubleEvenings),
        "seasonal-naive",
        true,
    );
}
