//! The listener: which services, behind which checks, until when.
//!
//! Binding and serving are two steps, so that a port of 0 becomes a real address before anybody is
//! told, and so that a listener that must not be opened is refused before it is. Health checks are
//! open to all, as orchestrators send no tokens; everything else, reflection included, wants one.
//!
//! A shutdown first says NOT_SERVING, ends the watches and stops taking frames, then waits for the
//! calls that are under way, but not for ever: a client that never reads must not keep a daemon.

use crate::auth::Authenticate;
use crate::incoming::{Incoming, Speaks, acceptor};
use crate::options::{AdoptParent, Options, check_exposure};
use crate::pull::Wake;
use crate::service::Shared;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Request, Response, StatusCode, Version};
use axum::middleware::Next;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::ports::serve::Gate;
use tidegate_proto::{FILE_DESCRIPTOR_SET, v1};
use tokio::sync::watch;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::Router;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Interval of HTTP/2 pings on an idle connection, and the wait for their answer: a peer that
/// vanished is noticed, and its streams end.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Largest header list of a request, in bytes.
const MAX_HEADERS: u32 = 16 << 10;

/// Full names of the services of `tidegate.v1`, as health knows them.
const SERVICES: [&str; 11] = [
    v1::ingest_server::SERVICE_NAME,
    v1::catalog_server::SERVICE_NAME,
    v1::events_server::SERVICE_NAME,
    v1::policies_server::SERVICE_NAME,
    v1::forecasts_server::SERVICE_NAME,
    v1::plans_server::SERVICE_NAME,
    v1::limits_server::SERVICE_NAME,
    v1::alerts_server::SERVICE_NAME,
    v1::shadows_server::SERVICE_NAME,
    v1::status_server::SERVICE_NAME,
    v1::clock_server::SERVICE_NAME,
];

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener would be open to a network without protection.
    #[error("{0}")]
    Exposed(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}; is the port taken, or below 1024?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The certificates are no certificates.
    #[error(
        "the TLS configuration is not usable: {0}; check that the files are PEM and belong together"
    )]
    Tls(String),
    /// The descriptors of the services cannot be read.
    #[error("reflection cannot be set up: {0}")]
    Reflection(String),
    /// The transport failed.
    #[error("serving failed: {0}")]
    Serve(String),
}

/// Whether a service says that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It does.
    Yes,
    /// It does not, for now.
    No,
}

/// Sets what health checks hear.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Sets the status of the server and of all its services.
    pub async fn set(&self, serving: Serving) {
        self.set_service("", serving).await;
        for service in SERVICES {
            self.set_service(service, serving).await;
        }
    }

    /// Sets the status of one service by its full name, for example `tidegate.v1.Ingest`; the empty
    /// name is the server as a whole.
    pub async fn set_service(&self, service: &str, serving: Serving) {
        let status = match serving {
            Serving::Yes => tonic_health::ServingStatus::Serving,
            Serving::No => tonic_health::ServingStatus::NotServing,
        };
        self.0.set_service_status(service, status).await;
    }

    /// Ends every watch of the health service.
    async fn close(&mut self) {
        self.set(Serving::No).await;
        self.0.clear_service_status("").await;
        for service in SERVICES {
            self.0.clear_service_status(service).await;
        }
    }
}

/// Makes servers.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Opens the listener. Must be called inside a tokio runtime; nothing is answered until
    /// [`Bound::serve`].
    ///
    /// # Errors
    /// When the listener would be exposed ([`check_exposure`]), the address is taken, or the
    /// certificates are not usable.
    pub fn bind(options: Options, gate: Arc<dyn Gate>) -> Result<Bound, Error> {
        Self::open(options, Some(gate))
    }

    /// The same for routes of other protocols alone ([`Options::beside`]), on an address of their own.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_beside(options: Options) -> Result<Bound, Error> {
        Self::open(options, None)
    }

    fn open(options: Options, gate: Option<Arc<dyn Gate>>) -> Result<Bound, Error> {
        let Options {
            address,
            auth,
            tls,
            insecure,
            limits,
            drain,
            wake,
            adopt_parent,
            beside,
        } = options;
        check_exposure(address, &auth, tls.as_ref(), insecure).map_err(Error::Exposed)?;
        let (closing, is_closing) = watch::channel(false);
        let health = HealthReporter::new();
        let wake = Wake {
            world: wake,
            closing: is_closing,
        };
        let mut routed = Routes::default();
        if let Some(gate) = gate {
            let sessions = Arc::default();
            let shared = Arc::new(Shared {
                gate,
                limits,
                wake,
                sessions,
            });
            routed = routes(&shared, &Authenticate(auth), health.clone())?;
        }
        let mut speaks = Speaks::Http2;
        if let Some(beside) = beside {
            speaks = Speaks::Both;
            let own = routed.axum_router_mut();
            let alone = axum::middleware::from_fn(http2_alone);
            *own = std::mem::take(own).layer(alone).merge(beside);
        }
        let tls = tls.as_ref().map(|tls| acceptor(tls, speaks)).transpose();
        let tls = tls.map_err(Error::Tls)?;
        let mut builder = tonic::transport::Server::builder()
            .accept_http1(speaks == Speaks::Both)
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1))
            .http2_max_header_list_size(MAX_HEADERS)
            .max_concurrent_streams(limits.streams_per_connection)
            .trace_fn(span_maker(adopt_parent));
        let router = builder.add_routes(routed);
        let bind = |cause| Error::Bind { address, cause };
        let incoming = Incoming::bind(address, tls, limits).map_err(bind)?;
        let local = incoming.local_addr().map_err(bind)?;
        Ok(Bound {
            router,
            incoming,
            local,
            health: Health(health),
            closing,
            drain,
        })
    }
}

