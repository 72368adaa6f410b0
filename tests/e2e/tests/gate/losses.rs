//! A daemon that is killed again and again while strangers feed it: what was acknowledged to them is stored, and
//! stored once.
//!
//! Two instances of a service tell by OTLP how many requests they served, one counting from its start and one from
//! point to point. What had no answer is sent again, as exporters do. Backups are begun in between, so that the
//! journal of the feeds, the store and a snapshot of it are all under way when the power fails.

use crate::aftermath::Aftermath;
use crate::feeds::stored;
use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic as ot;
use ot::collector::metrics::v1::ExportMetricsServiceRequest as Request;
use ot::common::v1::{AnyValue, KeyValue, any_value};
use ot::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use ot::resource::v1::Resource;
use prost::Message as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidegate_core::canonical::seed;
use tidegate_core::units::Signal;
use tidegate_e2e::{Daemon, Gate, binary, bounded, gate, say};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A step is given out when both instances have told of what follows it, long before it is held for.
const CONFIG: &str = "step: 5s\nhorizon: 1m\nplan: 30s\nvalidity: 30s\ncycle: 5s\nhistory: 1h\nfeeds:\n  \
                      step: 1s\n  hold: 90s\nledger: {keep: 1d}\n";
const API: &str = "default/pay/GET/a";

#[expect(
    clippy::disallowed_methods,
    reason = "an exporter tells its machine's time"
)]
fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::try_from(since.as_nanos())?)
}

/// An instance of a service, and what it has to tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instance {
    name: &'static str,
    /// 2: from its start on; 1: from the last point on.
    temporality: i32,
    /// Start and time of the point under way, in nanoseconds.
    point: (u64, u64),
    /// What it says.
    count: u64,
    /// All that was served.
    served: u64,
    is_acked: bool,
}

impl Instance {
    /// The next point, of so many more requests; one that has no answer yet is told again instead, where its
    /// count is nowhere else.
    pub(crate) fn serve(&mut self, more: u64) -> Result<()> {
        if self.temporality == 1 && !self.is_acked {
            return Ok(());
        }
        self.served += more;
        self.is_acked = false;
        let (start, last) = self.point;
        (self.point, self.count) = match self.temporality {
            1 => ((last, now()?), more),
            _ => ((start, now()?), self.served),
        };
        Ok(())
    }

    fn told(&self) -> ResourceMetrics {
        let pair = |key: &str, value: &str| KeyValue {
            key: key.into(),
            value: Some(AnyValue {
                value: Some(any_value::Value::StringValue(value.into())),
            }),
            ..KeyValue::default()
        };
        let point = HistogramDataPoint {
            attributes: vec![
                pair("http.request.method", "GET"),
                pair("http.route", "/a"),
                pair("http.response.status_code", "200"),
            ],
            start_time_unix_nano: self.point.0,
            time_unix_nano: self.point.1,
            count: self.count,
            sum: Some(self.count as f64 * 0.05),
            bucket_counts: vec![self.count, 0],
            explicit_bounds: vec![0.1],
            ..HistogramDataPoint::default()
        };
        let metric = Metric {
            name: "http.server.request.duration".into(),
            unit: "s".into(),
            data: Some(Data::Histogram(Histogram {
                data_points: vec![point],
                aggregation_temporality: self.temporality,
            })),
            ..Metric::default()
        };
        ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    pair("service.name", "pay"),
                    pair("service.instance.id", self.name),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }
    }
}

/// One that counts from its start, and one from point to point.
pub(crate) fn pair() -> Result<[Instance; 2]> {
    let begun = now()?;
    let instance = |name, temporality| Instance {
        name,
        temporality,
        point: (begun, begun + 1_000_000),
        count: 0,
        served: 0,
        is_acked: true,
    };
    Ok([instance("a", 2), instance("b", 1)])
}

/// Sends what the instances tell; whether it was taken.
///
/// # Errors
/// When it was refused.
pub(crate) async fn export(daemon: &Daemon, all: &mut [Instance; 2]) -> Result<bool> {
    let request = Request {
        resource_metrics: all.iter().map(Instance::told).collect(),
    };
    let body = request.encode_to_vec();
    let address = daemon.url().trim_start_matches("http://");
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\nConnection: \
         close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = vec![];
    let sent = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.read_to_end(&mut answer).await
    };
    if sent.await.is_err() || answer.is_empty() {
        return Ok(false);
    }
    ensure!(
        answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"\r\n\r\n"),
        "it says {}",
        String::from_utf8_lossy(&answer)
    );
    all.iter_mut().for_each(|of| of.is_acked = true);
    Ok(true)
}

