//! What a collector gets: one trace from the call that brought a sample to the plan that it led to.
//!
//! Between the daemon and this test's receiver stands a collector that we did not write (rotel,
//! from PyPI), if it can be had: it takes OTLP over gRPC and forwards it. Without it the daemon
//! exports straight to the receiver, which is the OpenTelemetry project's own generated service.

use crate::python::Python;
use anyhow::{Context, Result, ensure};
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
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidegate_e2e::feed::Series;
use tidegate_e2e::{Gate, catalog, gate, say};
use tidegate_proto::v1::{self, ingest_client::IngestClient};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Request, Response, Status};

/// The client's trace: what it sends as `traceparent`.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
/// The way of a sample, each span the parent of the next.
const WAY: [&str; 4] = ["tidegate.v1.Ingest/Push", "admit", "cycle", "publish"];

#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<BTreeSet<String>>>,
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|r| r.scope_spans);
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(scopes.flat_map(|s| s.spans));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request
            .into_inner()
            .resource_metrics
            .into_iter()
            .flat_map(|r| r.scope_metrics);
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.extend(scopes.flat_map(|s| s.metrics).map(|m| m.name));
        Ok(Response::new(Default::default()))
    }
}

impl Received {
    /// The span of that name in the client's trace.
    fn span(&self, name: &str) -> Option<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans
            .iter()
            .find(|s| s.name == name && hex(&s.trace_id) == TRACE)
            .cloned()
    }

    fn has(&self, metric: &str) -> bool {
        self.metrics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(metric)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A collector that stands in between; killed by its number when dropped.
pub(crate) struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A port that was free a moment ago.
async fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// Starts rotel in front of the receiver; returns it with the address that it listens on.
pub(crate) async fn rotel(
    python: &Python,
    gate: &Gate,
    receiver: &str,
) -> Result<(Collector, String)> {
    let (grpc, http) = (
        format!("127.0.0.1:{}", port().await?),
        format!("127.0.0.1:{}", port().await?),
    );
    let log = std::fs::File::create(gate.home().join("rotel.log"))?;
    let mut command = Command::new(python.rotel()?);
    command.args([
        "start",
        "--otlp-grpc-endpoint",
        &grpc,
        "--otlp-http-endpoint",
        &http,
    ]);
    command.args([
        "--exporter",
        "otlp",
        "--otlp-exporter-endpoint",
        receiver,
        "--otlp-exporter-protocol",
        "grpc",
    ]);
    command
        .arg("--pid-file")
        .arg(gate.home().join("rotel.pid"))
        .current_dir(gate.home());
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut collector = Collector(command.spawn()?);
    for _ in 0..200 {
        if TcpStream::connect(&grpc).await.is_ok() {
            return Ok((collector, format!("http://{grpc}")));
        }
        ensure!(
            collector.0.try_wait()?.is_none(),
            "rotel ended: {}",
            std::fs::read_to_string(gate.home().join("rotel.log"))?
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("rotel does not listen")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_spans_a_samples_way_from_the_call_to_the_published_plan() -> Result<()> {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let direct = format!("http://{}", listener.local_addr()?);
    let mut servers = JoinSet::new();
    servers.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(received.clone()).accept_compressed(Gzip))
            .add_service(MetricsServiceServer::new(received.clone()).accept_compressed(Gzip))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let gate = gate()?;
    let between = match Python::environment("the foreign collector") {
        Some(python) => match rotel(&python, &gate, &direct).await {
            Ok(collector) => Some(collector),
            Err(why) => {
                say(&format!("no foreign collector in between: {why:#}"));
                None
            }
        },
        None => None,
    };
    let endpoint = between.as_ref().map_or(&direct, |(_, url)| url);
    let gate = gate.flags(&["--otlp", endpoint]);
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;

    let series = Series::new("shop/orders", v1::Signal::Requests, 300);
    let columns = Some(series.columns(0, 24));
    let push = v1::PushSeries {
        api: series.api.clone(),
        signal: series.signal.into(),
        step_s: 300,
        columns,
    };
    let mut request = Request::new(v1::PushRequest { series: vec![push] });
    request
        .metadata_mut()
        .insert("traceparent", format!("00-{TRACE}-{CLIENT}-01").parse()?);
    IngestClient::new(channel.clone()).push(request).await?;
    catalog::advance(&channel, series.at(24)).await?;
    drop(channel);
    // A drain flushes what waits to be exported.
    ensure!(daemon.stop().await? == Some(0));

    let complete = || {
        WAY.iter()
            .chain(&["store", "record"])
            .all(|name| received.span(name).is_some())
            && ["tidegate.ingest.samples", "tidegate.cycle.duration"]
                .iter()
                .all(|m| received.has(m))
    };
    for _ in 0..300 {
        if complete() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let metrics = received
        .metrics
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let names: BTreeSet<_> = {
        let spans = received
            .spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spans
            .iter()
            .map(|s| (hex(&s.trace_id), s.name.clone()))
            .collect()
    };
    ensure!(
        complete(),
        "spans {names:?}, metrics {metrics:?}, log:\n{}\nrotel:\n{}",
        gate.log()?,
        std::fs::read_to_string(gate.home().join("rotel.log")).unwrap_or_default()
    );
    let mut parent = CLIENT.to_owned();
    for name in WAY {
        let span = received.span(name).context(name)?;
        ensure!(
            hex(&span.parent_span_id) == parent,
            "`{name}` does not follow the span before it: {span:?}"
        );
        parent = hex(&span.span_id);
    }
    for (child, parent) in [("store", "admit"), ("record", "cycle")] {
        let (child, parent) = (
            received.span(child).context(child)?,
            received.span(parent).context(parent)?,
        );
        ensure!(
            child.parent_span_id == parent.span_id,
            "{child:?} is not a child of {parent:?}"
        );
    }
    servers.shutdown().await;
    Ok(())
}
