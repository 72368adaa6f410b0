//! The maximum a posteriori fit, as a few penalised least-squares solves on one Gram matrix.
//!
//! - The Laplace prior of changepoints is a ridge whose weights are refreshed from the last
//!   solution (iteratively reweighted, as in Chartrand and Yin 2008); what it drives to nothing
//!   stays there.
//! - Each group of season columns has a normal prior whose variance is found by the evidence
//!   (MacKay, Neural Computation 4, 1992): a week that says nothing beyond its days vanishes.
//! - Spikes are met by Huber's pseudo-values ("Robust Statistics" 1981, section 7.8): the data is
//!   pulled towards the fit and the Gram matrix stays. Weights would need a new one each round.
//! - Residuals of load are far from independent, and a likelihood that thinks so believes in every
//!   wiggle. Noise counts for `(1 + r) / (1 - r)` times its variance, with `r` the residuals'
//!   correlation from bin to bin: that many fewer observations are there.
//!
//! Rejected: L-BFGS as in Prophet, which takes thousands of passes over the data for the same
//! answer; sampling, which takes a thousand times longer still.

use ndarray::Array2;

use crate::design::{CHANGE_RANGE, Design};
use tidegate_model_kit::{Cholesky, dot, median, quantile};

const ROUNDS: usize = 5;
/// Huber's bound in robust standard deviations.
const HUBER: f64 = 2.5;
/// The scale of the slope's prior, in sizes of the series per history.
const SLOPE_SCALE: f64 = 5.0;
/// The largest factor by which correlated noise counts for more.
const MOST_CORRELATED: f64 = 10.0;

/// What the prior of the trend is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrendPrior {
    /// The Laplace scale of a change of slope, in sizes of the series per history.
    pub(crate) change: f64,
    /// Whether there is a slope at all.
    pub(crate) sloped: bool,
}

/// A fit.
#[derive(Debug)]
pub(crate) struct Map {
    /// A coefficient per column.
    pub(crate) beta: Vec<f64>,
    /// What is added to the Gram matrix's diagonal.
    ridge: Vec<f64>,
    /// The bins, spikes pulled in.
    target: Vec<f64>,
    /// Gram matrices of the first `ends` bins.
    grams: Vec<Array2<f64>>,
    ends: Vec<usize>,
}

impl Map {
    /// Fits `design`; keeps what fits to its first `ends` bins need (ascending). `None` where
    /// the numbers leave no solution.
    pub(crate) fn fit(design: &Design, prior: TrendPrior, ends: &[usize]) -> Option<Self> {
        let mut ends = ends.to_vec();
        ends.push(design.bins());
        let grams = grams(design, &ends);
        let gram = grams.last()?;
        let size = size(design);
        let floor = (1e-6 * size) * (1e-6 * size);
        let mut target = pulled_in(design);
        let mut variances = variances(design, prior, size);
        let mut noise = (0.1 * size) * (0.1 * size);
        let (mut beta, mut ridge) = (Vec::new(), Vec::new());
        let weight: f64 = design.w.iter().sum();
        for round in 0..ROUNDS {
            ridge = variances.iter().map(|v| noise / v).collect();
            let factor = factor(gram, &ridge)?;
            beta = factor.solve(&moments(design, &target, design.bins()));
            let fitted: Vec<f64> = (0..design.bins())
                .map(|i| dot(design.row(i), &beta))
                .collect();
            let correlation = pull(design, &fitted, &mut target, size);
            if round + 1 == ROUNDS {
                break;
            }
            let inverse = factor.inverse_diagonal();
            let held: f64 = inverse.iter().zip(&ridge).map(|(i, r)| i * r).sum();
            let freedom = (weight - (beta.len() as f64 - held))
                .max(0.2 * weight)
                .max(1.0);
            let squares: f64 = target
                .iter()
                .zip(&fitted)
                .zip(&design.w)
                .map(|((y, f), w)| w * (y - f) * (y - f))
                .sum();
            let variance = (squares / freedom).max(floor);
            let r = correlation.clamp(0.0, 0.99);
            noise = variance * ((1.0 + r) / (1.0 - r)).min(MOST_CORRELATED);
            learn(design, prior, size, &beta, &inverse, &ridge, &mut variances);
        }
        let sound = beta.iter().all(|b| b.is_finite());
        sound.then_some(Self {
            beta,
            ridge,
            target,
            grams,
            ends,
        })
    }

