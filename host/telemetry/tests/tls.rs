//! A collector behind TLS: trusted by the configured authority, refused by any other.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use rcgen::CertifiedKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_telemetry::{Options, Otlp, Telemetry};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// Counts the spans that it is sent.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

#[tonic::async_trait]
impl TraceService for Counting {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans, Ordering::SeqCst);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn certificate() -> CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate")
}

/// How many of one span arrive at a collector whose certificate is `own`, when `trusted` is the
/// authority in the options.
async fn arrived(own: &CertifiedKey<rcgen::KeyPair>, trusted: String) -> usize {
    let counting = Counting::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let identity = Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem());
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .expect("tls")
        .add_service(TraceServiceServer::new(counting.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::runtime::Handle::current().spawn(server);

    let mut otlp = Otlp::at(format!("https://localhost:{port}"));
    otlp.ca_certificate = Some(trusted);
    let options = Options {
        otlp: Some(otlp),
        ..Options::default()
    };
    let (dispatch, handle) = Telemetry::prepare(&options, std::io::sink).expect("options");
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!("ingest").in_scope(|| {});
    });
    // Metrics are not served here, so that the whole is `Lost` either way: spans are what counts.
    let _ = handle.shutdown(Duration::from_secs(20)).await;
    counting.0.load(Ordering::SeqCst)
}

#[tokio::test]
async fn spans_reach_a_collector_whose_authority_is_configured() {
    let own = certificate();
    assert_eq!(arrived(&own, own.cert.pem()).await, 1);
}

#[tokio::test]
async fn no_span_reaches_a_collector_that_nobody_vouches_for() {
    let (own, other) = (certificate(), certificate());
    assert_eq!(arrived(&own, other.cert.pem()).await, 0);
}
