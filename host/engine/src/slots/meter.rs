//! Counts calls and faults of a slot's active module, and decides when they are too many.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::policy::{
    Advanced, Allocation, AllocationInput, Allocator, Blob, Blobs, CallError, Fitted, Forecaster,
    Forecasts, Frames, Horizon, Judge, JudgeInput, Judgement, PolicyError, TierInput, TierOutput,
    Tierer,
};

/// When a slot gives its active module up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultLimit {
    /// So many failed calls...
    pub faults: u32,
    /// ...among so many calls in a row.
    pub calls: u64,
}

impl Default for FaultLimit {
    /// Three of twenty: a single odd series does not unseat a module, a broken one goes within a
    /// few cycles.
    fn default() -> Self {
        Self {
            faults: 3,
            calls: 20,
        }
    }
}

/// Whether an error says something about the module. A policy that has too little data or does not
/// serve a signal says so honestly, and a cancelled fit is the host's doing.
pub(crate) fn counts(error: &CallError) -> bool {
    match error {
        CallError::Trap(_)
        | CallError::Deadline { .. }
        | CallError::Limit { .. }
        | CallError::Refused(_)
        | CallError::Policy(PolicyError::Internal(_)) => true,
        CallError::Policy(_) | CallError::Unavailable(_) => false,
    }
}

/// Of one slot.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Since the slot exists.
    calls: AtomicU64,
    health: Mutex<Health>,
}

/// Since the last swap.
#[derive(Debug, Default)]
struct Health {
    /// Value of `calls` at the last report.
    reported_at: u64,
    /// Values of `calls` at the last faults, oldest first.
    recent: VecDeque<u64>,
    faults: u64,
}

impl Meter {
    /// The meter of the slot's next module.
    pub(crate) fn renewed(&self) -> Self {
        let calls = self.calls();
        Self {
            calls: AtomicU64::new(calls),
            health: Mutex::new(Health {
                reported_at: calls,
                ..Health::default()
            }),
        }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn faults(&self) -> u64 {
        self.lock().faults
    }

    /// Notes faults; answers how many stand within the limit's window when they are too many.
    pub(crate) fn report(&self, faults: u32, limit: FaultLimit) -> Option<u32> {
        let calls = self.calls();
        let mut health = self.lock();
        let since = calls.saturating_sub(health.reported_at).max(1);
        health.reported_at = calls;
        let failed_calls = u64::from(faults).min(since);
        health.faults += failed_calls;
        let keep = limit.faults.max(1) as usize;
        for _ in 0..failed_calls.min(keep as u64) {
            health.recent.push_back(calls);
        }
        while health.recent.len() > keep {
            health.recent.pop_front();
        }
        let oldest = *health.recent.front()?;
        let full = health.recent.len() == keep;
        (full && calls - oldest < limit.calls.max(1)).then_some(limit.faults.max(1))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        // Counters: whatever a panic left there is no worse than a fault more or less.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A policy whose calls are counted.
#[derive(Debug)]
pub(crate) struct Metered<P: ?Sized> {
    policy: Arc<P>,
    meter: Arc<Meter>,
}

impl<P: ?Sized> Metered<P> {
    pub(crate) fn new(policy: Arc<P>, meter: Arc<Meter>) -> Self {
        Self { policy, meter }
    }

    fn counted(&self) -> &P {
        self.meter.calls.fetch_add(1, Ordering::Relaxed);
        &self.policy
    }
}

impl Forecaster for Metered<dyn Forecaster> {
    fn fit_from(&self, config: &str, base: &[u8], frames: &Frames) -> Result<Fitted, CallError> {
        self.counted().fit_from(config, base, frames)
    }

    fn update(&self, model: &[u8], states: &Blobs, frames: &Frames) -> Result<Fitted, CallError> {
        self.counted().update(model, states, frames)
    }

    fn predict(
        &self,
        model: &[u8],
        states: &Blobs,
        horizon: &Horizon,
    ) -> Result<Forecasts, CallError> {
        self.counted().predict(model, states, horizon)
    }

    fn advance(
        &self,
        model: &[u8],
        states: &Blobs,
        news: &Frames,
        horizon: &Horizon,
    ) -> Result<Advanced, CallError> {
        self.counted().advance(model, states, news, horizon)
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        self.counted().migrate(model, states)
    }
}

impl Tierer for Metered<dyn Tierer> {
    fn decide(&self, config: &str, input: &TierInput) -> Result<TierOutput, CallError> {
        self.counted().decide(config, input)
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        self.counted().migrate(state)
    }
}

impl Allocator for Metered<dyn Allocator> {
    fn allocate(&self, config: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        self.counted().allocate(config, input)
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        self.counted().migrate(state)
    }
}

impl Judge for Metered<dyn Judge> {
    fn judge(&self, config: &str, input: &JudgeInput) -> Result<Judgement, CallError> {
        self.counted().judge(config, input)
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        self.counted().migrate(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(meter: &Meter, times: u64) {
        meter.calls.fetch_add(times, Ordering::Relaxed);
    }

    const LIMIT: FaultLimit = FaultLimit {
        faults: 3,
        calls: 10,
    };

    #[test]
    fn faults_count_within_the_window_of_calls() {
        let meter = Meter::default();
        for _ in 0..2 {
            called(&meter, 1);
            assert_eq!(meter.report(1, LIMIT), None);
        }
        called(&meter, 9);
        assert_eq!(meter.report(1, LIMIT), None, "the first is 10 calls ago");
        called(&meter, 1);
        assert_eq!(meter.report(1, LIMIT), None, "the second is 10 calls ago");
        called(&meter, 1);
        assert_eq!(meter.report(1, LIMIT), Some(3));
        assert_eq!(meter.renewed().report(0, LIMIT), None);
        assert_eq!((meter.faults(), meter.renewed().calls()), (5, 13));
    }

    #[test]
    fn one_call_that_fails_for_many_series_is_one_fault() {
        let meter = Meter::default();
        called(&meter, 1);
        assert_eq!(meter.report(1000, LIMIT), None);
        called(&meter, 2);
        assert_eq!(meter.report(1000, LIMIT), Some(3));
    }

    #[test]
    fn an_honest_answer_is_no_fault() {
        let short = PolicyError::InsufficientData { have: 1, need: 2 };
        assert!(!counts(&CallError::Policy(short)));
        assert!(!counts(&CallError::Unavailable("cancelled".into())));
        assert!(counts(&CallError::Trap("x".into())));
        assert!(counts(&CallError::Policy(PolicyError::Internal(
            "x".into()
        ))));
    }
}
