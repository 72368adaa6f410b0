//! `kill -9` of a process in which everything goes on at once, again and again.
//!
//! The child is this very test binary, told to run the ignored test [`child`]: samples, notes with their
//! checkpoints, retention and backups, each in a thread of its own, beside the store's sealing and rolling up. It
//! says on its output what it begins, what was acknowledged, and how far each log is synced. After the kill, what
//! no sync has covered of the logs is cut, zeroed or overwritten in every second cycle, as a power cut may leave
//! it; then everything is held against what was acknowledged (`world`).

use super::world::{self, Known};
use super::{Told, watch};
use crate::backup::Onto;
use crate::store::Store;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_core::ports::storage::Notes;

/// Cycles after which a new store is begun, so that looking at everything stays cheap.
const STORE: usize = 40;

#[test]
#[ignore = "the child of the tests below; it never ends by itself"]
fn child() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let home = PathBuf::from(line.trim());
    let dir = home.join("store");
    std::fs::create_dir_all(&dir).unwrap();
    watch(
        &dir,
        Box::new(|told| {
            if let Told::Synced(name, len) = told {
                println!("~ {len} {}", name.display());
            }
        }),
    );
    let store = Store::open(&dir, world::options()).unwrap();
    let acked = Arc::new(AtomicI64::new(world::batches(&store)));
    let first = world::notes(&store).last().copied().unwrap_or(0) + 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in first.. {
                println!("+ note");
                store.write(&world::note(number)).unwrap();
                println!("= note {number}");
                if number.is_multiple_of(8) {
                    println!("= bound {}", number - 3);
                    println!("+ checkpoint");
                    store.drop_before(number - 3).unwrap();
                    println!("- checkpoint");
                }
                std::thread::yield_now();
            }
        });
        scope.spawn(|| {
            loop {
                println!("+ retain");
                let now = world::end(acked.load(Ordering::SeqCst));
                let told = store.retain(&world::keep(), now).unwrap();
                println!("- retain");
                println!("= gone {}", told.raw.blocks);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        scope.spawn(|| {
            for n in 0.. {
                let known = acked.load(Ordering::SeqCst);
                println!("+ backup");
                store
                    .backup(&home.join(format!("backup-{n}")), &mut |_| {})
                    .unwrap();
                println!("- backup");
                println!("= backup {n} {known}");
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let mut blocks = store.stat().unwrap().blocks;
        for number in acked.load(Ordering::SeqCst).. {
            println!("+ append");
            world::append(&store, number).unwrap();
            acked.store(number + 1, Ordering::SeqCst);
            println!("= batch {}", number + 1);
            let stat = store.stat().unwrap();
            let is_on = |on: bool| if on { '+' } else { '-' };
            println!("{} roll-up", is_on(stat.unrolled_blocks > 0));
            println!(
                "{} seal",
                is_on(stat.blocks != blocks || stat.head_samples > 300)
            );
            blocks = stat.blocks;
        }
    });
}

/// What the child has said.
#[derive(Debug, Default)]
struct Heard {
    known: Known,
    /// What is under way.
    phases: BTreeSet<String>,
    /// Synced bytes of each log.
    synced: BTreeMap<PathBuf, u64>,
    /// The last whole backup, and what must be in it.
    backup: Option<(u64, i64)>,
    gone: u64,
}

fn listen(out: ChildStdout, heard: &Mutex<Heard>, batch: &SyncSender<()>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let mut heard = heard.lock().unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| {
            words
                .get(i)
                .and_then(|w| w.parse::<u64>().ok())
                .unwrap_or(0)
        };
        match words[..] {
            ["+", phase] => drop(heard.phases.insert(phase.to_owned())),
            ["-", phase] => drop(heard.phases.remove(phase)),
            ["~", _, name] => drop(heard.synced.insert(name.into(), number(1))),
            ["=", "batch", _] => {
                heard.known.batches = number(2) as i64;
                heard.phases.remove("append");
                let _ = batch.try_send(());
            }
            ["=", "note", _] => {
                heard.known.notes = number(2);
                heard.phases.remove("note");
            }
            ["=", "bound", _] => heard.known.dropped = number(2),
            ["=", "gone", _] => heard.gone += number(2),
            ["=", "backup", _, _] => heard.backup = Some((number(2), number(3) as i64)),
            _ => {}
        }
    }
}

/// Damages what no sync has covered of the logs; how many files were.
fn tear(dir: &Path, synced: &BTreeMap<PathBuf, u64>, rng: &mut Pcg64) -> usize {
    let mut torn = 0;
    let logs = synced
        .iter()
        .filter(|(name, _)| name.extension().is_some_and(|e| e == "log"));
    for (name, &synced) in logs {
        let Ok(file) = File::options().read(true).write(true).open(dir.join(name)) else {
            continue;
        };
        let written = file.metadata().unwrap().len();
        if written <= synced {
            continue;
        }
        torn += 1;
        let at = rng.random_range(synced..written);
        match rng.random_range(0..3) {
            0 => file.set_len(at).unwrap(),
            what => {
                let mut bytes = vec![0_u8; (written - at).min(4096) as usize];
                if what == 1 {
                    rng.fill(&mut bytes[..]);
                }
                file.write_all_at(&bytes, at).unwrap();
            }
        }
    }
    torn
}

fn run(cycles: usize, seed: u64) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    let (mut torn, mut backups, mut gone, mut samples) = (0, 0, 0, 0);
    let mut home = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for cycle in 0..cycles {
        if cycle % STORE == 0 {
            samples += known.batches * world::MINUTES * (world::SERIES + 1);
            (home, known) = (tempfile::tempdir().unwrap(), Known::default());
        }
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::campaign::child",
                "--ignored",
                "--nocapture",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        writeln!(stdin, "{}", home.path().display()).unwrap();
        let heard = Arc::new(Mutex::new(Heard {
            known,
            ..Heard::default()
        }));
        let (batch, batches) = sync_channel(1);
        let reader = std::thread::spawn({
            let (heard, out) = (heard.clone(), process.stdout.take().unwrap());
            move || listen(out, &heard, &batch)
        });
        // Counted in what was acknowledged, so that a slow machine is tried as hard as a fast one.
        for _ in 0..rng.random_range(1..30) {
            batches.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..9000)));
        process.kill().unwrap();
        process.wait().unwrap();
        reader.join().unwrap();
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        known = heard.known;
        gone += heard.gone;
        for phase in heard.phases {
            *met.entry(phase).or_default() += 1;
        }
        let dir = home.path().join("store");
        if cycle % 2 == 1 {
            torn += tear(&dir, &heard.synced, &mut rng);
        }
        let found = std::panic::catch_unwind(|| world::check(&dir, known));
        assert!(
            matches!(found, Ok(Ok(_))),
            "cycle {cycle} of seed {seed}, {known:?}: {found:?} in {}",
            home.keep().display()
        );
        backups += usize::from(restored(home.path(), heard.backup));
    }
    samples += known.batches * world::MINUTES * (world::SERIES + 1);
    println!(
        "{cycles} kills, {samples} samples acked, {torn} torn logs, {backups} backups restored, {gone} raw \
         blocks dropped, 0 failures (seed {seed}); under way: {met:?}"
    );
    assert!(
        torn > 0 && backups > 0 && gone > 0,
        "too little was going on"
    );
    assert!(met.len() >= 4, "only {met:?} were met");
}

/// Holds the last whole backup against what was acknowledged when it began; backups that were cut off go.
fn restored(home: &Path, whole: Option<(u64, i64)>) -> bool {
    let again = home.join("again");
    if let Some((number, batches)) = whole {
        let file = home.join(format!("backup-{number}"));
        Store::restore(&file, &again, Onto::Nothing, &mut |_| {}).unwrap();
        let known = Known {
            batches,
            dropped: u64::MAX,
            ..Known::default()
        };
        world::check(&again, known).unwrap();
        std::fs::remove_dir_all(&again).unwrap();
    }
    for entry in home.read_dir().unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("backup-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    whole.is_some()
}

#[test]
fn a_process_that_is_killed_at_any_moment_loses_nothing_and_counts_nothing_twice() {
    run(10, 20_261_129);
}

/// `cargo test -p tidegate-store --lib two_hundred -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn two_hundred_and_forty_kills_lose_nothing() {
    for seed in 1..=3 {
        run(80, seed);
    }
}
