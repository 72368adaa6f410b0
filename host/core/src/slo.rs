//! Service-level objectives and how fast their error budgets burn.
//!
//! Burn rate is the SRE workbook's (Google, 2018, chapter 5): share of bad events over a window,
//! divided by the share that the objective allows. At 1 the budget lasts exactly the window.

use crate::ids::{ApiId, ScopedId};

/// What counts as a bad event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Indicator {
    /// A request slower than `threshold` seconds, or failed.
    Latency {
        /// Seconds.
        threshold: f64,
    },
    /// A failed request.
    Availability,
}

/// Objective, threshold and window: "99.9 % of requests under 200 ms over 30 days".
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// `tenant/name`.
    pub id: ScopedId,
    /// The api that it binds.
    pub api: ApiId,
    /// What is bad.
    pub indicator: Indicator,
    /// Part of good events that is promised, above 0 and below 1.
    pub objective: f64,
    /// Rolling window, in seconds.
    pub window_s: u32,
}

/// Bad and all events over some window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Events {
    /// Bad ones; a fraction where a histogram bucket was divided.
    pub bad: f64,
    /// All.
    pub total: f64,
}

impl Events {
    /// Adds.
    pub fn add(&mut self, other: Events) {
        self.bad += other.bad;
        self.total += other.total;
    }
}

impl Slo {
    /// Burn rate of these events: 0 without traffic.
    #[must_use]
    pub fn burn(&self, events: Events) -> f64 {
        if events.total <= 0.0 {
            return 0.0;
        }
        (events.bad / events.total) / (1.0 - self.objective)
    }

    /// Part of the error budget that the window's events have left, 0 to 1.
    #[must_use]
    pub fn budget_left(&self, window_events: Events) -> f64 {
        (1.0 - self.burn(window_events)).clamp(0.0, 1.0)
    }
}

/// The windows over which burn is measured, in seconds: 5 min, 30 min, 1 h, 6 h.
pub const BURN_WINDOWS: [u32; 4] = [300, 1_800, 3_600, 21_600];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spending_exactly_the_budget_burns_at_one() {
        let slo = Slo {
            id: "shop/fast".parse().unwrap(),
            api: "shop/orders".parse().unwrap(),
            indicator: Indicator::Latency { threshold: 0.2 },
            objective: 0.999,
            window_s: 30 * 86_400,
        };
        assert!(
            (slo.burn(Events {
                bad: 1.0,
                total: 1000.0
            }) - 1.0)
                .abs()
                < 1e-9
        );
        assert!(slo.burn(Events::default()).abs() < f64::EPSILON);
        assert!(
            (slo.budget_left(Events {
                bad: 0.25,
                total: 1000.0
            }) - 0.75)
                .abs()
                < 1e-9
        );
    }
}
