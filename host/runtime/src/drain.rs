//! The end: ask wave after wave to stop, wait, and say by name who keeps us waiting.
//!
//! One deadline for all, since that is what an orchestrator gives. It is shared out as it goes: a
//! wave may use the time that is left divided by the waves that are left, so that a client that
//! never hangs up cannot cost the store its time to write.

use crate::Wave;
use crate::tasks::Shared;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How a drain went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what was left running belongs into the exit status"]
pub struct Drained {
    /// The tasks, as `kind \`name\``, that had not ended when their wave's time was over.
    pub left_running: Vec<String>,
}

impl Drained {
    /// Whether every task had ended in time.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.left_running.is_empty()
    }
}

/// See [`crate::Tasks::drain`].
pub(crate) async fn drain(shared: &Shared, deadline: Duration) -> Drained {
    let end = Instant::now() + deadline;
    for (wave, waves_left) in Wave::ALL.into_iter().zip((1..=3_u32).rev()) {
        let now = Instant::now();
        let wave_end = now + end.saturating_duration_since(now) / waves_left;
        drain_wave(shared, wave, wave_end).await;
    }
    let left_running = shared.running(|_| true);
    if !left_running.is_empty() {
        tracing::error!(
            tasks = left_running.join(", "),
            "the drain's deadline is over; these tasks are left running"
        );
    }
    Drained { left_running }
}

async fn drain_wave(shared: &Shared, wave: Wave, end: Instant) {
    let mut ended = shared.ended.subscribe();
    shared.waves[wave.index()].cancel();
    let mut report = Instant::now() + shared.options.report_every;
    loop {
        let waiting_for = shared.running(|kind| kind.fate().wave == wave);
        if waiting_for.is_empty() {
            return;
        }
        tokio::select! {
            biased;
            // The sender lives in `shared`: this cannot fail.
            _ = ended.changed() => {}
            () = sleep_until(end) => {
                tracing::warn!(
                    tasks = waiting_for.join(", "),
                    ?wave,
                    "these tasks did not stop in their share of the drain; going on without them"
                );
                return;
            }
            () = sleep_until(report) => {
                tracing::info!(tasks = waiting_for.join(", "), ?wave, "shutdown waits for");
                report += shared.options.report_every;
            }
        }
    }
}
