//! How long a burst waits for its answer: from its first sample's way in to the changed plan at a watcher.
//!
//! `cargo build --release && cargo run --release -p tidegate-e2e --example burst -- [BURSTS] [APIS]`
//! (60 and 200 where absent; 5 seconds are two bursts). The real daemon runs by the machine's clock with a look
//! every second (`cycle: 1s`), an hour of history behind it and samples of five seconds; one api after the
//! other uses ten times what it did, each once. A burst's first sample is sent at a chance moment, and the
//! clock runs from the moment before the call until a plan that gives the api more has arrived on a
//! `WatchPlans` stream that was open before. So a figure holds the write to disk, the wait for the next look,
//! the look, the record and the way out.
//!
//! Printed and not asserted: machines drift.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_e2e::{catalog, gate};
use tidegate_proto::v1::{self, ingest_client::IngestClient, plans_client::PlansClient};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::transport::Channel;

/// Seconds of a sample.
const STEP_S: u32 = 5;
const STEP_MS: i64 = STEP_S as i64 * 1000;
/// The daemon's look, in seconds.
const CYCLE_S: u64 = 1;
/// Bursts in one step of the feed.
const PER_STEP: usize = 2;
/// Cores that an api uses, and what a burst makes of it.
const USED: f64 = 0.2;
const BURST: f64 = 10.0 * USED;
/// A burst that nobody has answered by then is none that will be.
const LONGEST: Duration = Duration::from_secs(30);

/// When each api's limit was raised, as the watcher has seen it.
type Raised = BTreeMap<String, Instant>;

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn say(text: &str) {
    println!("{text}");
}

fn name(api: usize) -> String {
    format!("shop/a{api:04}")
}

/// Steps of an api from `start_ms` on.
fn samples(api: usize, start_ms: i64, cores: &[f64]) -> Vec<v1::PushSeries> {
    let series = |signal: v1::Signal, values: Vec<f64>| v1::PushSeries {
        api: name(api),
        signal: signal.into(),
        step_s: STEP_S,
        columns: Some(v1::Columns {
            start_ms,
            values,
            ..v1::Columns::default()
        }),
    };
    // A hundred requests/s a core.
    let requests = cores.iter().map(|c| c * 100.0 * f64::from(STEP_S));
    vec![
        series(v1::Signal::Requests, requests.collect()),
        series(v1::Signal::Cpu, cores.to_vec()),
    ]
}

async fn push(channel: &Channel, series: Vec<v1::PushSeries>) -> Result<()> {
    let request = v1::PushRequest { series };
    let answer = IngestClient::new(channel.clone()).push(request).await?;
    if let Some(refused) = answer.into_inner().rejections.first() {
        bail!("{}: {}", refused.field, refused.reason);
    }
    Ok(())
}

fn world(apis: usize) -> Vec<v1::object::Object> {
    let cores = |cpu: f64| v1::Resources {
        cpu: Some(cpu),
        ..v1::Resources::default()
    };
    let pool = v1::Pool {
        name: "edge".into(),
        // Everybody's headroom is less than a burst, and all of it together is enough for all bursts.
        ready: Some(cores(2.5 * USED * apis as f64)),
        ..v1::Pool::default()
    };
    let mut tenant = catalog::tenant("shop");
    if let v1::object::Object::Tenant(tenant) = &mut tenant {
        tenant.max_series = 100_000;
    }
    let mut all = vec![tenant, v1::object::Object::Pool(pool)];
    let apis = (0..apis).map(|api| catalog::api(&name(api), "edge", v1::Tier::Silver));
    all.extend(apis.map(v1::object::Object::Api));
    all
}

