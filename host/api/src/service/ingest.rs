//! Samples in: one stream per sender, each frame acked when it is on disk.
//!
//! The stream of acks drives the stream of frames: it takes a frame only while fewer than
//! `max_unacked` are waiting, and it is itself only asked when the client has room for an ack. So
//! HTTP/2 flow control reaches from the disk to the sender, and neither a slow disk nor a client
//! that reads no acks makes anything grow. Acks come in the order of the frames, whatever the order
//! in which the store finishes: a sender may then forget everything up to the last ack.

use super::Shared;
use crate::auth::caller;
use crate::convert::samples::{Declarations, Translated, WayBack};
use crate::pull::closing;
use crate::status::{bad_field, retry_after_ms, status, unavailable};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tidegate_core::access::{Principal, Role};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::sample::{Rejection, Stored};
use tidegate_proto::v1::ingest_server::Ingest;
use tidegate_proto::v1::{FrameError, PushRequest, PushResponse, SampleAck, SampleFrame};
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

type Outcome = Result<(Stored, Vec<Rejection>), ServeError>;

/// A batch on its way to the disk.
struct Waiting {
    sequence: u64,
    way: WayBack,
    /// `None` when the whole frame was refused before the port saw it.
    outcome: Option<oneshot::Receiver<Outcome>>,
}

impl Shared {
    /// Hands what can be stored to the port.
    fn ingest(&self, caller: &Principal, sequence: u64, samples: Translated) -> Waiting {
        let (batch, way) = samples.into_parts();
        let outcome = (!batch.is_empty()).then(|| {
            let (done, outcome) = oneshot::channel();
            let done = Box::new(move |result| {
                // The sender may be gone by now; what it sent is stored all the same.
                let _ = done.send(result);
            });
            self.gate.ingest(caller, batch, done);
            outcome
        });
        Waiting {
            sequence,
            way,
            outcome,
        }
    }
}

/// Who feeds: a credential that may only read is told so once, not sample by sample.
fn feeder<T>(request: &Request<T>) -> Result<Arc<Principal>, Status> {
    let caller = caller(request)?;
    if caller.role < Role::Writer {
        let text = "a reader may not feed samples; use a credential of the role writer";
        return Err(status(ServeError::Denied(text.into())));
    }
    Ok(caller)
}

/// What the port said; a dropped answer is a failure of ours, and the sender repeats the frame.
fn heard(
    outcome: Result<Outcome, oneshot::error::RecvError>,
) -> Result<(Stored, Vec<Rejection>), Status> {
    match outcome {
        Ok(outcome) => outcome.map_err(status),
        Err(_) => Err(unavailable(
            "the store gave no answer; send these samples again",
        )),
    }
}

#[tonic::async_trait]
impl Ingest for Shared {
    type StreamSamplesStream = Acks;

    async fn stream_samples(
        &self,
        request: Request<Streaming<SampleFrame>>,
    ) -> Result<Response<Acks>, Status> {
        let caller = feeder(&request)?;
        let closing = self.wake.closing.clone();
        Ok(Response::new(Acks {
            shared: self.clone(),
            caller,
            span: Span::current(),
            frames: Some(request.into_inner()),
            closing: Box::pin(async move {
                let mut closing = closing;
                // An error means that the server is gone, which is the same.
                let _ = closing.wait_for(|closing| *closing).await;
            }),
            declared: Declarations::default(),
            last: 0,
            waiting: VecDeque::new(),
            greeted: false,
            end: None,
        }))
    }

    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let caller = feeder(&request)?;
        let series = request.into_inner().series;
        if series.is_empty() {
            return Err(bad_field("series", "it is empty; send at least one series"));
        }
        let waiting = self.ingest(&caller, 0, Translated::of_call(&caller, series));
        let (stored, rejections) = match waiting.outcome {
            Some(outcome) => heard(outcome.await)?,
            None => Default::default(),
        };
        Ok(Response::new(PushResponse {
            stored: stored.stored,
            duplicates: stored.duplicates,
            rejections: waiting.way.rejections(rejections),
            arrival: stored.sequence,
        }))
    }
}

