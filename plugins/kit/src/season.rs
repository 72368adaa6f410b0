//! The seasons of a series: a robust additive decomposition with one or more of them, which the
//! models that smooth a level share.
//!
//! The trend is a moving average over the longest season, then, once seasons are known, over the
//! shortest; a season is, per phase, a Huber mean of what trend and other seasons leave, with
//! weights that fade over past cycles. Each profile is then shrunk towards zero by
//! `max(0, 1 - noise / spread)` in variances (empirical Bayes): a week that was seen three times
//! and says nothing beyond its days disappears by itself, instead of adding its noise to every
//! forecast. STL's local regression over cycles was rejected: with so few cycles it fits noise.

mod table;

pub use table::{Place, Table};

use crate::median;

/// The weight of a cycle relative to the one after it.
const FADE: f64 = 0.9;
/// Huber's bound in robust standard deviations.
const HUBER: f64 = 2.5;
/// Bins of the shortest season, and those of a longer one within it: five minutes and an hour of
/// a day, whatever the step.
const FINE: usize = 288;
const COARSE: usize = 24;

/// A history taken apart.
#[derive(Debug, Clone)]
pub struct Decomposition {
    /// One value per step; finite wherever anything was observed at all.
    pub trend: Vec<f64>,
    /// Profiles on the additive scale, the shortest season first; none that shrank to nothing.
    pub tables: Vec<Table>,
    /// The mean absolute remainder.
    pub scatter: f64,
}

/// Takes `z` (NaN: missing) apart; its first step is `clock` on the absolute grid. Seasons that
/// were not seen twice are left out.
#[must_use]
pub fn decompose(z: &[f64], clock: u64, periods: &[usize]) -> Decomposition {
    let periods: Vec<usize> = periods
        .iter()
        .copied()
        .filter(|p| z.len() >= 2 * p)
        .take(3)
        .collect();
    let Some(&shortest) = periods.first() else {
        let trend = moving_average(z, (z.len() / 8).clamp(3, 25), Edge::Shrink);
        let scatter = scatter(z, &trend, clock, &[]);
        return Decomposition {
            trend,
            tables: Vec::new(),
            scatter,
        };
    };
    let mut tables: Vec<Table> = periods
        .iter()
        .map(|p| Table::flat(*p as u32, bins(*p, shortest), 0.0))
        .collect();
    let longest = *periods.last().unwrap_or(&shortest);
    let mut trend = moving_average(z, longest, Edge::Hold);
    for round in 0..3 {
        if round > 0 {
            let plain: Vec<f64> = adjusted(z, clock, &tables);
            trend = moving_average(&plain, shortest, Edge::Shrink);
        }
        for k in 0..tables.len() {
            let others: Vec<Table> = tables
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != k)
                .map(|(_, t)| t.clone())
                .collect();
            let mut rest = adjusted(z, clock, &others);
            for (r, t) in rest.iter_mut().zip(&trend) {
                *r -= t;
            }
            estimate(&mut tables[k], &rest, clock, k > 0);
        }
    }
    let scatter = scatter(z, &trend, clock, &tables);
    tables.retain(|t| t.bins.iter().any(|b| *b != 0.0));
    Decomposition {
        trend,
        tables,
        scatter,
    }
}

/// [`decompose`] on the scale of logarithms (values above zero only): profiles are factors, and
/// trend and scatter come back on the scale of the values.
#[must_use]
pub fn decompose_factors(z: &[f64], clock: u64, periods: &[usize]) -> Decomposition {
    let logs: Vec<f64> = z.iter().map(|v| libm::log(*v)).collect();
    let mut d = decompose(&logs, clock, periods);
    // The density of y is that of log y over y: compare scatter at the geometric mean.
    let (mut sum, mut n) = (0.0, 0.0);
    for v in logs.iter().filter(|v| v.is_finite()) {
        sum += v;
        n += 1.0;
    }
    d.scatter *= libm::exp(sum / f64::max(n, 1.0));
    for b in d.tables.iter_mut().flat_map(|t| t.bins.free_mut()) {
        *b = libm::expf(*b);
    }
    for v in &mut d.trend {
        *v = libm::exp(*v);
    }
    d
}

