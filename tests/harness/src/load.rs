//! What a simulated service is asked for over time: a base, and what happens on top of it.
//!
//! Loads are functions of the instant and the seed, not recorded series: a script can say "a day
//! with its peak at noon, and a burst at ten" and every run sees the same requests. Noise is a hash
//! of seed, name and step, so adding an api to a world does not change its neighbours' loads.

use tidegate_core::canonical;
use tidegate_core::time::Timestamp;

/// Half open: `from <= t < until`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from: Timestamp,
    until: Timestamp,
}

impl Span {
    fn holds(self, t: Timestamp) -> bool {
        self.from <= t && t < self.until
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Base {
    Flat(f64),
    Day { low: f64, high: f64, peak_s: i64 },
    Ramp { from: f64, to: f64, span: Span },
}

#[derive(Debug, Clone, PartialEq)]
enum Extra {
    Add(f64, Span),
    Times(f64, Span),
    Silent(Span),
}

/// Requests/s over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    base: Base,
    extras: Vec<Extra>,
    noise: f64,
}

const DAY_S: i64 = 86_400;

impl Load {
    fn of(base: Base) -> Self {
        Self {
            base,
            extras: vec![],
            noise: 0.0,
        }
    }

    /// The same at all times.
    #[must_use]
    pub fn flat(rate: f64) -> Self {
        Self::of(Base::Flat(rate))
    }

    /// A day's wave: `low` twelve hours from the peak, `high` at `peak_s` seconds after midnight.
    /// The cubed half cosine makes the peak narrower than the valley, as traffic of people is.
    #[must_use]
    pub fn day(low: f64, high: f64, peak_s: i64) -> Self {
        Self::of(Base::Day { low, high, peak_s })
    }

    /// Flat at `from`, then a straight line over the span, then flat at `to`.
    #[must_use]
    pub fn ramp(from: f64, to: f64, start: Timestamp, until: Timestamp) -> Self {
        let span = Span { from: start, until };
        Self::of(Base::Ramp { from, to, span })
    }

    /// So many requests/s more for a while.
    #[must_use]
    pub fn burst(mut self, more: f64, from: Timestamp, until: Timestamp) -> Self {
        self.extras.push(Extra::Add(more, Span { from, until }));
        self
    }

    /// So many times the load for a while.
    #[must_use]
    pub fn campaign(mut self, factor: f64, from: Timestamp, until: Timestamp) -> Self {
        self.extras.push(Extra::Times(factor, Span { from, until }));
        self
    }

    /// The feed says nothing for a while; the service may well be asked.
    #[must_use]
    pub fn silent(mut self, from: Timestamp, until: Timestamp) -> Self {
        self.extras.push(Extra::Silent(Span { from, until }));
        self
    }

    /// Every step deviates by up to this part of it, evenly.
    #[must_use]
    pub fn noise(mut self, part: f64) -> Self {
        self.noise = part;
        self
    }

    /// Requests/s in the step that starts at `t`; `None` while the feed is silent.
    #[must_use]
    pub fn at(&self, t: Timestamp, seed: u64, name: &str) -> Option<f64> {
        let mut rate = match self.base {
            Base::Flat(rate) => rate,
            Base::Day { low, high, peak_s } => {
                let phase = (t.secs() - peak_s).rem_euclid(DAY_S) as f64 / DAY_S as f64;
                let wave = 0.5 + 0.5 * libm::cos(phase * std::f64::consts::TAU);
                low + (high - low) * wave * wave * wave
            }
            Base::Ramp { from, to, span } => {
                let length = span.until.since_ms(span.from).max(1) as f64;
                let done = (t.since_ms(span.from) as f64 / length).clamp(0.0, 1.0);
                from + (to - from) * done
            }
        };
        for extra in &self.extras {
            match extra {
                Extra::Add(more, span) if span.holds(t) => rate += more,
                Extra::Times(factor, span) if span.holds(t) => rate *= factor,
                Extra::Silent(span) if span.holds(t) => return None,
                Extra::Add(..) | Extra::Times(..) | Extra::Silent(_) => {}
            }
        }
        let hash = canonical::seed(seed, "load", name, t.0);
        let even = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        Some((rate * (1.0 + self.noise * (2.0 * even - 1.0))).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day;

    #[test]
    fn a_day_peaks_when_it_says_and_is_lowest_half_a_day_later() {
        let load = Load::day(10.0, 100.0, 12 * 3600);
        let at = |hour| load.at(day(0, hour, 0), 1, "a").unwrap();
        assert!((at(12) - 100.0).abs() < 1e-9 && (at(0) - 10.0).abs() < 1e-9);
        assert!(at(9) < at(10) && at(10) < at(11));
    }

    #[test]
    fn extras_hold_from_their_start_until_before_their_end() {
        let load = Load::flat(10.0)
            .burst(5.0, day(0, 1, 0), day(0, 2, 0))
            .campaign(2.0, day(0, 1, 0), day(0, 3, 0))
            .silent(day(0, 4, 0), day(0, 5, 0));
        let at = |hour| load.at(day(0, hour, 0), 1, "a");
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(4), at(5)],
            [
                Some(10.0),
                Some(30.0),
                Some(20.0),
                Some(10.0),
                None,
                Some(10.0)
            ]
        );
    }

    #[test]
    fn noise_stays_within_its_part_and_differs_by_name() {
        let load = Load::flat(100.0).noise(0.1);
        let (a, b) = (load.at(day(0, 0, 0), 1, "a"), load.at(day(0, 0, 0), 1, "b"));
        assert_ne!(a, b);
        assert!(
            [a, b]
                .into_iter()
                .flatten()
                .all(|v| (90.0..=110.0).contains(&v))
        );
    }
}
