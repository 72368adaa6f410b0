//! Ridge regression by its normal equations: sums of products, a Cholesky factor, two sweeps.
//!
//! At a dozen regressors and a few hundred rows this is exact enough with the columns scaled to
//! one size, and it lets the sums of the first and the last part of a history be kept apart and
//! added, so that a validation costs one more solution and no more sums. Rejected: a crate for
//! it. A QR of the rows would be a more exact answer to a question that the ridge has already
//! blurred.

use ndarray::{Array1, Array2};
use tidegate_model_kit::Cholesky;

/// The weighted sums of a regression: `X'WX`, `X'Wy`, and the sum of weights.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    products: Array2<f64>,
    targets: Array1<f64>,
    weight: f64,
}

impl Sums {
    /// Of no rows of `width` regressors.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            products: Array2::zeros((width, width)),
            targets: Array1::zeros(width),
            weight: 0.0,
        }
    }

    /// Adds a row; only the lower triangle is kept.
    pub(crate) fn add(&mut self, row: &[f64], target: f64, weight: f64) {
        let n = self.targets.len().max(1);
        let products = self.products.as_slice_mut().unwrap_or_default();
        let rows = products.chunks_exact_mut(n).zip(&mut self.targets);
        for (i, ((sums, moment), a)) in rows.zip(row).enumerate() {
            let wa = weight * a;
            for (sum, b) in sums.iter_mut().zip(&row[..=i]) {
                *sum += wa * b;
            }
            *moment += wa * target;
        }
        self.weight += weight;
    }

    /// The sums of both.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            products: &self.products + &other.products,
            targets: &self.targets + &other.targets,
            weight: self.weight + other.weight,
        }
    }

    /// The coefficients that are shrunk towards 0 by `ridge` times the mean square of their
    /// regressor; a regressor that is always 0 gets 0.
    pub(crate) fn solve(&self, ridge: f64) -> Option<Vec<f64>> {
        let sizes: Vec<f64> = self
            .products
            .diag()
            .iter()
            .map(|d| if *d > 0.0 { d.sqrt() } else { 1.0 })
            .collect();
        let n = sizes.len();
        let mut a = Array2::zeros((n, n));
        let mut b = vec![0.0; n];
        for i in 0..n {
            for j in 0..=i {
                a[[i, j]] = self.products[[i, j]] / (sizes[i] * sizes[j]);
            }
            a[[i, i]] += ridge + 1e-9;
            b[i] = self.targets[i] / sizes[i];
        }
        let x = Cholesky::new(a)?.solve(&b);
        let x: Vec<f64> = x.iter().zip(&sizes).map(|(x, s)| x / s).collect();
        x.iter().all(|v| v.is_finite()).then_some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_through_exact_points_is_found_again(
            truth in prop::collection::vec(-3.0f64..3.0, 3),
            rows in prop::collection::vec(prop::collection::vec(-1.0f64..1.0, 3), 30..60),
        ) {
            let (mut first, mut second) = (Sums::new(3), Sums::new(3));
            for (i, row) in rows.iter().enumerate() {
                let y = row.iter().zip(&truth).map(|(a, b)| a * b).sum();
                if i % 2 == 0 { first.add(row, y, 1.0) } else { second.add(row, y, 0.5) }
            }
            let found = first.plus(&second).solve(0.0).unwrap();
            for (a, b) in found.iter().zip(&truth) {
                prop_assert!((a - b).abs() < 1e-4, "{:?} {:?}", found, truth);
            }
        }

        #[test]
        fn more_ridge_is_a_smaller_answer(
            rows in prop::collection::vec((-1.0f64..1.0, -1.0f64..1.0), 10..40),
        ) {
            let mut sums = Sums::new(1);
            for (x, y) in &rows {
                sums.add(&[*x], *y, 1.0);
            }
            let (small, large) = (sums.solve(0.1).unwrap()[0], sums.solve(1.0).unwrap()[0]);
            prop_assert!(large.abs() <= small.abs() + 1e-12);
        }
    }
}
