//! Who forecasts a series best, as told to people, and who was chosen.
//!
//! A table and a choice are apart on purpose: the table is what the tracks say now, the choice is
//! what was decided with hysteresis and stays until somebody has been better for a while.

use super::Band;
use crate::ids::Digest;
use crate::module::ModuleRef;
use crate::sample::SeriesKey;
use crate::time::Timestamp;
use crate::units::Level;

/// How often outcomes lay at or below a level, beside how often they should.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// The level.
    pub level: Level,
    /// Share of outcomes at or below it, 0 to 1.
    pub below: f64,
}

/// One candidate's cell of the table: how it fared in one band.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// How far ahead.
    pub band: Band,
    /// Outcomes that were ever scored.
    pub outcomes: u32,
    /// Outcomes that the means below rest on, after forgetting.
    pub weight: f64,
    /// Mean pinball loss over that of seasonal-naive on the same outcomes; below 1 is better.
    /// `None` while seasonal-naive has no value to be compared with.
    pub loss: Option<f64>,
    /// By rising level.
    pub coverage: Vec<Coverage>,
    /// Share of outcomes above the top level, less the share that was promised.
    pub top_bias: f64,
    /// How far above it those lay, in spreads of what went out.
    pub top_excess: f64,
}

impl Standing {
    /// Share of outcomes between two levels; `None` where one is not tracked.
    #[must_use]
    pub fn inside(&self, low: Level, high: Level) -> Option<f64> {
        let below = |level| Some(self.coverage.iter().find(|c| c.level == level)?.below);
        Some(below(high)? - below(low)?)
    }
}

/// How a candidate compares with the host's own seasonal-naive forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Too few outcomes to say.
    TooEarly,
    /// Better.
    Better,
    /// Not better than seasonal-naive.
    NotBetter,
}

impl Verdict {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::TooEarly => "too early to say",
            Verdict::Better => "better than seasonal-naive",
            Verdict::NotBetter => "not better than seasonal-naive",
        }
    }
}

/// One candidate's row.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The module.
    pub module: ModuleRef,
    /// Digest of its config and step.
    pub config: Digest,
    /// Whether it answers.
    pub champion: bool,
    /// Mean over the bands of [`Standing::loss`], each band with the same weight.
    pub loss: Option<f64>,
    /// Beside seasonal-naive.
    pub verdict: Verdict,
    /// Nearest first.
    pub bands: Vec<Standing>,
}

/// The table of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Standings {
    /// Which series.
    pub key: SeriesKey,
    /// Champion first, then by loss, then by name.
    pub candidates: Vec<Candidate>,
    /// Who was chosen, and why; `None`: the binding's own module answers.
    pub choice: Option<Choice>,
}

/// Who answers for a series, beside seasonal-naive: a line of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Champion {
    /// Which series.
    pub key: SeriesKey,
    /// Who answers.
    pub module: ModuleRef,
    /// Mean over the bands of [`Standing::loss`], each band with the same weight.
    pub loss: Option<f64>,
    /// Beside seasonal-naive.
    pub verdict: Verdict,
    /// Outcomes that were ever scored, over all bands.
    pub outcomes: u32,
}

/// What a choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// The binding says so: nothing has been measured that would change it.
    Bound,
    /// The scores of this series.
    Series,
    /// The pooled scores of the series of its tenant and category: its own are too few.
    Category,
}

impl Ground {
    /// The name in APIs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ground::Bound => "bound",
            Ground::Series => "series",
            Ground::Category => "category",
        }
    }
}

/// Who has been better than the champion, and since when without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// The module.
    pub module: Digest,
    /// Since when.
    pub since: Timestamp,
}

/// Who answers for a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The champion.
    pub champion: Digest,
    /// Since when.
    pub since: Timestamp,
    /// On what ground.
    pub ground: Ground,
    /// Who is about to take its place.
    pub rival: Option<Rival>,
}
