//! `envoy.service.metrics.v3.MetricsService/StreamMetrics`: messages without end and without an answer.
//!
//! A stream is open for as long as its Envoy lives, so room is not held for the stream but for a
//! message while it arrives and is taken: frames are read here rather than by tonic, which would set
//! memory aside for the length that a stranger announces, before anybody could ask for room. So what
//! streams may cost is what calls may cost, and a few kilobytes each.
//!
//! There is no way to tell an Envoy what became of a message, other than to end the stream; it opens
//! another at its next flush, but what was in the message is gone. So where there is too much for now,
//! the message waits, and its Envoy with it.
//!
//! An Envoy that counts from flush to flush (`report_counters_as_deltas`) must say so, by
//! `initial_metadata: [{key: tidegate-counters, value: delta}]` of its `grpc_service`.
//!
//! Source: `envoy/service/metrics/v3/metrics_service.proto`; github.com/grpc, "gRPC over HTTP2".

use super::grpc::{Plain, status};
use super::{SLOWEST, Shared};
use crate::feed::{Counters, Error, Feed, Peer};
use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::access::Principal;
use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::ClientStreamingService;
use tonic::{Request, Response, Status, Streaming};

/// Where the service lies.
const PATH: &str = "/envoy.service.metrics.v3.MetricsService/StreamMetrics";

/// Streams that may be open at a time.
pub(super) const MAX_STREAMS: usize = 4096;

/// After so long without a message, a stream is ended; Envoy flushes every five seconds by itself.
const IDLE: Duration = Duration::from_secs(600);

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

pub(super) fn routes(shared: Shared) -> axum::Router {
    axum::Router::new().route_service(PATH, Metrics(shared))
}

/// The service.
#[derive(Debug, Clone)]
struct Metrics(Shared);

impl Service<http::Request<axum::body::Body>> for Metrics {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            Ok(match stream(shared, request).await {
                Ok(()) => done().await,
                Err(status) => status.into_http(),
            })
        })
    }
}

/// What is answered to a stream that its Envoy has ended: a `StreamMetricsResponse`, which is empty.
struct Done;

impl ClientStreamingService<Bytes> for Done {
    type Response = Vec<u8>;
    type Future = BoxFuture<Response<Vec<u8>>, Status>;

    fn call(&mut self, _: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async { Ok(Response::new(vec![])) })
    }
}

async fn done() -> http::Response<Body> {
    let nothing = http::Request::new(axum::body::Body::empty());
    let mut grpc = tonic::server::Grpc::new(Plain);
    grpc.client_streaming(Done, nothing).await
}

/// An Envoy's stream, which ends when this is dropped, wherever it is then.
struct Guard {
    feed: Arc<Feed>,
    peer: Peer,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.feed.part(&self.peer);
    }
}

fn counters(headers: &HeaderMap) -> Result<Counters, Status> {
    match headers.get("tidegate-counters").map(|v| v.as_bytes()) {
        None | Some(b"cumulative") => Ok(Counters::Cumulative),
        Some(b"delta") => Ok(Counters::Delta),
        Some(_) => Err(Status::invalid_argument(
            "`tidegate-counters` is neither `cumulative` nor `delta`; write `delta` where `report_counters_as_deltas` is set, or leave it out",
        )),
    }
}

async fn stream(shared: Shared, request: http::Request<axum::body::Body>) -> Result<(), Status> {
    let headers = request.headers();
    let caller = shared.caller(headers).map_err(Status::unauthenticated)?;
    let counters = counters(headers)?;
    let packed = match headers.get("grpc-encoding").map(|v| v.as_bytes()) {
        None | Some(b"identity") => Packed::No,
        Some(b"gzip") => Packed::Gzip,
        Some(_) => {
            return Err(Status::unimplemented(
                "this compression is not read here; send gzip or none",
            ));
        }
    };
    let _stream = shared.streams.clone().try_acquire_owned().map_err(|_| {
        Status::unavailable(format!(
            "{MAX_STREAMS} Envoys stream already; stream again later"
        ))
    })?;
    let mut frames = Frames {
        data: request.into_body().into_data_stream(),
        here: BytesMut::new(),
        limit: shared.options.message,
        packed,
    };
    let mut guard = Guard {
        feed: shared.feed.clone(),
        peer: shared.feed.meet(counters),
    };
    let mut closing = shared.options.closing.clone();
    loop {
        let stops = async {
            match &mut closing {
                Some(closing) => drop(closing.wait_for(|closing| *closing).await),
                None => pending().await,
            }
        };
        let next = tokio::select! {
            next = frames.next(&shared) => next?,
            () = stops => return Err(Status::unavailable("the daemon stops; stream again")),
        };
        let Some((body, room)) = next else {
            return Ok(());
        };
        guard = take(&shared, &caller, guard, body).await?;
        drop(room);
    }
}

