//! What a verb tells when it fails: sentences, each with what to do.
//!
//! A gRPC code is an answer to a program. A person gets the server's sentence, the fields that it
//! names one a line, and the remedy that fits the code, once.

use anyhow::{Error, anyhow};
use std::fmt;
use tidegate_client::ConnectError;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// Something was asked wrongly: the exit code is 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Something was done in part: the exit code is 3.
#[derive(Debug)]
pub(crate) struct Partly(pub(crate) String);

impl fmt::Display for Partly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Partly {}

/// A [`Usage`] error.
pub(crate) fn usage(text: impl Into<String>) -> Error {
    Error::new(Usage(text.into()))
}

/// Takes the answer out of a response, or tells the status as sentences.
pub(crate) trait Told<T> {
    /// See the trait.
    fn told(self) -> Result<T, Error>;
}

impl<T> Told<T> for Result<Response<T>, Status> {
    fn told(self) -> Result<T, Error> {
        self.map(Response::into_inner)
            .map_err(|status| explain(&status))
    }
}

/// A failed connection, as a sentence.
pub(crate) fn unreachable(error: ConnectError) -> Error {
    match error {
        ConnectError::Unreachable { endpoint, source } => {
            let secure = endpoint.starts_with("https");
            match tls_trouble(&source) {
                // What `openssl req -x509` makes by itself, and so what is tried first.
                Some(text) if secure && text.contains("CaUsedAsEndEntity") => anyhow!(
                    "the certificate of the daemon at {endpoint} is that of an authority, which no daemon may show; \
                     make one that is not (openssl: `-addext basicConstraints=critical,CA:FALSE`)"
                ),
                Some(text) if secure => anyhow!(
                    "the daemon at {endpoint} and this client do not agree on TLS: {text}; check --ca, --cert and --key"
                ),
                _ => anyhow!(
                    "no daemon answers at {endpoint}; start one with `tidegate serve`, or name another with --server"
                ),
            }
        }
        ConnectError::Pem(_) => anyhow!("{error}; check the files of --ca, --cert and --key"),
        other => usage(format!(
            "{other} (see --server, --token, --ca, --cert, --key)"
        )),
    }
}

fn tls_trouble(error: &dyn std::error::Error) -> Option<String> {
    let mut source = error.source();
    let mut last = None;
    while let Some(inner) = source {
        let text = inner.to_string();
        if text.contains("certificate") || text.contains("tls") || text.contains("TLS") {
            last = Some(text);
        }
        source = inner.source();
    }
    last
}

/// The fields that a status names, with what is wrong with each.
pub(crate) fn violations(status: &Status) -> Vec<(String, String)> {
    let bad = status.get_details_bad_request();
    let fields = bad.into_iter().flat_map(|b| b.field_violations);
    fields.map(|v| (v.field, v.description)).collect()
}

/// A status, as sentences.
pub(crate) fn explain(status: &Status) -> Error {
    anyhow!("{}", sentence(status))
}

fn sentence(status: &Status) -> String {
    let said = status.message().trim().trim_end_matches('.');
    let or = |text: &str| {
        if said.is_empty() {
            text.to_owned()
        } else {
            said.to_owned()
        }
    };
    let with = |text: String, remedy: &str| {
        if text.contains(remedy) {
            text
        } else {
            format!("{text}; {remedy}")
        }
    };
    match status.code() {
        Code::InvalidArgument => {
            let fields = violations(status);
            if fields.is_empty() {
                return or("the daemon refuses the request");
            }
            let lines = fields
                .iter()
                .map(|(field, problem)| format!("\n  {field}: {problem}"));
            format!(
                "the daemon refuses the request:{}",
                lines.collect::<String>()
            )
        }
        Code::Unauthenticated => {
            let remedy = "give a token with --token, --token-file or TIDEGATE_TOKEN (`tidegate token` makes one)";
            with(or("the daemon does not know who is calling"), remedy)
        }
        Code::PermissionDenied => {
            let text = or("this credential may not do that");
            if text.contains("credential of the role") {
                return text;
            }
            with(text, "use a credential with the role that it needs")
        }
        Code::NotFound => or("it was not found; `tidegate get KIND` lists what there is"),
        Code::AlreadyExists => or("it exists already"),
        Code::FailedPrecondition => or("the daemon is not in the state for that"),
        Code::Aborted => with(
            or("somebody else changed it meanwhile"),
            "read it again and repeat",
        ),
        Code::OutOfRange => or("that is out of range"),
        Code::ResourceExhausted => or("a limit of the daemon is reached; try again in a while"),
        Code::Unimplemented => {
            let text = or("the daemon does not offer this call");
            with(
                text,
                "it may be of another version than this command: compare with `tidegate status`",
            )
        }
        Code::Unavailable => {
            let lost = ["transport", "tcp connect", "connection", "h2 "]
                .iter()
                .any(|w| said.contains(w));
            let text = if lost {
                "the connection to the daemon was lost".to_owned()
            } else {
                or("the daemon is not ready")
            };
            with(text, "try again; `tidegate status` tells whether it lives")
        }
        Code::DeadlineExceeded => with(or("the daemon did not answer in time"), "try again"),
        Code::Cancelled => with(or("the call was cancelled"), "try again"),
        // No daemon says so: what listens there closed the connection before it said anything.
        Code::Unknown if said == "transport error" => {
            "what listens there does not answer as a daemon without TLS does; where it has TLS, write https:// in \
             --server, and --ca"
                .to_owned()
        }
        Code::Ok | Code::Internal | Code::Unknown | Code::DataLoss => with(
            format!("the daemon failed: {}", or("it gave no reason")),
            "its log tells more",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, FieldViolation};

    #[test]
    fn field_violations_come_one_a_line() {
        let fields = vec![
            FieldViolation::new("api.pool", "no pool `edgy`"),
            FieldViolation::new("api.name", "write TENANT/NAME"),
        ];
        let status = Status::with_error_details(
            Code::InvalidArgument,
            "2 problems",
            ErrorDetails::with_bad_request(fields),
        );
        assert_eq!(
            sentence(&status),
            "the daemon refuses the request:\n  api.pool: no pool `edgy`\n  api.name: write TENANT/NAME"
        );
    }

    #[test]
    fn every_code_is_a_sentence_with_a_remedy_and_no_debug_print() {
        for code in (1..=16).map(Code::from) {
            let text = sentence(&Status::new(code, ""));
            assert!(
                text.len() > 15 && !text.contains("Status") && !text.contains('{'),
                "{text}"
            );
        }
        assert!(sentence(&Status::unauthenticated("")).contains("--token"));
        assert!(sentence(&Status::unimplemented("")).contains("tidegate status"));
        assert!(
            sentence(&Status::unavailable("transport error"))
                .contains("connection to the daemon was lost")
        );
        let no_tls = sentence(&Status::unknown("transport error"));
        assert!(no_tls.contains("https://"), "{no_tls}");
    }
}