/// The acks of one stream.
pub(crate) struct Acks {
    shared: Shared,
    caller: Arc<Principal>,
    span: Span,
    /// `None` once the sender has ended, or nothing more is taken from it.
    frames: Option<Streaming<SampleFrame>>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    declared: Declarations,
    /// Sequence of the newest frame.
    last: u64,
    waiting: VecDeque<Waiting>,
    greeted: bool,
    /// How the stream ends when everything taken is acked.
    end: Option<Status>,
}

impl Acks {
    /// Takes frames while there is room for them.
    fn take(&mut self, cx: &mut Context<'_>) {
        while self.waiting.len() < self.shared.limits.max_unacked as usize {
            let Some(frames) = &mut self.frames else {
                return;
            };
            if self.closing.as_mut().poll(cx).is_ready() {
                self.stop(Some(closing()));
                return;
            }
            match Pin::new(frames).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.stop(None),
                Poll::Ready(Some(Err(error))) => self.stop(Some(error)),
                Poll::Ready(Some(Ok(frame))) => match self.frame(frame) {
                    Ok(waiting) => self.waiting.push_back(waiting),
                    Err(error) => self.stop(Some(error)),
                },
            }
        }
    }

    fn stop(&mut self, end: Option<Status>) {
        self.frames = None;
        self.end = end;
    }

    fn frame(&mut self, frame: SampleFrame) -> Result<Waiting, Status> {
        if frame.sequence <= self.last {
            return Err(bad_field(
                "sequence",
                format!(
                    "{} does not rise: the frame before had {}, and the first has 1 or more",
                    frame.sequence, self.last
                ),
            ));
        }
        self.last = frame.sequence;
        let most = self.shared.limits.max_declared;
        self.declared
            .declare(&self.caller, &frame.declare, most)
            .map_err(|problem| bad_field("declare", problem))?;
        let samples = self.declared.translate(frame.series);
        Ok(self.shared.ingest(&self.caller, frame.sequence, samples))
    }

    /// The outcome of the oldest waiting frame.
    fn poll_oldest(&mut self, cx: &mut Context<'_>) -> Poll<SampleAck> {
        let Some(oldest) = self.waiting.front_mut() else {
            return Poll::Pending;
        };
        let outcome = match &mut oldest.outcome {
            None => Ok(Default::default()),
            Some(outcome) => heard(std::task::ready!(Pin::new(outcome).poll(cx))),
        };
        let Some(frame) = self.waiting.pop_front() else {
            return Poll::Pending;
        };
        Poll::Ready(ack(frame, outcome))
    }
}

fn ack(frame: Waiting, outcome: Result<(Stored, Vec<Rejection>), Status>) -> SampleAck {
    let sequence = frame.sequence;
    match outcome {
        Ok((stored, rejections)) => SampleAck {
            sequence,
            stored: stored.stored,
            duplicates: stored.duplicates,
            rejections: frame.way.rejections(rejections),
            arrival: stored.sequence,
            ..Default::default()
        },
        Err(status) => SampleAck {
            sequence,
            rejections: frame.way.rejections(vec![]),
            error: Some(FrameError {
                code: status.code() as i32,
                retry_after_ms: retry_after_ms(&status),
                message: status.message().to_owned(),
            }),
            ..Default::default()
        },
    }
}

impl Stream for Acks {
    type Item = Result<SampleAck, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let span = this.span.clone();
        let _inside = span.enter();
        if !this.greeted {
            this.greeted = true;
            return Poll::Ready(Some(Ok(SampleAck {
                max_unacked: this.shared.limits.max_unacked,
                ..Default::default()
            })));
        }
        this.take(cx);
        if let Poll::Ready(ack) = this.poll_oldest(cx) {
            return Poll::Ready(Some(Ok(ack)));
        }
        if this.frames.is_none() && this.waiting.is_empty() {
            return Poll::Ready(this.end.take().map(Err));
        }
        Poll::Pending
    }
}
