//! A connection: where, who, and how it is secured.
//!
//! Credentials travel as an interceptor below the generated clients, so that no call can forget
//! them. A bearer token goes out over plain HTTP only to loopback: elsewhere it would be readable
//! on the way, and the connection is refused instead.

use std::fmt;
use std::time::Duration;
use tidegate_proto::v1;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Request, Status};

/// Largest answer that is read, in bytes: a plan of many apis over many steps is a large message.
const MAX_ANSWER: usize = 64 << 20;

/// Where the daemon is, and how to speak to it.
#[derive(Clone, Default)]
pub struct Options {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoint: String,
    /// Bearer token; absent sends none.
    pub token: Option<String>,
    /// Certificates, for `https`.
    pub tls: Tls,
    /// W3C trace context that every call carries, so that a caller's trace goes on in the daemon's.
    pub traceparent: Option<String>,
    /// How long to wait for the connection; absent waits 5 s.
    pub connect_timeout: Option<Duration>,
}

/// PEM texts for `https`.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authority that the daemon's certificate must come from.
    pub ca: Option<Vec<u8>>,
    /// This client's certificate chain, where the daemon asks for one.
    pub certificate: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<Vec<u8>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret: it must not reach a log.
        f.debug_struct("Options")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("traceparent", &self.traceparent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("certificate", &self.certificate.is_some())
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint is no URL of the right form.
    #[error("`{0}` is not an endpoint; write http://HOST:PORT or https://HOST:PORT")]
    Endpoint(String),
    /// The token cannot be a header.
    #[error(
        "the token holds characters that no header may hold; copy it again, without line breaks"
    )]
    Token,
    /// The trace context cannot be a header.
    #[error("the traceparent is not in the form of W3C Trace Context, 00-TRACE-SPAN-FLAGS")]
    Traceparent,
    /// A token over plain HTTP to another machine.
    #[error(
        "a token would travel to {0} unencrypted; use https and the daemon's certificate authority"
    )]
    TokenInTheClear(String),
    /// Certificates are missing or do not belong here.
    #[error("{0}")]
    Tls(&'static str),
    /// The certificates do not parse.
    #[error("the certificates or the key are not usable PEM")]
    Pem(#[source] tonic::transport::Error),
    /// Nobody answers.
    #[error("no daemon answers at {endpoint}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

/// What every call carries.
#[derive(Clone)]
pub struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("bearer", &self.bearer.is_some())
            .finish_non_exhaustive()
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        if let Some(bearer) = &self.bearer {
            headers.insert("authorization", bearer.clone());
        }
        if let Some(traceparent) = &self.traceparent {
            headers.insert("traceparent", traceparent.clone());
        }
        Ok(request)
    }
}

/// What the generated clients speak through.
pub type Transport = InterceptedService<Channel, Credentials>;

/// A connection to one daemon. Cheap to clone; a broken connection is made anew by the next call.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// Connects, and fails if nobody answers.
    ///
    /// # Errors
    /// [`ConnectError`], each with what to do.
    pub async fn connect(options: &Options) -> Result<Self, ConnectError> {
        let (endpoint, credentials) = prepare(options)?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| ConnectError::Unreachable {
                endpoint: options.endpoint.clone(),
                source,
            })?;
        Ok(Self {
            transport: InterceptedService::new(channel, credentials),
        })
    }

    /// Prepares a connection that the first call makes. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`] for what is wrong with the options alone.
    pub fn lazy(options: &Options) -> Result<Self, ConnectError> {
        let (endpoint, credentials) = prepare(options)?;
        Ok(Self {
            transport: InterceptedService::new(endpoint.connect_lazy(), credentials),
        })
    }

    /// The transport with its credentials, for services of other packages (`grpc.health.v1`).
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $module:ident::$client:ident),* $(,)?) => {
        impl Client {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> v1::$module::$client<Transport> {
                    v1::$module::$client::new(self.transport.clone())
                        .max_decoding_message_size(MAX_ANSWER)
                }
            )*
        }
    };
}