/// Takes a message, and waits with it while there is too much.
async fn take(
    shared: &Shared,
    caller: &Principal,
    mut guard: Guard,
    body: Bytes,
) -> Result<Guard, Status> {
    let mut waited = Duration::ZERO;
    loop {
        let (caller, body) = (caller.clone(), body.clone());
        let taken = shared.take(move |shared, now| {
            let taken = shared.feed.envoy(&caller, &mut guard.peer, &body, now);
            if let Ok(took) = &taken {
                (shared.options.hear)("envoy", took);
            }
            Ok((guard, taken))
        });
        let (back, taken) = taken.await.map_err(|e| status(&e))?;
        guard = back;
        match taken {
            Ok(_) => return Ok(guard),
            Err(
                Error::Busy { retry_ms, .. }
                | Error::Full { retry_ms, .. }
                | Error::Over { retry_ms, .. },
            ) if waited < SLOWEST => {
                let pause = Duration::from_millis(retry_ms.clamp(10, 5_000));
                tokio::time::sleep(pause).await;
                waited += pause;
            }
            Err(error) => return Err(status(&error)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packed {
    No,
    Gzip,
}

/// Messages out of a body.
struct Frames {
    data: axum::body::BodyDataStream,
    /// What has arrived and is not taken.
    here: BytesMut,
    limit: usize,
    packed: Packed,
}

impl Frames {
    /// The next message, with the room that it takes; `None` at the end.
    async fn next(
        &mut self,
        shared: &Shared,
    ) -> Result<Option<(Bytes, OwnedSemaphorePermit)>, Status> {
        let idle = "no message came for ten minutes; stream again";
        if !within(IDLE, idle, self.gather(HEAD)).await? {
            return if self.here.is_empty() {
                Ok(None)
            } else {
                Err(cut_off())
            };
        }
        let (flag, length) = (self.here[0], &self.here[1..HEAD]);
        let length = length.try_into().map_or(0, u32::from_be_bytes) as usize;
        if length > self.limit {
            return Err(too_large(self.limit));
        }
        let slow = "the message took too long; stream again";
        let room = within(SLOWEST, slow, async {
            let room = shared.room.clone().acquire_owned().await;
            room.map_err(|_| Status::unavailable("the daemon stops; stream again"))
        })
        .await?;
        if !within(SLOWEST, slow, self.gather(HEAD + length)).await? {
            return Err(cut_off());
        }
        self.here.advance(HEAD);
        let body = self.here.split_to(length).freeze();
        // What is left is a part of the next message; the memory of this one must not hang on it.
        self.here = BytesMut::from(&self.here[..]);
        let body = match (flag, self.packed) {
            (0, _) => body,
            (1, Packed::Gzip) => unpack(body, self.limit).await?,
            _ => {
                return Err(Status::invalid_argument(
                    "a message is compressed, and `grpc-encoding` does not say how",
                ));
            }
        };
        Ok(Some((body, room)))
    }

    /// Waits until `n` bytes are here; whether they are, or the body has ended.
    async fn gather(&mut self, n: usize) -> Result<bool, Status> {
        while self.here.len() < n {
            match self.data.next().await {
                Some(Ok(data)) => self.here.extend_from_slice(&data),
                Some(Err(error)) => return Err(Status::cancelled(error.to_string())),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

async fn unpack(body: Bytes, limit: usize) -> Result<Bytes, Status> {
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut plain = vec![];
        let mut reader = flate2::read::MultiGzDecoder::new(&body[..]).take(limit as u64 + 1);
        reader.read_to_end(&mut plain).map(|_| plain)
    });
    let plain = unpacked
        .await
        .map_err(|_| Status::unavailable("the message was interrupted; stream again"))?
        .map_err(|e| Status::invalid_argument(format!("a message cannot be unpacked: {e}")))?;
    if plain.len() > limit {
        return Err(too_large(limit));
    }
    Ok(plain.into())
}

fn too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!(
        "a message is larger than {limit} bytes; send fewer statistics (`stats_matcher`), or raise `feeds.message`"
    ))
}

fn cut_off() -> Status {
    Status::invalid_argument("the stream ends within a message")
}

async fn within<T>(
    bound: Duration,
    overdue: &'static str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let done = tokio::time::timeout(bound, work).await;
    done.unwrap_or_else(|_| Err(Status::unavailable(overdue)))
}
