//! An open stream, and how it is opened: the greeting first, then the session.
//!
//! Opening is a future of its own that the feeder keeps, because whoever drives a feeder may drop a
//! call at any point: a connection that is being made must go on with the next call, or a busy
//! program would begin it anew for ever.

use super::outbox::Window;
use crate::Client;
use std::future::Future;
use std::pin::Pin;
use tidegate_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Both ends of a stream, and how much may be under way on it.
pub(super) struct Live {
    pub(super) frames: mpsc::Sender<v1::SampleFrame>,
    pub(super) acks: Streaming<v1::SampleAck>,
    pub(super) window: Window,
}

/// A stream that is being opened; with a session, what the server had taken of it.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<(Live, Option<u64>), Status>> + Send>>;

/// A stream that ended without a status.
pub(super) fn ended() -> Status {
    Status::unavailable("the server ended the stream")
}

/// Opens a stream, hears how much may be under way, and resumes a session if `opening` names one.
pub(super) fn open(client: &Client, opening: Option<v1::SampleFrame>) -> Opening {
    let mut ingest = client.ingest();
    Box::pin(async move {
        let (frames, outgoing) = mpsc::channel(4);
        let answer = ingest.stream_samples(ReceiverStream::new(outgoing)).await?;
        let mut acks = answer.into_inner();
        let greeting = acks.message().await?.ok_or_else(ended)?;
        let window = Window::of(&greeting);
        // A server that tells no terms knows no sessions either.
        let opening = opening.filter(|_| greeting.terms.is_some());
        let mut taken = None;
        if let Some(opening) = opening {
            frames.send(opening).await.map_err(|_| ended())?;
            let answer = acks.message().await?.ok_or_else(ended)?;
            taken = Some(answer.resumed.map_or(0, |r| r.taken));
        }
        let live = Live {
            frames,
            acks,
            window,
        };
        Ok((live, taken))
    })
}
