//! Acked means on disk: power is cut again and again, at moments that nobody chose.

use crate::aftermath::Aftermath;
use anyhow::{Context, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_core::ports::storage::CatalogStore as _;
use tidegate_e2e::feed::{Feed, START_MS, Series};
use tidegate_e2e::{catalog, gate};
use tidegate_proto::v1::{self, plans_client::PlansClient};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// How often the power fails.
const KILLS: usize = 55;
/// Steps of a frame.
const STEPS: usize = 10;
/// Frames that are under way without an ack.
const UNDER_WAY: usize = 4;
const STEP_S: u32 = 60;

/// What the outside world knows for sure.
#[derive(Default)]
struct Known {
    /// Frames that were acked, from the first on.
    frames: AtomicUsize,
    /// Frames that were sent at least once.
    sent: AtomicUsize,
    /// The newest plan that a client saw.
    generation: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acked_sample_survives_fifty_five_power_cuts_during_ingest() -> Result<()> {
    // On a fast machine more than the fortnight goes by for which records are kept.
    let gate = gate()?
        .config("clock: driven\nstep: 1m\nhorizon: 30m\nplan: 10m\nvalidity: 10m\nhistory: 1h\nrefit: 12h\n")
        .also("ledger: {keep: 365d}\n");
    let series: Vec<Series> = ["shop/orders", "shop/search"]
        .iter()
        .flat_map(|api| {
            [v1::Signal::Requests, v1::Signal::Cpu, v1::Signal::Latency]
                .map(|s| Series::new(api, s, STEP_S))
        })
        .collect();
    let known = Arc::new(Known::default());
    let (mut interrupted, mut planned) = (0, 0);
    for round in 0..KILLS {
        let daemon = gate
            .start()
            .await
            .with_context(|| format!("after kill {round}"))?;
        let channel = daemon.connect().await?;
        if round == 0 {
            catalog::apply(&channel, catalog::shop()).await?;
        }
        let before = known.generation.load(Ordering::Acquire);
        let now = newest(&channel).await?;
        ensure!(
            now >= before,
            "plan {before} was published, after kill {round} the newest is {now}"
        );
        planned += usize::from(now > 0);

        let mut tasks = JoinSet::new();
        tasks.spawn(pour(channel.clone(), series.clone(), known.clone()));
        tasks.spawn(turn(channel, known.clone()));
        // Counted in acked frames, so that a slow machine is tested as hard as a fast one; the rest
        // of the moment is chance within a frame.
        let draw = |what: &str| tidegate_core::canonical::seed(55, what, "", round as i64);
        let target = known.frames.load(Ordering::Acquire) + usize::try_from(draw("frames") % 40)?;
        for _ in 0..2000 {
            if known.frames.load(Ordering::Acquire) >= target {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(draw("rest") % 15)).await;
        daemon.kill()?;
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let acked = known.frames.load(Ordering::Acquire);
        interrupted += usize::from(known.sent.load(Ordering::Acquire) > acked);
        if round % 11 == 10 {
            let after =
                Aftermath::of(&gate.store()).with_context(|| format!("after kill {round}"))?;
            series
                .iter()
                .try_for_each(|s| after.holds(s, acked * STEPS))?;
        }
    }

    let frames = known.frames.load(Ordering::Acquire);
    println!("{KILLS} kills, {frames} frames acked, {interrupted} kills met frames under way");
    ensure!(
        frames > 2 * KILLS,
        "only {frames} frames were acked: this test kills too early to mean anything"
    );
    ensure!(
        interrupted > KILLS / 4,
        "only {interrupted} kills met frames under way"
    );
    let after = Aftermath::of(&gate.store())?;
    series
        .iter()
        .try_for_each(|s| after.holds(s, frames * STEPS))?;
    let plans = after.records("edge")?.len() as u64;
    let seen = known.generation.load(Ordering::Acquire);
    ensure!(
        plans >= seen && planned > KILLS / 2,
        "{plans} plans in the ledger, {seen} was seen, {planned} restarts had one"
    );
    let catalog = after.store.load()?;
    ensure!(
        (
            catalog.tenants.len(),
            catalog.apis.len(),
            catalog.bindings.len()
        ) == (1, 2, 4),
        "the catalog is torn"
    );
    let shipped = [
        "arima",
        "ensemble",
        "ets",
        "learned",
        "lstm",
        "prophet",
        "proportional",
        "seasonal-naive",
        "sequential-judge",
        "slo-tiers",
        "theta",
        "waterfill",
    ];
    ensure!(
        after.modules()? == shipped,
        "modules are {:?}",
        after.modules()?
    );
    ensure!(
        !gate.log()?.contains("panicked"),
        "a daemon panicked:\n{}",
        gate.log()?
    );
    Ok(())
}

/// Feeds from the first frame without an ack on, several under way at once, until the line is cut.
async fn pour(channel: Channel, series: Vec<Series>, known: Arc<Known>) -> Result<()> {
    let Ok(mut feed) = Feed::open(&channel, &series).await else {
        return Ok(());
    };
    let base = known.frames.load(Ordering::Acquire);
    // Frame `n` of this stream has sequence `n + 2`: the declaration was 1.
    let mut sent = 0;
    loop {
        let acked = known.frames.load(Ordering::Acquire) - base;
        if sent - acked < UNDER_WAY {
            known.sent.fetch_max(base + sent + 1, Ordering::AcqRel);
            if feed.send((base + sent) * STEPS, STEPS).await.is_err() {
                return Ok(());
            }
            sent += 1;
            continue;
        }
        match feed.ack().await {
            Ok(ack) if ack.sequence < 2 => {}
            Ok(ack) => {
                let all = ack.stored + ack.duplicates;
                ensure!(
                    all == (STEPS * series.len()) as u64,
                    "frame {} counts {all} samples",
                    ack.sequence
                );
                known
                    .frames
                    .store(base + usize::try_from(ack.sequence)? - 1, Ordering::Release);
            }
            // A cut line is what this test is about; a refusal is not.
            Err(error) if error.to_string().contains("refused") => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}

/// Turns the gate after the feed, so that records, states and plans are being written as well.
async fn turn(channel: Channel, known: Arc<Known>) -> Result<()> {
    loop {
        let end = known.frames.load(Ordering::Acquire) * STEPS;
        let now = START_MS + end as i64 * i64::from(STEP_S) * 1000;
        match catalog::advance(&channel, now).await {
            Ok(()) => {}
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {}
            Err(_) => return Ok(()),
        }
        match newest(&channel).await {
            Ok(generation) => known.generation.fetch_max(generation, Ordering::AcqRel),
            Err(_) => return Ok(()),
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Generation of the pool's newest plan; 0 when there is none.
async fn newest(channel: &Channel) -> Result<u64> {
    let pools = PlansClient::new(channel.clone())
        .list_pools(v1::ListPoolsRequest {})
        .await?
        .into_inner()
        .pools;
    Ok(pools.first().map_or(0, |pool| pool.generation))
}
