//! `tidegate serve`: config → open → spawn → signal → drain.

mod open;

use crate::config::{Auth, Config, Tls};
use crate::driver::{self, Fits, Fitter};
use crate::feeds;
use crate::gate::Gate;
use crate::keeper::Keeper;
use crate::trials::OnTrial;
use crate::upkeep;
use crate::world::World;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::{
    Auth as ServerAuth, Credential, Insecure, Options as ServerOptions, Server, check_exposure,
};
use tidegate_core::access::Role;
use tidegate_runtime::{Options as TaskOptions, TaskKind, Tasks};
use tidegate_telemetry::{LogFormat, Options as TelemetryOptions, Otlp, Telemetry};

/// What a caller of `run` learns once the daemon listens.
pub(crate) type Ready = Box<dyn FnOnce(SocketAddr) + Send>;

/// Runs the daemon until a signal, or until a task fails that it cannot be without.
pub(crate) async fn run(config: Config, ready: Ready) -> Result<()> {
    let telemetry =
        Telemetry::start(&telemetry_options(&config)).context("logging could not be set up")?;
    let metrics = telemetry.metrics();
    let result = serve(config, metrics, ready).await;
    if let Err(error) = &result {
        tracing::error!("{error:#}");
    }
    telemetry.shutdown(Duration::from_secs(2)).await;
    result
}

/// Checks what only serving would meet: credentials, the files of the listener's identity, and whether the
/// addresses may be listened on with those.
pub(crate) fn check(config: &Config) -> Result<()> {
    let auth = credentials(&config.auth)?;
    crate::policies::Rules::of(&config.policies)?;
    let tls = config.tls.as_ref().map(read_tls).transpose()?;
    for address in std::iter::once(&config.listen).chain(&config.feeds.listen) {
        check_exposure(*address, &auth, tls.as_ref(), insecure(config)).map_err(|why| {
            anyhow::anyhow!("{why} (`--allow-insecure`, or `allow_insecure: true`)")
        })?;
    }
    Ok(())
}

async fn serve(config: Config, metrics: tidegate_telemetry::Metrics, ready: Ready) -> Result<()> {
    // Before anything is opened: what is refused leaves no data directory, and is told at once.
    check(&config)?;
    tidegate_api::check_free(std::slice::from_ref(&config.listen))?;
    tidegate_api::check_free(&config.feeds.listen).context("feeds.listen")?;
    let auth = credentials(&config.auth)?;
    let world = {
        let (config, metrics) = (config.clone(), metrics.clone());
        // Opening replays the store and compiles modules: it blocks, so not on an async thread.
        tokio::task::spawn_blocking(move || open::world(&config, metrics))
            .await
            .context("opening was interrupted")??
    };
    let world = Arc::new(world);
    let gate = Arc::new(Gate {
        world: world.clone(),
    });
    let feed = {
        let (config, world) = (config.clone(), world.clone());
        // It reads the journal.
        tokio::task::spawn_blocking(move || feeds::open(&config, &world))
            .await
            .context("opening was interrupted")??
    };
    // An Envoy's stream has no end, so it is ended when the drain begins.
    let (closing, closed) = tokio::sync::watch::channel(false);
    let beside = feeds::routes(&config, &world, &feed, &auth, closed);
    let (tasks, mut fatal) = Tasks::new(tokio::runtime::Handle::current(), TaskOptions::default());

    let mut options = server_options(&config, auth, &world)?;
    options.beside = Some(beside);
    let server = Server::bind(options.clone(), gate)?;
    let address = server.local_addr();
    listen(&tasks, "grpc", server);
    for at in &config.feeds.listen {
        let options = ServerOptions {
            address: *at,
            ..options.clone()
        };
        let server = Server::bind_beside(options).context("feeds.listen")?;
        tracing::info!(address = %server.local_addr(), "feeds are taken here too");
        listen(&tasks, "feeds", server);
    }
    tasks.spawn_thread(TaskKind::StoreUpkeep, "feeds", move |stop| {
        feeds::run(&feed, &metrics, stop)
    });
    let every = Duration::from_secs(u64::from(config.cycle.0));
    let turning = world.clone();
    tasks.spawn_thread(TaskKind::Cycle, "cycle", move |stop| {
        driver::run(&turning, every, stop)
    });
    let fitting = world.clone();
    tasks.spawn_thread(TaskKind::Fit, "fit", move |stop| {
        Fitter::run(&fitting, every, stop)
    });
    let comparing = world.clone();
    tasks.spawn_thread(TaskKind::Judge, "trials", move |stop| {
        OnTrial::run(&comparing, every, stop)
    });
    let watching = world.clone();
    tasks.spawn_thread(TaskKind::Fit, "fit-watch", move |stop| {
        Fits::watch(&watching, stop);
        Ok::<(), anyhow::Error>(())
    });
    let (kept, ledger) = (world.clone(), config.ledger.clone());
    let samples = config.store.retention(&config);
    tasks.spawn_thread(TaskKind::StoreUpkeep, "ledger", move |stop| {
        upkeep::run(&kept, &ledger, &samples, stop)
    });

    tracing::info!(address = %address, data = %config.data.display(), "tidegate {} listens", env!("CARGO_PKG_VERSION"));
    ready(address);
    let outcome = tokio::select! {
        signal = stop_signal() => signal.map(|name| tracing::info!(signal = name, "stopping")),
        error = fatal.raised() => Err(anyhow::anyhow!("{error}")),
    };
    world
        .draining
        .store(true, std::sync::atomic::Ordering::Release);
    closing.send_replace(true);
    let drained = tasks
        .drain(Duration::from_secs(u64::from(config.drain.0)))
        .await;
    if !drained.is_clean() {
        tracing::warn!(left = ?drained.left_running, "stopped without waiting for these");
    }
    let closing = world.clone();
    tokio::task::spawn_blocking(move || {
        Keeper::write(&closing);
        OnTrial::write(&closing);
        closing.store.close();
    })
    .await
    .context("closing the store was interrupted")?;
    tracing::info!("stopped");
    outcome
}

