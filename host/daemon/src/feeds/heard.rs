//! What an operator is told of points that are not taken: the first of its kind at once, then once in ten minutes.
//!
//! A sender hears of it with each answer, and may look at none; metrics count all of it, and may be looked at by nobody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tidegate_bridges::feed::Took;

/// Between two lines of a kind.
const PAUSE: Duration = Duration::from_mins(10);

/// When what was told last, by protocol and reason.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<(&'static str, &'static str), (Instant, u64)>);

impl Heard {
    /// What is to be told of what an answer has refused.
    pub(super) fn refused(
        &mut self,
        protocol: &'static str,
        took: &Took,
        now: Instant,
    ) -> Vec<String> {
        let mut lines = vec![];
        for (&reason, (points, text)) in &took.reasons {
            lines.extend(self.due(protocol, reason, *points, now).map(|points| {
                format!("{points} points of {protocol} were refused ({reason}): {text}")
            }));
        }
        lines
    }

    /// What is to be told of what it has passed over, which may be as it is meant.
    pub(super) fn passed_over(
        &mut self,
        protocol: &'static str,
        took: &Took,
        now: Instant,
    ) -> Option<String> {
        let points = Some(took.passed_over).filter(|points| *points > 0)?;
        let points = self.due(protocol, "passed-over", points, now)?;
        Some(format!(
            "{points} points of {protocol} follow no convention and no rule, and are passed over; `tidegate map test` tells why, and rules of `feeds.mapping` read them"
        ))
    }

    /// How many points came since the last line, where it is time for one.
    fn due(
        &mut self,
        protocol: &'static str,
        reason: &'static str,
        points: u64,
        now: Instant,
    ) -> Option<u64> {
        let known = self.0.get_mut(&(protocol, reason));
        let Some((told, since)) = known else {
            self.0.insert((protocol, reason), (now, 0));
            return Some(points);
        };
        *since += points;
        if now.saturating_duration_since(*told) < PAUSE {
            return None;
        }
        *told = now;
        Some(std::mem::take(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_told_at_once_and_then_summed_up() {
        let mut heard = Heard::default();
        let took = Took {
            passed_over: 7,
            rejected: 2,
            reasons: [("value", (2, "it is none".to_owned()))].into(),
            ..Took::default()
        };
        let start = crate::clock::stopwatch();
        let first = heard.refused("otlp", &took, start);
        assert_eq!(first, ["2 points of otlp were refused (value): it is none"]);
        let passed = heard.passed_over("otlp", &took, start).unwrap();
        assert!(passed.starts_with("7 points of otlp") && passed.contains("map test"));
        let nothing = Took::default();
        assert_eq!(heard.passed_over("otlp", &nothing, start + PAUSE), None);
        for at in [start, start + PAUSE / 2] {
            assert_eq!(heard.refused("otlp", &took, at), [""; 0]);
            assert_eq!(heard.passed_over("otlp", &took, at), None);
        }
        assert_eq!(heard.refused("remote-write", &took, start).len(), 1);
        let later = heard.refused("otlp", &took, start + PAUSE);
        assert!(later[0].starts_with("6 points"), "{later:?}");
        let later = heard.passed_over("otlp", &took, start + PAUSE).unwrap();
        assert!(later.starts_with("21 points"), "{later}");
    }
}
