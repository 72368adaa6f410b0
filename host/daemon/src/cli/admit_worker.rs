//! `tidegate admit-worker`: the process in which a stranger's component is tried. No verb of the
//! command line, because nobody but the daemon (`policies::worker`) speaks its frames.
//!
//! It binds itself before it reads the component: no descriptors but its three pipes, no core, no
//! new privileges, little memory, CPU time, files; it is nicer than the daemon, and ends with it.
//! Binding itself needs no code between fork and exec, which would be unsafe, and nothing of the
//! stranger's is there yet. The memory bound is on writable private pages (`RLIMIT_DATA`), not on
//! address space: wasmtime reserves 4 GiB without rights for every linear memory, which costs
//! nothing, and an address space of the size that this takes would bound nothing.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{stdin, stdout};
use tidegate_engine::wire::{self, Bounds};

/// What the daemon calls it by.
pub(crate) const VERB: &str = "admit-worker";

/// How much nicer than the daemon.
const NICE: i32 = 10;

/// Answers one question and ends.
pub(crate) fn run() -> Result<()> {
    close_inherited();
    let mut from = stdin().lock();
    let header = wire::header(&mut from).context("no question came; the daemon asks it")?;
    bind(&header.bounds).context("the limits of the process cannot be set")?;
    wire::answer(&mut from, stdout().lock(), &header.terms).context("the daemon hung up")
}

/// Everything that the daemon opened closes on exec; what was left open in the daemon itself by
/// whoever started it does not.
#[expect(unsafe_code, reason = "nobody owns a descriptor that was inherited")]
fn close_inherited() {
    let Ok(listed) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = listed
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&fd| fd > 2)
        .collect();
    // The list's own descriptor is among them and closed by now.
    let still = |fd: &i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
    for fd in open.into_iter().filter(still) {
        // SAFETY: the process has one thread and has opened nothing yet but the list above; what is
        // open beside the three pipes came from outside, and nothing here refers to it.
        unsafe { rustix::io::close(fd) };
    }
}

fn bind(bounds: &Bounds) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Signal};
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        rustix::thread::set_no_new_privs(true)?;
    }
    rustix::process::nice(NICE)?;
    // The signal of the lower number says why; the higher one ends what catches it.
    limit(Resource::Cpu, bounds.cpu_s, bounds.cpu_s.saturating_add(2))?;
    let same = |resource, most| limit(resource, most, most);
    same(Resource::Data, bounds.memory_bytes)?;
    same(Resource::Fsize, bounds.file_bytes)?;
    same(Resource::Nofile, bounds.files)?;
    same(Resource::Core, 0)
}

/// Never wider than it is: what the daemon itself was given stays.
fn limit(resource: Resource, soft: u64, hard: u64) -> rustix::io::Result<()> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    setrlimit(
        resource,
        Rlimit {
            current: Some(soft.min(most)),
            maximum: Some(hard.min(most)),
        },
    )
}
