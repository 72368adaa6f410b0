//! Cholesky factors of small symmetric matrices.
//!
//! Written here because the problem is a hundred unknowns at most and the bits must be the same on
//! the host and in the guest: linear algebra crates choose their kernels by the machine.

use ndarray::Array2;

/// The lower factor of a symmetric positive definite matrix (`a`: its lower triangle).
#[derive(Debug, Clone)]
pub struct Cholesky(Array2<f64>);

impl Cholesky {
    /// Factors (Golub and Van Loan, Matrix Computations, 4.2); `None` where the matrix is not positive definite or not finite.
    #[must_use]
    pub fn new(mut a: Array2<f64>) -> Option<Self> {
        let p = a.nrows();
        let flat = a.as_slice_mut()?;
        for i in 0..p {
            let (above, rest) = flat.split_at_mut(i * p);
            let row = &mut rest[..p];
            for j in 0..i {
                let other = &above[j * p..j * p + j + 1];
                let sum = dot(&row[..j], &other[..j]);
                row[j] = (row[j] - sum) / other[j];
            }
            let pivot = row[i] - dot(&row[..i], &row[..i]);
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            row[i] = pivot.sqrt();
        }
        Some(Self(a))
    }

    /// The solution `x` of `A x = b`.
    #[must_use]
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let p = b.len();
        let Some(l) = self.0.as_slice() else {
            return vec![0.0; p];
        };
        let mut x = b.to_vec();
        for i in 0..p {
            let row = &l[i * p..i * p + i + 1];
            x[i] = (x[i] - dot(&row[..i], &x[..i])) / row[i];
        }
        for i in (0..p).rev() {
            let row = &l[i * p..i * p + i + 1];
            x[i] /= row[i];
            let v = x[i];
            for (x, l) in x[..i].iter_mut().zip(row) {
                *x -= l * v;
            }
        }
        x
    }

    /// The diagonal of the inverse: posterior variances, in units of the noise.
    #[must_use]
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        let p = self.0.nrows();
        let Some(l) = self.0.as_slice() else {
            return vec![0.0; p];
        };
        // Rows of the factor's inverse, each summed into the diagonal when it is done.
        let mut inverse = vec![0.0; p * p];
        let mut diagonal = vec![0.0; p];
        for i in 0..p {
            let (done, rest) = inverse.split_at_mut(i * p);
            let row = &mut rest[..=i];
            for (k, other) in done.chunks_exact(p).enumerate() {
                let w = l[i * p + k];
                for (r, o) in row[..=k].iter_mut().zip(other) {
                    *r -= w * o;
                }
            }
            row[i] = 1.0;
            let scale = 1.0 / l[i * p + i];
            for (r, d) in row.iter_mut().zip(&mut diagonal) {
                *r *= scale;
                *d += *r * *r;
            }
        }
        diagonal
    }
}

/// The sum of products over the shorter length: four sums side by side, because the compiler may not
/// reorder one.
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sums = [0.0; 4];
    let (heads, tails) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = heads
        .remainder()
        .iter()
        .zip(tails.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in heads.zip(tails) {
        for (s, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *s += a * b;
        }
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_matrix_that_is_not_positive_is_refused() {
        assert!(Cholesky::new(ndarray::array![[1.0, 0.0], [2.0, 1.0]]).is_none());
        assert!(Cholesky::new(ndarray::array![[f64::NAN]]).is_none());
    }

    proptest! {
        #[test]
        fn solutions_solve_and_the_inverse_is_one(
            rows in prop::collection::vec(prop::array::uniform5(-3.0f64..3.0), 8),
        ) {
            let mut a = Array2::zeros((5, 5));
            for r in &rows {
                for i in 0..5 {
                    for j in 0..5 {
                        a[[i, j]] += r[i] * r[j] + if i == j { 0.1 } else { 0.0 };
                    }
                }
            }
            let factor = Cholesky::new(a.clone()).unwrap();
            let diagonal = factor.inverse_diagonal();
            for (k, d) in diagonal.iter().enumerate() {
                let unit: Vec<f64> = (0..5).map(|i| f64::from(u8::from(i == k))).collect();
                let x = factor.solve(&unit);
                prop_assert!((x[k] - d).abs() < 1e-9 * d.abs().max(1.0));
                for i in 0..5 {
                    let got: f64 = (0..5).map(|j| a[[i, j]] * x[j]).sum();
                    prop_assert!((got - unit[i]).abs() < 1e-7);
                }
            }
        }
    }
}
