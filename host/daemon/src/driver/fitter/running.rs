//! The fits that run now, and the watch that ends those that may not go on.
//!
//! A fit blocks its thread until the module answers, so somebody else has to look at the time. The
//! engine ends a call that overruns what its module's manifest asked for; but a manifest may ask for
//! ten minutes, and after a failed batch the engine tries its halves. What one batch may hold up in
//! all is bounded here, and on the way down nothing is waited for.

use crate::clock::stopwatch;
use crate::world::{World, lock};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tidegate_core::ids::Digest;
use tidegate_runtime::{Stop, Wake};

/// How often the watch looks: a drain waits about as long for a fit that spins.
const LOOK: Duration = Duration::from_millis(250);

/// Why a fit was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It took too long.
    Overran {
        /// What it may take, in milliseconds.
        limit_ms: u64,
    },
    /// The daemon stops.
    Drained,
}

#[derive(Debug)]
struct Run {
    module: Digest,
    since: Instant,
    limit: Option<Duration>,
    ended: Option<Ended>,
}

/// All fits that run, by ticket.
#[derive(Debug, Default)]
pub(super) struct Running {
    runs: Mutex<(u64, BTreeMap<u64, Run>)>,
}

impl Running {
    /// Notes a fit by `module` while `work` runs, which may take `limit`; also tells whether, and
    /// why, it was ended meanwhile.
    pub(super) fn with<R>(
        &self,
        module: Digest,
        limit: Option<Duration>,
        work: impl FnOnce() -> R,
    ) -> (R, Option<Ended>) {
        let ticket = {
            let mut runs = lock(&self.runs);
            runs.0 += 1;
            let ticket = runs.0;
            let since = stopwatch();
            let run = Run {
                module,
                since,
                limit,
                ended: None,
            };
            runs.1.insert(ticket, run);
            ticket
        };
        let _listed = Listed { of: self, ticket };
        let outcome = work();
        let ended = lock(&self.runs).1.get(&ticket).and_then(|r| r.ended);
        (outcome, ended)
    }

    /// The modules whose fits are to be cancelled: all while the daemon drains, else those that
    /// overran. One that does not heed it is named again at the next look.
    fn to_cancel(&self, draining: bool) -> Vec<Digest> {
        let mut found = vec![];
        for run in lock(&self.runs).1.values_mut() {
            let overran = run.limit.filter(|limit| run.since.elapsed() > *limit);
            let why = match overran {
                _ if draining => Ended::Drained,
                Some(limit) => Ended::Overran {
                    limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                },
                None => continue,
            };
            run.ended.get_or_insert(why);
            found.push(run.module);
        }
        found
    }

    /// Looks now and then until the daemon has stopped fitting.
    pub(super) fn watch(&self, world: &World, stop: &Stop) {
        loop {
            let stopping = stop.sleep_blocking(LOOK) == Wake::Stop;
            let draining = stopping || world.draining.load(Ordering::Acquire);
            for module in self.to_cancel(draining) {
                tracing::warn!(module = %module.short(), draining, "a fit is cancelled");
                world.policies.cancel_fits(module);
            }
            if stopping {
                if lock(&self.runs).1.is_empty() {
                    return;
                }
                // A stop that was asked for does not let anybody sleep any more.
                std::thread::sleep(LOOK / 10);
            }
        }
    }
}

/// Takes a fit off the list, also when it panics.
struct Listed<'a> {
    of: &'a Running,
    ticket: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        lock(&self.of.runs).1.remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_that_overruns_is_named_until_it_ends_and_its_neighbour_is_not() {
        let running = Running::default();
        let (slow, fast) = (Digest([1; 32]), Digest([2; 32]));
        let ((), ended) = running.with(fast, None, || {
            let (named, ended) = running.with(slow, Some(Duration::ZERO), || {
                [running.to_cancel(false), running.to_cancel(false)]
            });
            assert_eq!(named, [vec![slow], vec![slow]]);
            assert_eq!(ended, Some(Ended::Overran { limit_ms: 0 }));
            assert!(running.to_cancel(false).is_empty());
        });
        assert_eq!(ended, None);
    }

    #[test]
    fn a_drain_ends_every_fit() {
        let running = Running::default();
        let module = Digest([1; 32]);
        let (named, ended) = running.with(module, None, || running.to_cancel(true));
        assert_eq!((named, ended), (vec![module], Some(Ended::Drained)));
        assert!(running.to_cancel(true).is_empty());
    }
}
