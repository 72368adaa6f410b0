//! The feeds' place in the daemon: opened after the world, turned once a second, closed before the
//! store.

mod heard;
mod left_out;

use crate::config::{ClockKind, Config};
use crate::gate::Gate;
use crate::world::{World, lock};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use tidegate_bridges::feed::{Clock, Feed};
use tidegate_bridges::serve;
use tidegate_runtime::{Stop, Wake};
use tidegate_telemetry::Metrics;

/// How often complete sums are handed out; and at the most, where they take much room.
const EVERY: Duration = Duration::from_secs(1);
const SOONEST: Duration = Duration::from_millis(100);

/// Opens the feed where its journal ends.
pub(crate) fn open(config: &Config, world: &Arc<World>) -> Result<Arc<Feed>> {
    let clock = match config.clock {
        ClockKind::System => Clock::Machine,
        ClockKind::Driven => Clock::Data,
    };
    let options = config
        .feeds
        .options(config.step.0, clock)
        .map_err(anyhow::Error::msg)?;
    let gate = Arc::new(Gate {
        world: world.clone(),
    });
    let feed = Feed::open(options, gate, world.store.clone(), crate::clock::wall())
        .context("the feeds' journal cannot be read")?;
    Ok(Arc::new(feed))
}

/// What foreign protocols reach of it, behind the same credentials as everything else.
pub(crate) fn routes(
    config: &Config,
    world: &Arc<World>,
    feed: &Arc<Feed>,
    auth: &tidegate_api::Auth,
    closing: tokio::sync::watch::Receiver<bool>,
) -> serve::Router {
    let (auth, metrics) = (auth.clone(), world.metrics.clone());
    let heard = std::sync::Mutex::new(heard::Heard::default());
    serve::routes(
        feed.clone(),
        serve::Options {
            message: config.feeds.message << 20,
            concurrency: config.feeds.concurrency,
            identify: Arc::new(move |header| auth.identify(header)),
            clock: crate::clock::wall,
            closing: Some(closing),
            hear: Arc::new(move |protocol, took| {
                metrics.fed(took.accepted - took.duplicates, protocol, "taken");
                metrics.fed(took.duplicates, protocol, "duplicate");
                metrics.fed(took.passed_over, protocol, "passed-over");
                for (&reason, (points, text)) in &took.reasons {
                    metrics.refused(*points, protocol, reason);
                    tracing::debug!(protocol, reason, points, "points refused: {text}");
                }
                if took.passed_over > 0 || !took.reasons.is_empty() {
                    let (mut heard, now) = (lock(&heard), crate::clock::stopwatch());
                    for line in heard.refused(protocol, took, now) {
                        tracing::warn!("{line}");
                    }
                    if let Some(line) = heard.passed_over(protocol, took, now) {
                        tracing::info!("{line}");
                    }
                }
            }),
        },
    )
}

/// Hands out sums until it is asked to stop; then what is complete, and the state. What goes wrong is
/// logged when it begins, not every second.
pub(crate) fn run(feed: &Feed, metrics: &Metrics, stop: &Stop) -> Result<()> {
    let (mut waited, mut refused) = (String::new(), String::new());
    let mut left_out = left_out::Told::default();
    loop {
        let stopping = stop.sleep_blocking(SOONEST) == Wake::Stop
            || stop.sleep_blocking_until(EVERY - SOONEST, feed.filling()) == Wake::Stop;
        let now = crate::clock::wall();
        let turned = feed.turn(now).context("the feeds' sums cannot be noted")?;
        if let Some((samples, reason)) = turned.refused
            && reason != refused
        {
            tracing::warn!(samples, "sums of feeds are refused: {reason}");
            refused = reason;
        }
        if let Some((apis, reason)) = turned.undeclared {
            tracing::warn!(apis, "apis that feeds tell of cannot be declared: {reason}");
        }
        let steps = turned.left_out.values().map(|of| of.steps).sum();
        if steps > 0 {
            metrics.left_out(steps);
        }
        left_out.hear(turned.left_out);
        if let Some(text) = left_out.tell(now, stopping) {
            tracing::warn!("{text}");
        }
        let why = turned.waiting.map_or_else(String::new, |(series, why)| {
            tracing::debug!(series, "sums of feeds wait: {why}");
            why
        });
        if !why.is_empty() && waited.is_empty() {
            tracing::warn!("sums of feeds wait: {why}");
        }
        waited = why;
        if stopping {
            return feed.close(now).context("the feeds cannot be closed");
        }
    }
}
