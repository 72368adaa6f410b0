//! What a server is told at its start, and whether it may be shown to a network.
//!
//! Limits are numbers here and checks elsewhere: every one has a default that fits a machine of two
//! cores, and none can be switched off.

use crate::Auth;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Makes a request's span a child of the span that its metadata names. It gets the span, not yet
/// entered, and a look-up of a metadata key. A hook, because this crate does not know how traces
/// are exported.
pub type AdoptParent = Arc<dyn Fn(&tracing::Span, &dyn Fn(&str) -> Option<String>) + Send + Sync>;

/// What one call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message of the ingest service, in bytes, compressed or not.
    pub ingest_message: usize,
    /// Largest message of every other service, in bytes, compressed or not.
    pub message: usize,
    /// Largest component that can be pushed, in bytes.
    pub module: usize,
    /// Frames of one ingest stream that may be without an ack.
    pub max_unacked: u32,
    /// Memory of the samples of one ingest stream that may be without an ack, in bytes; a frame that
    /// is larger passes alone.
    pub max_unacked_bytes: usize,
    /// Samples of one frame, with those that a grid calls missing: what is packed densely on the wire
    /// takes 16 bytes each here.
    pub max_frame_samples: usize,
    /// Ingest streams of one credential that can be resumed.
    pub sessions: usize,
    /// Series that one ingest stream may declare.
    pub max_declared: usize,
    /// Plans that a watcher may be behind before it is moved to the newest.
    pub watch_backlog: u64,
    /// Calls that one connection may have open.
    pub streams_per_connection: u32,
    /// Connections of one listener; those beyond are closed at once.
    pub connections: usize,
    /// How long a TLS handshake may take, and then the first bytes of a connection.
    pub hello: Duration,
    /// How long a peer may read nothing of what it is sent, and by HTTP/1 say nothing either; it is
    /// looked for at this interval, so that up to twice as long may pass.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ingest_message: 16 << 20,
            message: 4 << 20,
            module: 64 << 20,
            max_unacked: 16,
            max_unacked_bytes: 64 << 20,
            max_frame_samples: 2 << 20,
            sessions: 64,
            max_declared: 100_000,
            watch_backlog: 8,
            streams_per_connection: 256,
            connections: 16_384,
            hello: Duration::from_secs(10),
            silence: Duration::from_secs(60),
        }
    }
}

/// Certificates, as PEM.
#[derive(Clone)]
pub struct Tls {
    /// The server's certificate chain, leaf first.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// With it, a client must show a certificate signed by this authority (mTLS). It is asked for
    /// in addition to a token: a certificate says which machine calls, a token for which tenants.
    pub client_ca: Option<String>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of every log.
        f.debug_struct("Tls")
            .field("client_ca", &self.client_ca.is_some())
            .finish_non_exhaustive()
    }
}

/// Whether the operator has said in words that an unprotected listener is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Insecure {
    /// No.
    #[default]
    Refused,
    /// Yes.
    Allowed,
}

/// How a server is started.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// How callers are known.
    pub auth: Auth,
    /// Certificates; without them the listener speaks plain HTTP/2.
    pub tls: Option<Tls>,
    /// Whether an unprotected listener off loopback is wanted.
    pub insecure: Insecure,
    /// What one call may cost.
    pub limits: Limits,
    /// How long a shutdown waits for calls that are under way.
    pub drain: Duration,
    /// Wakes watchers whenever the world has changed; the number means nothing, they read the world.
    /// When its sender is gone, watches end.
    pub wake: watch::Receiver<u64>,
    /// Ties a request's span to its caller's trace.
    pub adopt_parent: Option<AdoptParent>,
    /// Routes of other protocols, which know by themselves who asks; served beside, by HTTP/1 too.
    pub beside: Option<axum::Router>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("auth", &self.auth)
            .field("tls", &self.tls)
            .field("insecure", &self.insecure)
            .field("limits", &self.limits)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// A plain server without tokens, and without anybody who wakes its watchers.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            auth: Auth::Local,
            tls: None,
            insecure: Insecure::Refused,
            limits: Limits::default(),
            drain: Duration::from_secs(10),
            wake: watch::channel(0).1,
            adopt_parent: None,
            beside: None,
        }
    }
}

/// Whether a listener may be opened: off loopback, anybody could connect, so callers must be known,
/// and their tokens must not cross the network in the clear.
///
/// # Errors
/// Says what is missing and how to allow it all the same.
pub fn check_exposure(
    address: SocketAddr,
    auth: &Auth,
    tls: Option<&Tls>,
    insecure: Insecure,
) -> Result<(), String> {
    if address.ip().to_canonical().is_loopback() || insecure == Insecure::Allowed {
        return Ok(());
    }
    let missing = match (auth, tls) {
        (Auth::Tokens(_), Some(_)) => return Ok(()),
        (Auth::Local, _) => {
            "no tokens are configured, so that anybody who reaches it could change everything: \
             configure tokens"
        }
        (Auth::Tokens(_), None) => {
            "no certificate is configured, so that tokens would cross the network in the clear: \
             configure TLS"
        }
    };
    Err(format!(
        "will not listen on {address}: {missing}, listen on 127.0.0.1, or allow an insecure \
         listener in words if something before it protects it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_off_loopback_needs_tokens_and_tls_or_the_operator_s_word() {
        let tokens = Auth::tokens(vec![]).unwrap();
        let tls = Tls {
            certificate: String::new(),
            key: "secret".into(),
            client_ca: None,
        };
        assert!(!format!("{tls:?}").contains("secret"));
        let check = |address: &str, auth: &Auth, tls: Option<&Tls>, insecure| {
            check_exposure(address.parse().unwrap(), auth, tls, insecure)
        };
        for address in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(
                check(address, &Auth::Local, None, Insecure::Refused),
                Ok(())
            );
        }
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1", "[::ffff:10.0.0.7]:1"] {
            let refused = |auth, tls| check(address, auth, tls, Insecure::Refused).unwrap_err();
            assert!(refused(&Auth::Local, None).contains("configure tokens"));
            assert!(refused(&Auth::Local, Some(&tls)).contains("configure tokens"));
            assert!(refused(&tokens, None).contains("configure TLS"));
            assert_eq!(
                check(address, &tokens, Some(&tls), Insecure::Refused),
                Ok(())
            );
            assert_eq!(
                check(address, &Auth::Local, None, Insecure::Allowed),
                Ok(())
            );
        }
    }
}