/// Follows the pool's plans, and notes when an api is first told to need twice what it used in calm.
async fn follow(channel: Channel, raised: watch::Sender<Raised>) -> Result<()> {
    let request = v1::WatchPlansRequest {
        pool: "edge".into(),
        after_generation: None,
    };
    let mut plans = PlansClient::new(channel).watch_plans(request).await?;
    while let Some(told) = plans.get_mut().message().await? {
        let now = Instant::now();
        let plan = told.plan.unwrap_or_default();
        let rows = plan.apis.into_iter();
        let more = rows.filter(|row| row.demand.first().is_some_and(|cores| *cores > 2.0 * USED));
        let more: Vec<String> = more.map(|row| row.api).collect();
        raised.send_modify(|raised| {
            for api in more {
                raised.entry(api).or_insert(now);
            }
        });
    }
    bail!("the daemon ended the stream of plans")
}

/// One burst: from before its first sample is sent until the plan is there.
async fn burst(
    channel: Channel,
    api: usize,
    start_ms: i64,
    mut raised: watch::Receiver<Raised>,
) -> Result<(Duration, Duration)> {
    let begun = Instant::now();
    push(&channel, samples(api, start_ms, &[BURST])).await?;
    let stored = begun.elapsed();
    let name = name(api);
    let answered = raised.wait_for(|raised| raised.contains_key(&name));
    let raised = tokio::time::timeout(LONGEST, answered)
        .await
        .with_context(|| format!("nobody answered the burst of {name}"))??;
    Ok((stored, raised[&name] - begun))
}

fn line(what: &str, mut all: Vec<Duration>) -> String {
    all.sort();
    let at = |part: f64| {
        let rank = (part * all.len() as f64).ceil() as usize;
        all[rank.clamp(1, all.len()) - 1].as_secs_f64() * 1000.0
    };
    format!(
        "{what}: p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    )
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: usize| -> Result<usize> {
        let text = arguments.next();
        text.map_or(Ok(or), |t| {
            t.parse().with_context(|| format!("`{t}` is no number"))
        })
    };
    let (bursts, apis) = (number(60)?, number(200)?);
    ensure!(
        bursts > 0 && bursts <= apis,
        "each api bursts once: BURSTS is at most APIS"
    );
    let gate = gate()?.config(format!("cycle: {CYCLE_S}s\n"));
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, world(apis)).await?;

    let mut next = (wall_ms() / STEP_MS) * STEP_MS;
    let hour = 3_600_000 / STEP_MS;
    let calm: Vec<f64> = vec![USED; usize::try_from(hour)?];
    for api in 0..apis {
        push(&channel, samples(api, next - hour * STEP_MS, &calm)).await?;
    }
    let (seen, raised) = watch::channel(Raised::new());
    let mut follower = tokio::task::JoinSet::from_iter([follow(daemon.connect().await?, seen)]);
    let (mut done, mut waiting) = (vec![], tokio::task::JoinSet::new());
    // A minute of calm first, so that a plan is there and its cycle has settled.
    let mut calm_steps = 60_000 / STEP_MS;
    let mut began = 0;
    while began < bursts || !waiting.is_empty() {
        if let Some(ended) = follower.try_join_next() {
            ended??;
        }
        let wait = next + STEP_MS - wall_ms();
        tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
        let now = match calm_steps {
            0 => began..bursts.min(began + PER_STEP),
            _ => began..began,
        };
        calm_steps = (calm_steps - 1).max(0);
        began = now.end;
        for api in now.clone() {
            let (channel, raised) = (channel.clone(), raised.clone());
            let draw = tidegate_core::canonical::seed(1, "burst", &name(api), 0) % 4000;
            waiting.spawn(async move {
                tokio::time::sleep(Duration::from_millis(draw)).await;
                burst(channel, api, next, raised).await
            });
        }
        let others = (0..apis).filter(|api| !now.contains(api));
        push(
            &channel,
            others.flat_map(|api| samples(api, next, &[USED])).collect(),
        )
        .await?;
        next += STEP_MS;
        while let Some(ended) = waiting.try_join_next() {
            done.push(ended??);
        }
    }
    let (stored, answered): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    say(&format!(
        "{bursts} bursts among {apis} apis in one pool, a look every {CYCLE_S} s"
    ));
    say(&line("on disk after", stored));
    say(&line("changed plan at the watcher after", answered));
    daemon.stop().await?;
    Ok(())
}
