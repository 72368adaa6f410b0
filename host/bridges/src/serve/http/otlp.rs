//! OTLP by HTTP. An answer is in the form of its request, protobuf or JSON; so is an error, a
//! `google.rpc.Status` with what is wrong (`BadRequest`) or when to come back (`RetryInfo`).
//!
//! Endpoints of traces and logs say that they are not taken here: an SDK that is told one endpoint for
//! everything sends those too, and would hear a success from the fallback of gRPC, which is a 200.

use super::super::{Shared, export_response};
use super::{PROTOBUF, Refusal, TEXT, answer, media_type, packing, read, refuse, refused};
use super::{StatusCode, only_posted, too_large, unread_kind};
use crate::feed::Took;
use crate::otlp::json;
use axum::body::Body;
use http::{HeaderMap, Request, Response};
use std::fmt::Write as _;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::super::unpack::Packing;

const JSON: &str = "application/json";

/// How a request and its answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = media_type(headers);
        let is = |other: &str| kind.eq_ignore_ascii_case(other);
        if is(PROTOBUF) {
            Some(Form::Protobuf)
        } else {
            is(JSON).then_some(Form::Json)
        }
    }

    fn name(self) -> &'static str {
        match self {
            Form::Protobuf => PROTOBUF,
            Form::Json => JSON,
        }
    }
}

pub(super) async fn metrics(shared: Shared, request: Request<Body>) -> Response<Body> {
    let form = Form::of(request.headers());
    match taken(&shared, form, request).await {
        Ok((form, took)) => {
            let body = match form {
                Form::Protobuf => export_response(&took),
                Form::Json => export_response_json(&took).into_bytes(),
            };
            answer(StatusCode::OK, body, form.name())
        }
        Err(refusal) => told(&refusal, form),
    }
}

/// Methods that are not taken.
pub(super) async fn other_methods() -> Response<Body> {
    only_posted(&format!("metrics of OTLP, {PROTOBUF} or {JSON},"))
}

/// Signals that are not taken.
pub(super) async fn others(request: Request<Body>) -> Response<Body> {
    let text = "only metrics are taken here; send traces and logs elsewhere, or switch them off (`OTEL_TRACES_EXPORTER=none`, `OTEL_LOGS_EXPORTER=none`)";
    let refusal = refuse(StatusCode::NOT_FOUND, text);
    told(&refusal, Form::of(request.headers()))
}

async fn taken(
    shared: &Shared,
    form: Option<Form>,
    request: Request<Body>,
) -> Result<(Form, Took), Refusal> {
    let headers = request.headers();
    let caller = shared
        .caller(headers)
        .map_err(|text| refuse(StatusCode::UNAUTHORIZED, text))?;
    let form =
        form.ok_or_else(|| unread_kind(media_type(headers), &format!("{PROTOBUF} or {JSON}")))?;
    let packing = packing(headers, Packing::of_otlp, "gzip, zstd, identity")?;
    let place = shared.admit(&caller)?;
    let mut held = read(shared, request.into_body(), packing, place).await?;
    if form == Form::Json {
        let limit = shared.options.message;
        let written = tokio::task::spawn_blocking(move || {
            let (body, place) = held;
            Ok((json::protobuf(&body, limit)?.into(), place))
        });
        let written = written
            .await
            .map_err(|e| refuse(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        held = match written {
            Ok(held) => held,
            Err(json::Problem::TooLarge(limit)) => return Err(too_large(limit)),
            Err(problem) => return Err(refuse(StatusCode::BAD_REQUEST, problem.to_string())),
        };
    }
    Ok((form, shared.otlp(caller, held).await?))
}

fn code_of(refusal: &Refusal) -> Code {
    match refusal.code {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

/// A refusal in the form of its request; plain where that has neither, for then it is a person who reads it.
fn told(refusal: &Refusal, form: Option<Form>) -> Response<Body> {
    let Some(form) = form else {
        let text = format!("{}\n", refusal.text);
        return refused(refusal, text.into_bytes(), TEXT);
    };
    let body = match form {
        Form::Protobuf => status(refusal),
        Form::Json => status_json(refusal).into_bytes(),
    };
    refused(refusal, body, form.name())
}

/// A `google.rpc.Status`.
fn status(refusal: &Refusal) -> Vec<u8> {
    let (code, text) = (code_of(refusal), refusal.text.as_str());
    let details = match (refusal.code, refusal.retry_ms) {
        (_, Some(ms)) => ErrorDetails::with_retry_info(Some(Duration::from_millis(ms))),
        (StatusCode::BAD_REQUEST, None) => ErrorDetails::with_bad_request_violation("", text),
        (_, None) => ErrorDetails::new(),
    };
    // What gRPC has in a trailer is the same message.
    Status::with_error_details(code, text, details)
        .details()
        .to_vec()
}

fn status_json(refusal: &Refusal) -> String {
    let text = quoted(&refusal.text);
    let details = match (refusal.code, refusal.retry_ms) {
        (_, Some(ms)) => format!(
            r#","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{}.{:03}s"}}]"#,
            ms / 1000,
            ms % 1000
        ),
        (StatusCode::BAD_REQUEST, None) => format!(
            r#","details":[{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"description":{text}}}]}}]"#
        ),
        (_, None) => String::new(),
    };
    let code = code_of(refusal) as i32;
    format!(r#"{{"code":{code},"message":{text}{details}}}"#)
}

/// `ExportMetricsServiceResponse`; 64-bit integers are texts in JSON.
fn export_response_json(took: &Took) -> String {
    took.message().map_or_else(
        || "{}".to_owned(),
        |message| {
            format!(
                r#"{{"partialSuccess":{{"rejectedDataPoints":"{}","errorMessage":{}}}}}"#,
                took.rejected,
                quoted(&message)
            )
        },
    )
}

/// A text in JSON (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut to = String::with_capacity(text.len() + 2);
    to.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => to.extend(['\\', letter]),
            '\0'..='\u{1f}' => {
                // Writing to a string does not fail.
                let _ = write!(to, "\\u{:04x}", u32::from(letter));
            }
            _ => to.push(letter),
        }
    }
    to.push('"');
    to
}