/// Serves what was bound until the drain.
fn listen(tasks: &Tasks, name: &'static str, server: tidegate_api::Bound) {
    let listening = std::sync::Mutex::new(Some(server));
    tasks.spawn(TaskKind::Listener, name, move |stop| {
        let server = crate::world::lock(&listening).take();
        async move {
            match server {
                Some(server) => server
                    .serve(stop.into_requested())
                    .await
                    .map_err(anyhow::Error::from),
                None => bail!("the listener ended and cannot be bound again"),
            }
        }
    });
}

async fn stop_signal() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.map(|()| "SIGINT").context("cannot listen for SIGINT"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

fn telemetry_options(config: &Config) -> TelemetryOptions {
    TelemetryOptions {
        log_format: match config.telemetry.format {
            crate::config::LogKind::Text => LogFormat::Text,
            crate::config::LogKind::Json => LogFormat::Json,
        },
        filter: config.telemetry.filter.clone(),
        otlp: config.telemetry.otlp.as_ref().map(Otlp::at),
        service_version: env!("CARGO_PKG_VERSION").into(),
        service_instance: instance(config),
    }
}

/// What tells this daemon from its siblings at a collector, also after a restart: as configured, else
/// the machine's name and the port.
fn instance(config: &Config) -> String {
    let configured = config.telemetry.instance.clone();
    configured.unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost",
            name => name,
        };
        format!("{host}:{}", config.listen.port())
    })
}

fn insecure(config: &Config) -> Insecure {
    match config.allow_insecure {
        true => Insecure::Allowed,
        false => Insecure::Refused,
    }
}

/// What the server needs of the configuration.
fn server_options(config: &Config, auth: ServerAuth, world: &World) -> Result<ServerOptions> {
    Ok(ServerOptions {
        auth,
        tls: config.tls.as_ref().map(read_tls).transpose()?,
        insecure: insecure(config),
        drain: Duration::from_secs(u64::from(config.drain.0)),
        wake: world.published.subscribe(),
        adopt_parent: Some(Arc::new(
            |span: &tracing::Span, lookup: &dyn Fn(&str) -> Option<String>| {
                tidegate_telemetry::adopt_parent(span, lookup);
            },
        )),
        ..ServerOptions::new(config.listen)
    })
}

