//! `envoy.service.metrics.v3.MetricsService/StreamMetrics`: messages without end and without an answer.
//!
//! A stream is open for as long as its Envoy lives, so room is not held for the stream but for a
//! message while it arrives and is taken. So what streams may cost is what calls may cost, and a few
//! kilobytes each.
//!
//! There is no way to tell an Envoy what became of a message, other than to end the stream; it opens
//! another at its next flush, but what was in the message is gone. So where there is too much for now,
//! the message waits, and its Envoy with it; not in the room of those that can be taken, which a tenant over its
//! quota would fill with its Envoys, but in as much beside it. Only where that is full too, it stays where it is.
//!
//! An Envoy that counts from flush to flush (`report_counters_as_deltas`) must say so, by
//! `initial_metadata: [{key: tidegate-counters, value: delta}]` of its `grpc_service`.
//!
//! Source: `envoy/service/metrics/v3/metrics_service.proto`; github.com/grpc, "gRPC over HTTP2".

use super::frames::{Frames, answer, within};
use super::grpc::status;
use super::room::Place;
use super::{Held, SLOWEST, Shared, may_feed};
use crate::feed::{Counters, Error, Feed, Peer};
use http::HeaderMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::access::Principal;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};

/// Where the service lies.
const PATH: &str = "/envoy.service.metrics.v3.MetricsService/StreamMetrics";

/// Streams that may be open at a time.
pub(super) const MAX_STREAMS: usize = 4096;

/// After so long without a message, a stream is ended; Envoy flushes every five seconds by itself.
const IDLE: Duration = Duration::from_secs(600);

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
                Ok(()) => answer(vec![]).await,
                Err(status) => status.into_http(),
            })
        })
    }
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
    may_feed(&caller).map_err(|e| status(&e))?;
    let counters = counters(headers)?;
    let _stream = shared.streams.clone().try_acquire_owned().map_err(|_| {
        Status::unavailable(format!(
            "{MAX_STREAMS} Envoys stream already; stream again later"
        ))
    })?;
    let (parts, body) = request.into_parts();
    let (limit, remedy) = (
        shared.options.message,
        "send fewer statistics (`stats_matcher`)",
    );
    let mut frames = Frames::of(&parts.headers, body, limit, remedy)?;
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
            next = next(&mut frames, &shared, &caller) => next?,
            () = stops => return Err(Status::unavailable("the daemon stops; stream again")),
        };
        let Some(held) = next else {
            return Ok(());
        };
        guard = take(&shared, &caller, guard, held).await?;
    }
}

/// Takes a message, and waits with it while there is too much.
async fn take(
    shared: &Shared,
    caller: &Principal,
    mut guard: Guard,
    (body, mut place): Held,
) -> Result<Guard, Status> {
    let mut waited = Duration::ZERO;
    loop {
        let (caller, name, body) = (caller.clone(), &caller.name, body.clone());
        let taken = shared.take(move |shared, now| {
            let taken = shared.feed.envoy(&caller, &mut guard.peer, &body, now);
            if let Ok(took) = &taken {
                (shared.options.hear)("envoy", took);
            }
            drop(body);
            Ok((guard, taken, place))
        });
        let (back, taken, held) = taken.await.map_err(|e| status(&e))?;
        (guard, place) = (back, held);
        match taken {
            Ok(_) => return Ok(guard),
            Err(
                Error::Busy { retry_ms, .. }
                | Error::Full { retry_ms, .. }
                | Error::Over { retry_ms, .. },
            ) if waited < SLOWEST => {
                let pause = Duration::from_millis(retry_ms.clamp(10, 5_000));
                waited += pause;
                let Some(aside) = shared.pauses.try_enter(name) else {
                    tokio::time::sleep(pause).await;
                    continue;
                };
                drop(place);
                tokio::time::sleep(pause).await;
                place = room(shared, name).await?;
                drop(aside);
            }
            Err(error) => return Err(status(&error)),
        }
    }
}

/// The next message, with the room that it takes; `None` at the end.
async fn next(
    frames: &mut Frames,
    shared: &Shared,
    caller: &Principal,
) -> Result<Option<Held>, Status> {
    let idle = "no message came for ten minutes; stream again";
    let Some(head) = within(IDLE, idle, frames.head()).await? else {
        return Ok(None);
    };
    let place = room(shared, &caller.name).await?;
    let held = within(SLOWEST, SLOW, frames.message(head, place)).await?;
    Ok(Some(held))
}

/// What an Envoy is told whose message does not come to its end.
const SLOW: &str = "the message took too long; stream again";

/// Room for a message.
async fn room(shared: &Shared, who: &str) -> Result<Place, Status> {
    within(SLOWEST, SLOW, async {
        let place = shared.room.enter(who).await;
        place.ok_or_else(|| Status::unavailable("the daemon stops; stream again"))
    })
    .await
}
