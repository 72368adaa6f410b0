//! Who connects and then says or reads nothing, and what a connection speaks.

use crate::world::World;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::Options;
use tidegate_proto::v1;
use tidegate_proto::v1::plans_client::PlansClient;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Far longer than any bound here: who waits so long waits for something that does not come.
const NEVER: Duration = Duration::from_secs(60);

/// Says when it is dropped.
struct Note(mpsc::Sender<()>);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

/// A greeting, a body that is awaited, and more than buffers hold, of which it is told when it is let go.
fn beside(dropped: mpsc::Sender<()>) -> axum::Router {
    use axum::routing::{get, post};
    let large = move || {
        let parts = (0..64).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1 << 20]));
        let noted = Note(dropped.clone());
        let stream = tokio_stream::iter(parts.inspect(move |_| {
            // The note lives as long as the body does.
            let _ = &noted;
        }));
        async move { axum::body::Body::from_stream(stream) }
    };
    axum::Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route(
            "/take",
            post(|body: axum::body::Bytes| async move { body.len().to_string() }),
        )
        .route("/large", get(large))
}

fn world(change: impl FnOnce(&mut Options)) -> (World, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel(1);
    let world = World::with(|options| {
        options.beside = Some(beside(tell));
        change(options);
    });
    (world, told)
}

async fn open(world: &World) -> TcpStream {
    TcpStream::connect(world.address).await.unwrap()
}

/// Everything that comes until the server ends the connection.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = vec![];
    // That it is reset is an end too.
    let _ = tokio::time::timeout(NEVER, stream.read_to_end(&mut heard))
        .await
        .expect("the connection is kept");
    String::from_utf8_lossy(&heard).into_owned()
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    stream.write_all(GET).await.unwrap();
    rest(stream).await
}

#[tokio::test]
async fn a_connection_that_does_not_say_what_it_speaks_is_ended() {
    let (world, _) = world(|options| options.limits.hello = Duration::from_millis(500));
    for first in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = open(&world).await;
        stream.write_all(first).await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "{first:?}");
    }
    // Others are served meanwhile and afterwards, by both.
    let answer = ask(&mut open(&world).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    let mut plans = PlansClient::new(world.channel().await);
    plans.list_pools(v1::ListPoolsRequest {}).await.unwrap();
    // Silence by HTTP/2 is lawful.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    plans.list_pools(v1::ListPoolsRequest {}).await.unwrap();
}

#[tokio::test]
async fn a_request_that_comes_to_a_halt_by_http_1_is_ended() {
    let (world, _) = world(|options| options.limits.silence = Duration::from_millis(50));
    for begun in [
        "POST /take HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nhalf",
        "GET /hello HTTP/1.1\r\nhost: loc",
    ] {
        let mut stream = open(&world).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let heard = rest(&mut stream).await;
        assert!(!heard.contains("200"), "{heard}");
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_not_sent_to_for_ever() {
    let (world, mut dropped) = world(|options| options.limits.silence = Duration::from_millis(50));
    let mut stream = open(&world).await;
    let get = b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let let_go = tokio::time::timeout(NEVER, dropped.recv()).await;
    assert_eq!(let_go, Ok(Some(())), "it is sent to for ever");
    let heard = rest(&mut stream).await;
    assert!(heard.len() < 64 << 20, "all of it was sent");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_and_there_is_room_again_afterwards() {
    let (world, _) = world(|options| options.limits.connections = 2);
    let (one, mut two) = (open(&world).await, open(&world).await);
    // It is accepted after the other two, so they are counted by now.
    assert_eq!(rest(&mut open(&world).await).await, "");
    let answer = ask(&mut two).await;
    assert!(answer.ends_with("hello"), "{answer}");
    drop((one, two));
    let served = tokio::time::timeout(NEVER, async {
        while !ask_or_nothing(&world).await.ends_with("hello") {}
    });
    served.await.expect("there is no room again");
}

async fn ask_or_nothing(world: &World) -> String {
    let mut stream = open(world).await;
    match stream.write_all(GET).await {
        Ok(()) => rest(&mut stream).await,
        Err(_) => String::new(),
    }
}

#[tokio::test]
async fn our_own_services_are_spoken_by_http_2_alone_and_who_misses_a_path_is_told_which_there_are()
{
    let (world, _) = world(|_| {});
    for (path, code, part) in [
        ("/tidegate.v1.Plans/ListPools", 505, "gRPC"),
        ("/grpc.health.v1.Health/Check", 505, "gRPC"),
        ("/tidegate.v1.Plans", 404, "/v1/metrics"),
        ("/v1/metric", 404, "/v1/metrics"),
        ("/v1/metrics/", 404, "/api/v1/write"),
        ("/", 404, "/api/v1/write"),
    ] {
        let mut stream = open(&world).await;
        let post = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(post.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}")) && answer.contains(part),
            "{path}: {answer}"
        );
    }
}

/// Shakes hands, offering these protocols; says which was chosen, and what `/hello` answers.
async fn by_tls(
    world: &World,
    certificate: &str,
    offered: &[&str],
) -> std::io::Result<(Option<Vec<u8>>, String)> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|p| p.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(name, open(world).await).await?;
    let chosen = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let answer = match chosen.as_deref() {
        Some(b"h2") => String::new(),
        _ => ask(&mut tls).await,
    };
    Ok((chosen, answer))
}

#[tokio::test]
async fn tls_carries_http_1_1_where_others_are_served_and_http_2_for_who_offers_it() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = made.cert.pem();
    let tls = || tidegate_api::Tls {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        client_ca: None,
    };
    let (both, _) = world(|options| {
        options.tls = Some(tls());
        options.limits.hello = Duration::from_secs(5);
    });
    for (offered, chosen) in [
        (&["http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["h2", "http/1.1"], Some(b"h2")),
        (&[], None),
    ] {
        let (told, answer) = by_tls(&both, &certificate, offered).await.unwrap();
        assert_eq!(told.as_deref(), chosen);
        assert!(
            chosen == Some(b"h2") || answer.ends_with("hello"),
            "{answer}"
        );
    }
    by_tls(&both, &certificate, &["spdy/3"]).await.unwrap_err();
    // Without routes that want it, it is not offered.
    let alone = World::with(|options| options.tls = Some(tls()));
    by_tls(&alone, &certificate, &["http/1.1"])
        .await
        .unwrap_err();
    // Nor does a handshake that does not come keep a connection.
    let (slow, _) = world(|options| {
        options.tls = Some(tls());
        options.limits.hello = Duration::from_millis(50);
    });
    assert_eq!(rest(&mut open(&slow).await).await, "");
}
