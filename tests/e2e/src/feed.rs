//! A feed over the bidirectional stream, and what it feeds: a load that can be recomputed from its
//! series and its time, so that a test can tell a lost sample from a wrong one.

use anyhow::{Context, Result, bail};
use tidegate_proto::v1::{self, ingest_client::IngestClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// Start of every feed: a Wednesday, 00:00 UTC.
pub const START_MS: i64 = 1_767_744_000_000;

/// One series of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// TENANT/NAME.
    pub api: String,
    /// Of what.
    pub signal: v1::Signal,
    /// Seconds of a step.
    pub step_s: u32,
}

impl Series {
    /// A series.
    #[must_use]
    pub fn new(api: &str, signal: v1::Signal, step_s: u32) -> Self {
        Self {
            api: api.into(),
            signal,
            step_s,
        }
    }

    /// Start of its `n`-th step.
    #[must_use]
    pub fn at(&self, n: usize) -> i64 {
        START_MS + n as i64 * i64::from(self.step_s) * 1000
    }

    /// What it measures in its `n`-th step: a daily wave with a little noise; a whole number, so
    /// that it is exact in every representation.
    #[must_use]
    pub fn load(&self, n: usize) -> u64 {
        let day = 86_400 / self.step_s as usize;
        let half = day / 2;
        let wave = half - (n % day).abs_diff(half);
        let noise =
            tidegate_core::canonical::seed(1, &self.api, self.signal.as_str_name(), n as i64) % 40;
        200 + (wave * 2000 / half.max(1)) as u64 + noise
    }

    /// Its steps `from..from + count` on the wire.
    #[must_use]
    pub fn columns(&self, from: usize, count: usize) -> v1::Columns {
        let mut columns = v1::Columns {
            start_ms: self.at(from),
            ..v1::Columns::default()
        };
        let loads = (from..from + count).map(|n| self.load(n));
        if self.signal == v1::Signal::Latency {
            columns.distributions = loads.map(distribution).collect();
        } else {
            columns.values = loads.map(|load| load as f64).collect();
        }
        columns
    }
}

/// `load` observations between 1 and 2 seconds, of which a hundred took longer than 1.5.
fn distribution(load: u64) -> v1::Distribution {
    v1::Distribution {
        buckets: vec![load],
        sum: load as f64 * 1.5,
        thresholds: vec![1.5],
        above: vec![100],
        ..v1::Distribution::default()
    }
}

/// An open stream of frames.
#[derive(Debug)]
pub struct Feed {
    series: Vec<Series>,
    frames: mpsc::Sender<v1::SampleFrame>,
    acks: Streaming<v1::SampleAck>,
    sequence: u64,
}

impl Feed {
    /// Opens the stream and declares the series; answers when the declaration was acked.
    ///
    /// # Errors
    /// When the stream breaks or the declaration is refused.
    pub async fn open(channel: &Channel, series: &[Series]) -> Result<Self> {
        let (frames, queue) = mpsc::channel(8);
        let declare = series
            .iter()
            .zip(1..)
            .map(|(s, series_ref)| v1::SeriesDeclaration {
                series_ref,
                api: s.api.clone(),
                signal: s.signal.into(),
                step_s: s.step_s,
            });
        frames
            .send(v1::SampleFrame {
                sequence: 1,
                declare: declare.collect(),
                series: vec![],
                ..Default::default()
            })
            .await?;
        let acks = IngestClient::new(channel.clone())
            .stream_samples(ReceiverStream::new(queue))
            .await?
            .into_inner();
        let mut feed = Self {
            series: series.to_vec(),
            frames,
            acks,
            sequence: 1,
        };
        while feed.ack().await?.sequence < 1 {}
        Ok(feed)
    }

    /// Sends steps `from..from + count` of every series; does not wait for the ack.
    ///
    /// # Errors
    /// When the stream is gone.
    pub async fn send(&mut self, from: usize, count: usize) -> Result<u64> {
        self.sequence += 1;
        let series = self
            .series
            .iter()
            .zip(1..)
            .map(|(s, series_ref)| v1::SeriesSamples {
                series_ref,
                columns: Some(s.columns(from, count)),
            });
        let frame = v1::SampleFrame {
            sequence: self.sequence,
            declare: vec![],
            series: series.collect(),
            ..Default::default()
        };
        self.frames
            .send(frame)
            .await
            .context("the stream is gone")?;
        Ok(self.sequence)
    }

    /// The next ack; one that refuses anything is an error.
    ///
    /// # Errors
    /// When the stream ends or something was refused.
    pub async fn ack(&mut self) -> Result<v1::SampleAck> {
        let ack = self
            .acks
            .message()
            .await?
            .context("the daemon ended the stream")?;
        if let Some(error) = &ack.error {
            bail!("frame {} was refused: {}", ack.sequence, error.message);
        }
        if let Some(rejection) = ack.rejections.first() {
            bail!("{} was refused: {}", rejection.field, rejection.reason);
        }
        Ok(ack)
    }

    /// Sends steps and waits until they are on disk.
    ///
    /// # Errors
    /// When they are not.
    pub async fn store(&mut self, from: usize, count: usize) -> Result<()> {
        let sequence = self.send(from, count).await?;
        while self.ack().await?.sequence < sequence {}
        Ok(())
    }
}
