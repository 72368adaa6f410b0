//! The table of fates.
//!
//! One row a kind, and the `match` is exhaustive: a kind without a fate does not compile. The
//! rejected alternative is a policy argument to every `spawn`, where two callers of one kind may
//! disagree and a reader has to find them all.

/// What a task does in the daemon. The kind decides its [`Fate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// Waits for the signals that ask the daemon to stop or to read its configuration again.
    Signals,
    /// A listener: accepts connections and serves calls.
    Listener,
    /// One client's stream (ingest, or a watch), as long as the client stays.
    Stream,
    /// Admission of one uploaded module: structure, compilation, canary call.
    Admission,
    /// One pool's cycle, forecast to plan. Synchronous: it has a thread of its own.
    Cycle,
    /// Fitting of models in the background. Synchronous: it has a thread of its own.
    Fit,
    /// Carries published plans to the actuators.
    Actuate,
    /// Watches shadows and asks judges.
    Judge,
    /// Raises and clears alerts, samples gauges.
    Observe,
    /// Writes samples and records, and syncs before an ack. Synchronous, a thread of its own.
    StoreWriter,
    /// Seals blocks, rolls up, deletes what retention no longer keeps.
    StoreUpkeep,
}

impl TaskKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Signals,
        Self::Listener,
        Self::Stream,
        Self::Admission,
        Self::Cycle,
        Self::Fit,
        Self::Actuate,
        Self::Judge,
        Self::Observe,
        Self::StoreWriter,
        Self::StoreUpkeep,
    ];

    /// What becomes of a task of this kind: the one place where that is said.
    #[must_use]
    #[rustfmt::skip] // a table is read by column
    pub const fn fate(self) -> Fate {
        use Life::{Job, Service};
        use OnCancel::{Abandon, Finish};
        use OnFault::{LogAndGoOn, Restart, StopDaemon};
        use Wave::{Decide, Edge, Keep};
        let (name, life, wave, on_cancel, on_error, on_panic) = match self {
            //                      name             life     wave    on cancel  on error     on panic
            Self::Signals     => ("signals",      Service, Edge,   Abandon,   StopDaemon,  StopDaemon),
            Self::Listener    => ("listener",     Service, Edge,   Finish,    StopDaemon,  StopDaemon),
            Self::Stream      => ("stream",       Job,     Edge,   Finish,    LogAndGoOn,  LogAndGoOn),
            Self::Admission   => ("admission",    Job,     Edge,   Abandon,   LogAndGoOn,  LogAndGoOn),
            Self::Cycle       => ("cycle",        Service, Decide, Finish,    Restart,     Restart),
            Self::Fit         => ("fit",          Service, Decide, Abandon,   Restart,     Restart),
            Self::Actuate     => ("actuate",      Service, Decide, Finish,    Restart,     Restart),
            Self::Judge       => ("judge",        Service, Decide, Finish,    Restart,     Restart),
            Self::Observe     => ("observe",      Service, Decide, Abandon,   Restart,     Restart),
            // A writer that failed may hold acked data in an unknown state: only a fresh start,
            // which replays the write-ahead records, is safe.
            Self::StoreWriter => ("store-writer", Service, Keep,   Finish,    StopDaemon,  StopDaemon),
            Self::StoreUpkeep => ("store-upkeep", Service, Keep,   Finish,    Restart,     Restart),
        };
        Fate { name, life, wave, on_cancel, on_error, on_panic }
    }

    /// The kind's name in logs and metrics, e.g. `store-writer`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.fate().name
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The kind's name in logs and metrics.
    pub name: &'static str,
    /// Whether such a task may end by itself.
    pub life: Life,
    /// When, in a drain, it is asked to stop.
    pub wave: Wave,
    /// What a request to stop does to it.
    pub on_cancel: OnCancel,
    /// What follows when it returns an error.
    pub on_error: OnFault,
    /// What follows when it panics.
    pub on_panic: OnFault,
}

/// Whether a task may end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Runs until it is asked to stop: to end before that is an error.
    Service,
    /// Does one thing and ends.
    Job,
}

/// The order in which a drain stops tasks: nobody is stopped before those who still feed him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// What brings work in: listeners and streams.
    Edge,
    /// What decides and acts.
    Decide,
    /// What keeps: the store. Last, so that whatever was accepted before is written.
    Keep,
}

impl Wave {
    /// Every wave, in the order of a drain.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Decide, Self::Keep];

    /// The wave's place in [`Wave::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Edge => 0,
            Self::Decide => 1,
            Self::Keep => 2,
        }
    }
}

/// What a request to stop does to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// The drain waits until the task has ended by itself (it has a [`crate::Stop`] to look at).
    Finish,
    /// An async task is dropped at its next await; a thread is no longer waited for.
    Abandon,
}

/// What follows an error or a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFault {
    /// Run it again after a pause that grows from fault to fault ([`crate::Backoff`]).
    Restart,
    /// Raise [`crate::Fatal`]: `main` drains and exits with the cause.
    StopDaemon,
    /// Say so in the log and count it; nothing else is touched.
    LogAndGoOn,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_stands_once_in_the_list_under_a_name_of_its_own() {
        let kinds: BTreeSet<_> = TaskKind::ALL.into_iter().collect();
        let names: BTreeSet<_> = TaskKind::ALL.into_iter().map(TaskKind::name).collect();
        assert_eq!(kinds.len(), TaskKind::ALL.len());
        assert_eq!(names.len(), TaskKind::ALL.len());
        // `ALL` is as long as the enum: its last variant is its last entry.
        assert_eq!(TaskKind::StoreUpkeep as usize + 1, TaskKind::ALL.len());
    }

    #[test]
    fn a_job_is_never_restarted_because_nothing_is_left_to_run_again() {
        for kind in TaskKind::ALL {
            let fate = kind.fate();
            if fate.life == Life::Job {
                assert_ne!(fate.on_error, OnFault::Restart, "{}", fate.name);
                assert_ne!(fate.on_panic, OnFault::Restart, "{}", fate.name);
            }
        }
    }

    #[test]
    fn the_store_outlives_all_that_may_still_hand_it_data() {
        let writer = TaskKind::StoreWriter.fate().wave;
        for kind in [
            TaskKind::Stream,
            TaskKind::Listener,
            TaskKind::Cycle,
            TaskKind::Actuate,
        ] {
            assert!(kind.fate().wave < writer, "{}", kind.name());
        }
    }
}
