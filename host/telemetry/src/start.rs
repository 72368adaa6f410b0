//! Setting telemetry up, and letting it end.
//!
//! One registry with two layers: log lines to standard error, spans to OpenTelemetry. Each has
//! its own filter, since asking for `debug` lines must not send the exporter's own connection
//! spans to the collector, which would export them, and so on.

use crate::export::{self, Exporters};
use crate::{LogFormat, Metrics, Options};
use opentelemetry::trace::TracerProvider as _;
use std::io::IsTerminal as _;
use std::time::Duration;
use tracing::Dispatch;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer, Registry};

/// What can be wrong with the options.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error(
        "telemetry: the log filter `{filter}` cannot be read ({reason}); write directives such as \
         `info` or `info,tidegate_flow=debug`"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        reason: String,
    },
    /// The endpoint is no URL that OTLP/gRPC can use.
    #[error(
        "telemetry: the OTLP endpoint `{endpoint}` {reason}; write e.g. `http://127.0.0.1:4317`"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header cannot be sent. The value is a secret and not repeated.
    #[error("telemetry: the OTLP header `{name}` cannot be sent: {reason}")]
    Header {
        /// The header's name.
        name: String,
        /// Whether the name or the value is at fault.
        reason: &'static str,
    },
    /// The share of traces is no share.
    #[error("telemetry: the share of traces to keep is {0}; it must lie between 0 and 1")]
    SampleRatio(f64),
    /// The exporter refuses its configuration.
    #[error("telemetry: the OTLP exporter cannot be built")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Export needs a runtime to connect on.
    #[error("telemetry: an OTLP endpoint is configured, but this is not called on a tokio runtime")]
    NoRuntime,
    /// A process has one log.
    #[error("telemetry: it was already started in this process; start it once, in `main`")]
    AlreadyStarted,
}

/// The way in.
#[derive(Debug)]
pub struct Telemetry;

impl Telemetry {
    /// Sets telemetry up for the whole process.
    ///
    /// With a collector, this must be called on a tokio runtime, where the connection then lives.
    /// It does not wait for the collector: that one may be dead, and come and go.
    ///
    /// # Errors
    /// If the options make no sense, or if it was called before.
    pub fn start(options: &Options) -> Result<Handle, Error> {
        let (dispatch, handle) = Self::prepare(options, std::io::stderr)?;
        tracing::dispatcher::set_global_default(dispatch).map_err(|_| Error::AlreadyStarted)?;
        Ok(handle)
    }

    /// The same without touching the process: the caller installs the dispatch where it wants
    /// (a test does, for one thread), and says where log lines go.
    ///
    /// # Errors
    /// If the options make no sense.
    pub fn prepare<W>(options: &Options, log: W) -> Result<(Dispatch, Handle), Error>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let filter = |text: &str| {
            EnvFilter::builder()
                .parse(text)
                .map_err(|error| Error::Filter {
                    filter: text.to_owned(),
                    reason: error.to_string(),
                })
        };
        let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.log_format {
            LogFormat::Text => tracing_subscriber::fmt::layer()
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(log)
                .with_filter(filter(&options.filter)?)
                .boxed(),
            LogFormat::Json => tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(log)
                .with_filter(filter(&options.filter)?)
                .boxed(),
        };
        let exporters = options
            .otlp
            .as_ref()
            .map(|otlp| export::build(options, otlp))
            .transpose()?;
        let spans = match (&exporters, &options.otlp) {
            (Some(exporters), Some(otlp)) => {
                let layer = tracing_opentelemetry::layer()
                    .with_tracer(exporters.tracers.tracer("tidegate"))
                    .with_location(false)
                    .with_threads(false)
                    .with_tracked_inactivity(false);
                let ours = FilterFn::new(|metadata| !is_of_the_exporter(metadata.target()));
                Some(layer.with_filter(ours).with_filter(filter(&otlp.filter)?))
            }
            _ => None,
        };
        let metrics = match &exporters {
            Some(exporters) => Metrics::on(&exporters.meters),
            None => Metrics::nowhere(),
        };
        let dispatch = Dispatch::new(Registry::default().with(lines).with(spans));
        Ok((dispatch, Handle { exporters, metrics }))
    }
}

/// Whether a span comes from the machinery that exports spans.
fn is_of_the_exporter(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    matches!(
        root,
        "h2" | "hyper" | "hyper_util" | "tonic" | "tower" | "rustls"
    ) || root.starts_with("opentelemetry")
}

/// Running telemetry. Keep it until the end, then [`Handle::shutdown`].
#[derive(Debug)]
#[must_use = "what is not flushed at the end is lost"]
pub struct Handle {
    exporters: Option<Exporters>,
    metrics: Metrics,
}

/// How the last export went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// The collector has everything, or there is none.
    Done,
    /// The collector refused or did not answer in time: the last spans and metrics are lost.
    Lost,
}

impl Handle {
    /// The instruments, to hand to whoever measures. Cheap to clone.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Exports what is left and ends the export, within `bound`. Call it last in the drain; spans
    /// that end later are not exported. Log lines go on.
    pub async fn shutdown(self, bound: Duration) -> Flushed {
        match self.exporters {
            None => Flushed::Done,
            Some(exporters) => exporters.shutdown(bound).await,
        }
    }
}
