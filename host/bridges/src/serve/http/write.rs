//! Remote write, 1.0 and 2.0.
//!
//! The headers that count what was written stand on every answer. Points and exemplars that concern
//! nobody count as written: a sender that hears of fewer than it sent takes them for lost.

use super::super::Shared;
use super::super::unpack::Packing;
use super::{CONTENT_TYPE, StatusCode};
use super::{PROTOBUF, Refusal, TEXT, answer, media_type, only_posted, packing, read};
use super::{refuse, refused, says, unread_kind};
use crate::feed::Written;
use crate::remote_write::Version;
use axum::body::Body;
use http::{HeaderMap, Request, Response};

pub(super) async fn samples(shared: Shared, request: Request<Body>) -> Response<Body> {
    let (mut response, written) = match written(&shared, request).await {
        Ok(written) => {
            let response = match written.took.message() {
                None => done(),
                Some(message) => {
                    let refusal = refuse(StatusCode::BAD_REQUEST, message);
                    refused(&refusal, refusal.text.clone().into_bytes(), TEXT)
                }
            };
            (response, written)
        }
        Err(refusal) => {
            let body = refusal.text.clone().into_bytes();
            (refused(&refusal, body, TEXT), Written::default())
        }
    };
    let took = &written.took;
    let all = took.accepted + took.passed_over;
    for (name, n) in [
        (
            "x-prometheus-remote-write-samples-written",
            all - took.histograms.min(all),
        ),
        (
            "x-prometheus-remote-write-histograms-written",
            took.histograms,
        ),
        (
            "x-prometheus-remote-write-exemplars-written",
            written.exemplars,
        ),
    ] {
        response.headers_mut().insert(name, n.into());
    }
    response
}

/// Methods that are not taken.
pub(super) async fn other_methods() -> Response<Body> {
    only_posted(&format!("samples of remote write, {PROTOBUF},"))
}

fn done() -> Response<Body> {
    let mut response = answer(StatusCode::NO_CONTENT, vec![], TEXT);
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

fn version(headers: &HeaderMap) -> Result<Version, Refusal> {
    let kind = says(headers, &CONTENT_TYPE);
    let unknown = || unread_kind(kind, &format!("{PROTOBUF} of remote write 1.0 or 2.0"));
    if !media_type(headers).eq_ignore_ascii_case(PROTOBUF) {
        return Err(unknown());
    }
    let message = kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_it = name.trim().eq_ignore_ascii_case("proto");
        is_it.then(|| value.trim().trim_matches('"'))
    });
    match message {
        None | Some("prometheus.WriteRequest") => Ok(Version::One),
        Some("io.prometheus.write.v2.Request") => Ok(Version::Two),
        Some(_) => Err(unknown()),
    }
}

/// Snappy, as the specification has it, or zstd, which vmagent tries first.
fn packing_of(name: &str) -> Option<Packing> {
    if name.eq_ignore_ascii_case("snappy") {
        return Some(Packing::Snappy);
    }
    name.eq_ignore_ascii_case("zstd").then_some(Packing::Zstd)
}

async fn written(shared: &Shared, request: Request<Body>) -> Result<Written, Refusal> {
    let headers = request.headers();
    let caller = shared
        .caller(headers)
        .map_err(|text| refuse(StatusCode::UNAUTHORIZED, text))?;
    let version = version(headers)?;
    let packing = packing(headers, packing_of, "snappy, zstd")?;
    let place = shared.admit(&caller)?;
    let held = read(shared, request.into_body(), packing, place).await?;
    Ok(shared.write(caller, held, version).await?)
}
