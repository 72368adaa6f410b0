//! Prints what the engine costs on this machine: `cargo run -p tidegate-hostile --example figures`.
//!
//! Nothing is asserted, since shared machines drift; compare figures of one run.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use tidegate_engine::{Engine, Limits, Options, Policy, Source};
use tidegate_hostile::{Guest, horizon, states};

fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("tidegate-figures-{}", std::process::id()));
    let options = Options {
        cache: Some(directory.clone()),
        ..Options::default()
    };
    let engine = Engine::new(options.clone())?;
    say(&format!("instances from {:?}", engine.allocation()));
    let guests: Vec<Vec<u8>> = (0..50)
        .map(|n| Guest::forecaster(&format!("m{n}")).stamp(n).build())
        .collect::<Result<_>>()?;
    let limits = Limits::default();
    let (compiled, loaded) = timed(|| engine.admit(&guests[0], &limits));
    let loaded = loaded?;
    say(&format!(
        "admit {} bytes, compiling: {compiled:?}",
        guests[0].len()
    ));
    for bytes in &guests {
        engine.admit(bytes, &limits)?;
    }
    let (start, second) = timed(|| -> Result<Engine> {
        let engine = Engine::new(options)?;
        for bytes in &guests {
            if engine.admit(bytes, &limits)?.source() != Source::Cached {
                bail!("a module was not in the cache");
            }
        }
        Ok(engine)
    });
    second?;
    say(&format!("start with 50 cached modules: {start:?}"));
    let Policy::Forecaster(policy) = loaded.policy() else {
        bail!("the guest is no forecaster")
    };
    // Series and steps such that the answer has the named size: mean and three levels of f64.
    for (what, series, steps) in [
        ("64 B out", 1, 2),
        ("1 KB out", 1, 32),
        ("80 KB out", 10, 250),
    ] {
        let seeds: Vec<u64> = (0..series).collect();
        let (asked, states) = (horizon(&seeds, steps), states(seeds.len()));
        let mut times: Vec<Duration> = vec![];
        for _ in 0..5000 {
            let (time, answer) = timed(|| policy.predict(&[7; 1024], &states, &asked));
            answer?;
            times.push(time);
        }
        times.sort();
        let at = |part: usize| times[times.len() * part / 100];
        say(&format!(
            "fresh instance and predict, 1 KB in, {what}: median {:?}, p99 {:?}",
            at(50),
            at(99)
        ));
    }
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = f();
    (start.elapsed(), value)
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn say(text: &str) {
    println!("{text}");
}
