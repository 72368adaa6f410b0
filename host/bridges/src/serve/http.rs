//! By HTTP: OTLP in protobuf at `/v1/metrics`, Prometheus' remote write at `/api/v1/write`.
//!
//! Sources: opentelemetry.io, "OTLP/HTTP": errors are a `google.rpc.Status`; 429 and 503 may be
//! repeated, 400 and 413 must not. prometheus.io, "Remote-Write 2.0": 204 on full success; 400 where
//! a sample was invalid, though the others are written; 415 for what is not read here; always the
//! headers that count what was written; 5xx is repeated.

use super::{Shared, export_response, varint};
use crate::feed::{Error, Took, Written};
use crate::remote_write::Version;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode};
use std::io::Read as _;

const PROTOBUF: &str = "application/x-protobuf";

pub(super) fn routes(shared: Shared) -> axum::Router {
    let (otlp, write) = (shared.clone(), shared);
    axum::Router::new()
        .route(
            "/v1/metrics",
            post(move |request: Request<Body>| {
                let shared = otlp.clone();
                async move { otlp_metrics(shared, request).await }
            }),
        )
        .route(
            "/api/v1/write",
            post(move |request: Request<Body>| {
                let shared = write.clone();
                async move { remote_write(shared, request).await }
            }),
        )
}

/// An answer that is not success: its code, what a person reads, when to come back.
struct Refusal {
    code: StatusCode,
    text: String,
    retry_ms: Option<u64>,
}

fn refuse(code: StatusCode, text: impl Into<String>) -> Refusal {
    Refusal {
        code,
        text: text.into(),
        retry_ms: None,
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Malformed(_) => refuse(StatusCode::BAD_REQUEST, text),
            Error::Denied(_) => refuse(StatusCode::FORBIDDEN, text),
            Error::Busy { retry_ms, .. } | Error::Full { retry_ms, .. } => Refusal {
                code: StatusCode::SERVICE_UNAVAILABLE,
                text,
                retry_ms: Some(retry_ms),
            },
            Error::Over { retry_ms, .. } => Refusal {
                code: StatusCode::TOO_MANY_REQUESTS,
                text,
                retry_ms: Some(retry_ms),
            },
            Error::Taken(_) => refuse(StatusCode::CONFLICT, text),
            Error::Store(_) => Refusal {
                code: StatusCode::SERVICE_UNAVAILABLE,
                text,
                retry_ms: Some(super::RETRY_MS),
            },
        }
    }
}

fn says<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> &'h str {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or("").trim()
}

async fn otlp_metrics(shared: Shared, request: Request<Body>) -> Response<Body> {
    match otlp_taken(&shared, request).await {
        Ok(took) => answer(StatusCode::OK, export_response(&took)),
        Err(refusal) => {
            // google.rpc.Status { code = 1, message = 2 }; the code is in the HTTP status.
            let mut body = vec![0x12];
            varint(&mut body, refusal.text.len() as u64);
            body.extend_from_slice(refusal.text.as_bytes());
            refused(&refusal, body, PROTOBUF)
        }
    }
}

