//! From verdicts to what becomes of the candidate.
//!
//! A trial may put several questions, and the judge answers each. Any harm ends it; only when all are
//! answered well (but for the one that is asked for harm alone), and not before the least duration, is it promoted. Time decides nothing but the end:
//! what is undecided then is not promoted. A watch ends by itself, or by harm.

use super::evidence::{Name, Question};
use super::trial::Trial;
use tidegate_core::life::{Gate, Promotion, Side};
use tidegate_core::policy::Verdict;
use tidegate_core::time::Timestamp;

/// What should become of the candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing yet.
    Continue {
        /// One sentence.
        why: String,
        /// Whether it sees too little to be decided in time.
        starved: bool,
    },
    /// It is as good, and a person is to say so.
    Ready(String),
    /// It is as good, and long enough in shadow.
    Promote(String),
    /// It does harm: a shadow ends, a promotion is taken back.
    RollBack(String),
    /// Time is up: the shadow ends, not promoted.
    Inconclusive(String),
    /// The watch is over, without harm.
    Watched(String),
    /// Stored history speaks against it: the shadow does not begin.
    Refused(String),
}

impl Conclusion {
    /// The name in APIs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Conclusion::Continue { starved: false, .. } => "continue",
            Conclusion::Continue { starved: true, .. } => "starved",
            Conclusion::Ready(_) => "ready",
            Conclusion::Promote(_) => "promote",
            Conclusion::RollBack(_) => "roll-back",
            Conclusion::Inconclusive(_) => "inconclusive",
            Conclusion::Watched(_) => "watched",
            Conclusion::Refused(_) => "refused",
        }
    }

    /// One sentence, for people.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Conclusion::Continue { why, .. }
            | Conclusion::Ready(why)
            | Conclusion::Promote(why)
            | Conclusion::RollBack(why)
            | Conclusion::Inconclusive(why)
            | Conclusion::Watched(why)
            | Conclusion::Refused(why) => why,
        }
    }

    /// Whether the trial is over.
    #[must_use]
    pub fn ends(&self) -> bool {
        !matches!(self, Conclusion::Continue { .. } | Conclusion::Ready(_))
    }
}

/// Milliseconds until the trial is over by time alone.
#[must_use]
pub fn remaining_ms(gate: &Gate, trial: &Trial, now: Timestamp) -> i64 {
    let most = match trial.about.serves {
        Side::Incumbent => gate.max_duration_s,
        Side::Candidate => gate.watch_s,
    };
    (i64::from(most) * 1000 - now.since_ms(trial.about.since)).max(0)
}

/// Concludes from the newest opinions.
#[must_use]
pub fn conclude(gate: &Gate, trial: &Trial, now: Timestamp) -> Conclusion {
    let elapsed = now.since_ms(trial.about.since);
    let after = lasting(elapsed);
    let opinions = || {
        trial
            .questions
            .iter()
            .filter_map(|q| q.opinion.as_ref().map(|o| (q, o)))
    };
    if let Some((q, opinion)) = opinions().find(|(_, o)| o.verdict == Verdict::RollBack) {
        return Conclusion::RollBack(format!(
            "worse than {} by {}, after {after} and {} pairs: {}",
            trial.about.incumbent.module,
            q.name.said(),
            q.seen,
            opinion.reason
        ));
    }
    let pairs = trial.pairs();
    let is_over = remaining_ms(gate, trial, now) == 0;
    if trial.about.serves == Side::Candidate {
        return if is_over {
            Conclusion::Watched(format!(
                "watched for {after} beside {}, {pairs} pairs, no harm shown",
                trial.about.incumbent.module
            ))
        } else {
            Conclusion::Continue {
                why: format!("{pairs} pairs in {after}, no harm shown"),
                starved: false,
            }
        };
    }
    let asked = || trial.questions.iter().filter(|q| q.name != Name::Gross);
    let is_good = |q: &Question| {
        q.opinion
            .as_ref()
            .is_some_and(|o| o.verdict == Verdict::Promote)
    };
    if asked().all(is_good) {
        let least = i64::from(gate.min_duration_s) * 1000;
        let why = format!(
            "as good as {} within {:.0} % of its loss, after {after} and {pairs} pairs",
            trial.about.incumbent.module,
            100.0 * gate.margin
        );
        return match gate.promote {
            _ if elapsed < least => Conclusion::Continue {
                why: format!("{why}; not promoted before {}", lasting(least)),
                starved: false,
            },
            Promotion::Automatic => Conclusion::Promote(why),
            Promotion::Manual => {
                Conclusion::Ready(format!("{why}; `tidegate policy promote` makes it serve"))
            }
        };
    }
    let mut waits = asked()
        .filter(|q| !is_good(q))
        .filter_map(|q| q.opinion.as_ref());
    let waits = waits
        .next()
        .map_or("nothing was judged yet", |o| o.reason.as_str());
    if is_over {
        return Conclusion::Inconclusive(format!(
            "undecided after {after} and {pairs} pairs, so not promoted: {waits}"
        ));
    }
    Conclusion::Continue {
        why: format!("{pairs} pairs in {after}; {waits}"),
        starved: opinions().any(|(_, o)| o.verdict == Verdict::Starved),
    }
}

/// A duration for people: minutes below three hours, hours below three days, then days.
#[must_use]
pub fn lasting(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0..180 => format!("{minutes} min"),
        180..4320 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}
