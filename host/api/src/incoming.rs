//! Connections in: TLS where it is configured, and bounds on who opens one and then says or reads
//! nothing.
//!
//! tonic's own TLS offers HTTP/2 alone (ALPN `h2`), so a sender that speaks HTTP/1.1, as many senders
//! of remote write do, would be refused in the handshake; here both are offered. What hyper bounds
//! already stays with it: a request's head by HTTP/1 has 30 s, and pings find a peer by HTTP/2 that is
//! gone. What nobody bounds is bounded here: the handshake, the first bytes of a connection (by which
//! it is known what it speaks), a peer that reads nothing of what it is sent, silence by HTTP/1 in the
//! middle of a request, and how many connections there are. Those beyond are closed at once, for to
//! leave them waiting would look like a network that is down.
//!
//! Silence is measured by a mark that progress leaves and a timer that looks for it: so a byte costs
//! no clock, and a silence of between one and two times the bound ends a connection.

use crate::options::{Limits, Tls};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, crypto::ring};
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// The first bytes of HTTP/2 (RFC 9113, section 3.4): as many as it takes to know what is spoken.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long no connection is accepted after accepting failed, which is when files have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/2 alone.
    Http2,
    /// HTTP/1.1 too.
    Both,
}

/// Makes the acceptor of TLS.
///
/// # Errors
/// When what is configured is no PEM, or does not belong together.
pub(crate) fn acceptor(tls: &Tls, speaks: Speaks) -> Result<TlsAcceptor, String> {
    let told = |what: &str, e: &dyn std::fmt::Display| format!("{what}: {e}");
    let certificates = |pem: &str, what: &str| {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match all {
            Ok(all) if all.is_empty() => Err(told(what, &"there is no certificate in it")),
            all => all.map_err(|e| told(what, &e)),
        }
    };
    let chain = certificates(&tls.certificate, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).map_err(|e| told("key", &e))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(pem, "client authority")? {
                roots.add(root).map_err(|e| told("client authority", &e))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|e| told("client authority", &e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config: rustls::ServerConfig = config.map_err(|e| e.to_string())?;
    config.alpn_protocols.push(b"h2".to_vec());
    if speaks == Speaks::Both {
        config.alpn_protocols.push(b"http/1.1".to_vec());
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The connections of a listener.
#[derive(Debug)]
pub(crate) struct Incoming {
    listener: TcpListener,
    tls: Option<Acceptor>,
    room: Arc<Semaphore>,
    limits: Limits,
    handshakes: JoinSet<Option<Connection<Socket>>>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// tokio-rustls' own says nothing of itself.
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Incoming {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is not to be had.
    pub(crate) fn bind(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        limits: Limits,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            tls: tls.map(Acceptor),
            room: Arc::new(Semaphore::new(limits.connections.max(1))),
            limits,
            handshakes: JoinSet::new(),
            pause: None,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A connection that is to be handed on now; those with TLS come when they have shaken hands.
    fn begin(&mut self, tcp: TcpStream) -> Option<Connection<Socket>> {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            let most = self.limits.connections;
            tracing::debug!(most, "a connection beyond the bound was closed");
            return None;
        };
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "a connection was closed as it was opened");
            return None;
        }
        let limits = self.limits;
        let Some(Acceptor(tls)) = &self.tls else {
            return Some(Connection::new(Socket::Plain(tcp), &limits, permit));
        };
        let accept = tls.accept(tcp);
        self.handshakes.spawn(async move {
            match tokio::time::timeout(limits.hello, accept).await {
                Ok(Ok(tls)) => {
                    let io = Socket::Tls(Box::new(tls));
                    Some(Connection::new(io, &limits, permit))
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!("a TLS handshake took too long");
                    None
                }
            }
        });
        None
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection<Socket>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Some(connection)))) => {
                    return Poll::Ready(Some(Ok(connection)));
                }
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            match ready!(this.listener.poll_accept(cx)) {
                Ok((tcp, _)) => {
                    if let Some(connection) = this.begin(tcp) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted for now");
                    this.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

/// A socket, with TLS or without.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Whatever it is, it is read and written alike.
trait Bytes: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Bytes for T {}

impl Socket {
    fn bytes(&mut self) -> Pin<&mut dyn Bytes> {
        match self {
            Socket::Plain(tcp) => Pin::new(tcp),
            Socket::Tls(tls) => Pin::new(&mut **tls),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.bytes().poll_read(cx, to)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.bytes().poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.bytes().poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(tcp) => tcp.is_write_vectored(),
            Socket::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bytes().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bytes().poll_shutdown(cx)
    }
}

/// How long somebody is waited for.
#[derive(Debug)]
struct Patience {
    /// Until the first bytes are here.
    hello: Option<Pin<Box<Sleep>>>,
    /// How many of them are.
    heard: usize,
    /// Whether they are those of HTTP/2 so far.
    is_http2: bool,
    silence: Duration,
    /// Until it is looked whether anything was read or written since the last look.
    look: Pin<Box<Sleep>>,
    progressed: bool,
}

impl Patience {
    fn new(hello: Duration, silence: Duration) -> Self {
        Self {
            hello: Some(Box::pin(sleep(hello))),
            heard: 0,
            is_http2: true,
            silence,
            look: Box::pin(sleep(silence)),
            progressed: false,
        }
    }

    /// Notes what was read.
    fn hear(&mut self, bytes: &[u8]) {
        self.progressed = true;
        if self.hello.is_none() {
            return;
        }
        let rest = &PREFACE[self.heard..];
        let n = rest.len().min(bytes.len());
        self.is_http2 &= bytes[..n] == rest[..n];
        self.heard += n;
        // Whatever else is spoken has bounds of its own from its first byte on.
        if self.heard == PREFACE.len() || !self.is_http2 {
            self.hello = None;
        }
    }

    /// Whether it is at an end, for one who waits to read.
    fn tires_of_listening(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(hello) = &mut self.hello {
            return hello.as_mut().poll(cx).is_ready();
        }
        // By HTTP/2, silence is lawful, and pings tell whether anybody is there.
        !self.is_http2 && self.tires(cx)
    }

    /// Whether nothing was read or written for so long.
    fn tires(&mut self, cx: &mut Context<'_>) -> bool {
        while self.look.as_mut().poll(cx).is_ready() {
            if !std::mem::take(&mut self.progressed) {
                return true;
            }
            self.look = Box::pin(sleep(self.silence));
        }
        false
    }
}

/// A connection that ends where patience does.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    io: T,
    patience: Patience,
    _room: OwnedSemaphorePermit,
}

impl<T> Connection<T> {
    fn new(io: T, limits: &Limits, room: OwnedSemaphorePermit) -> Self {
        Self {
            io,
            patience: Patience::new(limits.hello, limits.silence),
            _room: room,
        }
    }
}

impl<T> Connected for Connection<T> {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

fn overdue() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer was silent for too long")
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = to.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, to) {
            Poll::Ready(done) => {
                this.patience.hear(&to.filled()[before..]);
                Poll::Ready(done)
            }
            Poll::Pending if this.patience.tires_of_listening(cx) => Poll::Ready(Err(overdue())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncWrite + Unpin> Connection<T> {
    fn wrote<U>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<U>>,
    ) -> Poll<io::Result<U>> {
        match wrote {
            Poll::Ready(done) => {
                self.patience.progressed = true;
                Poll::Ready(done)
            }
            Poll::Pending if self.patience.tires(cx) => Poll::Ready(Err(overdue())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, from);
        self.wrote(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, from);
        self.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_flush(cx) {
            // Nothing moves by a flush that had nothing to do.
            Poll::Pending if self.patience.tires(cx) => Poll::Ready(Err(overdue())),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Pending if self.patience.tires(cx) => Poll::Ready(Err(overdue())),
            shut => shut,
        }
    }
}
