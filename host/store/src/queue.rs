//! What waits for the writer: batches, bounded by their bytes, so that overload shows at the door; and what
//! others have prepared for it, bounded by whoever prepares.

use crate::retain::Dropping;
use crate::rollup::roll::Rolling;
use crate::seal::Sealing;
use crate::shared::locked;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use tidegate_core::ports::storage::{Completion, StoreError};
use tidegate_core::sample::{SampleBatch, Stored, Values};

/// Memory of waiting batches that one commit takes at most: it bounds the time to an ack.
const COMMIT_BYTES: usize = 8 << 20;

/// A batch and who waits for it.
pub(crate) struct Job {
    pub(crate) batch: SampleBatch,
    pub(crate) done: Completion,
    bytes: usize,
}

impl Job {
    pub(crate) fn new(batch: SampleBatch, done: Completion) -> Self {
        let bytes = batch.series.iter().map(|s| {
            let values = match &s.values {
                Values::Numbers(v) => v.len() * 8,
                Values::Distributions(v) => v
                    .iter()
                    .map(|d| size_of_val(d) + d.buckets.len() * 8 + d.above.len() * 16)
                    .sum(),
            };
            size_of_val(s) + s.times.len() * 8 + values
        });
        Self {
            bytes: bytes.sum(),
            batch,
            done,
        }
    }
}

/// Calls a completion; one that panics must not end the writer.
pub(crate) fn complete(done: Completion, outcome: Result<Stored, StoreError>) {
    if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
        tracing::error!("a completion of a batch panicked");
    }
}

/// What others have prepared for the writer to write and publish.
#[derive(Debug)]
pub(crate) enum Task {
    /// A group's heads, encoded.
    Sealed(Box<Sealing>),
    /// A group that is not sealed after all.
    Unsealed(u32),
    /// Cells of a group.
    Rolled(Box<Rolling>),
    /// Blocks to drop.
    Drop(Box<Dropping>),
}

/// What there is to do.
pub(crate) struct Taken {
    /// The next batches for one commit.
    pub(crate) jobs: Vec<Job>,
    /// Everything that was handed in.
    pub(crate) tasks: Vec<Task>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    tasks: Vec<Task>,
    bytes: usize,
    closed: bool,
    abandoned: bool,
}

/// The queue.
pub(crate) struct Queue {
    limit: usize,
    waiting: Mutex<Waiting>,
    ready: Condvar,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            waiting: Mutex::default(),
            ready: Condvar::new(),
        }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        locked(&self.waiting).bytes
    }

    /// Adds a batch, or answers it with why not. A batch is admitted to an empty queue whatever its
    /// size, or it could never be stored.
    pub(crate) fn push(&self, job: Job) {
        let mut waiting = locked(&self.waiting);
        let refusal = if waiting.closed {
            Some(StoreError::Closed)
        } else if waiting.bytes > 0 && waiting.bytes + job.bytes > self.limit {
            Some(StoreError::Busy {
                waiting: waiting.bytes,
                // The writer takes well over 100 MB/s from a queue.
                retry_ms: 10 + (waiting.bytes / 100_000) as u64,
            })
        } else {
            None
        };
        if let Some(error) = refusal {
            drop(waiting);
            return complete(job.done, Err(error));
        }
        waiting.bytes += job.bytes;
        waiting.jobs.push_back(job);
        drop(waiting);
        self.ready.notify_one();
    }

    /// Adds something that was prepared. Once the writer has ended it is dropped, and with it the sender
    /// of whoever waits for an answer.
    pub(crate) fn hand_in(&self, task: Task) {
        let mut waiting = locked(&self.waiting);
        if !waiting.abandoned {
            waiting.tasks.push(task);
        }
        drop(waiting);
        self.ready.notify_one();
    }

    /// What there is to do; `None` when the queue is closed and empty. Waits as `idle` says.
    pub(crate) fn take(&self, idle: Idle) -> Option<Taken> {
        let mut waiting = locked(&self.waiting);
        while waiting.tasks.is_empty()
            && !waiting.closed
            && (idle == Idle::Tasks || idle == Idle::Wait && waiting.jobs.is_empty())
        {
            waiting = self
                .ready
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.jobs.is_empty() && waiting.tasks.is_empty() && waiting.closed {
            return None;
        }
        let tasks = std::mem::take(&mut waiting.tasks);
        let (mut taken, mut jobs) = (0, vec![]);
        while taken < COMMIT_BYTES && (idle != Idle::Tasks || waiting.closed) {
            let Some(job) = waiting.jobs.pop_front() else {
                break;
            };
            taken += job.bytes;
            jobs.push(job);
        }
        waiting.bytes -= taken;
        Some(Taken { jobs, tasks })
    }

    /// Admits nothing more; what waits is still written.
    pub(crate) fn close(&self) {
        locked(&self.waiting).closed = true;
        self.ready.notify_all();
    }

    /// Closes and answers everything that waits: the writer is gone.
    pub(crate) fn abandon(&self) {
        self.close();
        let (jobs, tasks) = {
            let mut waiting = locked(&self.waiting);
            waiting.abandoned = true;
            let jobs = std::mem::take(&mut waiting.jobs);
            (jobs, std::mem::take(&mut waiting.tasks))
        };
        drop(tasks);
        for job in jobs {
            complete(job.done, Err(StoreError::Closed));
        }
    }
}

/// What to do when nothing waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Wait for a batch or a task.
    Wait,
    /// Take no batch, and wait for a task.
    Tasks,
    /// Return at once.
    Return,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use tidegate_core::sample::{SeriesKey, SeriesSamples};
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    fn batch(n: usize) -> SampleBatch {
        let key = SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal: Signal::Requests,
        };
        SampleBatch {
            series: vec![SeriesSamples {
                key,
                step: Step::MINUTE,
                times: vec![Timestamp(0); n],
                values: Values::Numbers(vec![1.0; n]),
            }],
        }
    }

    #[test]
    fn overload_is_answered_at_the_door_and_nothing_that_waits_is_lost() {
        let queue = Arc::new(Queue::new(20_000));
        let (send, answers) = sync_channel(10);
        let job = |n| {
            let send = send.clone();
            Job::new(batch(n), Box::new(move |r| send.send(r).unwrap()))
        };
        queue.push(job(10_000));
        assert!(answers.try_recv().is_err(), "a first batch is admitted");
        queue.push(job(10));
        let refused = answers.try_recv().unwrap();
        assert!(matches!(refused, Err(StoreError::Busy { waiting, .. }) if waiting > 100_000));
        assert_eq!(queue.take(Idle::Wait).unwrap().jobs.len(), 1);
        assert_eq!(queue.bytes(), 0);
        queue.push(job(10));
        queue.close();
        queue.push(job(10));
        assert_eq!(answers.try_recv().unwrap(), Err(StoreError::Closed));
        assert_eq!(queue.take(Idle::Wait).unwrap().jobs.len(), 1);
        assert!(queue.take(Idle::Wait).is_none());
    }
}
