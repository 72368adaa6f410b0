//! Moves an [`Outbox`] over the bidirectional stream.

use super::outbox::{Outbox, Sample, SeriesKey, Totals};
use crate::Client;
use std::time::Duration;
use tidegate_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// How much is gathered and how hard is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeederOptions {
    /// Samples per frame.
    pub batch: usize,
    /// Frames that may wait for an ack before [`Feeder::add`] waits too: this bounds memory.
    pub unacked: usize,
    /// Reconnects in a row without a single ack before it gives up.
    pub attempts: u32,
    /// Wait before the first reconnect; doubles up to 5 s.
    pub backoff: Duration,
}

impl Default for FeederOptions {
    fn default() -> Self {
        Self {
            batch: 4096,
            unacked: 16,
            attempts: 8,
            backoff: Duration::from_millis(100),
        }
    }
}

/// Why feeding stopped. What had no ack is still held: a later `flush` tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The server refuses this caller or this stream; trying again is useless.
    #[error("the server refuses the samples: {}", .0.message())]
    Refused(Status),
    /// The server cannot be reached.
    #[error("no ack came in {attempts} attempts; the last error: {}", .last.message())]
    GaveUp {
        /// How many.
        attempts: u32,
        /// What the last one met.
        last: Status,
    },
}

struct Live {
    frames: mpsc::Sender<v1::SampleFrame>,
    acks: Streaming<v1::SampleAck>,
    window: usize,
}

/// Feeds samples; see the module.
pub struct Feeder {
    client: Client,
    options: FeederOptions,
    outbox: Outbox,
    live: Option<Live>,
}

impl std::fmt::Debug for Feeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeder")
            .field("connected", &self.live.is_some())
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}

impl Feeder {
    /// A feeder that connects when it first has a frame.
    #[must_use]
    pub fn new(client: Client, options: FeederOptions) -> Self {
        Self {
            client,
            options,
            outbox: Outbox::default(),
            live: None,
        }
    }

    /// Gathers a sample. Sends when a batch is full, and waits for acks when too many are missing.
    ///
    /// # Errors
    /// [`FeedError`]; the sample is held in either case.
    pub async fn add(&mut self, key: &SeriesKey, sample: Sample) -> Result<(), FeedError> {
        self.outbox.add(key, sample);
        if self.outbox.gathered() >= self.options.batch.max(1) {
            self.outbox.seal();
            self.pump(self.options.unacked.max(1)).await?;
        }
        Ok(())
    }

    /// Waits until everything added is on disk or was refused by name.
    ///
    /// # Errors
    /// [`FeedError`]; what had no ack is still held.
    pub async fn flush(&mut self) -> Result<&Totals, FeedError> {
        self.outbox.seal();
        self.pump(0).await?;
        Ok(self.outbox.totals())
    }

    /// What became of everything that was acked so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        self.outbox.totals()
    }

    /// Moves frames out and acks in until at most `rest` frames are without an ack.
    async fn pump(&mut self, rest: usize) -> Result<(), FeedError> {
        let mut attempts = 0;
        loop {
            let before = self.outbox.unacked();
            match self.turn(rest).await {
                Ok(()) => return Ok(()),
                Err(status) if is_final(status.code()) => {
                    self.drop_stream();
                    return Err(FeedError::Refused(status));
                }
                Err(last) => {
                    self.drop_stream();
                    attempts = if self.outbox.unacked() < before {
                        1
                    } else {
                        attempts + 1
                    };
                    if attempts >= self.options.attempts.max(1) {
                        return Err(FeedError::GaveUp { attempts, last });
                    }
                    let wait = self
                        .options
                        .backoff
                        .saturating_mul(1 << (attempts - 1).min(16));
                    tokio::time::sleep(wait.min(Duration::from_secs(5))).await;
                }
            }
        }
    }

    /// One stream's worth of pumping.
    async fn turn(&mut self, rest: usize) -> Result<(), Status> {
        let ended = || Status::unavailable("the server ended the stream");
        loop {
            if self.outbox.unacked() == 0 {
                return Ok(());
            }
            let live = match &mut self.live {
                Some(live) => live,
                None => {
                    let live = open(&self.client).await?;
                    self.live.insert(live)
                }
            };
            while let Some(frame) = self.outbox.next_frame(live.window) {
                live.frames.send(frame).await.map_err(|_| ended())?;
            }
            if self.outbox.unacked() <= rest {
                return Ok(());
            }
            let ack = live.acks.message().await?.ok_or_else(ended)?;
            if let Some(wait) = self.outbox.ack(ack) {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        }
    }

    fn drop_stream(&mut self) {
        self.live = None;
        self.outbox.disconnected();
    }
}

/// Opens a stream and hears how many frames may be under way.
async fn open(client: &Client) -> Result<Live, Status> {
    let (frames, outgoing) = mpsc::channel(4);
    let answer = client
        .ingest()
        .stream_samples(ReceiverStream::new(outgoing))
        .await?;
    let mut acks = answer.into_inner();
    let greeting = acks.message().await?;
    let window = greeting.map_or(1, |ack| ack.max_unacked.max(1)) as usize;
    Ok(Live {
        frames,
        acks,
        window,
    })
}

/// Whether the same stream would fail again.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::NotFound
            | Code::FailedPrecondition
    )
}
