//! What the tierer is asked, in the columns of the interface `tiering`.

use std::collections::BTreeSet;

use crate::Error;

/// How much an api's share is guaranteed, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Best effort.
    Bronze,
    /// Priority.
    Silver,
    /// Guaranteed.
    Gold,
}

impl Tier {
    /// The tier's name as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        }
    }

    /// One level up, Gold at the top.
    #[must_use]
    pub const fn above(self) -> Self {
        match self {
            Self::Bronze => Self::Silver,
            Self::Silver | Self::Gold => Self::Gold,
        }
    }

    /// One level down, Bronze at the bottom.
    #[must_use]
    pub const fn below(self) -> Self {
        match self {
            Self::Gold => Self::Silver,
            Self::Silver | Self::Bronze => Self::Bronze,
        }
    }
}

/// Columns over apis.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// Milliseconds since the epoch.
    pub now: i64,
    /// What the last call returned; empty at first.
    pub state: Vec<u8>,
    /// Stable keys, no duplicates.
    pub apis: Vec<u64>,
    /// The tier in force.
    pub current: Vec<Tier>,
    /// Where the owner wants the api in quiet times.
    pub base: Vec<Tier>,
    /// Never below.
    pub lowest: Vec<Tier>,
    /// Never above.
    pub highest: Vec<Tier>,
    /// Requests/s that are ordinary.
    pub expected: Vec<f64>,
    /// Quantile levels per 10,000, rising; at least one.
    pub levels: Vec<u16>,
    /// `[api][level]`: highest predicted requests/s over the horizon.
    pub peak: Vec<f64>,
    /// Used over granted in the scarcest dimension, 0 when nothing is granted.
    pub utilisation: Vec<f64>,
    /// Seconds, rising.
    pub burn_windows: Vec<u32>,
    /// `[api][window]`: how many times faster than sustainable the worst error budget burns.
    pub burn: Vec<f64>,
    /// Part of the worst error budget that is left; 1 without an SLO, below 0 when overspent.
    pub budget_left: Vec<f64>,
}

impl Input {
    /// Checks shapes and ranges.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the column and the place.
    pub fn validate(&self) -> Result<(), Error> {
        let n = self.apis.len();
        let (levels, windows) = (self.levels.len(), self.burn_windows.len());
        let tiers = [
            ("current", &self.current),
            ("base", &self.base),
            ("lowest", &self.lowest),
            ("highest", &self.highest),
        ];
        for (name, column) in tiers {
            length(name, column.len(), n)?;
        }
        let amounts = [
            ("expected", &self.expected, n),
            ("peak", &self.peak, n.saturating_mul(levels)),
            ("utilisation", &self.utilisation, n),
            ("burn", &self.burn, n.saturating_mul(windows)),
        ];
        for (name, column, expected) in amounts {
            length(name, column.len(), expected)?;
            if let Some(at) = column.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
                let value = column[at];
                return refuse(format!("{name}[{at}] is {value}, not finite and >= 0"));
            }
        }
        length("budget-left", self.budget_left.len(), n)?;
        if let Some(at) = self.budget_left.iter().position(|v| v.is_nan() || *v > 1.0) {
            return refuse(format!(
                "budget-left[{at}] is {}, not at most 1",
                self.budget_left[at]
            ));
        }
        if levels == 0 || self.levels.windows(2).any(|w| w[0] >= w[1]) {
            return refuse("levels must hold at least one level, and rise".into());
        }
        if self.burn_windows.windows(2).any(|w| w[0] >= w[1]) {
            return refuse("burn-windows must rise".into());
        }
        let mut seen = BTreeSet::new();
        match self.apis.iter().find(|key| !seen.insert(**key)) {
            Some(key) => refuse(format!("api {key} occurs twice")),
            None => Ok(()),
        }
    }

    /// The predicted peak over the expected load at the first level of at least `level` (the
    /// highest there is, otherwise); 1 where nothing is expected yet.
    pub(crate) fn surge(&self, api: usize, level: u16) -> f64 {
        let top = self.levels.len() - 1;
        let at = self.levels.iter().position(|&l| l >= level).unwrap_or(top);
        let expected = self.expected[api];
        if expected > 0.0 {
            self.peak[api * self.levels.len() + at] / expected
        } else {
            1.0
        }
    }

    /// The burn rate of a measured window.
    pub(crate) fn burn_over(&self, api: usize, window: usize) -> f64 {
        self.burn[api * self.burn_windows.len() + window]
    }
}

fn length(name: &str, got: usize, expected: usize) -> Result<(), Error> {
    if got == expected {
        Ok(())
    } else {
        refuse(format!("{name} has {got} values, not {expected}"))
    }
}

fn refuse(what: String) -> Result<(), Error> {
    Err(Error::InvalidInput(what))
}
