//! What a measured step teaches: at which headrooms the api would have been short.
//!
//! A step's use tells what *every* headroom would have brought, not only the one that was bought
//! (full information), so nothing has to be explored and no api is starved to find something out.
//! With one exception: an api that used all of its grant may have needed more, and nobody saw how
//! much more. Such a need is *censored* (Huh & Rusmevichientong, Mathematics of OR 34, 2009;
//! Besbes & Muharremoglu, Management Science 59, 2013): whatever would have brought no more than was
//! there is short for certain, and beyond it the risk falls off by an exponential, which has no
//! memory and so claims least.
//!
//! What an ask *brings* is its smaller one of the last two steps, because capacity that is asked for
//! comes a step later and goes at once; times what the pool really added to the last ask, from
//! nothing (contention) to the margin.

use crate::config::Config;
use crate::evidence::Lesson;
use crate::headroom::{ARMS, HEADROOMS};
use crate::state::Ask;

/// Where a censored need lies e times less often, in parts of the grant that it filled.
const TAIL: f64 = 0.25;

/// More than so many ordinary loads say no more.
const MOST: f64 = 10.0;

/// One api in a step that is over.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) config: &'a Config,
    /// What was asked for it, `[dimension]`.
    pub(crate) asks: &'a [Ask],
    /// The headroom that was bought, and the factor of the retreat on it.
    pub(crate) bought: (f64, f64),
    /// `[dimension]`: measured, ordinary, floor.
    pub(crate) used: &'a [f64],
    pub(crate) ordinary: &'a [f64],
    pub(crate) floor: &'a [f64],
}

impl Step<'_> {
    /// The lesson, and whether the api was short though it got what was asked for it; `None` where
    /// nothing was used.
    pub(crate) fn lesson(&self) -> Option<(Lesson, bool)> {
        let (mut lesson, mut dimensions, mut was_short) = (Lesson::default(), 0.0, false);
        for (k, ask) in self.asks.iter().enumerate() {
            let used = self.used[k];
            let newest = ask.newest();
            let ordinary = match self.ordinary[k] > 0.0 {
                true => self.ordinary[k],
                false => newest.median,
            };
            if used <= 0.0 || ordinary <= 0.0 {
                continue;
            }
            let part = |amount: f64| (amount / ordinary).min(MOST);
            dimensions += 1.0;
            lesson.used += part(used);
            lesson.bought[0] += part(newest.median);
            lesson.bought[1] += part(newest.width());
            lesson.bought[2] += part(newest.beyond());
            was_short |= self.risks(k, &mut lesson.short);
        }
        if dimensions <= 0.0 {
            return None;
        }
        lesson.used /= dimensions;
        lesson.bought.iter_mut().for_each(|b| *b /= dimensions);
        Some((lesson, was_short))
    }

    /// Raises the risk of each headroom to that in one dimension: one dimension that is short is an
    /// api that suffers. Answers whether it was short of what was asked for it.
    fn risks(&self, k: usize, short: &mut [f64; ARMS]) -> bool {
        let (config, ask, used) = (self.config, &self.asks[k], self.used[k]);
        let asked = |headroom: f64, factor: f64| {
            let now = ask.newest().ask(headroom, factor, config);
            let before = ask.before().map(|need| need.ask(headroom, factor, config));
            now.min(before.unwrap_or(now))
        };
        let (headroom, factor) = self.bought;
        let limit = f64::from(ask.limit);
        let now = ask.newest().ask(headroom, factor, config);
        let added = match now > 0.0 {
            true => (limit / now).clamp(1.0, 1.0 + config.margin),
            false => 1.0,
        };
        let brings = |headroom, factor| (asked(headroom, factor) * added).max(self.floor[k]);
        let granted = brings(headroom, factor);
        let in_force = granted.min(limit);
        let is_censored = used >= config.saturation * in_force;
        for (risk, headroom) in short.iter_mut().zip(HEADROOMS) {
            let there = brings(headroom, 1.0);
            let seen = strain(used / there, config);
            let unseen = match is_censored {
                true if there <= in_force => 1.0,
                true => libm::exp(-(there / in_force - 1.0) / TAIL),
                false => 0.0,
            };
            // Neither is a number where nothing was there; then it was short.
            let here = if there > 0.0 { seen.max(unseen) } else { 1.0 };
            *risk = risk.max(here.clamp(0.0, 1.0));
        }
        is_censored && limit >= granted
    }
}

/// The risk at a utilisation: none up to `comfort`, certain from `saturation` on, and in between
/// convex, as waits grow with utilisation in any queue.
fn strain(utilisation: f64, config: &Config) -> f64 {
    if utilisation >= config.saturation {
        return 1.0;
    }
    let way = (utilisation - config.comfort).max(0.0) / (config.saturation - config.comfort);
    way * way
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headroom::Need;

    fn risks(used: f64, limit: f64) -> ([f64; ARMS], bool) {
        let need = Need {
            median: 10.0,
            demand: 20.0,
        };
        let config = Config::default();
        let step = Step {
            config: &config,
            asks: &[Ask::new(need, limit, None)],
            bought: (1.0, 1.0),
            used: &[used],
            ordinary: &[10.0],
            floor: &[0.0],
        };
        let (lesson, was_short) = step.lesson().unwrap();
        (lesson.short, was_short)
    }

    #[test]
    fn a_use_that_was_seen_whole_tells_of_every_headroom() {
        // Headrooms bring 9, 10, 14, 17, 20, 23, ...
        let (short, was_short) = risks(14.0, 20.0);
        assert!(!was_short && short[0] >= 1.0, "{short:?}");
        assert!((short[2] - 1.0).abs() < 1e-12);
        assert_eq!(short[4..], [0.0; ARMS - 4]);
    }

    #[test]
    fn risk_begins_at_comfort_and_is_certain_at_saturation() {
        let risk = [0.5, 0.88, 0.915, 0.95, 2.0].map(|u| strain(u, &Config::default()));
        assert_eq!((risk[0], risk[1], risk[3], risk[4]), (0.0, 0.0, 1.0, 1.0));
        assert!((risk[2] - 0.25).abs() < 1e-9, "{risk:?}");
    }

    #[test]
    fn a_use_of_the_whole_grant_is_a_need_of_unknown_size() {
        let (short, was_short) = risks(20.0, 20.0);
        assert!(was_short);
        assert_eq!(short[..5], [1.0; 5]);
        assert!(short[5..].windows(2).all(|w| w[0] > w[1]), "{short:?}");
        assert!(short[ARMS - 1] > 0.01, "nobody knows that it was enough");
    }

    #[test]
    fn what_the_pool_did_not_give_is_no_fault_of_the_ask() {
        let (short, was_short) = risks(12.0, 12.0);
        assert!(!was_short && short[0] >= 1.0, "{short:?}");
        assert!(short[4] < 0.1, "{short:?}");
    }

    #[test]
    fn an_idle_api_teaches_nothing() {
        let need = Need {
            median: 1.0,
            demand: 2.0,
        };
        let step = Step {
            config: &Config::default(),
            asks: &[Ask::new(need, 2.0, None)],
            bought: (1.0, 1.0),
            used: &[0.0],
            ordinary: &[1.0],
            floor: &[0.0],
        };
        assert_eq!(step.lesson(), None);
    }
}
