//! What the operator says about telemetry.
//!
//! Values, not environment variables: the daemon reads its configuration once and hands it on.
//! The OpenTelemetry libraries read some `OTEL_*` variables by themselves; what stands here wins.

use std::fmt;
use std::time::Duration;

/// How telemetry is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are wanted, as directives: `info`, `info,tidegate_flow=debug`.
    pub filter: String,
    /// The collector, if there is one. Without it, spans only give their fields to log lines.
    pub otlp: Option<Otlp>,
    /// `service.instance.id`: tells this daemon from its siblings.
    pub service_instance: String,
    /// `service.version`.
    pub service_version: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            filter: "info".to_owned(),
            otlp: None,
            service_instance: "tidegate-0".to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// How log lines look. They go to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line, the event's fields at its top level.
    Json,
}

/// An OTLP/gRPC collector.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Its URL, e.g. `http://127.0.0.1:4317`. An `https` one needs `ca_certificate`.
    pub endpoint: String,
    /// What is sent with every export, e.g. `authorization`.
    pub headers: Vec<(String, Secret)>,
    /// The certificates (PEM) of the authority that signed the collector's.
    pub ca_certificate: Option<String>,
    /// Which spans are exported, as directives. Apart from the log's filter: a quiet log must not
    /// cost the traces.
    pub filter: String,
    /// How long one export may take.
    pub timeout: Duration,
    /// How often metrics are exported, and how long a finished span waits at most.
    pub interval: Duration,
    /// The share of traces begun here that is kept, 0 to 1. A remote caller's choice is followed.
    pub sample_ratio: f64,
}

impl Otlp {
    /// A collector at `endpoint` with all else as usual: no headers, spans of level info, every trace kept, exports of
    /// at most 3 s, every 10 s.
    #[must_use]
    pub fn at(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            ca_certificate: None,
            filter: "info".to_owned(),
            timeout: Duration::from_secs(3),
            interval: Duration::from_secs(10),
            sample_ratio: 1.0,
        }
    }
}

/// A text that is sent but never shown: its `Debug` form is `***`, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_the_debug_form_of_the_options() {
        let mut otlp = Otlp::at("http://127.0.0.1:4317");
        otlp.headers
            .push(("authorization".to_owned(), Secret::new("Bearer hunter2")));
        let shown = format!(
            "{:?}",
            Options {
                otlp: Some(otlp),
                ..Options::default()
            }
        );
        assert!(
            shown.contains("authorization") && shown.contains("***"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
