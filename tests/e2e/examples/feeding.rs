//! What feeding costs: samples per second, and per CPU second of the daemon, by each way in.
//!
//! `cargo build --release && cargo run --release -p tidegate-e2e --example feeding -- [SERIES] [STEPS]`
//! (1,000 and 300 where absent). The same counts go into the real daemon as unary `Push`, one call after
//! another; as columns on the stream, a series at a time; and as grids on the stream, with as many frames
//! under way as the server allows. A message is one step of all series each time, as an agent that
//! measures every series at once would send it. Durable before it is acknowledged, each way.
//!
//! Printed and not asserted: machines drift.

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use tidegate_e2e::{Daemon, catalog, gate};
use tidegate_proto::v1::object::Object;
use tidegate_proto::v1::{self, ingest_client::IngestClient};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

const STEP_S: u32 = 10;
const START_MS: i64 = 1_767_744_000_000;

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn say(text: &str) {
    println!("{text}");
}

fn name(series: usize) -> String {
    format!("shop/a{series:05}")
}

fn at(step: usize) -> i64 {
    START_MS + step as i64 * i64::from(STEP_S) * 1000
}

/// Between 2,000 and 6,000, as a busy api counts in ten seconds.
fn count(series: usize, step: usize) -> u64 {
    2_000 + ((series * 7_919 + step * 104_729) % 4_000) as u64
}

/// CPU seconds of a process so far, at the usual hundred ticks a second.
fn cpu(daemon: &Daemon) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid()))?;
    let (_, fields) = stat.rsplit_once(')').context("a line of /proc")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn columns(series: usize, step: usize) -> Option<v1::Columns> {
    Some(v1::Columns {
        start_ms: at(step),
        values: vec![count(series, step) as f64],
        ..v1::Columns::default()
    })
}

fn pushed(series: usize, step: usize) -> v1::PushRequest {
    let series = (0..series).map(|s| v1::PushSeries {
        api: name(s),
        signal: v1::Signal::Requests.into(),
        step_s: STEP_S,
        columns: columns(s, step),
    });
    v1::PushRequest {
        series: series.collect(),
    }
}

fn in_columns(series: usize, step: usize) -> v1::SampleFrame {
    let series = (0..series).map(|s| v1::SeriesSamples {
        series_ref: s as u32 + 1,
        columns: columns(s, step),
    });
    v1::SampleFrame {
        series: series.collect(),
        ..v1::SampleFrame::default()
    }
}

fn in_a_grid(series: usize, step: usize) -> v1::SampleFrame {
    let grid = v1::SampleGrid {
        start_ms: at(step),
        steps: 1,
        series_ref: vec![1],
        rows: series as u32,
        counts: (0..series).map(|s| count(s, step)).collect(),
        ..v1::SampleGrid::default()
    };
    v1::SampleFrame {
        grids: vec![grid],
        ..v1::SampleFrame::default()
    }
}

async fn push(channel: &Channel, series: usize, steps: std::ops::Range<usize>) -> Result<u64> {
    let mut client = IngestClient::new(channel.clone());
    let mut stored = 0;
    for step in steps {
        stored += client.push(pushed(series, step)).await?.into_inner().stored;
    }
    Ok(stored)
}

async fn stream(
    channel: &Channel,
    series: usize,
    steps: std::ops::Range<usize>,
    frame: fn(usize, usize) -> v1::SampleFrame,
) -> Result<u64> {
    let (frames, queue) = mpsc::channel(1);
    let mut client = IngestClient::new(channel.clone());
    let answer = client.stream_samples(ReceiverStream::new(queue)).await?;
    let mut acks = answer.into_inner();
    let greeting = acks.message().await?.context("no greeting")?;
    let window = u64::from(greeting.max_unacked);
    let (mut sent, mut acked, mut stored) = (0, 0, 0);
    let all = steps.len() as u64;
    while acked < all {
        while sent < all && sent - acked < window {
            let mut next = frame(series, steps.start + usize::try_from(sent)?);
            if sent == 0 {
                let declare = (0..series).map(|s| v1::SeriesDeclaration {
                    series_ref: s as u32 + 1,
                    api: name(s),
                    signal: v1::Signal::Requests.into(),
                    step_s: STEP_S,
                });
                next.declare = declare.collect();
            }
            sent += 1;
            next.sequence = sent;
            frames.send(next).await?;
        }
        let ack = acks.message().await?.context("the stream ended")?;
        ensure!(ack.error.is_none() && ack.rejections.is_empty(), "{ack:?}");
        acked = ack.sequence;
        stored += ack.stored;
    }
    Ok(stored)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |or: usize| arguments.next().map_or(Ok(or), |a| a.parse());
    let (series, steps): (usize, usize) = (next(1000)?, next(300)?);
    let gate = gate()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    let mut objects = vec![
        Object::Tenant(v1::Tenant {
            name: "shop".into(),
            max_series: series as u64,
            max_samples_per_s: 1_000_000_000,
            max_modules: 1,
            usage: None,
        }),
        catalog::pool("edge", 100.0),
    ];
    objects
        .extend((0..series).map(|s| Object::Api(catalog::api(&name(s), "edge", v1::Tier::Bronze))));
    catalog::apply(&channel, objects).await?;
    // The first step makes the series; it is not counted.
    push(&channel, series, 0..1).await?;

    say("way in, bytes a sample, samples/s, samples per CPU-s of the daemon");
    let bytes = [
        pushed(series, 1).encoded_len(),
        in_columns(series, 1).encoded_len(),
        in_a_grid(series, 1).encoded_len(),
    ];
    for (i, way) in ["push", "stream, columns", "stream, grids"]
        .iter()
        .enumerate()
    {
        let range = 1 + i * steps..1 + (i + 1) * steps;
        let (began, spent) = (Instant::now(), cpu(&daemon)?);
        let stored = match i {
            0 => push(&channel, series, range).await?,
            1 => stream(&channel, series, range, in_columns).await?,
            _ => stream(&channel, series, range, in_a_grid).await?,
        };
        let (clock, spent) = (began.elapsed().as_secs_f64(), cpu(&daemon)? - spent);
        ensure!(stored == (series * steps) as u64, "{stored} were stored");
        say(&format!(
            "{way}, {:.1}, {:.0}, {:.0}",
            bytes[i] as f64 / series as f64,
            stored as f64 / clock,
            stored as f64 / spent.max(0.01)
        ));
    }
    Ok(())
}
