//! The downhill simplex of Nelder and Mead (Computer Journal 7, 1965), for up to six parameters.
//!
//! The likelihood of an ETS model has flat ridges and no cheap gradient, and this method is what
//! the field fits it with. It is written here because the optimiser crates that offer it draw in
//! a random source and dozens of crates for what is one page; the coefficients are the usual
//! (1, 2, 1/2, 1/2). Points are kept in a box by reflection-free clamping: the caller maps its
//! parameters so that the box is generous.

/// How far a search may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Evaluations of the objective.
    pub(crate) evaluations: usize,
    /// Stop when the simplex' values differ by less than this.
    pub(crate) tolerance: f64,
}

/// Minimises `objective` from `start` with a first simplex of size `step`, every coordinate kept
/// within `-bound..=bound`. Returns the best point and its value; a non-finite value counts as
/// infinitely bad.
pub(crate) fn minimise(
    mut objective: impl FnMut(&[f64]) -> f64,
    start: &[f64],
    step: f64,
    bound: f64,
    budget: Budget,
) -> (Vec<f64>, f64) {
    let n = start.len();
    let mut used = 0;
    let mut eval = |x: &[f64]| {
        used += 1;
        let y = objective(x);
        (if y.is_finite() { y } else { f64::INFINITY }, used)
    };
    let mut simplex: Vec<(Vec<f64>, f64)> = Vec::with_capacity(n + 1);
    for i in 0..=n {
        let mut x = start.to_vec();
        if i > 0 {
            x[i - 1] = (x[i - 1] + step).clamp(-bound, bound);
        }
        let y = eval(&x).0;
        simplex.push((x, y));
    }
    if n == 0 {
        return simplex.swap_remove(0);
    }
    loop {
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (best, worst) = (simplex[0].1, simplex[n].1);
        if (worst - best).abs() <= budget.tolerance || !best.is_finite() {
            break;
        }
        let centre: Vec<f64> = (0..n)
            .map(|k| simplex[..n].iter().map(|(x, _)| x[k]).sum::<f64>() / n as f64)
            .collect();
        let along = |t: f64, from: &[f64]| -> Vec<f64> {
            centre
                .iter()
                .zip(from)
                .map(|(c, w)| (c + t * (w - c)).clamp(-bound, bound))
                .collect()
        };
        let reflected = along(-1.0, &simplex[n].0);
        let (y, mut spent) = eval(&reflected);
        if y < best {
            let expanded = along(-2.0, &simplex[n].0);
            let (z, s) = eval(&expanded);
            spent = s;
            simplex[n] = if z < y { (expanded, z) } else { (reflected, y) };
        } else if y < simplex[n - 1].1 {
            simplex[n] = (reflected, y);
        } else {
            let towards = if y < worst { -0.5 } else { 0.5 };
            let contracted = along(towards, &simplex[n].0);
            let (z, s) = eval(&contracted);
            spent = s;
            if z < worst.min(y) {
                simplex[n] = (contracted, z);
            } else {
                let anchor = simplex[0].0.clone();
                for (x, y) in simplex.iter_mut().skip(1) {
                    for (v, a) in x.iter_mut().zip(&anchor) {
                        *v = 0.5 * (*v + a);
                    }
                    (*y, spent) = eval(x);
                }
            }
        }
        if spent >= budget.evaluations {
            simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
            break;
        }
    }
    simplex.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget {
        evaluations: 800,
        tolerance: 1e-12,
    };

    #[test]
    fn a_banana_valley_is_followed_to_its_end() {
        let valley = |x: &[f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            a * a + 100.0 * b * b
        };
        let (x, y) = minimise(valley, &[-1.2, 1.0], 0.5, 10.0, BUDGET);
        assert!(y < 1e-8 && (x[0] - 1.0).abs() < 1e-3, "{x:?} {y}");
    }

    #[test]
    fn the_box_is_never_left() {
        let (x, _) = minimise(|x| -x[0], &[0.0], 1.0, 3.0, BUDGET);
        assert!((x[0] - 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_flat_or_senseless_objective_ends_at_once() {
        assert_eq!(
            minimise(|_| f64::NAN, &[1.0, 2.0], 1.0, 9.0, BUDGET).0,
            vec![1.0, 2.0]
        );
        assert_eq!(minimise(|_| 5.0, &[], 1.0, 9.0, BUDGET), (vec![], 5.0));
    }
}
