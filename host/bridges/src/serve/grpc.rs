//! `opentelemetry.proto.collector.metrics.v1.MetricsService/Export`, with a codec that hands out bytes.
//!
//! Codes are those of OTLP's specification: bad data is INVALID_ARGUMENT, overload is UNAVAILABLE
//! with RetryInfo, and too large a message is RESOURCE_EXHAUSTED *without* it, since it will not get
//! smaller (tonic says OUT_OF_RANGE, which OTLP's senders repeat).
//!
//! Source: opentelemetry.io, "OTLP/gRPC Response" and "Failures".

use super::{Shared, export_response};
use crate::feed::Error;
use bytes::{Buf as _, BufMut as _, Bytes};
use std::convert::Infallible;
use std::time::Duration;
use tidegate_core::access::Principal;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::UnaryService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Where the service lies.
const PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Hands out what came, and sends what it gets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// One call.
struct Export {
    shared: Shared,
    caller: Principal,
}

impl UnaryService<Bytes> for Export {
    type Response = Vec<u8>;
    type Future = BoxFuture<Response<Vec<u8>>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (shared, caller) = (self.shared.clone(), self.caller.clone());
        Box::pin(async move {
            let took = shared.otlp(caller, request.into_inner());
            let took = took.await.map_err(|e| status(&e))?;
            Ok(Response::new(export_response(&took)))
        })
    }
}

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
        Box::pin(async move { Ok(answer(shared, request).await) })
    }
}

async fn answer(shared: Shared, request: http::Request<axum::body::Body>) -> http::Response<Body> {
    let caller = match shared.caller(request.headers()) {
        Ok(caller) => caller,
        Err(text) => return Status::unauthenticated(text).into_http(),
    };
    let _room = match shared.admit() {
        Ok(room) => room,
        Err(error) => return status(&error).into_http(),
    };
    let limit = shared.options.message;
    let mut grpc = tonic::server::Grpc::new(Plain)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let call = grpc.unary(Export { shared, caller }, request);
    let Ok(answered) = tokio::time::timeout(super::SLOWEST, call).await else {
        return Status::unavailable("the call took too long; send it again").into_http();
    };
    let too_large = answered.headers().get("grpc-status");
    if too_large.is_some_and(|code| code == "11") {
        let text = format!(
            "the message is larger than {limit} bytes; send smaller batches, or raise `feeds.message`"
        );
        return Status::resource_exhausted(text).into_http();
    }
    answered
}

pub(super) fn routes(shared: Shared) -> axum::Router {
    axum::Router::new().route_service(PATH, Metrics(shared))
}