fn read_tls(tls: &Tls) -> Result<tidegate_api::Tls> {
    let read = |what: &str, path: &std::path::Path| {
        std::fs::read_to_string(path)
            .with_context(|| format!("tls: cannot read the {what} {}", path.display()))
    };
    Ok(tidegate_api::Tls {
        certificate: read("certificate", &tls.certificate)?,
        key: read("key", &tls.key)?,
        client_ca: tls
            .client_ca
            .as_ref()
            .map(|path| read("client authority", path))
            .transpose()?,
    })
}

/// Parses the configured credentials; without any, every caller is the local administrator.
fn credentials(auth: &Auth) -> Result<ServerAuth> {
    if auth.tokens.is_empty() {
        return Ok(ServerAuth::Local);
    }
    let credentials = auth
        .tokens
        .iter()
        .map(|token| {
            let role = Role::parse(&token.role).with_context(|| {
                format!(
                    "auth: token `{}`: `{}` is not a role; write reader, writer, operator or admin",
                    token.name, token.role
                )
            })?;
            let tenants = token
                .tenants
                .as_ref()
                .map(|all| all.iter().map(|t| t.parse()).collect::<Result<_, _>>())
                .transpose()
                .with_context(|| format!("auth: token `{}`", token.name))?;
            Credential::new(&token.name, &token.sha256, role, tenants)
                .map_err(|why| anyhow::anyhow!("auth: token `{}`: {why}", token.name))
        })
        .collect::<Result<Vec<_>>>()?;
    ServerAuth::tokens(credentials).map_err(|why| anyhow::anyhow!("auth: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Token;

    #[test]
    fn two_daemons_of_a_machine_are_two_instances_unless_they_are_named() {
        let of = |listen: &str, instance: Option<&str>| {
            let mut config = Config {
                listen: listen.parse().unwrap(),
                ..Config::default()
            };
            config.telemetry.instance = instance.map(Into::into);
            telemetry_options(&config).service_instance
        };
        let (one, other) = (of("127.0.0.1:7070", None), of("127.0.0.1:7071", None));
        assert!(one.ends_with(":7070") && one.len() > ":7070".len(), "{one}");
        assert_ne!(one, other);
        assert_eq!(of("127.0.0.1:7070", Some("edge-1")), "edge-1");
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_before_anything_is_opened() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap();
        let home = tempfile::tempdir().unwrap();
        for of_feeds in [false, true] {
            let mut config = Config {
                listen: "127.0.0.1:0".parse().unwrap(),
                data: home.path().join("data"),
                ..Config::default()
            };
            match of_feeds {
                false => config.listen = taken,
                true => config.feeds.listen.push(taken),
            }
            let metrics = tidegate_telemetry::Metrics::nowhere();
            let ready: Ready = Box::new(|_| panic!("it listens"));
            let error = serve(config.clone(), metrics, ready).await.unwrap_err();
            let told = format!("{error:#}");
            assert!(told.contains(&taken.to_string()), "{told}");
            assert!(told.contains("taken"), "{told}");
            assert_eq!(told.contains("feeds.listen"), of_feeds, "{told}");
            assert!(!config.data.exists());
        }
    }

    #[test]
    fn a_check_tells_of_credentials_files_and_addresses_that_serving_would_refuse() {
        let told = |config: &Config| format!("{:#}", check(config).unwrap_err());
        let mut config = Config::default();
        check(&config).unwrap();
        config.feeds.listen.push("0.0.0.0:4317".parse().unwrap());
        let exposed = told(&config);
        for part in ["0.0.0.0:4317", "configure tokens", "`--allow-insecure`"] {
            assert!(exposed.contains(part), "{part}: {exposed}");
        }
        config.allow_insecure = true;
        check(&config).unwrap();
        config.tls = Some(Tls {
            certificate: "/nowhere/cert.pem".into(),
            key: "/nowhere/key.pem".into(),
            client_ca: None,
        });
        assert!(told(&config).contains("/nowhere/cert.pem"));
        config.auth.tokens.push(Token {
            name: "ci".into(),
            sha256: "00".into(),
            role: "king".into(),
            tenants: None,
        });
        assert!(told(&config).contains("not a role"));
    }
}