/// What each step is expected to be, trend and seasons joined in the way that leaves the least
/// scatter; finite even where `z` is missing, wherever anything was observed at all.
#[must_use]
pub fn expectation(z: &[f64], clock: u64, periods: &[usize]) -> Vec<f64> {
    let sum = decompose(z, clock, periods);
    // A factor of nearly nothing is none: the logarithms of zeros would decide the profile.
    let positive = z.iter().all(|v| v.is_nan() || *v > 1e-3);
    let product = positive.then(|| decompose_factors(z, clock, periods));
    let steps = |d: &Decomposition, join: fn(f64, f64) -> f64| -> Vec<f64> {
        let at = |t: usize| d.tables.iter().map(move |table| table.at(clock + t as u64));
        let trend = d.trend.iter().enumerate();
        trend.map(|(t, v)| at(t).fold(*v, join)).collect()
    };
    match product {
        Some(p) if p.scatter < sum.scatter && !p.tables.is_empty() => steps(&p, |a, b| a * b),
        _ => steps(&sum, |a, b| a + b),
    }
}

fn bins(period: usize, shortest: usize) -> usize {
    let most = if period > shortest { COARSE } else { FINE };
    let stride = if shortest > most && shortest.is_multiple_of(most) {
        shortest / most
    } else {
        1
    };
    if period.is_multiple_of(stride) {
        period / stride
    } else {
        period
    }
}

/// `z` without the given seasons.
fn adjusted(z: &[f64], clock: u64, tables: &[Table]) -> Vec<f64> {
    let mut out = z.to_vec();
    for table in tables {
        // One cycle of the profile, so that the grid's remainder is taken once per step.
        let cycle: Vec<f64> = (0..u64::from(table.period))
            .map(|c| table.at(clock + c))
            .collect();
        for (v, s) in out.iter_mut().zip(cycle.iter().cycle()) {
            *v -= s;
        }
    }
    out
}

fn scatter(z: &[f64], trend: &[f64], clock: u64, tables: &[Table]) -> f64 {
    let plain = adjusted(z, clock, tables);
    let (mut sum, mut n) = (0.0, 0.0);
    for (v, t) in plain.iter().zip(trend) {
        let r = (v - t).abs();
        if r.is_finite() {
            sum += r;
            n += 1.0;
        }
    }
    sum / f64::max(n, 1.0)
}

/// Sets a profile from the remainder that it is to explain. A `longer` season, which the history
/// holds a few times only, gets one cycle of zeros as a witness for its centre: of two weeks that
/// disagree, the one that is like any other week is right, and an outage is not a habit.
fn estimate(table: &mut Table, rest: &[f64], clock: u64, longer: bool) {
    let (period, bins) = (table.period as usize, table.bins.len());
    let stride = period / bins;
    let cycles = rest.len().div_ceil(period);
    // Members of each bin, oldest first, with the weight of their age.
    let mut members: Vec<Vec<(f64, f64)>> = vec![Vec::with_capacity(cycles * stride); bins];
    let fades: Vec<f64> = (0..=cycles).map(|k| libm::pow(FADE, k as f64)).collect();
    let first = (clock % period as u64) as usize;
    for (i, r) in rest.iter().enumerate() {
        if r.is_finite() {
            let age = (rest.len() - 1 - i) / period;
            members[(first + i) % period / stride].push((*r, fades[age]));
        }
    }
    let mut scratch = Vec::new();
    let mut centres = vec![0.0; bins];
    let mut deviations = Vec::with_capacity(rest.len());
    for (bin, centre) in members.iter().zip(&mut centres) {
        scratch.clear();
        scratch.extend(bin.iter().map(|(r, _)| *r));
        if longer && !bin.is_empty() {
            scratch.resize(bin.len() + stride, 0.0);
        }
        *centre = median(&mut scratch);
        deviations.extend(bin.iter().map(|(r, _)| (r - *centre).abs()));
    }
    // Within a bin of m values the median takes up one degree of freedom.
    let count = deviations.len() as f64;
    let freedom = (count / (count - bins as f64).max(1.0)).min(4.0).sqrt();
    let sigma = 1.4826 * median(&mut deviations) * freedom;
    let bound = HUBER * sigma;
    let (mut noise, mut seen) = (0.0, 0.0);
    for (bin, centre) in members.iter().zip(&mut centres) {
        let (mut sum, mut weights, mut squares) = (0.0, 0.0, 0.0);
        for (r, fade) in bin {
            let off = (r - *centre).abs();
            let w = if off > bound && off > 0.0 {
                fade * bound / off
            } else {
                *fade
            };
            sum += w * r;
            weights += w;
            squares += w * w;
        }
        if weights > 0.0 {
            *centre = sum / weights;
            // Steps within one bin err together: they count as one observation of the bin.
            noise += sigma * sigma * squares / (weights * weights) * stride as f64;
            seen += 1.0;
        }
    }
    let mean = centres.iter().sum::<f64>() / bins as f64;
    let spread = centres.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / bins as f64;
    let noise = noise / f64::max(seen, 1.0);
    let keep = if spread > 0.0 {
        (1.0 - noise / spread).max(0.0)
    } else {
        0.0
    };
    for (b, c) in table.bins.free_mut().iter_mut().zip(&centres) {
        *b = (keep * (c - mean)) as f32;
    }
}

