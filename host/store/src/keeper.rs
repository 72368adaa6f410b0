//! The keeper: encodes what is to be sealed and rolls up what is, beside the writer.
//!
//! Compressing a group takes milliseconds, and in a burst hundreds of groups become ripe at once; done
//! between two commits, every ack behind them waits. So a second thread does everything that is only
//! reading and arithmetic, from copies of published heads and from blocks, which never change. The blocks that it
//! made it puts on disk, where nobody sees them (`Disk::stage`); their names go to the writer as a [`Task`], and the
//! writer, which alone changes history, writes the page with them and publishes both between two commits, in one
//! batch. That keeps every rule about crashes where it was. Rejected: letting the keeper write pages under a lock.
//! Two threads would change a group's page, and the order of their writes would have to be argued anew for each pair
//! of changes.
//!
//! Sealing comes before giving room back, and that before rolling up: memory waits for the first, and the last
//! makes more to give back. If the keeper does not follow, the heads grow; the writer stops taking batches well beyond
//! their bound and waits for it (see `writer`).

use crate::queue::Task;
use crate::rollup::roll::{self, Outcome};
use crate::seal::Sealing;
use crate::shared::{Shared, locked, reading};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tidegate_core::ports::storage::StoreError;

/// Groups that may be encoded and not yet published; it bounds what their blocks take in memory.
const IN_HAND: usize = 64;
/// Groups whose blocks are synced together: with one sync for each, a burst in which all become ripe at once would
/// wait for the disk.
const TOGETHER: usize = 32;

#[derive(Debug, Default)]
struct Inner {
    /// Groups to seal.
    ripe: BTreeSet<u32>,
    /// Groups that are being sealed.
    in_hand: BTreeSet<u32>,
    /// Groups to roll up.
    due: BTreeSet<u32>,
    /// Whether to look for groups to roll up.
    look: bool,
    /// Whether there is room to give back.
    clean: bool,
    closed: bool,
}

/// What the writer and others want the keeper to do.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    ready: Condvar,
}

/// What to do next.
#[derive(Debug)]
enum Work {
    Seal(Vec<u32>),
    Look,
    Clean,
    Roll(u32),
}

impl Desk {
    /// Wants groups sealed; those that are being sealed are passed over.
    pub(crate) fn seal(&self, groups: impl IntoIterator<Item = u32>) {
        let mut inner = locked(&self.inner);
        for group in groups {
            if !inner.in_hand.contains(&group) {
                inner.ripe.insert(group);
            }
        }
        drop(inner);
        self.ready.notify_one();
    }

    /// Wants somebody to look for what is to be rolled up.
    pub(crate) fn look(&self) {
        locked(&self.inner).look = true;
        self.ready.notify_one();
    }

    /// Groups that are to be sealed or being sealed.
    pub(crate) fn sealing(&self) -> usize {
        let inner = locked(&self.inner);
        inner.ripe.len() + inner.in_hand.len()
    }

    /// Whether a group is being sealed.
    pub(crate) fn is_sealing(&self, group: u32) -> bool {
        locked(&self.inner).in_hand.contains(&group)
    }

    /// Whether a group is to be sealed or being sealed.
    pub(crate) fn has(&self, group: u32) -> bool {
        let inner = locked(&self.inner);
        inner.ripe.contains(&group) || inner.in_hand.contains(&group)
    }

    /// A group is published, or could not be sealed.
    pub(crate) fn done(&self, group: u32) {
        locked(&self.inner).in_hand.remove(&group);
        self.ready.notify_one();
    }

    /// Ends the keeper after what it is doing.
    pub(crate) fn close(&self) {
        locked(&self.inner).closed = true;
        self.ready.notify_all();
    }

    fn take(&self) -> Option<Work> {
        let mut inner = locked(&self.inner);
        loop {
            if inner.closed {
                return None;
            }
            let room = IN_HAND.saturating_sub(inner.in_hand.len());
            // Waiting for more of them to come together would hold up those that are there.
            let mut groups = vec![];
            while groups.len() < TOGETHER.min(room)
                && let Some(group) = inner.ripe.pop_first()
            {
                inner.in_hand.insert(group);
                groups.push(group);
            }
            if !groups.is_empty() {
                return Some(Work::Seal(groups));
            }
            if inner.ripe.is_empty() {
                if std::mem::take(&mut inner.look) {
                    return Some(Work::Look);
                }
                if std::mem::take(&mut inner.clean) {
                    return Some(Work::Clean);
                }
                if let Some(group) = inner.due.pop_first() {
                    return Some(Work::Roll(group));
                }
            }
            inner = self
                .ready
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn clean(&self) {
        locked(&self.inner).clean = true;
    }

    fn due(&self, groups: impl IntoIterator<Item = u32>) {
        locked(&self.inner).due.extend(groups);
    }
}

/// Until the desk is closed.
pub(crate) fn run(shared: &Arc<Shared>) {
    /// However the thread ends, the writer does not wait for it in vain.
    struct Farewell<'a>(&'a Shared);
    impl Drop for Farewell<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                tracing::error!("the store's keeper panicked: the store takes no more batches");
                self.0.queue.close();
            }
        }
    }
    let _farewell = Farewell(shared);
    while let Some(work) = shared.desk.take() {
        match work {
            Work::Seal(groups) => seal(shared, &groups),
            Work::Look => {
                let now = shared.now();
                let due: Vec<u32> = {
                    let registry = reading(&shared.registry);
                    let groups = (0_u32..).zip(&registry.groups);
                    let due = groups.filter(|(_, g)| roll::due(g, now, &shared.options) > 0);
                    due.map(|(number, _)| number).collect()
                };
                shared.desk.due(due);
                shared.desk.clean();
            }
            Work::Clean => match shared.disk.clean() {
                Ok(true) => shared.desk.clean(),
                Ok(false) | Err(StoreError::Closed) => {}
                Err(error) => {
                    tracing::error!(%error, "the room of what is gone was not given back")
                }
            },
            Work::Roll(group) => match roll::step(shared, group) {
                Ok(Outcome::More) => {
                    shared.desk.due([group]);
                    shared.desk.clean();
                }
                // Whatever stood in the way, the next look finds it again.
                Ok(Outcome::Done | Outcome::Later) => {}
                Err(error) => {
                    tracing::error!(%error, group, "a group was not rolled up; its raw samples stay");
                }
            },
        }
    }
}

