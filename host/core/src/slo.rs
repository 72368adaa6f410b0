//! Service-level objectives and how fast their error budgets burn.
//!
//! Burn rate is the SRE workbook's (Google, 2018, chapter 5): share of bad events over a window,
//! divided by the share that the objective allows. At 1 the budget lasts exactly the window.

use crate::ids::{ApiId, Name, ScopedId, TemplateId};

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
    /// What puts it on the api; `None` for one that was declared for it.
    pub template: Option<FromTemplate>,
}

/// Over which events an SLO of a template is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Judged {
    /// Over each api's own.
    #[default]
    Each,
    /// Over those of all apis of its group together: one budget for several endpoints of one service. The
    /// group ends where the tenant does, since nobody's budget may tell of another's load, and where the
    /// pool does, since a pool is decided without sight of the others.
    Together,
}

impl Judged {
    /// The name in APIs and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Judged::Each => "each",
            Judged::Together => "together",
        }
    }
}

/// Which line of which template an SLO comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FromTemplate {
    /// The template.
    pub id: TemplateId,
    /// The SLO's name there.
    pub name: Name,
    /// Over which events.
    pub judged: Judged,
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

/// The windows over which burn is measured, in seconds: 5 min, 30 min, 1 h, 6 h, 3 d.
pub const BURN_WINDOWS: [u32; 5] = [300, 1_800, 3_600, 21_600, 259_200];

/// Burn per window of [`BURN_WINDOWS`].
pub type Burn = [f64; BURN_WINDOWS.len()];

/// A budget burns when its rate is reached over both windows: the long one shows that it matters, the
/// short one that it still goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnRule {
    /// Index into [`BURN_WINDOWS`].
    pub long: usize,
    /// Index into [`BURN_WINDOWS`].
    pub short: usize,
    /// Times faster than sustainable.
    pub rate: f64,
    /// Whether somebody is to be woken; else it can wait for the morning.
    pub is_urgent: bool,
}

impl BurnRule {
    /// Whether both windows burn at the rule's rate.
    #[must_use]
    pub fn fires(&self, burn: &Burn) -> bool {
        burn[self.long] >= self.rate && burn[self.short] >= self.rate
    }
}

/// The rules of the Site Reliability Workbook (chapter 5, table 5-8): 2 % of a 30-day budget in an
/// hour, 5 % in six hours, 10 % in three days. The most urgent comes first.
pub const BURN_RULES: [BurnRule; 3] = [
    BurnRule {
        long: 2,
        short: 0,
        rate: 14.4,
        is_urgent: true,
    },
    BurnRule {
        long: 3,
        short: 1,
        rate: 6.0,
        is_urgent: true,
    },
    BurnRule {
        long: 4,
        short: 3,
        rate: 1.0,
        is_urgent: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_needs_both_of_its_windows() {
        let [hour, six_hours, days] = BURN_RULES;
        assert!(hour.fires(&[15.0, 0.0, 15.0, 0.0, 0.0]));
        assert!(!hour.fires(&[0.0, 15.0, 15.0, 15.0, 15.0]));
        assert!(six_hours.fires(&[0.0, 6.0, 0.0, 6.0, 0.0]));
        assert!(!six_hours.fires(&[6.0, 5.9, 6.0, 6.0, 6.0]));
        assert!(days.fires(&[0.0, 0.0, 0.0, 1.0, 1.0]));
        assert!(!days.fires(&[9.0, 9.0, 9.0, 9.0, 0.9]));
    }

    #[test]
    fn spending_exactly_the_budget_burns_at_one() {
        let slo = Slo {
            id: "shop/fast".parse().unwrap(),
            api: "shop/orders".parse().unwrap(),
            indicator: Indicator::Latency { threshold: 0.2 },
            objective: 0.999,
            window_s: 30 * 86_400,
            template: None,
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
