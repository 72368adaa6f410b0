//! Tierers on trial: one that demotes everybody is found out, in shadow and after it was forced to serve;
//! one that is as good goes on, and two that err by the same law accuse nobody.
#![expect(
    clippy::unwrap_used,
    reason = "a test's fixture may unwrap; clippy only knows #[test] functions"
)]

use std::sync::Arc;
use tidegate_core::canonical;
use tidegate_core::ids::BindingId;
use tidegate_core::life::{Gate, Promotion};
use tidegate_core::policy::{Blob, CallError, TierInput, TierOutput, Tierer};
use tidegate_core::tier::Tier;
use tidegate_engine::Policy;
use tidegate_flow::shadow::{Conclusion, Standing};
use tidegate_harness::{Bind, Breakage, Load, Native, World, day, gate, native};

/// A tierer that now and then wants a level more, or less, of the same law for every salt.
#[derive(Debug)]
struct Fickle {
    inner: Arc<dyn Tierer>,
    salt: &'static str,
}

/// Of a hundred answers, those that are a level too low, and as many that are one too high.
const ERRS: u64 = 15;

impl Tierer for Fickle {
    fn decide(&self, config: &str, input: &TierInput) -> Result<TierOutput, CallError> {
        let mut answer = self.inner.decide(config, input)?;
        for (i, wanted) in answer.wanted.iter_mut().enumerate() {
            let key = i64::from_le_bytes(input.apis[i].to_le_bytes());
            let drawn = canonical::seed(input.seed, "fickle", self.salt, key) % 100;
            let at = Tier::ALL.iter().position(|t| t == wanted).unwrap_or(0);
            let other = match drawn {
                d if d < ERRS => at.saturating_sub(1),
                d if d >= 100 - ERRS => (at + 1).min(Tier::ALL.len() - 1),
                _ => at,
            };
            *wanted = Tier::ALL[other].clamp(input.lowest[i], input.highest[i]);
        }
        Ok(answer)
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        self.inner.migrate(state)
    }
}

fn fickle(version: &'static str) -> Native {
    let Some(Policy::Tierer(inner)) = native("slo-tiers").map(|n| n.policy) else {
        panic!("it is shipped as a tierer");
    };
    let salt = version;
    Native::new(
        "fickle",
        version,
        Policy::Tierer(Arc::new(Fickle { inner, salt })),
    )
}

fn tiers() -> BindingId {
    "tiers".parse().unwrap()
}

/// A pool with an api of each tier, whose tiers are chosen by `serving`.
fn world(seed: u64, serving: Native) -> World {
    let load = |peak: i64| Load::day(100.0, 400.0, peak * 3600).noise(0.1);
    gate()
        .seed(seed)
        .pool("edge", 20.0)
        .api("shop/orders", Tier::Gold)
        .api("shop/search", Tier::Silver)
        .api("shop/export", Tier::Bronze)
        .feed("shop/orders", load(12))
        .feed("shop/search", load(15))
        .feed("shop/export", load(3))
        .policy("judging", native("sequential-judge").unwrap())
        .policy("forecasts", native("seasonal-naive").unwrap())
        .policy("shares", native("waterfill").unwrap())
        .policy("tiers", serving)
        .start()
        .unwrap()
}

/// Nobody promotes, so that a comparison goes on.
fn watched_on() -> Gate {
    Gate {
        promote: Promotion::Manual,
        max_duration_s: Gate::LONGEST_S,
        ..Gate::default()
    }
}

fn serves(world: &World) -> String {
    let mut slots = world.slots().into_iter();
    let slot = slots.find(|s| s.binding == tiers()).unwrap();
    format!("{} {}", slot.active.name, slot.active.version)
}

fn told(world: &World, part: &str) -> Vec<String> {
    let notes = world.journal().iter().map(|n| n.text.clone());
    notes.filter(|text| text.contains(part)).collect()
}

