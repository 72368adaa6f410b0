//! Opens the world: store, engine, shipped modules, default bindings.

use crate::clock::{Clock, wall};
use crate::config::{ClockKind, Config};
use crate::policies::{Policies, Rules, Trials, Worker};
use crate::shipped;
use crate::world::World;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::ports::storage::History;
use tidegate_store::Store;
use tidegate_telemetry::Metrics;

/// Opens everything under the data directory.
pub(crate) fn world(config: &Config, metrics: Metrics) -> Result<World> {
    std::fs::create_dir_all(&config.data).with_context(|| {
        format!(
            "cannot create the data directory {}; choose another with --data",
            config.data.display()
        )
    })?;
    let store = Store::open(
        config.data.join("store"),
        tidegate_store::Options::default(),
    )
    .with_context(|| format!("cannot open the store in {0} (where it is damaged, `tidegate store verify {0}` says what is lost and what to do)", config.data.display()))?;
    // No command waits for a daemon that was not there.
    crate::copies::sweep(&config.data.join("copies"), Duration::ZERO);
    let clock = match config.clock {
        ClockKind::System => Clock::System,
        // A replay goes on where its data ends.
        ClockKind::Driven => Clock::driven(store.watermark().newest),
    };
    let rules = Rules::of(&config.policies)?;
    let trials = Worker::new(config.policies.bounds()).context("this executable has no name")?;
    let policies = Policies::open(
        &config.data.join("modules"),
        &store,
        Trials::Apart(trials),
        rules,
    )
    .context("the policy engine cannot start")?;
    let settings = config.settings();
    let refit_ms = i64::from(config.refit.0) * 1000;
    let mut world = World::open(
        clock,
        settings,
        refit_ms,
        Arc::clone(&store),
        policies,
        metrics,
    )?;
    world.fits = config.fits();
    shipped::install(&world, wall()).context("the shipped policies cannot be installed")?;
    world.follow_bindings(None);
    crate::life::restore(&world);
    crate::trials::OnTrial::restore(&world);
    Ok(world)
}
