//! The way in for foreign protocols: gRPC and HTTP on one listener, told apart by path.
//!
//! Who asks is found before a body is read, and so is whether he may feed and whether there is room for another
//! request (`room`). A body is bounded before and after it is decompressed. Answers speak each protocol's own terms, because senders decide by them what to
//! send again: what is wrong for good must not come back, what is only too much now must.

mod room;
mod unpack;

mod frames;

mod envoy;
mod grpc;
mod http;

/// Where requests go.
pub use axum::Router;

use crate::feed::{Error, Feed, Took, Written};
use crate::remote_write::Version;
use ::http::HeaderMap;
use room::{Place, Room};
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::time::Timestamp;
use tokio::sync::{Semaphore, watch};

/// Finds the caller by the header `authorization`; an error is a text for the sender.
pub type Identify = Arc<dyn Fn(Option<&[u8]>) -> Result<Principal, String> + Send + Sync>;

/// Hears what became of each request: protocol, outcome.
pub type Hear = Arc<dyn Fn(&'static str, &Took) + Send + Sync>;

/// What requests may cost, and who is asked.
#[derive(Clone)]
pub struct Options {
    /// Largest body, in bytes, compressed or not.
    pub message: usize,
    /// Requests that are read at the same time; of one credential, half as many.
    pub concurrency: usize,
    /// Who asks.
    pub identify: Identify,
    /// The machine's clock.
    pub clock: fn() -> Timestamp,
    /// Hears what became of requests.
    pub hear: Hear,
    /// Becomes true when streams must end, which otherwise end with their senders; `None`: never.
    pub closing: Option<watch::Receiver<bool>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("message", &self.message)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

/// What every handler shares.
#[derive(Debug, Clone)]
struct Shared {
    feed: Arc<Feed>,
    options: Options,
    room: Arc<Room>,
    /// Where messages of Envoys wait that cannot be taken now, beside the room of those that may.
    pauses: Arc<Room>,
    streams: Arc<Semaphore>,
}

/// How long a body may take to arrive: who sends slowly must not keep others out.
const SLOWEST: std::time::Duration = std::time::Duration::from_secs(30);

/// How long a sender is asked to wait where nothing better is known, in milliseconds.
const RETRY_MS: u64 = 1000;

/// The routes of all foreign protocols.
pub fn routes(feed: Arc<Feed>, options: Options) -> Router {
    let shared = Shared {
        feed,
        room: Arc::new(Room::new(options.concurrency)),
        pauses: Arc::new(Room::new(options.concurrency)),
        streams: Arc::new(Semaphore::new(envoy::MAX_STREAMS)),
        options,
    };
    let streams = envoy::routes(shared.clone());
    http::routes(shared.clone())
        .merge(grpc::routes(shared))
        .merge(streams)
}

impl Shared {
    fn caller(&self, headers: &HeaderMap) -> Result<Principal, String> {
        let header = headers.get(::http::header::AUTHORIZATION);
        (self.options.identify)(header.map(::http::HeaderValue::as_bytes))
    }

    /// Room for one more body of somebody who may feed.
    fn admit(&self, caller: &Principal) -> Result<Place, Error> {
        may_feed(caller)?;
        self.room.try_enter(&caller.name).ok_or(Error::Busy {
            what: "as many requests are being read as may be",
            retry_ms: RETRY_MS,
        })
    }

    /// Feeds a body and waits for the disk, on a thread that may block.
    async fn take<T: Send + 'static>(
        &self,
        feed: impl FnOnce(&Shared, Timestamp) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let now = (shared.options.clock)();
            feed(&shared, now)
        });
        done.await.unwrap_or(Err(Error::Busy {
            what: "the request was interrupted",
            retry_ms: RETRY_MS,
        }))
    }

    async fn otlp(&self, caller: Principal, (body, place): Held) -> Result<Took, Error> {
        self.take(move |shared, now| {
            let took = shared.feed.otlp(&caller, &body, now)?;
            (shared.options.hear)("otlp", &took);
            drop((body, place));
            Ok(took)
        })
        .await
    }

    async fn write(
        &self,
        caller: Principal,
        (body, place): Held,
        version: Version,
    ) -> Result<Written, Error> {
        self.take(move |shared, now| {
            let written = shared.feed.remote_write(&caller, &body, version, now)?;
            (shared.options.hear)("remote-write", &written.took);
            drop((body, place));
            Ok(written)
        })
        .await
    }
}

/// A body, and the room that it takes.
type Held = (bytes::Bytes, Place);

fn may_feed(caller: &Principal) -> Result<(), Error> {
    if caller.role < Role::Writer {
        let text = "a reader may not feed; use a credential of the role writer";
        return Err(Error::Denied(text.into()));
    }
    Ok(())
}

/// `ExportMetricsServiceResponse`: empty on full success, as the specification wants it.
fn export_response(took: &Took) -> Vec<u8> {
    let mut to = vec![];
    if let Some(message) = took.message() {
        let mut partial = vec![0x08];
        varint(&mut partial, took.rejected);
        partial.push(0x12);
        varint(&mut partial, message.len() as u64);
        partial.extend_from_slice(message.as_bytes());
        to.push(0x0a);
        varint(&mut to, partial.len() as u64);
        to.extend(partial);
    }
    to
}

fn varint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}
