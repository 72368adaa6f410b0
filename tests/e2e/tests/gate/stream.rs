//! The client library's feeder on the real daemon: killed in mid-stream, stopped, and kept to quotas.

use crate::aftermath::Aftermath;
use crate::python::Python;
use anyhow::{Context, Result, ensure};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tidegate_client::ingest::{
    Event, Feeder, FeederOptions, Metrics, Sample, SeriesKey, Value, WhenFull,
};
use tidegate_client::{Client, Options};
use tidegate_e2e::feed::Series;
use tidegate_e2e::{Gate, bounded, catalog, gate};
use tidegate_proto::v1::{self, object::Object};
use tokio::task::JoinSet;

/// How often the daemon ends under the stream: by turns as in a power cut and by a signal.
const ENDS: usize = 8;
const STEP_S: u32 = 60;

/// A home whose daemons all listen at one address, as a client expects of a service.
fn home() -> Result<(Gate, String)> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    Ok((gate()?.listen(&free), format!("http://{free}")))
}

fn client(endpoint: &str, token: Option<&str>) -> Result<Client> {
    Ok(Client::lazy(&Options {
        endpoint: endpoint.into(),
        token: token.map(Into::into),
        ..Options::default()
    })?)
}

fn patient(session: &str) -> FeederOptions {
    FeederOptions {
        session: Some(session.into()),
        batch: 60,
        attempts: u32::MAX,
        backoff: Duration::from_millis(20),
        max_backoff: Duration::from_millis(200),
        ..FeederOptions::default()
    }
}

/// The `n`-th step of a series.
fn sample(series: &Series, n: usize) -> (SeriesKey, Sample) {
    let key = SeriesKey {
        api: series.api.clone(),
        signal: series.signal,
        step_s: series.step_s,
    };
    let mut columns = series.columns(n, 1);
    let value = match columns.distributions.pop() {
        Some(shape) => Value::Distribution(shape),
        None => Value::Number(columns.values[0]),
    };
    let start_ms = series.at(n);
    (key, Sample { start_ms, value })
}

/// What the feeding task shows of itself.
#[derive(Default)]
struct Shown {
    acked: AtomicU64,
    enough: AtomicBool,
}

