//! The operator's hand on the store: looked into, checked, copied while it works, made smaller, brought back.

use crate::aftermath::Aftermath;
use crate::losses;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Gate, Outcome, binary, bounded, catalog, decisions, gate, say};
use tidegate_proto::v1;
use tokio::task::JoinSet;

fn series() -> Vec<Series> {
    let api = "shop/orders";
    let of = |signal| Series::new(api, signal, 60);
    vec![of(v1::Signal::Cpu), of(v1::Signal::Latency)]
}

/// A verb that needs no daemon, in the home of a gate.
fn offline(gate: &Gate, arguments: &[&str]) -> Result<Outcome> {
    let mut command = Command::new(binary()?);
    command.arg("store").args(arguments).env("COLUMNS", "100");
    command.current_dir(gate.home());
    bounded(&mut command, Duration::from_mins(2))
}

fn json(outcome: &Outcome) -> Result<Value> {
    ensure!(outcome.ok(), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).with_context(|| outcome.stdout.clone())
}

/// Values of a kind in an answer.
fn of_kind(told: &Value, kind: &str) -> u64 {
    let kinds = told["kinds"].as_array().into_iter().flatten();
    let found = kinds.filter(|k| k["kind"] == kind);
    found.filter_map(|k| k["values"].as_u64()).sum()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in no words")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_backed_up_while_it_works_and_a_daemon_goes_on_with_what_came_back() -> Result<()>
{
    let gate = gate()?;
    let daemon = decisions::decide(&gate, 16).await?;
    let channel = daemon.connect().await?;
    let mut feed = Feed::open(&channel, &series()).await?;
    feed.store(0, 300).await?;

    let plan = daemon.cli(&["plan", "edge", "-o", "json"])?;
    ensure!(plan.ok(), "{plan:?}");
    let live = json(&daemon.cli(&["store", "stat", "-o", "json"])?)?;
    for kind in [
        "layout",
        "group",
        "wal",
        "record",
        "component",
        "state",
        "track",
        "step",
        "catalog",
    ] {
        ensure!(of_kind(&live, kind) > 0, "no {kind} in {live}");
    }
    ensure!(live["samples"].as_u64() > Some(600), "{live}");
    let told = daemon.cli(&["store", "stat"])?;
    ensure!(
        told.ok() && told.stdout.contains("write-ahead records"),
        "{told:?}"
    );

    // The feed goes on; what was acknowledged before the backup began is in it.
    let file = gate.home().join("tide.backup");
    let acked = Arc::new(AtomicUsize::new(300));
    let mut pour = JoinSet::new();
    pour.spawn({
        let acked = acked.clone();
        async move {
            while acked.load(Ordering::Acquire) < 4000 {
                let from = acked.load(Ordering::Acquire);
                feed.store(from, 10).await?;
                acked.store(from + 10, Ordering::Release);
            }
            anyhow::Ok(feed)
        }
    });
    let before = acked.load(Ordering::Acquire);
    let backed = json(&daemon.cli(&["store", "backup", text(&file)?, "-o", "json"])?)?;
    let feed = pour.join_next().await.context("the feed was begun")???;
    ensure!(
        of_kind(&backed, "state") == of_kind(&live, "state"),
        "{backed}"
    );
    let copies = gate.data().join("copies");
    ensure!(
        copies.read_dir()?.next().is_none(),
        "the daemon's own copy was left behind"
    );
    let size = file.metadata()?.len();
    let status = json(&daemon.cli(&["status", "-o", "json"])?)?;
    ensure!(
        status["store"]["backup"]["bytes"] == size && status["store"]["backup"]["checked"] == true,
        "{status}"
    );
    let told = daemon.cli(&["status"])?;
    ensure!(
        told.stdout.contains("last backup: ") && told.stdout.contains("left on the disk"),
        "{told:?}"
    );
    let twice = daemon.cli(&["store", "backup", text(&file)?])?;
    ensure!(
        twice.code == Some(2) && twice.stderr.contains("name a new file"),
        "{twice:?}"
    );

    // What moves files leaves a running daemon alone.
    let data = gate.data();
    for verb in [
        &["compact"][..],
        &["verify"],
        &["migrate"],
        &["stat", "--store"],
        &["restore", "--replace", "tide.backup", "--store"],
    ] {
        let refused = offline(&gate, &[verb, &[text(&data)?]].concat())?;
        ensure!(
            refused.code == Some(1) && refused.stderr.contains("already open"),
            "{verb:?}: {refused:?}"
        );
    }
    drop(feed);
    ensure!(
        daemon.stop().await? == Some(0),
        "the daemon did not end well"
    );
    // Of a stopped daemon too it is known when the last backup was made.
    let stopped = json(&offline(
        &gate,
        &["stat", "--store", text(&data)?, "-o", "json"],
    )?)?;
    ensure!(stopped["health"]["backup"]["bytes"] == size, "{stopped}");

    // In another home it is what it was at that instant, and a daemon decides on.
    let other = tidegate_e2e::gate()?;
    let restored = offline(
        &other,
        &["restore", text(&file)?, "--store", text(&other.data())?],
    )?;
    ensure!(
        restored.ok() && restored.stdout.contains("tidegate serve --data"),
        "{restored:?}"
    );
    let again = offline(
        &other,
        &["restore", text(&file)?, "--store", text(&other.data())?],
    )?;
    ensure!(
        again.code == Some(2) && again.stderr.contains("--replace"),
        "{again:?}"
    );
    let after = Aftermath::of(&other.store())?;
    series().iter().try_for_each(|s| after.holds(s, before))?;
    drop(after);
    let there = json(&offline(
        &other,
        &["stat", "-o", "json", "--store", text(&other.data())?],
    )?)?;
    for kind in [
        "record",
        "component",
        "state",
        "model",
        "track",
        "choice",
        "step",
        "anchor",
        "late",
    ] {
        ensure!(
            of_kind(&there, kind) == of_kind(&backed, kind),
            "{kind}: {there} {backed}"
        );
    }
    let daemon = other.start().await?;
    let again = daemon.cli(&["plan", "edge", "-o", "json"])?;
    ensure!(again == plan, "{again:?} is in force, {plan:?} was");
    let replayed = daemon.cli(&["replay", "--strict"])?;
    ensure!(replayed.ok(), "{replayed:?}");
    daemon.kill()?;

    torn(&gate, &file)?;
    smaller(&gate, &file)
}

/// What is not whole is not restored, and says so.
fn torn(gate: &Gate, file: &Path) -> Result<()> {
    let bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    let mut altered = bytes.clone();
    altered[middle] ^= 1;
    for (name, content, says) in [
        ("cut", &bytes[..middle], "it was cut off"),
        ("altered", &altered[..], "a checksum does not match"),
        (
            "foreign",
            b"no backup at all, but long enough to be one",
            "it is no backup",
        ),
    ] {
        let bad = gate.file(name, content)?;
        for arguments in [
            &["verify", text(&bad)?][..],
            &["restore", text(&bad)?, "--store", "elsewhere"],
        ] {
            let told = offline(gate, arguments)?;
            ensure!(
                told.code == Some(1) && told.stderr.contains(says),
                "{name}: {told:?}"
            );
        }
        ensure!(
            !gate.home().join("elsewhere/store/sled").exists(),
            "{name} was restored"
        );
    }
    let whole = offline(gate, &["verify", text(file)?])?;
    ensure!(
        whole.ok() && whole.stdout.contains("a whole backup"),
        "{whole:?}"
    );
    Ok(())
}

/// Verified, compacted, killed while it is, exported.
fn smaller(gate: &Gate, file: &Path) -> Result<()> {
    let data = gate.data();
    let data = text(&data)?;
    let whole = json(&offline(gate, &["verify", data, "-o", "json"])?)?;
    ensure!(
        whole["whole"] == true && whole["problems"] == serde_json::json!([]),
        "{whole}"
    );
    let done = json(&offline(gate, &["compact", data, "-o", "json"])?)?;
    ensure!(
        done["after_bytes"].as_u64() <= done["before_bytes"].as_u64(),
        "{done}"
    );
    let layout = offline(gate, &["migrate", data])?;
    ensure!(
        layout.ok() && layout.stdout.contains("that of this version"),
        "{layout:?}"
    );

    // Killed at any moment: the store is whole, and a backup that bears its name is.
    let second = gate.home().join("second.backup");
    for kill in 0..6 {
        let arguments: [&[&str]; 3] = [
            &["compact", data],
            &["backup", text(&second)?, "--store", data],
            &["restore", text(file)?, "--store", data, "--replace"],
        ];
        let mut child = Command::new(binary()?)
            .arg("store")
            .args(arguments[kill % 3])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(20 + 15 * kill as u64));
        child.kill()?;
        child.wait()?;
        if second.exists() {
            let told = offline(gate, &["verify", text(&second)?])?;
            ensure!(told.ok(), "{told:?}");
            std::fs::remove_file(&second)?;
        }
        let told = offline(gate, &["verify", data])?;
        ensure!(told.ok(), "after kill {kill}: {told:?}");
    }
    let new = gate.home().join("salvaged");
    let told = offline(gate, &["salvage", data, "--to", text(&new)?])?;
    ensure!(
        told.ok() && told.stdout.contains("nothing is lost"),
        "{told:?}"
    );
    let told = offline(gate, &["verify", text(&new)?])?;
    ensure!(told.ok(), "{told:?}");
    let twice = offline(gate, &["salvage", data, "--to", text(&new)?])?;
    ensure!(
        twice.code == Some(2) && twice.stderr.contains("name a new directory"),
        "{twice:?}"
    );
    export(gate, data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_a_killed_daemon_or_command_left_are_gone_after_the_next_start() -> Result<()> {
    let gate = gate()?;
    let daemon = decisions::decide(&gate, 2).await?;
    let server = daemon.url().to_owned();
    let mut child = Command::new(binary()?)
        .args(["store", "backup", "tide.backup", "--server", &server])
        .current_dir(gate.home())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_millis(30));
    child.kill()?;
    child.wait()?;
    daemon.kill()?;
    // And whatever these two were too quick for.
    let copies = gate.data().join("copies");
    std::fs::create_dir_all(copies.join("taken-by-1/store"))?;
    std::fs::create_dir_all(copies.join("replay.partial/store"))?;
    for name in ["taken-by-2", "taken-by-3.partial", "mine"] {
        std::fs::write(copies.join(name), "")?;
    }
    let daemon = gate.start().await?;
    let left = copies.read_dir()?.map(|entry| Ok(entry?.file_name()));
    let left = left.collect::<Result<Vec<_>>>()?;
    ensure!(left == ["mine"], "{left:?}");
    ensure!(daemon.stop().await? == Some(0), "it did not end well");
    Ok(())
}

/// A series as a table that other verbs read.
fn export(gate: &Gate, data: &str) -> Result<()> {
    let all = series();
    let cpu = &all[0];
    let (from, to) = (cpu.at(100).to_string(), cpu.at(200).to_string());
    let bounds = [
        "--store", data, "--since", &from, "--until", &to, "--to", "cpu.csv",
    ];
    let of = |more: &[&str]| offline(gate, &[&["export", "--api", "shop/orders"], more].concat());
    let done = of(&[&["--signal", "cpu"], &bounds[..]].concat())?;
    ensure!(done.ok(), "{done:?}");
    let rows: String = (100..200)
        .map(|n| format!("{},{}\n", cpu.at(n) / 1000, cpu.load(n)))
        .collect();
    let table = std::fs::read_to_string(gate.home().join("cpu.csv"))?;
    ensure!(table == format!("timestamp,value\n{rows}"), "{table}");

    let latency = of(&["--signal", "latency", "--store", data])?;
    ensure!(latency.ok(), "{latency:?}");
    let mut lines = latency.stdout.lines();
    ensure!(
        lines.next() == Some("timestamp,count,mean,p50,p90,p95,p99,p999"),
        "{latency:?}"
    );
    let first: Vec<&str> = lines.next().context("no row")?.split(',').collect();
    let count = all[1].load(0).to_string();
    ensure!(
        first.len() == 8 && first[1] == count && first[2] == "1.5",
        "{first:?}"
    );

    // Several at once: of which a row is stands in front.
    let many = offline(
        gate,
        &[
            "export", "--api", "shop/*", "--signal", "cpu", "--store", data, "--to", "all.csv",
            "-o", "json",
        ],
    )?;
    let told = json(&many)?;
    ensure!(
        told["series"] == serde_json::json!(["shop/orders:cpu"]),
        "{told}"
    );
    let table = std::fs::read_to_string(gate.home().join("all.csv"))?;
    let row = format!("shop/orders:cpu,{},{}", cpu.at(100) / 1000, cpu.load(100));
    ensure!(
        table.starts_with("series,timestamp,value\n") && table.lines().any(|l| l == row),
        "{table}"
    );
    ensure!(
        told["rows"].as_u64() == Some(table.lines().count() as u64 - 1),
        "{told}"
    );
    let nothing = of(&[
        "--signal", "cpu", "--store", data, "--since", "1", "--until", "2",
    ])?;
    ensure!(
        nothing.ok() && nothing.stdout == "timestamp,value\n" && nothing.stderr.contains("no row"),
        "{nothing:?}"
    );
    let mixed = of(&["--signal", "cpu", "--signal", "latency", "--store", data])?;
    ensure!(
        mixed.code == Some(2) && mixed.stderr.contains("by itself"),
        "{mixed:?}"
    );

    let none = of(&["--signal", "memory", "--store", data])?;
    ensure!(
        none.code == Some(1) && none.stderr.contains("shop/orders:cpu"),
        "{none:?}"
    );
    let wrong = of(&["--signal", "wind", "--store", data])?;
    ensure!(
        wrong.code == Some(2) && wrong.stderr.contains("signals are"),
        "{wrong:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_disk_is_full_refuses_loses_nothing_and_goes_on_when_there_is_room()
-> Result<()> {
    let may = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"])
        .output();
    if !may.is_ok_and(|o| o.status.success()) {
        say(
            "this system lets no test mount a file system: a daemon whose disk is full is not tested",
        );
        return Ok(());
    }
    let gate = gate()?;
    std::fs::create_dir_all(gate.store())?;
    // The store alone is on the small disk; it is seen by that daemon, and through its process.
    let gate = gate.through(&["unshare", "-rm", "sh", "-c"], |store| {
        format!("mount -t tmpfs -o size=160m none '{store}' && exec \"$0\" \"$@\"")
    });
    let mut daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    let all = series();
    Feed::open(&channel, &all).await?.store(0, 100).await?;
    let disk = Path::new("/proc")
        .join(daemon.pid().to_string())
        .join("root");
    let disk = disk.join(gate.store().strip_prefix("/")?);
    ensure!(
        disk.join("sled").is_dir(),
        "the store is not on the small disk"
    );
    let mut strangers = losses::pair()?;
    ensure!(losses::export(&daemon, &mut strangers).await?);
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 100 << 20])?;

    for _ in 0..2 {
        strangers.iter_mut().try_for_each(|of| of.serve(5))?;
        let told = losses::export(&daemon, &mut strangers).await.err();
        let told = told.context("a full disk took a stranger's points")?;
        ensure!(
            ["503", "the disk is full"]
                .iter()
                .all(|part| told.to_string().contains(part)),
            "{told}"
        );
    }
    let mut feed = Feed::open(&channel, &all).await?;
    let told = feed
        .store(100, 10)
        .await
        .err()
        .context("a full disk took samples")?;
    ensure!(format!("{told:#}").contains("the disk is full"), "{told:#}");
    let event = catalog::apply(&channel, vec![catalog::tenant("bank")]).await;
    ensure!(event.is_err(), "a full disk took a tenant");
    ensure!(daemon.lives()?, "the daemon died of a full disk");
    let read = daemon.cli(&["store", "stat", "-o", "json"])?;
    ensure!(json(&read)?["samples"] == 200, "{read:?}");

    std::fs::remove_file(&ballast)?;
    // Nobody has to start it anew: what was refused is taken when it is sent again.
    ensure!(losses::export(&daemon, &mut strangers).await?);
    let mut feed = Feed::open(&channel, &all).await?;
    feed.store(100, 10).await?;
    catalog::apply(&channel, vec![catalog::tenant("bank")]).await?;
    ensure!(daemon.lives()?, "the daemon died when there was room again");
    let file = gate.home().join("after.backup");
    let backed = daemon.cli(&["store", "backup", text(&file)?])?;
    ensure!(backed.ok(), "{backed:?}");
    daemon.kill()?;
    let other = tidegate_e2e::gate()?;
    let restored = offline(
        &other,
        &["restore", text(&file)?, "--store", text(&other.data())?],
    )?;
    ensure!(restored.ok(), "{restored:?}");
    let after = Aftermath::of(&other.store())?;
    all.iter().try_for_each(|s| after.holds(s, 110))
}
