//! What a collector receives: a real OTLP/gRPC receiver on loopback takes the daemon's exports.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_telemetry::{
    Adopted, CallOutcome, Error, FitOutcome, Flushed, Handle, INSTRUMENTS, InstrumentKind,
    LogFormat, MigrationOutcome, Options, Otlp, Secret, StoreFigures, SwapOutcome, Telemetry,
    TraceHandoff, adopt_parent, inject,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::dispatcher::DefaultGuard;

const BOUND: Duration = Duration::from_secs(20);
const CALLER_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "00f067aa0ba902b7";

/// What the receiver was sent.
#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<Metric>>>,
    resource: Arc<Mutex<BTreeSet<String>>>,
    tokens: Arc<Mutex<BTreeSet<String>>>,
}

impl Received {
    fn span(&self, name: &str) -> Span {
        let spans = self.spans.lock().expect("spans");
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "spans of the name {name}");
        found[0].clone()
    }

    fn note_token<T>(&self, request: &Request<T>) {
        let token = request
            .metadata()
            .get("x-token")
            .map(|v| v.to_str().expect("ascii").to_owned());
        self.tokens.lock().expect("tokens").extend(token);
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.note_token(&request);
        for resource in request.into_inner().resource_spans {
            for attribute in resource.resource.unwrap_or_default().attributes {
                if let Some(Value::StringValue(value)) = attribute.value.and_then(|v| v.value) {
                    let pair = format!("{}={value}", attribute.key);
                    self.resource.lock().expect("resource").insert(pair);
                }
            }
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            self.spans.lock().expect("spans").extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.note_token(&request);
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        self.metrics
            .lock()
            .expect("metrics")
            .extend(scopes.flat_map(|scope| scope.metrics));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A receiver on loopback, and its URL. It lives as long as the test's runtime.
async fn receiver() -> (Received, String) {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(received.clone()))
        .add_service(MetricsServiceServer::new(received.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::runtime::Handle::current().spawn(server);
    (received, url)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("log").clone()).expect("utf-8")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Telemetry for this thread only; the tests' runtimes have one thread.
fn start(options: &Options) -> (Log, Handle, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let (dispatch, handle) = Telemetry::prepare(options, move || writer.clone()).expect("options");
    (log, handle, tracing::dispatcher::set_default(&dispatch))
}

fn to(url: &str) -> Options {
    let mut otlp = Otlp::at(url);
    otlp.headers
        .push(("x-token".to_owned(), Secret::new("hunter2")));
    Options {
        otlp: Some(otlp),
        service_instance: "gate-7".to_owned(),
        ..Options::default()
    }
}

fn caller(key: &str) -> Option<String> {
    (key == "traceparent").then(|| format!("00-{CALLER_TRACE}-{CALLER_SPAN}-01"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn one_trace_reaches_from_a_callers_span_over_ingest_to_the_plan() {
    let (received, url) = receiver().await;
    let (log, handle, _guard) = start(&Options {
        filter: "warn".to_owned(),
        ..to(&url)
    });
    let handoff = TraceHandoff::new();

    // An older sample by another caller, then the newest one by a caller with a trace.
    let other = tracing::info_span!("ingest-older");
    other.in_scope(|| {});
    handoff.leave("checkout", 60, &other);
    drop(other);
    let ingest = tracing::info_span!("ingest", samples = 3);
    assert_eq!(adopt_parent(&ingest, &caller), Adopted::Remote);
    ingest.in_scope(|| tracing::info_span!("fsync").in_scope(|| {}));
    handoff.leave("checkout", 120, &ingest);
    drop(ingest);

    // Later, on its own clock, the cycle.
    let cycle = tracing::info_span!("cycle", pool = "checkout");
    handoff.take(&"checkout").adopt(&cycle);
    cycle.in_scope(|| {
        tracing::info_span!("forecast").in_scope(|| {});
        tracing::info_span!("publish", generation = 7).in_scope(|| {});
    });
    drop(cycle);
    assert_eq!(
        handle.shutdown(BOUND).await,
        Flushed::Done,
        "{}",
        log.text()
    );

    let (ingest, cycle) = (received.span("ingest"), received.span("cycle"));
    assert_eq!(hex(&ingest.trace_id), CALLER_TRACE);
    assert_eq!(hex(&ingest.parent_span_id), CALLER_SPAN);
    assert_eq!(received.span("fsync").parent_span_id, ingest.span_id);
    assert_eq!(cycle.trace_id, ingest.trace_id);
    assert_eq!(cycle.parent_span_id, ingest.span_id);
    for child in ["forecast", "publish"].map(|name| received.span(name)) {
        assert_eq!(child.trace_id, ingest.trace_id);
        assert_eq!(child.parent_span_id, cycle.span_id);
    }
    let other = received.span("ingest-older");
    assert_ne!(other.trace_id, ingest.trace_id);
    assert_eq!(cycle.links.len(), 1);
    assert_eq!(cycle.links[0].span_id, other.span_id);
    // What a cycle took is gone: the next one begins a trace of its own.
    assert_eq!(
        format!("{:?}", handoff.take(&"checkout")),
        format!("{:?}", TraceHandoff::<&str>::new().take(&"x"))
    );
    let resource = received.resource.lock().expect("resource").clone();
    assert!(resource.contains("service.name=tidegate"), "{resource:?}");
    assert!(
        resource.contains("service.instance.id=gate-7"),
        "{resource:?}"
    );
}

#[tokio::test]
async fn every_instrument_of_the_table_reaches_the_collector_with_its_unit_and_attributes() {
    let (received, url) = receiver().await;
    let (log, handle, _guard) = start(&to(&url));
    let took = Duration::from_millis(3);
    let metrics = handle.metrics();
    metrics.ingested(5, "grpc");
    metrics.refused(2, "grpc", "rate");
    metrics.left_out(4);
    metrics.fed(3, "otlp", "taken");
    metrics.over_quota("shop", "rate", 2);
    metrics.fsynced(took);
    metrics.store(&StoreFigures {
        bytes: vec![("raw", 5_000)],
        held_s: vec![("raw", 86_400)],
        free: Some(1 << 30),
        backup: Some((1_700_000_000, 4_000)),
        ..StoreFigures::default()
    });
    metrics.store_dropped(&[("raw", 70), ("hour", 0)], 7);
    metrics.cycled("checkout", took);
    metrics.breached("AL1", "waterfill");
    metrics.called("allocator", "waterfill", CallOutcome::Refused, took);
    metrics.swapped("allocator", SwapOutcome::RolledBack);
    metrics.published("checkout", 42);
    metrics.amended("checkout");
    metrics.alerts("contention", 1);
    metrics.fitted("ets", "drift");
    metrics.fit_cost("shop", "ets", took);
    for outcome in [FitOutcome::Done, FitOutcome::Failed, FitOutcome::Cancelled] {
        metrics.fit_ended("ets", outcome, 2);
    }
    metrics.challenger_faulted("theta");
    metrics.trial_concluded("allocator", "roll-back");
    metrics.reuse_withdrawn("ets");
    for outcome in [
        MigrationOutcome::Moved,
        MigrationOutcome::Unsupported,
        MigrationOutcome::Failed,
    ] {
        metrics.states_migrated("ets", outcome, 2);
    }
    metrics.states_dropped("forecaster", 3);
    metrics.covered("shop/pay", 9_900, "1h", 0.985);
    metrics.lost("shop/pay", "1h", 0.7);
    metrics.champion_changed("series");
    metrics.task_faults("cycle", "panic", 1);
    assert_eq!(
        handle.shutdown(BOUND).await,
        Flushed::Done,
        "{}",
        log.text()
    );

    let sent = received.metrics.lock().expect("metrics").clone();
    assert_eq!(sent.len(), INSTRUMENTS.len());
    for row in INSTRUMENTS {
        let metric = sent
            .iter()
            .find(|metric| metric.name == row.name)
            .expect(row.name);
        assert_eq!(
            (metric.unit.as_str(), metric.description.as_str()),
            (row.unit, row.description)
        );
        let (kind, attributes) = match metric.data.as_ref().expect("data") {
            Data::Sum(sum) => (InstrumentKind::Counter, &sum.data_points[0].attributes),
            Data::Histogram(h) => (InstrumentKind::Histogram, &h.data_points[0].attributes),
            Data::Gauge(gauge) => (InstrumentKind::Gauge, &gauge.data_points[0].attributes),
            other => panic!("{}: {other:?}", row.name),
        };
        assert_eq!(kind, row.kind, "{}", row.name);
        let names: BTreeSet<&str> = attributes.iter().map(|a| a.key.as_str()).collect();
        assert_eq!(
            names,
            row.attributes.iter().copied().collect(),
            "{}",
            row.name
        );
    }
    assert_eq!(
        *received.tokens.lock().expect("tokens"),
        BTreeSet::from(["hunter2".to_owned()])
    );
    assert!(!log.text().contains("hunter2"));
}

#[tokio::test]
async fn a_dead_collector_neither_fails_the_daemon_nor_holds_its_end_beyond_the_bound() {
    // A port that accepts and never answers is worse than one that refuses.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", silent.local_addr().expect("address"));
    let mut options = to(&url);
    options.filter = "trace".to_owned();
    let (log, handle, _guard) = start(&options);
    for n in 0..20_000_u32 {
        tracing::info_span!("busy", n).in_scope(|| {}); // five times what the queue holds
    }
    handle.metrics().ingested(1, "grpc");
    assert_eq!(
        handle.shutdown(Duration::from_millis(50)).await,
        Flushed::Lost
    );
    let text = log.text();
    assert!(text.contains("did not take the last spans"), "{text}");
    assert!(!text.contains("hunter2"), "a secret in the log");
}

#[tokio::test]
async fn a_callers_broken_header_begins_a_trace_of_our_own() {
    let (received, url) = receiver().await;
    let (_log, handle, _guard) = start(&to(&url));
    for bad in [
        "",
        "00-xyz",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    ] {
        let span = tracing::info_span!("odd");
        let lookup = |key: &str| (key == "traceparent").then(|| bad.to_owned());
        assert_eq!(adopt_parent(&span, &lookup), Adopted::Own, "{bad}");
    }
    let span = tracing::info_span!("asked by nobody");
    assert_eq!(adopt_parent(&span, &|_| None), Adopted::Own);
    drop(span);
    assert_eq!(handle.shutdown(BOUND).await, Flushed::Done);
    assert!(received.span("asked by nobody").parent_span_id.is_empty());
}

#[tokio::test]
async fn an_outgoing_call_carries_the_trace_that_it_belongs_to() {
    let (_received, url) = receiver().await;
    let (_log, handle, _guard) = start(&to(&url));
    let span = tracing::info_span!("actuate");
    assert_eq!(adopt_parent(&span, &caller), Adopted::Remote);
    let mut headers = Vec::new();
    inject(&span, &mut |key, value| {
        headers.push((key.to_owned(), value))
    });
    assert_eq!(headers.len(), 1, "{headers:?}");
    assert_eq!(headers[0].0, "traceparent");
    assert!(
        headers[0].1.starts_with(&format!("00-{CALLER_TRACE}-")),
        "{headers:?}"
    );
    drop(span);
    assert_eq!(handle.shutdown(BOUND).await, Flushed::Done);
}

#[tokio::test]
async fn without_a_collector_everything_is_quiet_and_done() {
    let (log, handle, _guard) = start(&Options {
        log_format: LogFormat::Json,
        ..Options::default()
    });
    let span = tracing::info_span!("ingest", tenant = "shop");
    assert_eq!(adopt_parent(&span, &caller), Adopted::Own);
    let handoff = TraceHandoff::new();
    handoff.leave(1, 1, &span);
    handoff.take(&1).adopt(&span);
    span.in_scope(|| tracing::info!(samples = 3, "acked"));
    tracing::debug!("not asked for");
    handle.metrics().ingested(3, "grpc");
    assert_eq!(handle.shutdown(Duration::ZERO).await, Flushed::Done);
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [
        "\"message\":\"acked\"",
        "\"samples\":3",
        "\"tenant\":\"shop\"",
        "\"level\":\"INFO\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_with_what_to_write() {
    let refuse = |options: &Options| {
        Telemetry::prepare(options, std::io::sink)
            .expect_err("refused")
            .to_string()
    };
    let with = |change: &dyn Fn(&mut Otlp)| {
        let mut otlp = Otlp::at("http://127.0.0.1:4317");
        change(&mut otlp);
        refuse(&Options {
            otlp: Some(otlp),
            ..Options::default()
        })
    };
    let filter = refuse(&Options {
        filter: "info,=x=".to_owned(),
        ..Options::default()
    });
    assert!(
        filter.contains("`info,=x=`") && filter.contains("tidegate_flow=debug"),
        "{filter}"
    );
    for (endpoint, said) in [
        ("127.0.0.1:4317", "scheme ``"),
        ("ftp://127.0.0.1", "scheme `ftp`"),
        ("not a url", "is no URL"),
        ("https://collector:4317", "no CA certificate"),
    ] {
        let message = with(&|otlp| otlp.endpoint = endpoint.to_owned());
        assert!(
            message.contains(said) && message.contains(endpoint),
            "{message}"
        );
    }
    for ratio in [-0.1, 1.1, f64::NAN] {
        assert!(with(&|otlp| otlp.sample_ratio = ratio).contains("between 0 and 1"));
    }
    let name = with(&|otlp| otlp.headers.push(("bad name".to_owned(), Secret::new("x"))));
    assert!(name.contains("`bad name`"), "{name}");
    let value = with(&|otlp| {
        otlp.headers
            .push(("x".to_owned(), Secret::new("hunter2\n")))
    });
    assert!(
        value.contains("characters") && !value.contains("hunter2"),
        "{value}"
    );
}

#[test]
fn a_collector_without_a_runtime_is_refused() {
    let options = Options {
        otlp: Some(Otlp::at("http://127.0.0.1:4317")),
        ..Options::default()
    };
    let refused = Telemetry::prepare(&options, std::io::sink).err();
    assert!(matches!(refused, Some(Error::NoRuntime)), "{refused:?}");
}

#[test]
fn a_process_starts_telemetry_once() {
    let options = Options {
        filter: "off".to_owned(),
        ..Options::default()
    };
    let first = Telemetry::start(&options);
    assert!(first.is_ok());
    assert!(matches!(
        Telemetry::start(&options),
        Err(Error::AlreadyStarted)
    ));
}