/// Encodes groups, puts their blocks on disk together, and hands each to the writer.
fn seal(shared: &Shared, groups: &[u32]) {
    let told = |group: u32, error: &StoreError| {
        tracing::error!(%error, group, "a group was not sealed; its samples stay in memory and in the write-ahead records");
        shared.queue.hand_in(Task::Unsealed(group));
    };
    let (mut sealings, mut batches) = (vec![], vec![]);
    for group in groups.iter().copied() {
        let mut sealing = Sealing::of(&reading(&shared.registry), group);
        if sealing.is_empty() {
            shared.queue.hand_in(Task::Unsealed(group));
            continue;
        }
        // What is sealed takes room until the records that it replaces are gone.
        let encoded = shared.disk.room();
        match encoded.and_then(|()| sealing.encode(shared.options.block_bytes)) {
            Ok(()) => {
                batches.push(std::mem::take(&mut sealing.batch));
                sealings.push(sealing);
            }
            Err(error) => told(group, &error),
        }
    }
    match shared.disk.stage(batches) {
        Ok(batches) => {
            for (mut sealing, batch) in sealings.into_iter().zip(batches) {
                sealing.batch = batch;
                shared.queue.hand_in(Task::Sealed(Box::new(sealing)));
            }
        }
        Err(error) => sealings.iter().for_each(|s| told(s.group, &error)),
    }
}

impl Shared {
    /// The newest instant that the store knows of: of its samples, or told by whoever asked it to let go of
    /// what is old.
    pub(crate) fn now(&self) -> i64 {
        let newest = reading(&self.registry).newest.0;
        newest.max(self.told.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use crate::crash::{Told, watch};
    use crate::options::Options;
    use crate::store::Store;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;
    use tidegate_core::ports::storage::{History, StoreError};
    use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    /// Two samples, an hour apart, of each of so many series.
    fn append(store: &Store, series: i32) {
        let series = (0..series).map(|n| SeriesSamples {
            key: SeriesKey {
                api: format!("t/{n}").parse().unwrap(),
                signal: Signal::Requests,
            },
            step: Step::MINUTE,
            times: vec![Timestamp(0), Timestamp(3_600_000)],
            values: Values::Numbers(vec![1.0, f64::from(n)]),
        });
        let batch = SampleBatch {
            series: series.collect(),
        };
        let (send, receive) = sync_channel(1);
        History::append(
            store,
            batch,
            Box::new(move |outcome| drop(send.send(outcome))),
        );
        receive.recv().unwrap().unwrap();
    }

    fn until(is_so: impl Fn() -> bool) {
        for _ in 0..12_000 {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came to that");
    }

    #[test]
    fn groups_that_become_ripe_together_are_synced_together() {
        let home = tempfile::tempdir().unwrap();
        let syncs = Arc::new(AtomicUsize::new(0));
        let count = syncs.clone();
        let listen = move |told: Told<'_>| {
            // A segment is synced when it begins and when it ends, whoever asks.
            if let Told::Synced(name, 100..4096) = told
                && name.iter().any(|part| part == "blocks")
            {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        watch(home.path(), Box::new(listen));
        let options = Options {
            seal_after_ms: 1_800_000,
            ..Options::default()
        };
        let store = Store::open(home.path().join("store"), options).unwrap();
        let before = syncs.load(Ordering::SeqCst);
        append(&store, 800);
        until(|| store.stat().unwrap().sealed_samples == 1600);
        let syncs = syncs.load(Ordering::SeqCst) - before;
        let blocks = store.stat().unwrap().blocks as usize;
        assert!(blocks >= 40 && syncs < 8, "{syncs} for {blocks} blocks");
    }

    #[test]
    fn what_cannot_be_sealed_is_not_asked_for_again_and_again() {
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            max_head_bytes: 1,
            ..Options::default()
        };
        let store = Store::open(home.path().join("store"), options).unwrap();
        append(&store, 6000);
        // From here on nothing can be written, and most of what memory is too small for is not sealed yet.
        store.shared.disk.fail(StoreError::Closed);
        let desk = &store.shared.desk;
        until(|| desk.sealing() == 0);
        assert!(store.stat().unwrap().head_samples > 0);
        let busy = (0..100).filter(|_| {
            std::thread::sleep(Duration::from_millis(1));
            desk.sealing() > 0
        });
        assert_eq!(busy.count(), 0);
    }
}
