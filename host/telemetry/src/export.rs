//! The exporters: OTLP over gRPC, in batches, from threads of their own.
//!
//! Finished spans go into a bounded queue; when it is full, they are dropped, and the daemon never
//! waits. The SDK's own exporters fail in silence (or, with its internal logs, once per batch).
//! Each is therefore wrapped in [`Watched`], which logs only the change: one line when a collector
//! is lost and one when it is back.

use crate::start::{Error, Flushed};
use crate::{Options, Otlp};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    MetricExporter, RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData,
    SpanExporter as ExportSpans,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// Finished spans that wait for export; about a kilobyte each.
const SPAN_QUEUE: usize = 4096;

/// Both providers; they live as long as the daemon.
#[derive(Debug)]
pub(crate) struct Exporters {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
}

/// Builds both exporters. Connects lazily, hence never waits.
pub(crate) fn build(options: &Options, otlp: &Otlp) -> Result<Exporters, Error> {
    if !(0.0..=1.0).contains(&otlp.sample_ratio) {
        return Err(Error::SampleRatio(otlp.sample_ratio));
    }
    let tls = check_endpoint(otlp)?;
    let headers = headers(otlp)?;
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(Error::NoRuntime);
    }
    let spans = configure(
        SpanExporter::builder().with_tonic(),
        otlp,
        &headers,
        tls.clone(),
    )
    .build()?;
    let metrics = configure(MetricExporter::builder().with_tonic(), otlp, &headers, tls).build()?;
    let resource = Resource::builder_empty()
        .with_service_name("tidegate")
        .with_attributes([
            KeyValue::new("service.instance.id", options.service_instance.clone()),
            KeyValue::new("service.version", options.service_version.clone()),
        ])
        .build();
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(SPAN_QUEUE)
        .with_scheduled_delay(otlp.interval)
        .build();
    let spans = BatchSpanProcessor::builder(Watched::new(spans, "spans", &otlp.endpoint))
        .with_batch_config(batch)
        .build();
    let tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            otlp.sample_ratio,
        ))))
        .with_span_processor(spans)
        .build();
    let reader = PeriodicReader::builder(Watched::new(metrics, "metrics", &otlp.endpoint))
        .with_interval(otlp.interval)
        .build();
    let meters = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .build();
    Ok(Exporters { tracers, meters })
}

impl Exporters {
    /// Flushes and ends both, side by side. The SDK's calls block (and not all of them heed a
    /// bound), so that they get threads which are not waited for beyond `bound`.
    pub(crate) async fn shutdown(self, bound: Duration) -> Flushed {
        let Self { tracers, meters } = self;
        let spans = on_thread("flush-spans", move || tracers.shutdown_with_timeout(bound));
        let metrics = on_thread("flush-metrics", move || meters.shutdown_with_timeout(bound));
        let both = async { (spans.await, metrics.await) };
        match tokio::time::timeout(bound, both).await {
            Ok((Ok(Ok(())), Ok(Ok(())))) => Flushed::Done,
            _ => {
                tracing::warn!("the collector did not take the last spans and metrics");
                Flushed::Lost
            }
        }
    }
}

fn on_thread(
    name: &str,
    run: impl FnOnce() -> OTelSdkResult + Send + 'static,
) -> oneshot::Receiver<OTelSdkResult> {
    let (done, ended) = oneshot::channel();
    // A thread that cannot be started drops `done`, which reads as a lost flush.
    let _ = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _ = done.send(run());
        });
    ended
}

fn configure<B: WithExportConfig + WithTonicConfig>(
    builder: B,
    otlp: &Otlp,
    headers: &HeaderMap,
    tls: Option<ClientTlsConfig>,
) -> B {
    let builder = builder
        .with_endpoint(otlp.endpoint.clone())
        .with_timeout(otlp.timeout)
        .with_metadata(MetadataMap::from_headers(headers.clone()))
        // What could not be sent in one export's time is not worth more of it.
        .with_retry_policy(RetryPolicy::disabled());
    match tls {
        Some(tls) => builder.with_tls_config(tls),
        None => builder,
    }
}

/// The TLS configuration for `https`, none for `http`; all else is refused.
fn check_endpoint(otlp: &Otlp) -> Result<Option<ClientTlsConfig>, Error> {
    let fault = |reason: String| Error::Endpoint {
        endpoint: otlp.endpoint.clone(),
        reason,
    };
    let uri: Uri = otlp
        .endpoint
        .parse()
        .map_err(|e| fault(format!("is no URL ({e})")))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(fault("names no host".to_owned()));
    }
    match (uri.scheme_str(), &otlp.ca_certificate) {
        (Some("http"), _) => Ok(None),
        (Some("https"), Some(pem)) => Ok(Some(
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        )),
        (Some("https"), None) => Err(fault(
            "is https, but no CA certificate is configured (the system's are e.g. in \
             /etc/ssl/certs/ca-certificates.crt)"
                .to_owned(),
        )),
        (other, _) => Err(fault(format!(
            "has the scheme `{}`, which OTLP/gRPC does not speak",
            other.unwrap_or_default()
        ))),
    }
}

fn headers(otlp: &Otlp) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in &otlp.headers {
        let fault = |reason| Error::Header {
            name: name.clone(),
            reason,
        };
        let key = HeaderName::try_from(name).map_err(|_| fault("its name is not a header name"))?;
        let mut value = HeaderValue::try_from(value.expose())
            .map_err(|_| fault("its value has characters that no header may carry"))?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

/// An exporter whose failures are told once, when they begin and when they end.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    what: &'static str,
    endpoint: String,
    is_failing: AtomicBool,
}

impl<E> Watched<E> {
    fn new(inner: E, what: &'static str, endpoint: &str) -> Self {
        Self {
            inner,
            what,
            endpoint: endpoint.to_owned(),
            is_failing: AtomicBool::new(false),
        }
    }

    fn note(&self, result: OTelSdkResult) -> OTelSdkResult {
        let (what, endpoint) = (self.what, self.endpoint.as_str());
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match (&result, was_failing) {
            (Err(error), false) => tracing::warn!(
                what, endpoint, %error,
                "telemetry export fails; what does not fit the queue is dropped, all else goes on"
            ),
            (Ok(()), true) => tracing::info!(what, endpoint, "telemetry export works again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        result
    }
}

impl<E: ExportSpans> ExportSpans for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.note(self.inner.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.note(self.inner.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
