//! `opentelemetry.proto.collector.metrics.v1.MetricsService/Export`.
//!
//! Codes are those of OTLP's specification: bad data is INVALID_ARGUMENT, overload is UNAVAILABLE
//! with RetryInfo, and too large a message is RESOURCE_EXHAUSTED *without* it, since it will not get
//! smaller (tonic says OUT_OF_RANGE, which OTLP's senders repeat).
//!
//! Source: opentelemetry.io, "OTLP/gRPC Response" and "Failures".

use super::frames::{Frames, answer, within};
use super::{SLOWEST, Shared, export_response};
use crate::feed::Error;
use std::convert::Infallible;
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Where the service lies.
const PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

pub(super) fn status(error: &Error) -> Status {
    let text = error.to_string();
    let again = |code: Code, ms: u64| {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(ms)));
        Status::with_error_details(code, text.clone(), details)
    };
    let retry = |ms: u64| again(Code::Unavailable, ms);
    match error {
        Error::Malformed(_) => Status::invalid_argument(text),
        Error::Denied(_) => Status::permission_denied(text),
        Error::Busy { retry_ms, .. } | Error::Full { retry_ms, .. } => retry(*retry_ms),
        // By OTLP, this code may be repeated just when it says when.
        Error::Over { retry_ms, .. } => again(Code::ResourceExhausted, *retry_ms),
        Error::Taken(_) => Status::failed_precondition(text),
        Error::Store(_) => retry(super::RETRY_MS),
    }
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
            let slow = "the call took too long; send it again";
            Ok(
                match within(SLOWEST, slow, export(&shared, request)).await {
                    Ok(message) => answer(message).await,
                    Err(status) => status.into_http(),
                },
            )
        })
    }
}

async fn export(
    shared: &Shared,
    request: http::Request<axum::body::Body>,
) -> Result<Vec<u8>, Status> {
    let (parts, body) = request.into_parts();
    let caller = shared
        .caller(&parts.headers)
        .map_err(Status::unauthenticated)?;
    let place = shared.admit(&caller).map_err(|e| status(&e))?;
    let limit = shared.options.message;
    let mut frames = Frames::of(&parts.headers, body, limit, "send smaller batches")?;
    let head = frames.head().await?;
    let head = head.ok_or_else(|| Status::invalid_argument("the call has no message"))?;
    let held = frames.message(head, place).await?;
    let took = shared.otlp(caller, held).await.map_err(|e| status(&e))?;
    Ok(export_response(&took))
}

pub(super) fn routes(shared: Shared) -> axum::Router {
    axum::Router::new().route_service(PATH, Metrics(shared))
}
