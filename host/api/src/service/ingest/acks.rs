//! One stream: its frames in, its acks out.
//!
//! The stream of acks drives the stream of frames: it takes a frame only while the line has room,
//! and it is itself only asked when the client has room for an ack. So HTTP/2 flow control reaches
//! from the disk to the sender, and neither a slow disk nor a client that reads no acks makes
//! anything grow.

use super::line::{Awaited, Held, Resumed, Waiting};
use super::{Shared, size};
use crate::convert::samples::Declarations;
use crate::pull::closing;
use crate::status::bad_field;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tidegate_core::access::Principal;
use tidegate_proto::v1::{SampleAck, SampleFrame, StreamOpening, StreamResumed};
use tokio_stream::Stream;
use tonic::{Status, Streaming};
use tracing::Span;

/// The acks of one stream.
pub(crate) struct Acks {
    shared: Shared,
    caller: Arc<Principal>,
    span: Span,
    /// `None` once the sender has ended, or nothing more is taken from it.
    frames: Option<Streaming<SampleFrame>>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    declared: Declarations,
    held: Held,
    /// What is told before anything of the line: the greeting, and what a resumed stream missed.
    first: VecDeque<SampleAck>,
    /// Whether a frame has come.
    begun: bool,
    /// How the stream ends when everything taken is acked.
    end: Option<Status>,
    /// Whether the end was told.
    over: bool,
}

impl Acks {
    pub(super) fn new(
        shared: Shared,
        caller: Arc<Principal>,
        frames: Streaming<SampleFrame>,
        greeting: SampleAck,
    ) -> Self {
        let mut closing = shared.wake.closing.clone();
        Self {
            shared,
            caller,
            span: Span::current(),
            frames: Some(frames),
            closing: Box::pin(async move {
                // An error means that the server is gone, which is the same.
                let _ = closing.wait_for(|closing| *closing).await;
            }),
            declared: Declarations::default(),
            held: Held::alone(),
            first: [greeting].into(),
            begun: false,
            end: None,
            over: false,
        }
    }

    /// Takes frames while there is room for them; false when another stream has taken over.
    fn take(&mut self, cx: &mut Context<'_>) -> bool {
        let limits = self.shared.limits;
        loop {
            let Some(line) = self.held.line(cx) else {
                return false;
            };
            let has_room = line.has_room(limits.max_unacked as usize, limits.max_unacked_bytes);
            let newest = line.last;
            drop(line);
            let Some(frames) = &mut self.frames else {
                return true;
            };
            if !has_room {
                return true;
            }
            if self.closing.as_mut().poll(cx).is_ready() {
                self.stop(Some(closing()));
                return true;
            }
            let frame = match Pin::new(frames).poll_next(cx) {
                Poll::Pending => return true,
                Poll::Ready(None) => {
                    self.stop(None);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.stop(Some(error));
                    continue;
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            let begun = std::mem::replace(&mut self.begun, true);
            if let Err(error) = self.frame(frame, begun, newest, cx) {
                self.stop(Some(error));
            }
        }
    }

    fn stop(&mut self, end: Option<Status>) {
        self.frames = None;
        self.end = end;
    }

    fn frame(
        &mut self,
        frame: SampleFrame,
        begun: bool,
        newest: u64,
        cx: &mut Context<'_>,
    ) -> Result<(), Status> {
        if let Some(open) = &frame.open {
            let alone = frame.sequence == 0
                && frame.declare.is_empty()
                && frame.series.is_empty()
                && frame.grids.is_empty();
            if begun || !alone {
                let text = "it stands in the first frame alone, without a sequence and without \
                            anything else; send it once, before the first declaration";
                return Err(bad_field("open", text));
            }
            return self.open(open);
        }
        if frame.sequence <= newest {
            return Err(bad_field(
                "sequence",
                format!(
                    "{} does not rise: the frame before had {newest}, and the first has 1 or more",
                    frame.sequence
                ),
            ));
        }
        let limits = self.shared.limits;
        self.declared
            .declare(&self.caller, &frame.declare, limits.max_declared)
            .map_err(|problem| bad_field("declare", problem))?;
        let behind = self.held.line(cx).and_then(|mut line| line.behind());
        let fits = size::check(&frame, limits.max_frame_samples)
            .map_err(|(field, problem)| bad_field(field, problem));
        let waiting = match fits.and(behind.map_or(Ok(()), Err)) {
            Err(refusal) => Waiting {
                sequence: frame.sequence,
                bytes: 0,
                way: Default::default(),
                outcome: Awaited::Refused(refusal),
            },
            Ok(()) => {
                let samples = self.declared.translate(frame.series, frame.grids);
                let bytes = size::bytes(&samples.batch);
                let (way, outcome) = self.shared.ingest(&self.caller, samples);
                Waiting {
                    sequence: frame.sequence,
                    bytes,
                    way,
                    outcome: outcome.map_or(Awaited::Nothing, Awaited::Port),
                }
            }
        };
        // What the port has is stored all the same; a stream that has lost its line in between tells
        // nobody, and the sender repeats it on the other.
        if let Some(mut line) = self.held.line(cx) {
            line.push(waiting);
        }
        Ok(())
    }

    fn open(&mut self, open: &StreamOpening) -> Result<(), Status> {
        let limits = self.shared.limits;
        // Twice the window: whoever keeps to it cannot have missed more.
        let keep = 2 * limits.max_unacked.max(1) as usize;
        let caller = &self.caller.name;
        let Resumed {
            held,
            taken,
            unheard,
        } = self
            .shared
            .sessions
            .open(caller, &open.session, open.heard, limits.sessions, keep)?;
        self.held = held;
        self.first.push_back(SampleAck {
            resumed: Some(StreamResumed { taken }),
            ..Default::default()
        });
        self.first.extend(unheard);
        Ok(())
    }
}

fn taken_over() -> Status {
    Status::aborted(
        "another stream has opened this session and goes on with it; give every sender a session \
         of its own",
    )
}

impl Stream for Acks {
    type Item = Result<SampleAck, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let span = this.span.clone();
        let _inside = span.enter();
        if this.over {
            return Poll::Ready(None);
        }
        if let Some(ack) = this.first.pop_front() {
            return Poll::Ready(Some(Ok(ack)));
        }
        let ours = this.take(cx);
        if let Some(ack) = this.first.pop_front() {
            return Poll::Ready(Some(Ok(ack)));
        }
        let line = if ours { this.held.line(cx) } else { None };
        let Some(mut line) = line else {
            this.frames = None;
            this.over = true;
            return Poll::Ready(Some(Err(taken_over())));
        };
        if let Poll::Ready(ack) = line.poll_oldest(cx) {
            return Poll::Ready(Some(Ok(ack)));
        }
        if this.frames.is_none() && line.is_empty() {
            this.over = true;
            return Poll::Ready(this.end.take().map(Err));
        }
        Poll::Pending
    }
}