    /// The coefficients that the first bins alone give, with the priors of the whole: those of the
    /// `at`-th end. Changes of slope and seasons that these bins do not show (`shown`: by group)
    /// are left out, and so are events, whose effect is taken from the whole.
    pub(crate) fn of_head(&self, design: &Design, at: usize, shown: &[bool]) -> Option<Vec<f64>> {
        let (gram, end) = (self.grams.get(at)?, *self.ends.get(at)?);
        let mut ridge = self.ridge.clone();
        let largest = (0..design.width).fold(0.0, |m: f64, j| m.max(gram[[j, j]]));
        let out = 1e9 * largest.max(f64::MIN_POSITIVE);
        let last = design.time((design.lead + end * design.bin) as f64);
        let reach = (1.0 + last) * CHANGE_RANGE - 1.0;
        for (j, s) in design.changepoints.iter().enumerate() {
            if *s > reach {
                ridge[2 + j] = out;
            }
        }
        for (group, shown) in design.groups.iter().zip(shown) {
            if !shown {
                ridge[group.clone()].fill(out);
            }
        }
        ridge[design.events.clone()].fill(out);
        let effects = design.events.clone();
        let plain: Vec<f64> = (0..end)
            .map(|i| {
                self.target[i] - dot(&design.row(i)[effects.clone()], &self.beta[effects.clone()])
            })
            .collect();
        let beta = factor(gram, &ridge)?.solve(&moments(design, &plain, end));
        beta.iter().all(|b| b.is_finite()).then_some(beta)
    }
}

/// A typical large value: the 97.5 % point of sizes.
fn size(design: &Design) -> f64 {
    let mut sizes: Vec<f64> = seen(design).map(f64::abs).collect();
    let size = quantile(&mut sizes, 0.975);
    if size > 1e-9 { size } else { 1.0 }
}

fn seen(design: &Design) -> impl Iterator<Item = f64> + '_ {
    let both = design.y.iter().zip(&design.w);
    both.filter(|(_, w)| **w > 0.0).map(|(y, _)| *y)
}

/// The bins before any fit: what lies a whole range beyond 98 % of all is moved in to there.
fn pulled_in(design: &Design) -> Vec<f64> {
    let mut values: Vec<f64> = seen(design).collect();
    let (low, high) = (quantile(&mut values, 0.01), quantile(&mut values, 0.99));
    let range = high - low;
    let bound = |y: &f64| y.clamp(low - range, high + range);
    design.y.iter().map(bound).collect()
}

/// Moves the target to Huber's pseudo-values; gives the residuals' correlation from bin to bin.
fn pull(design: &Design, fitted: &[f64], target: &mut [f64], size: f64) -> f64 {
    let residual = |i: usize| design.y[i] - fitted[i];
    let mut sizes: Vec<f64> = (0..fitted.len())
        .filter(|i| design.w[*i] > 0.0)
        .map(|i| residual(i).abs())
        .collect();
    let bound = HUBER * (1.4826 * median(&mut sizes)).max(1e-9 * size);
    let (mut cross, mut squares, mut before) = (0.0, 0.0, 0.0);
    for (i, t) in target.iter_mut().enumerate() {
        let r = if design.w[i] > 0.0 {
            residual(i).clamp(-bound, bound)
        } else {
            0.0
        };
        *t = fitted[i] + r;
        cross += r * before;
        squares += r * r;
        before = r;
    }
    if squares > 0.0 { cross / squares } else { 0.0 }
}

/// Prior variances to begin with.
fn variances(design: &Design, prior: TrendPrior, size: f64) -> Vec<f64> {
    let square = size * size;
    let mut v = vec![square; design.width];
    v[0] = 1e6 * square;
    v[1] = if prior.sloped {
        SLOPE_SCALE * SLOPE_SCALE * square
    } else {
        1e-18 * square
    };
    let change = prior.change * prior.change * square;
    v[2..2 + design.changepoints.len()].fill(change);
    v
}

/// Refreshes prior variances from a solution.
fn learn(
    design: &Design,
    prior: TrendPrior,
    size: f64,
    beta: &[f64],
    inverse: &[f64],
    ridge: &[f64],
    variances: &mut [f64],
) {
    let scale = prior.change * size;
    for j in 2..2 + design.changepoints.len() {
        // The ridge that has the Laplace prior's slope at the last solution.
        variances[j] = scale * beta[j].abs().max(1e-3 * scale);
    }
    for group in design.groups.iter().filter(|g| !g.is_empty()) {
        let squares: f64 = group.clone().map(|j| beta[j] * beta[j]).sum();
        let known: f64 = group.clone().map(|j| 1.0 - inverse[j] * ridge[j]).sum();
        let v = squares / known.max(0.1);
        variances[group.clone()].fill(v.clamp(1e-10 * size * size, 1e4 * size * size));
    }
}

/// The factor of the Gram matrix with the ridge on its diagonal.
fn factor(gram: &Array2<f64>, ridge: &[f64]) -> Option<Cholesky> {
    let mut a = gram.clone();
    for (j, r) in ridge.iter().enumerate() {
        let d = &mut a[[j, j]];
        // What rounding may have taken from the diagonal.
        *d += r + 1e-11 * *d + f64::MIN_POSITIVE;
    }
    Cholesky::new(a)
}

