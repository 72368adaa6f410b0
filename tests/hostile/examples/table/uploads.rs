//! Components that are hostile before they are called at all, pushed to a daemon.

use crate::{Row, observe};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Daemon, Gate, gate};
use tidegate_hostile::{Guest, LOOP, append_section, bomb};

fn cases() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let good = Guest::forecaster("good");
    let whole = good.build()?;
    let wasi = wat::parse_str("(component (import \"wasi:clocks/wall-clock@0.2.0\" (instance)))")?;
    // Behind a header that the command line lets pass: an object of wasmtime's own.
    let mut precompiled = b"\0asm\x0d\0\x01\0\x7fELF\x02\x01\x01".to_vec();
    precompiled.resize(4096, 0);
    let mut twice = whole.clone();
    append_section(&mut twice, b"{}");
    let mut garbage = b"\0asm\x0d\0\x01\0".to_vec();
    garbage.resize(1 << 20, 0xa5);
    let start = "(func $spin (loop $ever (br $ever))) (start $spin)";
    let quick = json!({ "deadline_ms": 100, "fit_deadline_ms": 200 });
    let short = |guest: Guest| guest.manifest("limits", quick.clone()).build();
    Ok(vec![
        ("garbage of 1 MB", garbage),
        ("half a component", whole[..whole.len() / 2].to_vec()),
        ("a core module", good.core()?),
        ("a precompiled object", precompiled),
        ("a WASI import", wasi),
        ("two manifests", twice),
        (
            "a manifest that lies of its version",
            good.clone().describes("version", "9.9.9").build()?,
        ),
        (
            "a manifest that wants 1 TB",
            good.clone()
                .manifest("limits", json!({ "memory_bytes": 1_u64 << 40 }))
                .build()?,
        ),
        (
            "an endless start function",
            short(good.clone().extra(start))?,
        ),
        ("an endless fit", short(good.clone().body("fit", LOOP))?),
        (
            "a trap in update",
            good.clone().body("update", "(unreachable)").build()?,
        ),
        (
            "a function that eats the compiler",
            good.clone().extra(&bomb::long(60_000)).build()?,
        ),
        (
            "2,000 functions to compile",
            good.extra(&bomb::many(2_000)).build()?,
        ),
    ])
}

fn push(home: &Gate, daemon: &Daemon, bytes: &[u8]) -> Result<String> {
    let file = home.file("policy.wasm", bytes)?.display().to_string();
    let outcome = daemon.cli(&["policy", "push", &file])?;
    let words = if outcome.ok() {
        outcome.stdout
    } else {
        outcome.stderr
    };
    let prefixes = ["tidegate: ", "bytes: ", "component: "];
    let line = words.lines().find(|line| !line.ends_with(':'));
    let line = prefixes
        .iter()
        .fold(line.unwrap_or_default().trim(), |line, prefix| {
            line.strip_prefix(prefix).unwrap_or(line)
        });
    Ok(line.to_owned())
}

/// A call on a connection of its own is the neighbour.
pub(crate) async fn run(row: &mut dyn FnMut(Row)) -> Result<()> {
    // What is shipped is compiled under ordinary bounds, once per build.
    drop(gate()?.start().await?);
    let home = gate()?.also("policies: { trial: { memory: 160, cpu: 4s, wall: 20s } }\n");
    let daemon = home.start().await?;
    let url = daemon.url().to_owned();
    let asker = std::sync::Mutex::new(Asker::open(&url)?);
    let ask = || asker.lock().map_or(Ok(()), |mut a| a.ask());
    ask()?;
    for (case, bytes) in cases()? {
        let mut failed = None;
        let seen = observe(case, daemon.pid(), &ask, || {
            push(&home, &daemon, &bytes).unwrap_or_else(|error| {
                let text = format!("{error:#}");
                failed = Some(error);
                text
            })
        })?;
        if let Some(error) = failed {
            return Err(error.context(case));
        }
        row(seen);
    }
    let good = Guest::forecaster("good").build()?;
    let admitted = push(&home, &daemon, &good)?;
    ensure!(admitted.starts_with("admitted"), "the good one: {admitted}");
    Ok(())
}

/// A plain HTTP/2 client would be another dependency: that the daemon takes a connection and says
/// the protocol's first words is what a neighbour's call waits for as well.
struct Asker {
    address: String,
}

impl Asker {
    fn open(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("a plain address")?;
        Ok(Self {
            address: address.to_owned(),
        })
    }

    fn ask(&mut self) -> Result<()> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&self.address)?;
        // RFC 9113, section 3.4: the preface and empty settings; the server's settings come back.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
        let mut frame = [0; 9];
        stream.read_exact(&mut frame)?;
        ensure!(frame[3] == 4, "the daemon's first frame is no settings");
        Ok(())
    }
}
