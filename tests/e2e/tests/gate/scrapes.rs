//! What a Prometheus and a vmagent scrape and write on is what is stored.
//!
//! Both come from Debian's archive, unpacked beside the build and started by the test; where they
//! cannot be had, it says so. They scrape a page that the test serves, whose counter stands still,
//! rises, and stands still again: so the sum is known exactly, whatever the moments of the scrapes.

use crate::feeds::{CONFIG, stored};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidegate_core::units::Signal;
use tidegate_e2e::{Gate, bounded, gate, say};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const BOUND: Duration = Duration::from_secs(120);

/// The directory with both programs in it, unpacked once.
fn debian() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    let programs = root.join("usr/bin");
    if programs.join("vmagent").is_file() && programs.join("prometheus").is_file() {
        return Ok(programs);
    }
    std::fs::create_dir_all(&root)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "prometheus", "victoria-metrics"]);
    let done = bounded(download.current_dir(&root), BOUND)?;
    ensure!(done.ok(), "apt-get download: {}", done.stderr.trim());
    for entry in std::fs::read_dir(&root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            let done = bounded(Command::new("dpkg").arg("-x").args([&path, &root]), BOUND)?;
            ensure!(done.ok(), "dpkg: {}", done.stderr.trim());
        }
    }
    ensure!(
        programs.join("vmagent").is_file(),
        "the archive has no vmagent"
    );
    Ok(programs)
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn run(gate: &Gate, log: &str, command: &mut Command) -> Result<Running> {
    let log = std::fs::File::create(gate.home().join(log))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(Running(command.current_dir(gate.home()).spawn()?))
}

/// Serves the page to whoever asks.
async fn serve(listener: TcpListener, count: Arc<AtomicU64>) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut request = vec![0; 4096];
        if stream.read(&mut request).await.unwrap_or(0) == 0 {
            continue;
        }
        let n = count.load(Ordering::Relaxed);
        let name = "http_server_request_duration_seconds_count";
        let labels = "http_request_method=\"GET\",http_route=\"/a\"";
        let page = format!(
            "# TYPE {name} counter\n\
             {name}{{{labels},http_response_status_code=\"200\"}} {n}\n\
             {name}{{{labels},http_response_status_code=\"500\"}} {}\n",
            n / 10
        );
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
        stream.write_all(answer.as_bytes()).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_prometheus_and_vmagent_scrape_is_what_is_stored() -> Result<()> {
    let programs = match debian() {
        Ok(programs) => programs,
        Err(why) => {
            say(&format!(
                "SKIPPED remote write from Prometheus and vmagent: {why:#}"
            ));
            return Ok(());
        }
    };
    let count = Arc::new(AtomicU64::new(100));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let page = listener.local_addr()?;
    let mut servers = JoinSet::new();
    servers.spawn(serve(listener, count.clone()));

    let gate = gate()?.config(CONFIG);
    let daemon = gate.start().await?;
    let write = format!("{}/api/v1/write", daemon.url());
    let config = |job: &str| {
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - {{job_name: {job}, static_configs: [{{targets: [\"{page}\"]}}]}}\n"
        )
    };
    let (prometheus, vmagent) = (
        gate.file(
            "prometheus.yml",
            format!("{}remote_write: [{{url: \"{write}\"}}]\n", config("edge")),
        )?,
        gate.file("vmagent.yml", config("core"))?,
    );
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let other = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let data = |name: &str| gate.home().join(name).display().to_string();
    let scraping = [
        run(
            &gate,
            "prometheus.log",
            Command::new(programs.join("prometheus"))
                .arg(format!("--config.file={}", prometheus.display()))
                .arg(format!("--storage.tsdb.path={}", data("prometheus")))
                .arg(format!("--web.listen-address={free}")),
        )?,
        run(
            &gate,
            "vmagent.log",
            Command::new(programs.join("vmagent"))
                .arg(format!("-promscrape.config={}", vmagent.display()))
                .arg(format!("-remoteWrite.url={write}"))
                .arg(format!("-remoteWrite.tmpDataPath={}", data("vmagent")))
                .arg("-remoteWrite.flushInterval=1s")
                .arg(format!("-httpListenAddr={other}")),
        )?,
    ];
    let pause = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    // Both have read the page before it rises.
    pause(8).await;
    for _ in 0..60 {
        count.fetch_add(10, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Remote write batches for five seconds; and then what is open is given out after `hold`.
    pause(14).await;
    drop(scraping);
    pause(6).await;
    servers.abort_all();
    let log = || gate.log();
    ensure!(daemon.stop().await? == Some(0), "{}", log()?);

    for job in ["edge", "core"] {
        let api = format!("default/{job}/GET/a");
        let told = || Ok::<_, anyhow::Error>(format!("{job}: {}", log()?));
        let served =
            stored(&gate, &api, Signal::Requests).with_context(|| format!("{api}: {:?}", log()))?;
        // 600 of the one status, 60 of the other.
        ensure!(
            (served - 660.0).abs() < 1e-6,
            "{served} requests; {}",
            told()?
        );
        let failed = stored(&gate, &api, Signal::Errors)?;
        ensure!((failed - 60.0).abs() < 1e-6, "{failed} errors; {}", told()?);
    }
    Ok(())
}