/// `X' W y` of the first `end` bins.
fn moments(design: &Design, y: &[f64], end: usize) -> Vec<f64> {
    let mut sums = vec![0.0; design.width];
    for (i, (y, w)) in y.iter().zip(&design.w).take(end).enumerate() {
        let v = y * w;
        for (s, x) in sums.iter_mut().zip(design.row(i)) {
            *s += v * x;
        }
    }
    sums
}

/// `X' W X` of the first `end` bins, for each end: lower triangles.
fn grams(design: &Design, ends: &[usize]) -> Vec<Array2<f64>> {
    let p = design.width;
    let mut sums = vec![0.0; p * p];
    let mut scaled = vec![0.0; 4 * p];
    let mut all = Vec::with_capacity(ends.len());
    let mut from = 0;
    for &end in ends {
        // Four rows at a time: the sums pass through memory a quarter as often.
        while from < end {
            let rows = (end - from).min(4);
            for (k, s) in scaled.chunks_exact_mut(p).enumerate() {
                let w = if k < rows { design.w[from + k] } else { 0.0 };
                let x = design.row(from + k.min(rows - 1));
                for (s, x) in s.iter_mut().zip(x) {
                    *s = w * x;
                }
            }
            let row = |k: usize| design.row(from + k.min(rows - 1));
            let x = [row(0), row(1), row(2), row(3)];
            for i in 0..p {
                let a = [0, 1, 2, 3].map(|k| scaled[k * p + i]);
                let target = &mut sums[i * p..i * p + i + 1];
                let (x0, x1, x2, x3) = (&x[0][..=i], &x[1][..=i], &x[2][..=i], &x[3][..=i]);
                for ((((s, b0), b1), b2), b3) in target.iter_mut().zip(x0).zip(x1).zip(x2).zip(x3) {
                    *s += (a[0] * b0 + a[1] * b1) + (a[2] * b2 + a[3] * b3);
                }
            }
            from += rows;
        }
        all.push(Array2::from_shape_vec((p, p), sums.clone()).unwrap_or_default());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use crate::design::Material;
    use crate::seasons::Season;
    use tidegate_model_kit::{Covariates, Stream};

    const PRIOR: TrendPrior = TrendPrior {
        change: 0.05,
        sloped: true,
    };

    fn design(z: &[f64]) -> Design {
        let seasons = Season::find(&[24, 168], z.len(), 3600, 2.0);
        let material = Material {
            z,
            calendar: &Calendar::new(0, 3600, &Covariates::default(), 0.0),
            seasons: &seasons,
            events: &[],
        };
        Design::new(&material, 25)
    }

    fn noisy(n: usize, f: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut s = Stream::new(3);
        (0..n).map(|t| f(t) + 0.05 * s.normal()).collect()
    }

    #[test]
    fn a_bend_is_found_where_it_is_and_the_other_changes_stay_small() {
        let z = noisy(1000, |t| 1.0 + (t as f64 / 1000.0 - 0.4).max(0.0) * 5.0);
        let design = design(&z);
        let map = Map::fit(&design, PRIOR, &[]).unwrap();
        assert!((map.beta[1] - 5.0).abs() < 0.5, "slope {}", map.beta[1]);
        let near: f64 = design
            .changepoints
            .iter()
            .zip(&map.beta[2..])
            .filter(|(s, _)| (**s + 0.6).abs() < 0.07)
            .map(|(_, d)| d)
            .sum();
        assert!(near.abs() > 4.0, "{near}");
    }

    #[test]
    fn a_week_that_says_nothing_vanishes_and_a_day_that_does_stays() {
        let z = noisy(672, |t| 1.0 + if t % 24 < 8 { 0.0 } else { 0.5 });
        let design = design(&z);
        let map = Map::fit(&design, PRIOR, &[]).unwrap();
        let size = |group: &std::ops::Range<usize>| -> f64 {
            map.beta[group.clone()]
                .iter()
                .map(|b| b * b)
                .sum::<f64>()
                .sqrt()
        };
        assert!(size(&design.groups[0]) > 0.2);
        assert!(size(&design.groups[2]).hypot(size(&design.groups[3])) < 0.02);
    }

    #[test]
    fn an_earlier_fit_is_the_fit_of_its_own_bins() {
        let z = noisy(672, |t| if t < 336 { 1.0 } else { 3.0 });
        let design = design(&z);
        let map = Map::fit(&design, PRIOR, &[336]).unwrap();
        let beta = map.of_head(&design, 0, &[true; 4]).unwrap();
        let last = dot(design.row(335), &beta);
        assert!((last - 1.0).abs() < 0.3, "{last}");
    }
}
