//! Naive2, the benchmark that M4 measures against: the last value, seasonally adjusted where the
//! series is seasonal.
//!
//! As the organisers' code has it (Makridakis, Spiliotis and Assimakopoulos, "The M4 Competition",
//! IJF 2020): a 90 % test of the autocorrelation at the season, classical multiplicative
//! decomposition with a centred moving average, and the season's last factors put back. It is
//! computed on the very windows that are scored, because a constant from a paper belongs to other
//! series.

/// Two-sided 90 % of the normal distribution.
const CRITICAL: f64 = 1.645;

/// `horizon` steps after the window. A window with gaps or zeros that forbid a ratio is not
/// adjusted; an empty one gives zeros.
#[must_use]
pub fn naive2(window: &[f64], season: usize, horizon: usize) -> Vec<f64> {
    let last = window.iter().rev().find(|v| v.is_finite());
    let last = last.copied().unwrap_or(0.0);
    let plain = || vec![last; horizon];
    if season < 2 || !is_seasonal(window, season) {
        return plain();
    }
    let Some(factors) = factors(window, season) else {
        return plain();
    };
    let n = window.len();
    let level = last / factors[(n - 1) % season];
    let forecast: Vec<f64> = (n..n + horizon)
        .map(|t| level * factors[t % season])
        .collect();
    if forecast.iter().all(|v| v.is_finite()) {
        forecast
    } else {
        plain()
    }
}

/// Whether the autocorrelation at the season lies beyond what chance would give (Bartlett).
fn is_seasonal(window: &[f64], season: usize) -> bool {
    let n = window.len();
    if n < 3 * season || window.iter().any(|v| !v.is_finite()) {
        return false;
    }
    let mean = window.iter().sum::<f64>() / n as f64;
    let off: Vec<f64> = window.iter().map(|v| v - mean).collect();
    let square: f64 = off.iter().map(|v| v * v).sum();
    if square <= 0.0 {
        return false;
    }
    let correlation = |lag: usize| {
        off.iter()
            .skip(lag)
            .zip(&off)
            .map(|(a, b)| a * b)
            .sum::<f64>()
            / square
    };
    let before: f64 = (1..season).map(|lag| 2.0 * correlation(lag).powi(2)).sum();
    let limit = CRITICAL / (n as f64).sqrt() * (1.0 + before).sqrt();
    correlation(season).abs() > limit
}

/// One factor per phase, mean 1: means of value over trend, the trend a centred moving average.
fn factors(window: &[f64], season: usize) -> Option<Vec<f64>> {
    let half = season / 2;
    let is_even = season.is_multiple_of(2);
    let mut sums = vec![(0.0, 0.0_f64); season];
    for t in half..window.len().saturating_sub(half) {
        let span = &window[t - half..=t + half];
        let mut sum: f64 = span.iter().sum();
        if is_even {
            sum -= 0.5 * (span[0] + span[2 * half]);
        }
        let ratio = window[t] / (sum / season as f64);
        if ratio.is_finite() {
            let phase = &mut sums[t % season];
            *phase = (phase.0 + ratio, phase.1 + 1.0);
        }
    }
    let raw: Vec<f64> = sums.iter().map(|(sum, n)| sum / n).collect();
    let mean = raw.iter().sum::<f64>() / season as f64;
    let factors: Vec<f64> = raw.iter().map(|f| f / mean).collect();
    factors
        .iter()
        .all(|f| f.is_finite() && *f > 0.0)
        .then_some(factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_goes_on_from_the_last_level() {
        let day = [1.0, 2.0, 3.0, 2.0];
        let window: Vec<f64> = (0..40).map(|t| 10.0 * day[t % 4]).collect();
        let ahead = naive2(&window, 4, 6);
        for (t, v) in ahead.iter().enumerate() {
            assert!((v - 10.0 * day[t % 4]).abs() < 1e-9, "{ahead:?}");
        }
    }

    #[test]
    fn what_shows_no_season_keeps_its_last_value() {
        let noise: Vec<f64> = (0..60).map(|t| f64::from((t * 7919) % 101)).collect();
        assert_eq!(naive2(&noise, 24, 2), [noise[59]; 2]);
        assert_eq!(naive2(&[5.0; 100], 24, 1), [5.0]);
        assert_eq!(naive2(&[1.0, f64::NAN], 24, 1), [1.0]);
        assert_eq!(naive2(&[], 24, 1), [0.0]);
    }

    #[test]
    fn zeros_forbid_a_ratio() {
        let window: Vec<f64> = (0..48).map(|t| f64::from(u8::from(t % 4 == 0))).collect();
        assert_eq!(naive2(&window, 4, 2), [0.0, 0.0]);
    }
}
