//! `tidegate demo`: the main job on real traces, through the front door.
//!
//! A daemon of its own process is fed over gRPC by simulated services that live through real request
//! rates; what they may use is what an enforcer reads from the daemon's plans. The same services,
//! with the same seeds, live through the same days under a static split and under a reactive
//! autoscaler's law. Half-way through, forecaster and allocator are swapped while clients keep
//! calling. The summary is computed from the ledger's plans and from what the services saw; nothing
//! in it is known beforehand.

mod daemon;
mod draw;
mod live;
mod prober;
mod setup;
mod summary;
mod traces;
mod wire;

pub(crate) use summary::{Summary, Violations};

use crate::clock::stopwatch;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// What may be chosen.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Live days to play, 1 or 2.
    pub(crate) days: u32,
    /// Seed of the simulated services.
    pub(crate) seed: u64,
    /// Shuffles every trace in time with this seed: peaks then cannot be foreseen.
    pub(crate) shuffle: Option<u64>,
    /// Forecaster and allocator of the first half.
    pub(crate) first: [String; 2],
    /// Those that are swapped in half-way.
    pub(crate) then: [String; 2],
    /// Part of a grant that is meant to be used.
    pub(crate) target_utilisation: f64,
    /// Where the daemon keeps its data; a temporary directory unless told.
    pub(crate) data: Option<PathBuf>,
    /// Leave the daemon running.
    pub(crate) keep: bool,
    /// Draw to the terminal while it runs.
    pub(crate) drawing: draw::Drawing,
}

pub(crate) use draw::Drawing;

/// Cores of the pool: about the mean of all demand, well below the sum of all peaks.
pub(crate) const POOL_CORES: f64 = 14.0;
/// Name of the tenant.
const TENANT: &str = "shop";
/// The bindings that are swapped.
const BINDINGS: [&str; 2] = ["default-forecaster", "default-allocator"];
/// Name of the pool.
const POOL: &str = "edge";

/// Plays the demo.
pub(crate) async fn run(options: &Options) -> Result<Summary> {
    let clock = stopwatch();
    let mut traces = traces::load()?;
    if let Some(seed) = options.shuffle {
        traces.shuffle(seed);
    }
    let mut daemon = daemon::Daemon::start(
        options.data.clone(),
        &setup::config(options.target_utilisation),
    )
    .await?;
    let mut screen = draw::Screen::new(options.drawing);
    screen.say(&format!(
        "daemon {} listens on {}, its data in {}",
        daemon.pid(),
        daemon.url(),
        daemon.data().display()
    ));
    let channel = tonic::transport::Endpoint::from_shared(daemon.url().to_owned())?
        .connect()
        .await
        .with_context(|| format!("the demo's daemon does not answer at {}", daemon.url()))?;
    setup::apply(&channel, &traces).await?;
    for (binding, module) in BINDINGS.iter().zip(&options.first) {
        setup::bind(&channel, binding, module).await?;
    }
    let outcome = live::play(&channel, &traces, options, &mut screen).await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            let log = daemon.stop().await;
            return Err(error.context(log));
        }
    };
    let plans = wire::plans(&channel, outcome.first_generation).await?;
    let mut summary = summary::of(&outcome, &plans, &traces);
    summary.seconds = clock.elapsed().as_secs_f64();
    screen.end();
    if options.keep {
        summary.kept = Some(daemon.keep());
    } else {
        drop(channel);
        daemon.stop().await;
    }
    Ok(summary)
}