fn only(world: &World) -> Standing {
    let mut all = world.trials();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn demoting(version: &str) -> Native {
    let candidate = native(&format!("slo-tiers@{version}")).unwrap();
    candidate.switch.set(Some(Breakage::DemoteAll));
    candidate
}

#[test]
fn one_that_demotes_everybody_is_ended_in_shadow_and_never_serves() {
    let mut world = world(5, native("slo-tiers").unwrap());
    world.push(demoting("0.2.0"));
    world.run_until(day(2, 8, 0));
    let gate = Gate::default();
    world
        .shadow(&tiers(), "slo-tiers@0.2.0", "{}", gate)
        .unwrap();
    world.run_until(day(3, 8, 0));
    let ended = told(&world, "shadow slo-tiers 0.2.0 ends and is quarantined");
    assert_eq!(ended.len(), 1, "{:?}", world.journal());
    assert!(ended[0].contains("worse than slo-tiers 0.1.0"), "{ended:?}");
    println!("{}", ended[0]);
    // Not again by itself (RB1).
    let again = world.shadow(&tiers(), "slo-tiers@0.2.0", "{}", gate);
    assert!(again.unwrap_err().to_string().contains("RB1"));
}

#[test]
fn one_that_was_forced_to_serve_and_demotes_everybody_is_taken_back() {
    let mut world = world(6, native("slo-tiers").unwrap());
    let candidate = demoting("0.2.0");
    world.push(candidate.clone());
    world.run_until(day(2, 8, 0));
    world.bind(Bind::new(tiers(), &candidate)).unwrap();
    assert_eq!(serves(&world), "slo-tiers 0.2.0");
    world.run_until(day(3, 8, 0));
    assert_eq!(serves(&world), "slo-tiers 0.1.0", "{:?}", world.journal());
    let back = told(
        &world,
        "rolled back from slo-tiers 0.2.0 to slo-tiers 0.1.0",
    );
    assert_eq!(back.len(), 1, "{:?}", world.journal());
}

#[test]
fn the_same_thinking_goes_on_for_as_long_as_nobody_promotes_it() {
    let mut world = world(7, native("slo-tiers").unwrap());
    world.push(native("slo-tiers@0.2.0").unwrap());
    world.run_until(day(2, 8, 0));
    world
        .shadow(&tiers(), "slo-tiers@0.2.0", "{}", watched_on())
        .unwrap();
    world.run_until(day(14, 8, 0));
    let standing = only(&world);
    let asked = &standing.questions[0];
    assert!(asked.pairs > 1000, "{asked:?}");
    assert_eq!((asked.worse, standing.faults), (0, 0));
    assert!(
        matches!(world.conclusion(&tiers()), Some(Conclusion::Ready(_))),
        "{:?}",
        world.conclusion(&tiers())
    );
    assert_eq!(told(&world, "quarantined"), Vec::<String>::new());
}

#[test]
fn one_that_errs_less_is_promoted_and_stays() {
    let mut world = world(8, fickle("1"));
    world.push(native("slo-tiers").unwrap());
    world.run_until(day(2, 8, 0));
    world
        .shadow(&tiers(), "slo-tiers@0.1.0", "{}", Gate::default())
        .unwrap();
    world.run_until(day(12, 8, 0));
    assert_eq!(serves(&world), "slo-tiers 0.1.0", "{:?}", world.journal());
    let stays = told(&world, "slo-tiers 0.1.0 stays");
    assert_eq!(stays.len(), 1, "{:?}", world.journal());
}

#[test]
fn two_that_err_by_the_same_law_accuse_nobody_over_weeks() {
    const WORLDS: u64 = 3;
    let mut pairs = 0;
    for seed in 1..=WORLDS {
        let mut world = world(seed, fickle("1"));
        world.push(fickle("2"));
        world
            .shadow(&tiers(), "fickle@2", "{}", watched_on())
            .unwrap();
        world.run_until(day(12, 0, 0));
        assert_eq!(told(&world, "quarantined"), Vec::<String>::new());
        let standing = only(&world);
        let asked = &standing.questions[0];
        // Both did err, and not at the same times.
        assert!(asked.worse > asked.pairs / 10, "{asked:?}");
        assert!(asked.mean.abs() < 0.1, "{asked:?}");
        pairs += asked.pairs;
    }
    println!("no false alarm in {pairs} pairs of {WORLDS} worlds");
}