/// Feeds step after step until it is enough; how many steps, and where samples stand then.
async fn pour(
    mut feeder: Feeder,
    series: Vec<Series>,
    shown: Arc<Shown>,
) -> Result<(usize, Metrics)> {
    let mut steps = 0;
    while !shown.enough.load(Ordering::Acquire) {
        for series in &series {
            let (key, sample) = sample(series, steps);
            feeder.add(&key, sample).await?;
        }
        steps += 1;
        let totals = feeder.totals();
        let acked = totals.stored + totals.duplicates;
        shown.acked.store(acked, Ordering::Release);
    }
    feeder.flush().await?;
    Ok((steps, feeder.metrics()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feeder_goes_through_ends_of_the_daemon_without_loss_or_doubling() -> Result<()> {
    let (gate, endpoint) = home()?;
    let series: Vec<Series> = ["shop/orders", "shop/search"]
        .iter()
        .flat_map(|api| {
            [v1::Signal::Requests, v1::Signal::Cpu, v1::Signal::Latency]
                .map(|s| Series::new(api, s, STEP_S))
        })
        .collect();
    let mut daemon = gate.start().await?;
    catalog::apply(&daemon.connect().await?, catalog::shop()).await?;
    let shown = Arc::new(Shown::default());
    let mut feeder = Feeder::new(client(&endpoint, None)?, patient("kill"));
    let lines = Arc::new(AtomicU64::new(0));
    let cut = lines.clone();
    feeder.on_event(move |event| {
        if matches!(event, Event::Disconnected { .. }) {
            cut.fetch_add(1, Ordering::AcqRel);
        }
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(pour(feeder, series.clone(), shown.clone()));
    for round in 0..ENDS {
        // Counted in acked samples, so that a slow machine is tested as hard as a fast one.
        let draw = |what| tidegate_core::canonical::seed(21, what, "", round as i64);
        let target = shown.acked.load(Ordering::Acquire) + 60 + draw("samples") % 1200;
        while shown.acked.load(Ordering::Acquire) < target {
            ensure!(
                tasks.try_join_next().is_none(),
                "the feeder gave up:\n{}",
                gate.log()?
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(draw("rest") % 15)).await;
        if round % 2 == 0 {
            daemon.kill()?;
        } else {
            ensure!(daemon.stop().await? == Some(0), "{}", gate.log()?);
        }
        daemon = gate
            .start()
            .await
            .with_context(|| format!("after end {round}"))?;
    }
    shown.enough.store(true, Ordering::Release);
    let (steps, metrics) = tasks.join_next().await.context("no task")???;
    let totals = metrics.acked;
    let sent = (steps * series.len()) as u64;
    println!(
        "{steps} steps, {} stored, {} sent twice, {} connections",
        totals.stored, totals.duplicates, metrics.connects
    );
    ensure!(
        totals.stored + totals.duplicates == sent,
        "{sent} were fed: {totals:?}"
    );
    ensure!(
        (totals.late, totals.rejected, metrics.dropped) == (0, 0, 0),
        "{totals:?}"
    );
    ensure!(metrics.connects > ENDS as u64 && lines.load(Ordering::Acquire) >= ENDS as u64);
    ensure!(daemon.stop().await? == Some(0), "{}", gate.log()?);
    ensure!(!gate.log()?.contains("panicked"), "{}", gate.log()?);
    let after = Aftermath::of(&gate.store())?;
    series.iter().try_for_each(|s| after.holds(s, steps))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_daemon_is_away_memory_is_bounded_and_what_is_dropped_is_told() -> Result<()> {
    let (gate, endpoint) = home()?;
    let series = Series::new("shop/orders", v1::Signal::Requests, STEP_S);
    let daemon = gate.start().await?;
    catalog::apply(&daemon.connect().await?, catalog::shop()).await?;
    daemon.kill()?;
    let options = FeederOptions {
        buffer: 16 * 600,
        when_full: WhenFull::DropOldest,
        ..patient("away")
    };
    let mut feeder = Feeder::new(client(&endpoint, None)?, options);
    for n in 0..10_000 {
        let (key, sample) = sample(&series, n);
        ensure!(
            feeder.offer(&key, sample)?.is_ok(),
            "step {n} was not taken"
        );
        ensure!(feeder.metrics().buffered_bytes <= 16 * 600);
    }
    let metrics = feeder.metrics();
    ensure!(metrics.buffered + metrics.dropped == 10_000, "{metrics:?}");
    let daemon = gate.start().await?;
    let stored = feeder.flush().await?.stored;
    ensure!(stored == metrics.buffered, "{stored} of {metrics:?}");
    ensure!(daemon.stop().await? == Some(0));
    Ok(())
}

/// Feeds so many steps of series; its totals, and how often it was pushed back.
async fn feed(
    endpoint: String,
    token: &'static str,
    session: String,
    series: Vec<Series>,
    steps: usize,
) -> Result<(Metrics, u64)> {
    let options = FeederOptions {
        batch: 1000,
        ..patient(&session)
    };
    let mut feeder = Feeder::new(client(&endpoint, Some(token))?, options);
    let pushed = Arc::new(AtomicU64::new(0));
    let counted = pushed.clone();
    feeder.on_event(move |event| {
        if matches!(event, Event::PushedBack { .. }) {
            counted.fetch_add(1, Ordering::AcqRel);
        }
    });
    for n in 0..steps {
        for series in &series {
            let (key, sample) = sample(series, n);
            feeder.add(&key, sample).await?;
        }
    }
    feeder.flush().await?;
    Ok((feeder.metrics(), pushed.load(Ordering::Acquire)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_senders_share_their_tenant_s_quota_and_another_tenant_pays_nothing() -> Result<()> {
    const STEPS: usize = 6_000;
    let mut auth = "auth:\n  tokens:\n".to_owned();
    for (name, role, tenants) in [
        ("root", "admin", ""),
        ("shop", "writer", "shop"),
        ("bank", "writer", "bank"),
    ] {
        let sha256 = tidegate_core::ids::Digest::of(name.as_bytes());
        auth += &format!("    - {{name: {name}, sha256: \"{sha256}\", role: {role}");
        auth += &if tenants.is_empty() {
            "}\n".into()
        } else {
            format!(", tenants: [{tenants}]}}\n")
        };
    }
    let (gate, endpoint) = home()?;
    let gate = gate.also(&auth);
    let daemon = gate.start().await?;
    let root = client(&endpoint, Some("root"))?;
    let mut objects = catalog::shop();
    // Ten seconds' worth may come at once: two thirds of what its two senders have.
    objects[0] = Object::Tenant(v1::Tenant {
        name: "shop".into(),
        max_series: 10,
        max_samples_per_s: 1_600,
        max_modules: 1,
        usage: None,
    });
    objects.push(catalog::tenant("bank"));
    objects.push(Object::Api(catalog::api(
        "bank/pay",
        "edge",
        v1::Tier::Silver,
    )));
    let changes = objects.into_iter().map(catalog::put).collect();
    let request = v1::ApplyRequest {
        changes,
        dry_run: false,
    };
    root.catalog().apply(request).await?;

    let of = |api: &str, signals: &[v1::Signal]| -> Vec<Series> {
        signals.iter().map(|s| Series::new(api, *s, 10)).collect()
    };
    use v1::Signal::{Cpu, Requests};
    let all = [
        ("shop", of("shop/orders", &[Requests, Cpu])),
        ("shop", of("shop/search", &[Requests, Cpu])),
        ("bank", of("bank/pay", &[Requests, Cpu])),
    ];
    let mut tasks = JoinSet::new();
    for (i, (token, series)) in all.iter().enumerate() {
        let session = format!("sender-{i}");
        let feeding = feed(endpoint.clone(), token, session, series.clone(), STEPS);
        tasks.spawn(async move { (i, feeding.await) });
    }
    let mut pushed = [0; 3];
    while let Some(done) = tasks.join_next().await {
        let (i, outcome) = done?;
        let (metrics, back) = outcome.with_context(|| format!("sender {i}"))?;
        ensure!(
            metrics.acked.stored == 2 * STEPS as u64,
            "sender {i}: {metrics:?}"
        );
        ensure!(metrics.acked.rejected == 0, "sender {i}: {metrics:?}");
        pushed[i] = back;
    }
    ensure!(pushed[0] + pushed[1] > 0 && pushed[2] == 0, "{pushed:?}");
    ensure!(daemon.stop().await? == Some(0));
    let after = Aftermath::of(&gate.store())?;
    let series = all.iter().flat_map(|(_, series)| series);
    series.into_iter().try_for_each(|s| after.holds(s, STEPS))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_python_feeds_grids_in_a_session() -> Result<()> {
    let Some(python) = Python::environment("the feeder in Python") else {
        return Ok(());
    };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let gate = gate()?;
    let daemon = gate.start().await?;
    catalog::apply(&daemon.connect().await?, catalog::shop()).await?;
    for told in [
        "on disk: 1000 new, 0 known; 0 late, 500 refused\n",
        "on disk: 0 new, 1000 known; 0 late, 500 refused\n",
    ] {
        let mut script = Command::new(python.program());
        script
            .arg(repository.join("sdk/client/python/feed.py"))
            .arg("--server")
            .arg(daemon.url().trim_start_matches("http://"))
            .arg("--protos")
            .arg(repository.join("proto"))
            .args(["--session", "example", "--steps", "500", "--step-s", "60"])
            .args(["--start-ms", "1767744000000"])
            .args(["shop/orders", "shop/nowhere", "shop/search"]);
        let run = move || bounded(&mut script, Duration::from_secs(120));
        let outcome = tokio::task::spawn_blocking(run).await??;
        ensure!(
            outcome.ok(),
            "the example failed:\n{}\n{}\nthe daemon:\n{}",
            outcome.stdout,
            outcome.stderr,
            gate.log()?
        );
        ensure!(outcome.stdout.ends_with(told), "{}", outcome.stdout);
        ensure!(
            outcome.stdout.contains("there is no api `shop/nowhere`"),
            "{}",
            outcome.stdout
        );
    }
    ensure!(!gate.log()?.contains("panicked"));
    Ok(())
}