async fn otlp_taken(shared: &Shared, request: Request<Body>) -> Result<Took, Refusal> {
    let headers = request.headers();
    let caller = shared
        .caller(headers)
        .map_err(|text| refuse(StatusCode::UNAUTHORIZED, text))?;
    let kind = says(headers, &CONTENT_TYPE);
    if kind.split(';').next().map(str::trim) != Some(PROTOBUF) {
        let text = format!(
            "`{kind}` is not read here; send {PROTOBUF} (of OTLP/HTTP, JSON is not served)"
        );
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let encoding = match says(headers, &CONTENT_ENCODING) {
        "" | "identity" => Encoding::Identity,
        "gzip" => Encoding::Gzip,
        other => {
            let text = format!("the encoding `{other}` is not read here; send gzip or none");
            return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
    };
    let _room = shared.admit()?;
    let body = read(shared, request.into_body(), encoding).await?;
    Ok(shared.otlp(caller, body).await?)
}

async fn remote_write(shared: Shared, request: Request<Body>) -> Response<Body> {
    let (mut response, written) = match written(&shared, request).await {
        Ok(written) => {
            let response = match written.took.message() {
                None => answer(StatusCode::NO_CONTENT, vec![]),
                Some(message) => {
                    let refusal = refuse(StatusCode::BAD_REQUEST, message);
                    refused(&refusal, refusal.text.clone().into_bytes(), "text/plain")
                }
            };
            (response, written)
        }
        Err(refusal) => {
            let body = refusal.text.clone().into_bytes();
            (refused(&refusal, body, "text/plain"), Written::default())
        }
    };
    let took = &written.took;
    for (what, n) in [
        (
            "samples",
            took.accepted + took.passed_over
                - took.histograms.min(took.accepted + took.passed_over),
        ),
        ("histograms", took.histograms),
        // None is kept.
        ("exemplars", 0),
    ] {
        let name = format!("x-prometheus-remote-write-{what}-written");
        if let Ok(name) = http::HeaderName::try_from(name) {
            response.headers_mut().insert(name, n.into());
        }
    }
    response
}

async fn written(shared: &Shared, request: Request<Body>) -> Result<Written, Refusal> {
    let headers = request.headers();
    let caller = shared
        .caller(headers)
        .map_err(|text| refuse(StatusCode::UNAUTHORIZED, text))?;
    let unread = |text: String| refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    let kind = says(headers, &CONTENT_TYPE);
    let mut parts = kind.split(';').map(str::trim);
    let is_protobuf = parts.next() == Some(PROTOBUF);
    let message = parts.find_map(|p| p.strip_prefix("proto="));
    let version = match message.map(|m| m.trim_matches('"')) {
        None | Some("prometheus.WriteRequest") if is_protobuf => Version::One,
        Some("io.prometheus.write.v2.Request") if is_protobuf => Version::Two,
        _ => {
            return Err(unread(format!(
                "`{kind}` is not read here; send {PROTOBUF} of remote write 1.0 or 2.0"
            )));
        }
    };
    let encoding = says(headers, &CONTENT_ENCODING);
    if encoding != "snappy" {
        let text =
            format!("the encoding `{encoding}` is not read here; remote write is sent in snappy");
        return Err(unread(text));
    }
    let _room = shared.admit()?;
    let body = read(shared, request.into_body(), Encoding::Snappy).await?;
    Ok(shared.write(caller, body, version).await?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Snappy,
}

/// Unpacks at most `limit` bytes, and one more where there are more.
fn unpack(packed: &[u8], encoding: Encoding, limit: usize) -> Result<Vec<u8>, std::io::Error> {
    match encoding {
        Encoding::Identity => Ok(packed.to_vec()),
        Encoding::Gzip => {
            let mut plain = Vec::with_capacity((packed.len() * 4).min(limit));
            let mut reader = flate2::read::MultiGzDecoder::new(packed).take(limit as u64 + 1);
            reader.read_to_end(&mut plain).map(|_| plain)
        }
        Encoding::Snappy => {
            // The block says how large it will be, before anything is unpacked.
            let size = snap::raw::decompress_len(packed).map_err(std::io::Error::other)?;
            if size > limit {
                return Ok(vec![0; limit + 1]);
            }
            let unpacked = snap::raw::Decoder::new().decompress_vec(packed);
            unpacked.map_err(std::io::Error::other)
        }
    }
}

/// A body, within the bound before and after it is unpacked.
async fn read(shared: &Shared, body: Body, encoding: Encoding) -> Result<Bytes, Refusal> {
    let limit = shared.options.message;
    let too_large = || {
        let text = format!(
            "the body is larger than {limit} bytes; send smaller batches, or raise `feeds.message`"
        );
        refuse(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let arrives = axum::body::to_bytes(body, limit);
    let packed = tokio::time::timeout(super::SLOWEST, arrives)
        .await
        .map_err(|_| {
            refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long to arrive",
            )
        })?
        .map_err(|_| too_large())?;
    if encoding == Encoding::Identity {
        return Ok(packed);
    }
    let unpacked = tokio::task::spawn_blocking(move || unpack(&packed, encoding, limit));
    let unpacked = unpacked
        .await
        .unwrap_or_else(|e| Err(std::io::Error::other(e)));
    let plain = unpacked.map_err(|e| {
        refuse(
            StatusCode::BAD_REQUEST,
            format!("the body cannot be unpacked: {e}"),
        )
    })?;
    if plain.len() > limit {
        return Err(too_large());
    }
    Ok(plain.into())
}

fn answer(code: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    let kind = http::HeaderValue::from_static(PROTOBUF);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refused(refusal: &Refusal, body: Vec<u8>, kind: &'static str) -> Response<Body> {
    let mut response = answer(refusal.code, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    if refusal.code == StatusCode::UNAUTHORIZED {
        let bearer = http::HeaderValue::from_static("Bearer");
        headers.insert(WWW_AUTHENTICATE, bearer);
    }
    if let Some(ms) = refusal.retry_ms {
        headers.insert(RETRY_AFTER, http::HeaderValue::from(ms.div_ceil(1000)));
    }
    response
}
