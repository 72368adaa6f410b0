//! What the demo says and hears over gRPC: the generated client alone, as any other program would
//! use it, so that the demo proves the front door and not a side entrance.

use super::setup::id;
use super::traces::STEP_S;
use super::{POOL, traces};
use anyhow::{Context, Result, bail};
use tidegate_client::sim::Observation;
use tidegate_proto::v1::{
    self, clock_client::ClockClient, ingest_client::IngestClient, plans_client::PlansClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// The signals of one api on a stream, in the order of their references.
const SIGNALS: [v1::Signal; 5] = [
    v1::Signal::Requests,
    v1::Signal::Errors,
    v1::Signal::Cpu,
    v1::Signal::Memory,
    v1::Signal::Latency,
];

/// One bidirectional ingest stream; a frame is answered before the next is sent.
pub(crate) struct Feed {
    frames: mpsc::Sender<v1::SampleFrame>,
    acks: Streaming<v1::SampleAck>,
    sequence: u64,
    /// Per api.
    thresholds: Vec<Vec<f64>>,
    /// Samples that were acknowledged.
    pub(crate) stored: u64,
}

impl Feed {
    /// Opens the stream and declares every series.
    pub(crate) async fn open(channel: &Channel, apis: &[traces::Api]) -> Result<Self> {
        let (frames, queue) = mpsc::channel(4);
        let declare = apis
            .iter()
            .enumerate()
            .flat_map(|(a, api)| {
                SIGNALS
                    .iter()
                    .enumerate()
                    .map(move |(s, signal)| v1::SeriesDeclaration {
                        series_ref: reference(a, s),
                        api: id(&api.name),
                        signal: (*signal).into(),
                        step_s: STEP_S,
                    })
            })
            .collect();
        frames
            .send(v1::SampleFrame {
                sequence: 1,
                declare,
                series: vec![],
                ..Default::default()
            })
            .await?;
        let mut client = IngestClient::new(channel.clone()).max_encoding_message_size(64 << 20);
        let acks = client
            .stream_samples(ReceiverStream::new(queue))
            .await?
            .into_inner();
        let thresholds = apis
            .iter()
            .map(|a| a.spec.slo_thresholds_s.clone())
            .collect();
        let mut feed = Self {
            frames,
            acks,
            sequence: 1,
            thresholds,
            stored: 0,
        };
        feed.ack().await?;
        Ok(feed)
    }

    /// Sends what every api saw in consecutive steps from `start_ms` on: `seen[api][step]`.
    pub(crate) async fn send(&mut self, start_ms: i64, seen: &[Vec<Observation>]) -> Result<()> {
        self.sequence += 1;
        let series = seen
            .iter()
            .enumerate()
            .flat_map(|(a, steps)| (0..SIGNALS.len()).map(move |s| (a, s, steps)))
            .map(|(a, s, steps)| v1::SeriesSamples {
                series_ref: reference(a, s),
                columns: Some(columns(SIGNALS[s], start_ms, steps, &self.thresholds[a])),
            })
            .collect();
        self.frames
            .send(v1::SampleFrame {
                sequence: self.sequence,
                declare: vec![],
                series,
                ..Default::default()
            })
            .await?;
        self.ack().await
    }

    async fn ack(&mut self) -> Result<()> {
        loop {
            let ack = self
                .acks
                .message()
                .await?
                .context("the daemon closed the ingest stream")?;
            if let Some(error) = ack.error {
                bail!("the daemon refused a frame: {}", error.message);
            }
            if let Some(rejection) = ack.rejections.first() {
                bail!(
                    "the daemon refused {}: {}",
                    rejection.field,
                    rejection.reason
                );
            }
            self.stored += ack.stored;
            if ack.sequence >= self.sequence {
                return Ok(());
            }
        }
    }
}

fn reference(api: usize, signal: usize) -> u32 {
    u32::try_from(api * SIGNALS.len() + signal + 1).unwrap_or(u32::MAX)
}

fn columns(
    signal: v1::Signal,
    start_ms: i64,
    steps: &[Observation],
    thresholds: &[f64],
) -> v1::Columns {
    let number = |seen: &Observation| match signal {
        v1::Signal::Requests => seen.requests as f64,
        v1::Signal::Errors => seen.errors() as f64,
        v1::Signal::Cpu => seen.mean_cores(),
        _ => seen.memory_bytes,
    };
    let mut columns = v1::Columns {
        start_ms,
        ..v1::Columns::default()
    };
    if signal == v1::Signal::Latency {
        columns.distributions = steps
            .iter()
            .map(|seen| distribution(seen, thresholds))
            .collect();
    } else {
        columns.values = steps.iter().map(number).collect();
    }
    columns
}

/// A service reports no sum of latencies; the median stands in for the mean, and no objective rests
/// on it: the counts beyond the thresholds are exact.
fn distribution(seen: &Observation, thresholds: &[f64]) -> v1::Distribution {
    let sum = seen.latency.quantile(0.5).unwrap_or(0.0) * seen.served as f64;
    v1::Distribution {
        scale: i32::from(seen.latency.scale()),
        zero_count: 0,
        offset: seen.latency.offset(),
        buckets: seen.latency.counts().to_vec(),
        sum,
        thresholds: thresholds.to_vec(),
        above: seen.slow.clone(),
    }
}

/// Moves the daemon's clock; every fit and cycle that is due has run when this returns.
pub(crate) async fn advance(channel: &Channel, now_ms: i64) -> Result<()> {
    ClockClient::new(channel.clone())
        .advance(v1::AdvanceRequest { now_ms })
        .await?;
    Ok(())
}

/// Every plan of the pool from a generation on, from the ledger.
pub(crate) async fn plans(channel: &Channel, first: u64) -> Result<Vec<v1::Plan>> {
    let mut client = PlansClient::new(channel.clone());
    let newest = client
        .get_plan(v1::GetPlanRequest {
            pool: POOL.into(),
            generation: None,
        })
        .await?;
    let newest = newest
        .into_inner()
        .plan
        .context("the daemon has no plan")?
        .generation;
    let mut plans = vec![];
    for generation in first..=newest {
        let request = v1::GetPlanRequest {
            pool: POOL.into(),
            generation: Some(generation),
        };
        plans.push(
            client
                .get_plan(request)
                .await?
                .into_inner()
                .plan
                .context("an empty answer")?,
        );
    }
    Ok(plans)
}