/// What a moving average does where its window leaves the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// It keeps the last full window's value, so that no part of a season leaks into the trend.
    Hold,
    /// It uses the part of the window that exists.
    Shrink,
}

/// A centred moving average that skips missing values; an even window has half weights at its
/// ends. Gaps longer than the window are filled from the nearest average.
fn moving_average(z: &[f64], window: usize, edge: Edge) -> Vec<f64> {
    let n = z.len();
    let (mut sums, mut counts) = (Vec::with_capacity(n + 1), Vec::with_capacity(n + 1));
    let (mut sum, mut count) = (0.0, 0u32);
    sums.push(sum);
    counts.push(count);
    for v in z {
        if v.is_finite() {
            sum += v;
            count += 1;
        }
        sums.push(sum);
        counts.push(count);
    }
    let half = window / 2;
    let average = |from: usize, to: usize| {
        let c = counts[to] - counts[from];
        if c == 0 {
            f64::NAN
        } else {
            (sums[to] - sums[from]) / f64::from(c)
        }
    };
    let mut out: Vec<f64> = (0..n)
        .map(|i| {
            let i = match edge {
                Edge::Hold => i.clamp(half.min(n / 2), n.saturating_sub(half + 1).max(n / 2)),
                Edge::Shrink => i,
            };
            let (from, to) = (i.saturating_sub(half), (i + half + 1).min(n));
            if window % 2 == 1 {
                return average(from, to);
            }
            0.5 * (average(from, (to - 1).max(from + 1)) + average((from + 1).min(to - 1), to))
        })
        .collect();
    fill(&mut out);
    out
}

/// Replaces NaN by the value before, and at the start by the first value.
fn fill(values: &mut [f64]) {
    let mut last = values
        .iter()
        .copied()
        .find(|v| v.is_finite())
        .unwrap_or(0.0);
    for v in values {
        if v.is_finite() {
            last = *v;
        } else {
            *v = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tooth(t: usize) -> f64 {
        (t % 24) as f64 - 11.5
    }

    #[test]
    fn a_clean_day_is_found_whole() {
        let z: Vec<f64> = (0..24 * 14).map(|t| 100.0 + tooth(t)).collect();
        let d = decompose(&z, 0, &[24, 168]);
        for t in 0..24 {
            assert!(
                (d.tables[0].at(t) - tooth(t as usize)).abs() < 0.2,
                "{t}: {}",
                d.tables[0].at(t)
            );
        }
        assert!(d.scatter < 0.2, "{}", d.scatter);
    }

    #[test]
    fn noise_without_a_season_leaves_almost_no_profile() {
        let mut s = crate::Stream::new(5);
        let z: Vec<f64> = (0..24 * 10).map(|_| 50.0 + s.normal()).collect();
        let d = decompose(&z, 0, &[24]);
        let worst = d
            .tables
            .iter()
            .flat_map(|t| t.bins.iter())
            .fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(worst < 0.5, "{worst}");
    }

    #[test]
    fn one_outage_of_a_day_does_not_bend_the_profile() {
        let z: Vec<f64> = (0..24 * 14)
            .map(|t| {
                if (120..140).contains(&t) {
                    0.0
                } else {
                    100.0 + tooth(t)
                }
            })
            .collect();
        let d = decompose(&z, 0, &[24]);
        let worst = (0..24)
            .map(|t| (d.tables[0].at(t) - tooth(t as usize)).abs())
            .fold(0.0, f64::max);
        assert!(worst < 4.0, "{worst}");
    }

    #[test]
    fn a_day_of_minutes_takes_no_more_numbers_than_one_of_five_minutes() {
        let wave = |t: u64| {
            let minute = (t % 1440) as f64;
            40.0 * libm::sin(minute / 1440.0 * std::f64::consts::TAU)
        };
        let z: Vec<f64> = (0..1440 * 4).map(|t| 100.0 + wave(t)).collect();
        let d = decompose(&z, 0, &[1440, 10_080]);
        assert_eq!(d.tables[0].bins.len(), 288);
        let worst = (0..1440)
            .map(|t| (d.tables[0].at(t) - wave(t)).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1.0, "{worst}");
    }

    #[test]
    fn a_history_of_gaps_gives_a_finite_trend() {
        let z: Vec<f64> = (0..200)
            .map(|t| if t % 3 == 0 { 5.0 } else { f64::NAN })
            .collect();
        let d = decompose(&z, 7, &[24]);
        assert!(d.trend.iter().all(|v| (v - 5.0).abs() < 1e-9));
    }
}
