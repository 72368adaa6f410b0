//! When a challenger is no longer asked, because it never answers.
//!
//! A module that traps on every series costs as much in shadow as one that learns, and would be asked
//! for ever: nobody waits for its answer, so nothing that is counted against a slot ends it. Here, a
//! round in which a challenger failed and answered nothing is a bad one; after [`BAD_ROUNDS`] in a row
//! it stands aside for an hour of the data's clock. Then it is asked once: a bad round sends it away
//! for twice as long, up to a day; an answer clears it. Another digest or config is another challenger
//! and starts clean.
//!
//! One that answers for some series is never sent away for others: a champion keeps its place as long
//! as it is of use anywhere. Rejected: quarantine (RB1), which is a verdict and needs a person's word
//! to be lifted; a challenger that fails on too short a history is cured by waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::time::Timestamp;

/// Bad rounds in a row after which it stands aside.
const BAD_ROUNDS: u32 = 3;

/// How long it stands aside at first, in milliseconds.
const FIRST_MS: i64 = 3_600_000;

/// How often that is doubled at most: 1, 2, 4, 8, 16 hours, then a day.
const MOST_DOUBLED: u32 = 5;

/// The longest, in milliseconds.
const LONGEST_MS: i64 = 86_400_000;

/// What a challenger was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// Forecasts, in a cycle.
    Cycle,
    /// A fit of a batch of series.
    Fit,
}

/// A challenger of a binding, with its config.
pub(super) type Who = (BindingId, Digest, Arc<str>);

#[derive(Debug, Default)]
struct Strikes {
    /// Bad rounds in a row.
    bad: u32,
    /// How often it stood aside since its last answer.
    rests: u32,
    /// Since when it stands aside, and for how long.
    rest: Option<(Timestamp, i64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Aside(BTreeMap<Who, Strikes>);

impl Aside {
    /// A round in which it failed and answered nothing; for how many milliseconds it stands aside from
    /// now on, if it does.
    pub(super) fn bad(&mut self, who: Who, now: Timestamp) -> Option<i64> {
        let strikes = self.0.entry(who).or_default();
        strikes.bad = strikes.bad.saturating_add(1);
        if strikes.rest.is_some() || strikes.bad < BAD_ROUNDS {
            return None;
        }
        let ms = (FIRST_MS << strikes.rests.min(MOST_DOUBLED)).min(LONGEST_MS);
        strikes.rests = strikes.rests.saturating_add(1);
        strikes.rest = Some((now, ms));
        Some(ms)
    }

    /// It answered.
    pub(super) fn good(&mut self, who: &Who) {
        self.0.remove(who);
    }

    /// It could be fitted, which forgives what came before it first stood aside, and no more: a module
    /// whose fits hold and whose forecasts trap is no better for it.
    pub(super) fn fitted(&mut self, who: &Who) {
        if self.0.get(who).is_some_and(|s| s.rests == 0) {
            self.0.remove(who);
        }
    }

    /// Whether it is not to be asked.
    pub(super) fn stands(&self, who: &Who) -> bool {
        self.0.get(who).is_some_and(|s| s.rest.is_some())
    }

    /// Lets those back whose time is over, on probation; also when the clock stepped back.
    pub(super) fn let_back(&mut self, now: Timestamp) -> Vec<Who> {
        let mut back = vec![];
        for (who, strikes) in &mut self.0 {
            let over = |(since, ms)| !(0..ms).contains(&now.since_ms(since));
            if strikes.rest.is_some_and(over) {
                strikes.rest = None;
                strikes.bad = BAD_ROUNDS - 1;
                back.push(who.clone());
            }
        }
        back
    }

    /// Forgets whom no binding names any more.
    pub(super) fn retain(&mut self, named: impl Fn(&Who) -> bool) {
        self.0.retain(|who, _| named(who));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(digest: u8, config: &str) -> Who {
        ("b".parse().unwrap(), Digest([digest; 32]), config.into())
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp(minute * 60_000)
    }

    #[test]
    fn one_that_always_fails_is_asked_a_few_times_a_day() {
        let (mut aside, mut asked) = (Aside::default(), 0);
        for minute in 0..10 * 24 * 60 {
            aside.let_back(at(minute));
            if !aside.stands(&who(1, "{}")) {
                asked += 1;
                aside.bad(who(1, "{}"), at(minute));
            }
        }
        // Three, then after 1, 2, 4, 8 and 16 hours, then once a day.
        assert!((15..=18).contains(&asked), "{asked}");
    }

    #[test]
    fn an_answer_clears_it_and_the_next_failures_count_from_one() {
        let mut aside = Aside::default();
        assert_eq!(aside.bad(who(1, "{}"), at(0)), None);
        assert_eq!(aside.bad(who(1, "{}"), at(1)), None);
        aside.good(&who(1, "{}"));
        assert_eq!(aside.bad(who(1, "{}"), at(2)), None);
        assert_eq!(aside.bad(who(1, "{}"), at(3)), None);
        assert_eq!(aside.bad(who(1, "{}"), at(4)), Some(FIRST_MS));
        assert!(aside.let_back(at(63)).is_empty());
        assert_eq!(aside.let_back(at(64)), [who(1, "{}")]);
        assert_eq!(aside.bad(who(1, "{}"), at(65)), Some(2 * FIRST_MS));
    }

    #[test]
    fn another_digest_or_config_starts_clean_and_a_clock_that_stepped_back_keeps_nobody_out() {
        let mut aside = Aside::default();
        for minute in 100..103 {
            aside.bad(who(1, "{}"), at(minute));
        }
        assert!(aside.stands(&who(1, "{}")));
        assert!(!aside.stands(&who(2, "{}")) && !aside.stands(&who(1, r#"{"a":1}"#)));
        assert_eq!(aside.let_back(at(5)), [who(1, "{}")]);
        aside.fitted(&who(1, "{}"));
        assert_eq!(
            aside.bad(who(1, "{}"), at(6)),
            Some(2 * FIRST_MS),
            "a fit is no answer"
        );
        aside.retain(|_| false);
        assert_eq!(aside.bad(who(1, "{}"), at(6)), None);
    }
}