/// Begins a backup that nobody waits for; it is cut off with the daemon.
fn backup(gate: &Gate, daemon: &Daemon, name: &str) -> Result<()> {
    let mut command = Command::new(binary()?);
    command
        .args(["store", "backup"])
        .arg(gate.home().join(name))
        .env("TIDEGATE_SERVER", daemon.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    std::thread::spawn(move || child.wait());
    Ok(())
}

async fn campaign(cycles: i64) -> Result<()> {
    let gate = gate()?.config(CONFIG);
    let mut all = pair()?;
    let (mut acked, mut cut, mut whole) = (0, 0, 0);
    for cycle in 0..cycles {
        let draw = |what: &str| seed(2_026, what, "", cycle);
        let daemon = gate
            .start()
            .await
            .with_context(|| format!("after kill {cycle}"))?;
        if cycle == 0 {
            // Counting begins in steps that are not given out, since not all of them was heard; and what is
            // counted is spread from the point before, so that has to lie behind them.
            export(&daemon, &mut all).await?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            for of in &mut all {
                of.serve(0)?;
            }
            export(&daemon, &mut all).await?;
        }
        if cycle % 3 == 1 {
            backup(&gate, &daemon, &format!("backup-{cycle}"))?;
        }
        for n in 0..2 + draw("exports") % 12 {
            for of in &mut all {
                of.serve(1 + seed(7, of.name, "", cycle * 100 + n as i64) % 50)?;
            }
            ensure!(
                export(&daemon, &mut all).await?,
                "a living daemon takes nothing"
            );
            acked += 1;
            tokio::time::sleep(Duration::from_millis(20 + draw("pause") % 60)).await;
        }
        for of in &mut all {
            of.serve(3)?;
        }
        let (under_way, dead) = tokio::join!(export(&daemon, &mut all), async {
            tokio::time::sleep(Duration::from_micros(draw("rest") % 6000)).await;
            Command::new("kill")
                .args(["-KILL", &daemon.pid().to_string()])
                .status()
        });
        ensure!(dead?.success(), "it was dead already");
        cut += u64::from(!under_way?);
        daemon.kill()?;
        if cycle % 5 == 4 {
            drop(Aftermath::of(&gate.store()).with_context(|| format!("after kill {cycle}"))?);
        }
        let file = gate.home().join(format!("backup-{cycle}"));
        if file.exists() {
            let mut verify = Command::new(binary()?);
            verify.args(["store", "verify"]).arg(&file);
            let told = bounded(&mut verify, Duration::from_mins(1))?;
            ensure!(
                told.ok(),
                "a backup that bears its name is not whole: {told:?}"
            );
            std::fs::remove_file(&file)?;
            whole += 1;
        }
    }
    // What follows completes the steps before it.
    let daemon = gate.start().await?;
    ensure!(
        export(&daemon, &mut all).await?,
        "a living daemon takes nothing"
    );
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        for of in &mut all {
            of.serve(0)?;
        }
        ensure!(
            export(&daemon, &mut all).await?,
            "a living daemon takes nothing"
        );
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    ensure!(daemon.stop().await? == Some(0), "{}", gate.log()?);
    let sent: u64 = all.iter().map(|of| of.served).sum();
    let found = stored(&gate, API, Signal::Requests)?;
    say(&format!(
        "{cycles} kills, {acked} exports acked, {cut} cut off and sent again, {whole} whole backups; {sent} requests \
         served, {found} stored"
    ));
    ensure!(
        (found - sent as f64).abs() < 1e-6,
        "{sent} requests were served and {found} are stored\n{}",
        gate.log()?
    );
    ensure!(!gate.log()?.contains("panicked"), "{}", gate.log()?);
    drop(Aftermath::of(&gate.store())?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_were_told_is_taken_survives_every_kill_and_counts_once() -> Result<()> {
    campaign(8).await
}

/// `cargo test -p tidegate-e2e --test gate sixty_kills -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn sixty_kills_of_a_daemon_that_strangers_feed_lose_nothing() -> Result<()> {
    campaign(60).await
}
