//! By HTTP: OTLP at `/v1/metrics`, in protobuf or JSON, and Prometheus' remote write at `/api/v1/write`.
//!
//! Sources: opentelemetry.io, "OTLP/HTTP": errors are a `google.rpc.Status`; 429, 502, 503 and 504 may
//! be repeated, all else must not. prometheus.io, "Remote-Write 1.0" and "2.0": 204 on full success;
//! 400 where a sample was invalid, though the others are written; 415 for what is not read here;
//! always the headers that count what was written; 429 may be and 5xx is repeated, other 4xx are not.

mod otlp;
mod write;

use super::room::Place;
use super::unpack::{Packing, Problem};
use super::{Held, SLOWEST, Shared};
use crate::feed::Error;
use axum::body::Body;
use axum::routing::post;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

const PROTOBUF: &str = "application/x-protobuf";
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn routes(shared: Shared) -> axum::Router {
    let (metrics, samples) = (shared.clone(), shared);
    axum::Router::new()
        .route(
            "/v1/metrics",
            post(move |request: Request<Body>| {
                let shared = metrics.clone();
                async move { otlp::metrics(shared, request).await }
            })
            .fallback(otlp::other_methods),
        )
        .route("/v1/traces", post(otlp::others))
        .route("/v1/logs", post(otlp::others))
        .route(
            "/api/v1/write",
            post(move |request: Request<Body>| {
                let shared = samples.clone();
                async move { write::samples(shared, request).await }
            })
            .fallback(write::other_methods),
        )
}

/// An answer that is not success: its code, what a person reads, when to come back.
struct Refusal {
    code: StatusCode,
    text: String,
    retry_ms: Option<u64>,
    /// Encodings that would be read.
    accepted: Option<&'static str>,
}

fn refuse(code: StatusCode, text: impl Into<String>) -> Refusal {
    Refusal {
        code,
        text: text.into(),
        retry_ms: None,
        accepted: None,
    }
}

fn later(code: StatusCode, text: impl Into<String>, retry_ms: u64) -> Refusal {
    Refusal {
        retry_ms: Some(retry_ms),
        ..refuse(code, text)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Malformed(_) => refuse(StatusCode::BAD_REQUEST, text),
            Error::Denied(_) => refuse(StatusCode::FORBIDDEN, text),
            Error::Busy { retry_ms, .. } | Error::Full { retry_ms, .. } => {
                later(StatusCode::SERVICE_UNAVAILABLE, text, retry_ms)
            }
            Error::Over { retry_ms, .. } => later(StatusCode::TOO_MANY_REQUESTS, text, retry_ms),
            Error::Taken(_) => refuse(StatusCode::CONFLICT, text),
            Error::Store(_) => later(StatusCode::SERVICE_UNAVAILABLE, text, super::RETRY_MS),
        }
    }
}

fn says<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> &'h str {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or("").trim()
}

/// The media type, without its parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let kind = says(headers, &CONTENT_TYPE);
    kind.split(';').next().unwrap_or("").trim()
}

fn too_large(limit: usize) -> Refusal {
    let text = format!(
        "the body is larger than {limit} bytes; send smaller batches, or raise `feeds.message`"
    );
    refuse(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// A body for which there is room, within the bound before and after it is unpacked.
async fn read(
    shared: &Shared,
    body: Body,
    packing: Packing,
    place: Place,
) -> Result<Held, Refusal> {
    let limit = shared.options.message;
    let arrives = axum::body::to_bytes(body, limit);
    let Ok(arrived) = tokio::time::timeout(SLOWEST, arrives).await else {
        // 408 is not repeated by senders of either protocol, and the next time it may arrive.
        let text = "the body took too long to arrive; send it again";
        return Err(later(
            StatusCode::SERVICE_UNAVAILABLE,
            text,
            super::RETRY_MS,
        ));
    };
    let packed = arrived.map_err(|error| {
        let told = std::error::Error::source(&error);
        // The only one that axum makes itself is of its length; others are of the connection.
        if told.is_some_and(|e| e.to_string().contains("length limit")) {
            too_large(limit)
        } else {
            refuse(StatusCode::BAD_REQUEST, "the body is cut off")
        }
    })?;
    let unpacked = packing.unpack_aside((packed, place), limit).await;
    unpacked.map_err(|problem| match problem {
        Problem::TooLarge(_) => too_large(limit),
        Problem::Damaged(_) => refuse(StatusCode::BAD_REQUEST, format!("the body: {problem}")),
    })
}

fn answer(code: StatusCode, body: Vec<u8>, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refused(refusal: &Refusal, body: Vec<u8>, kind: &'static str) -> Response<Body> {
    let mut response = answer(refusal.code, body, kind);
    let headers = response.headers_mut();
    if refusal.code == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(ms) = refusal.retry_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    if let Some(accepted) = refusal.accepted {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
    }
    response
}

/// What is not read here.
fn unread(text: String) -> Refusal {
    refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}

/// A content type that is not read here, or none.
fn unread_kind(kind: &str, send: &str) -> Refusal {
    unread(match kind {
        "" => format!("the content type is missing; send {send}"),
        kind => format!("`{kind}` is not read here; send {send}"),
    })
}

/// Whoever asks otherwise than by POST looks whether somebody is here, by hand more often than not; the router
/// itself says which method is allowed.
fn only_posted(what: &str) -> Response<Body> {
    let text = format!("{what} come here by POST\n");
    answer(StatusCode::METHOD_NOT_ALLOWED, text.into_bytes(), TEXT)
}

/// The packing that a request names, of those that `known` knows.
fn packing(
    headers: &HeaderMap,
    known: impl Fn(&str) -> Option<Packing>,
    accepted: &'static str,
) -> Result<Packing, Refusal> {
    let name = says(headers, &CONTENT_ENCODING);
    known(name).ok_or_else(|| Refusal {
        accepted: Some(accepted),
        ..unread(format!(
            "the encoding `{name}` is not read here; send {accepted}"
        ))
    })
}
