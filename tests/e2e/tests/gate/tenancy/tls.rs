//! TLS and mutual TLS by the real binary, on every socket that it listens on.
//!
//! Which sockets those are is asked of the kernel and not of the configuration, so that a listener
//! that is added later is held to the same.

use super::world::auth;
use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tidegate_e2e::{Daemon, Gate, gate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Files of an authority, a server and a client.
struct Pki {
    ca: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
    stranger: (PathBuf, PathBuf),
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(vec![])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

impl Pki {
    fn of(gate: &Gate) -> Result<Self> {
        let (ours, another) = (authority()?, authority()?);
        let make = |ca: &CertifiedIssuer<'static, KeyPair>, name: &str, file: &str| {
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, ca)?;
            anyhow::Ok((
                gate.file(&format!("{file}.pem"), certificate.pem())?,
                gate.file(&format!("{file}.key"), key.serialize_pem())?,
            ))
        };
        Ok(Self {
            ca: gate.file("ca.pem", ours.pem())?,
            server: make(&ours, "localhost", "server")?,
            client: make(&ours, "enforcer-1", "client")?,
            stranger: make(&another, "enforcer-1", "stranger")?,
        })
    }
}

/// Ports on which a process listens, as the kernel tells it.
fn listens_on(daemon: &Daemon) -> Result<BTreeSet<u16>> {
    let process = PathBuf::from(format!("/proc/{}", daemon.pid()));
    let mut sockets = BTreeSet::new();
    for entry in std::fs::read_dir(process.join("fd"))? {
        let link = std::fs::read_link(entry?.path()).unwrap_or_default();
        let link = link.to_string_lossy().into_owned();
        if let Some(inode) = link.strip_prefix("socket:[") {
            sockets.insert(inode.trim_end_matches(']').to_owned());
        }
    }
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(process.join("net").join(table))?;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // local address, remote address, state (0A: listen), ..., inode
            let (Some(local), Some(state), Some(inode)) =
                (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            if *state == "0A" && sockets.contains(*inode) {
                let port = local.rsplit(':').next().context("no port")?;
                ports.insert(u16::from_str_radix(port, 16)?);
            }
        }
    }
    Ok(ports)
}

/// What a listener says to somebody who speaks no TLS.
async fn plainly(port: u16, hello: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(hello).await?;
    let mut heard = vec![];
    let reading = stream.read_to_end(&mut heard);
    // A reset is an answer too, and one that tells nothing.
    let bound = std::time::Duration::from_secs(30);
    let _ = tokio::time::timeout(bound, reading)
        .await
        .context("the listener keeps one who speaks no TLS")?;
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_wants_tls_a_client_certificate_and_a_token() -> Result<()> {
    let gate = gate()?;
    let pki = Pki::of(&gate)?;
    let gate = gate.also(&auth()).also(&format!(
        "tls:\n  certificate: {}\n  key: {}\n  client_ca: {}\n",
        pki.server.0.display(),
        pki.server.1.display(),
        pki.ca.display()
    ));
    let daemon = gate.start().await?;
    let port: u16 = daemon
        .url()
        .rsplit(':')
        .next()
        .context("no port")?
        .parse()?;
    let ports = listens_on(&daemon)?;
    ensure!(ports.contains(&port), "{ports:?} without {port}");
    for port in &ports {
        for hello in [
            &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ] {
            let heard = plainly(*port, hello).await?;
            // Nothing, or a TLS alert (RFC 8446, section 5.1: content type 21).
            ensure!(
                heard.first().is_none_or(|kind| *kind == 21),
                "port {port} answers in the clear: {}",
                String::from_utf8_lossy(&heard)
            );
        }
    }

    let server = format!("https://localhost:{port}");
    let ask = |more: &[&str]| daemon.cli(&[&["status", "--server", &server], more].concat());
    let path = |p: &PathBuf| p.display().to_string();
    let ca = path(&pki.ca);
    let (certificate, key) = (path(&pki.client.0), path(&pki.client.1));
    let identity = ["--ca", &ca, "--cert", &certificate, "--key", &key];
    let token = ["--token", "shop-reader"];

    let served = ask(&[&identity[..], &token].concat())?;
    ensure!(served.ok(), "{served:?}");
    let unknown = ask(&identity)?;
    ensure!(unknown.stderr.contains("token"), "{unknown:?}");
    let (foreign, foreign_key) = (path(&pki.stranger.0), path(&pki.stranger.1));
    for lacking in [
        // no certificate; one of another authority; trust in another authority
        vec!["--ca", &ca],
        vec!["--ca", &ca, "--cert", &foreign, "--key", &foreign_key],
        vec!["--ca", &foreign, "--cert", &certificate, "--key", &key],
    ] {
        let refused = ask(&[&lacking[..], &token].concat())?;
        ensure!(!refused.ok(), "{lacking:?} is served: {refused:?}");
        ensure!(!refused.stdout.contains("shop"), "{refused:?}");
    }
    daemon.stop().await?;
    Ok(())
}