/// Whether addresses may be listened on, each of them and all together, before anything that takes long is
/// done. They are let go again: who connects meanwhile must be refused, not left waiting.
///
/// # Errors
/// When one is not to be had, as [`Server::bind`].
pub fn check_free(addresses: &[SocketAddr]) -> Result<(), Error> {
    let listen = |&address: &SocketAddr| {
        let listener = std::net::TcpListener::bind(address);
        listener.map_err(|cause| Error::Bind { address, cause })
    };
    let held: Result<Vec<_>, _> = addresses.iter().map(listen).collect();
    held.map(drop)
}

/// A listener that is open and not yet served.
#[derive(Debug)]
pub struct Bound {
    router: Router,
    incoming: Incoming,
    local: SocketAddr,
    health: Health,
    closing: watch::Sender<bool>,
    drain: Duration,
}

impl Bound {
    /// The address that it listens on; its port is real.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sets what health checks hear, also while the server runs.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `shutdown` resolves and the calls under way have ended, at the longest for
    /// `Options::drain` after it.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let Self {
            router,
            incoming,
            health,
            closing,
            drain,
            ..
        } = self;
        health.set(Serving::Yes).await;
        let mut closed = closing.subscribe();
        let mut reporter = health.clone();
        let signal = async move {
            shutdown.await;
            closing.send_replace(true);
            reporter.close().await;
        };
        let serving = router.serve_with_incoming_shutdown(incoming, signal);
        let overdue = async {
            // An error means that the signal has come and gone.
            let _ = closed.wait_for(|closing| *closing).await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            served = serving => served.map_err(|e| Error::Serve(causes(&e))),
            () = overdue => {
                tracing::warn!(waited = ?drain, "calls were still under way at the end of the drain");
                Ok(())
            }
        }
    }
}

fn routes(
    shared: &Arc<Shared>,
    check: &Authenticate,
    health: HealthReporter,
) -> Result<Routes, Error> {
    let limits = shared.limits;
    macro_rules! service {
        ($module:ident :: $server:ident, $limit:expr) => {
            InterceptedService::new(
                v1::$module::$server::from_arc(shared.clone())
                    .max_decoding_message_size($limit)
                    .accept_compressed(Gzip)
                    .send_compressed(Gzip),
                check.clone(),
            )
        };
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let unreadable = |e: tonic_reflection::server::Error| Error::Reflection(e.to_string());
    let reflection_v1 = reflection().build_v1().map_err(unreadable)?;
    let reflection_v1alpha = reflection().build_v1alpha().map_err(unreadable)?;
    Ok(Routes::default()
        .add_service(HealthServer::new(HealthService::from_health_reporter(
            health,
        )))
        .add_service(InterceptedService::new(reflection_v1, check.clone()))
        .add_service(InterceptedService::new(reflection_v1alpha, check.clone()))
        .add_service(service!(ingest_server::IngestServer, limits.ingest_message))
        .add_service(service!(catalog_server::CatalogServer, limits.message))
        .add_service(service!(events_server::EventsServer, limits.message))
        .add_service(service!(policies_server::PoliciesServer, limits.message))
        .add_service(service!(forecasts_server::ForecastsServer, limits.message))
        .add_service(service!(plans_server::PlansServer, limits.message))
        .add_service(service!(limits_server::LimitsServer, limits.message))
        .add_service(service!(alerts_server::AlertsServer, limits.message))
        .add_service(service!(shadows_server::ShadowsServer, limits.message))
        .add_service(service!(status_server::StatusServer, limits.message))
        .add_service(service!(clock_server::ClockServer, limits.message)))
}

/// A span per call, named by its path, in the trace of its caller.
fn span_maker(
    adopt: Option<AdoptParent>,
) -> impl Fn(&tonic::codegen::http::Request<()>) -> tracing::Span + Send + Sync + 'static {
    move |request| {
        let path = request.uri().path().trim_start_matches('/');
        let span = tracing::info_span!(
            "rpc",
            otel.name = path,
            otel.kind = "server",
            rpc.system = "grpc",
            caller = tracing::field::Empty
        );
        if let Some(adopt) = &adopt {
            let header = |key: &str| Some(request.headers().get(key)?.to_str().ok()?.to_owned());
            adopt(&span, &header);
        }
        span
    }
}

/// Our own services are gRPC, which is spoken by HTTP/2; a call of theirs by HTTP/1 would have no bound
/// on how long it may take. What else comes by HTTP/1 has missed the path of a feed, and hears which there are.
async fn http2_alone(request: Request<Body>, next: Next) -> Response<Body> {
    if request.version() >= Version::HTTP_2 {
        return next.run(request).await;
    }
    let (code, text) = if is_method(request.uri().path()) {
        let text = "this is spoken by HTTP/2 (gRPC) alone\n";
        (StatusCode::HTTP_VERSION_NOT_SUPPORTED, text)
    } else {
        let text = "nothing is here; POST OTLP metrics to /v1/metrics, Prometheus' remote write to /api/v1/write\n";
        (StatusCode::NOT_FOUND, text)
    };
    let mut refused = Response::new(Body::from(text));
    *refused.status_mut() = code;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    refused.headers_mut().insert(CONTENT_TYPE, kind);
    refused
}

/// Whether a path is that of a method of gRPC: `/package.Service/Method`, the services being ours, health or
/// reflection.
fn is_method(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    let (service, method, more) = (parts.next(), parts.next(), parts.next());
    let known = |service: &str| SERVICES.contains(&service) || service.starts_with("grpc.");
    service.is_some_and(known) && method.is_some_and(|m| !m.is_empty()) && more.is_none()
}

/// An error with its causes; tonic's own text says only "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