services! {
    /// Samples in; see [`crate::ingest::Feeder`] for the stream.
    ingest: ingest_client::IngestClient,
    /// The desired state.
    catalog: catalog_client::CatalogClient,
    /// Modules, slots, bindings.
    policies: policies_client::PoliciesClient,
    /// What is expected to come.
    forecasts: forecasts_client::ForecastsClient,
    /// Plans, their reasons, and reports of what was applied.
    plans: plans_client::PlansClient,
    /// An api's grant; see [`crate::enforce::Enforcer`].
    limits: limits_client::LimitsClient,
    /// Shadows.
    shadows: shadows_client::ShadowsClient,
    /// What an operator must know now.
    alerts: alerts_client::AlertsClient,
    /// The calendar: events in as they are learned of, and when they happen.
    events: events_client::EventsClient,
    /// How the daemon fares.
    status: status_client::StatusClient,
    /// The data's clock.
    clock: clock_client::ClockClient,
}

fn prepare(options: &Options) -> Result<(Endpoint, Credentials), ConnectError> {
    let bad = || ConnectError::Endpoint(options.endpoint.clone());
    let uri: Uri = options.endpoint.parse().map_err(|_| bad())?;
    let host = uri.host().ok_or_else(bad)?.to_owned();
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad()),
    };
    let loopback = matches!(host.as_str(), "localhost" | "[::1]") || host.starts_with("127.");
    if options.token.is_some() && !secure && !loopback {
        return Err(ConnectError::TokenInTheClear(host));
    }
    let timeout = options.connect_timeout.unwrap_or(Duration::from_secs(5));
    let mut endpoint = Endpoint::from(uri)
        .connect_timeout(timeout)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true);
    let tls = &options.tls;
    if secure {
        let ca = tls.ca.as_ref().ok_or(ConnectError::Tls(
            "https needs the certificate authority of the daemon's certificate (PEM)",
        ))?;
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        config = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => config.identity(Identity::from_pem(certificate, key)),
            (None, None) => config,
            _ => {
                let text = "a client certificate and its key belong together; give both or neither";
                return Err(ConnectError::Tls(text));
            }
        };
        endpoint = endpoint.tls_config(config).map_err(ConnectError::Pem)?;
    } else if tls.ca.is_some() || tls.certificate.is_some() || tls.key.is_some() {
        return Err(ConnectError::Tls(
            "certificates were given for an http endpoint; write https",
        ));
    }
    let bearer = options.token.as_ref().map(|token| {
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| ConnectError::Token)?;
        value.set_sensitive(true);
        Ok(value)
    });
    let traceparent = options
        .traceparent
        .as_ref()
        .map(|text| text.parse().map_err(|_| ConnectError::Traceparent));
    let credentials = Credentials {
        bearer: bearer.transpose()?,
        traceparent: traceparent.transpose()?,
    };
    Ok((endpoint, credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(endpoint: &str, token: Option<&str>, tls: Tls) -> String {
        let options = Options {
            endpoint: endpoint.into(),
            token: token.map(Into::into),
            tls,
            ..Options::default()
        };
        prepare(&options).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_options_is_told_before_anything_is_sent() {
        let ca = || Tls {
            ca: Some(b"x".to_vec()),
            ..Tls::default()
        };
        assert!(refused("127.0.0.1:7400", None, Tls::default()).contains("http://HOST:PORT"));
        assert!(refused("ftp://a:1", None, Tls::default()).contains("ftp://a:1"));
        assert!(refused("https://a:1", None, Tls::default()).contains("certificate authority"));
        assert!(refused("http://127.0.0.1:1", None, ca()).contains("write https"));
        assert!(refused("http://example.org:1", Some("t"), Tls::default()).contains("unencrypted"));
        assert!(
            refused("http://127.0.0.1:1", Some("a\nb"), Tls::default()).contains("line breaks")
        );
    }

    #[test]
    fn a_token_never_shows_in_debug_output() {
        let options = Options {
            endpoint: "http://127.0.0.1:1".into(),
            token: Some("hush".into()),
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("hush"));
        let (_, credentials) = prepare(&options).unwrap();
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
