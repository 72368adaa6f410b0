//! A rival at its best: the frontier of a sweep, read at a given cost or at given violations.
//!
//! A policy with one dial is a curve of cost against violations, and comparing with one point of it
//! compares with whoever set the dial. Points that another beats in both are left out. Between points
//! violations fall about exponentially with cost, so they are interpolated in the logarithm (of one
//! more, since 0 occurs); a straight line would lie above the curve and flatter whoever is compared.

/// One run of the sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Resource-hours.
    pub cost: f64,
    /// Violation minutes.
    pub violations: f64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frontier {
    /// Cost rises, violations fall.
    points: Vec<Point>,
}

impl Frontier {
    /// Of any runs.
    #[must_use]
    pub fn of(runs: &[Point]) -> Self {
        let mut sorted = runs.to_vec();
        sorted.sort_by(|a, b| {
            let by_cost = a.cost.total_cmp(&b.cost);
            by_cost.then(a.violations.total_cmp(&b.violations))
        });
        let mut points: Vec<Point> = vec![];
        for point in sorted {
            if points
                .last()
                .is_none_or(|p| point.violations < p.violations)
            {
                points.push(point);
            }
        }
        Self { points }
    }

    /// The points that nobody beats.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The fewest violations at no more than this cost; those of the cheapest point where even that
    /// costs more. `None` without points.
    #[must_use]
    pub fn violations_at(&self, cost: f64) -> Option<f64> {
        let read = |p: &Point| (p.cost, libm::log1p(p.violations));
        between(&self.points, read, cost).map(libm::expm1)
    }

    /// The lowest cost with no more violations than these; that of the dearest point where even that
    /// has more. `None` without points.
    #[must_use]
    pub fn cost_at(&self, violations: f64) -> Option<f64> {
        let read = |p: &Point| (-libm::log1p(p.violations), p.cost);
        between(&self.points, read, -libm::log1p(violations))
    }
}

/// Reads a curve of rising `x` at one; its ends hold beyond them.
fn between(points: &[Point], read: impl Fn(&Point) -> (f64, f64), x: f64) -> Option<f64> {
    let after = points.iter().position(|p| read(p).0 >= x);
    match after {
        None => points.last().map(|p| read(p).1),
        Some(0) => points.first().map(|p| read(p).1),
        Some(i) => {
            let ((x0, y0), (x1, y1)) = (read(&points[i - 1]), read(&points[i]));
            Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier() -> Frontier {
        let runs = [
            (100.0, 99.0),
            (200.0, 9.0),
            (150.0, 200.0),
            (300.0, 0.0),
            (400.0, 0.0),
        ];
        Frontier::of(&runs.map(|(cost, violations)| Point { cost, violations }))
    }

    #[test]
    fn what_another_run_beats_is_no_part_of_the_frontier() {
        let costs: Vec<f64> = frontier().points().iter().map(|p| p.cost).collect();
        assert_eq!(costs, [100.0, 200.0, 300.0]);
    }

    #[test]
    fn between_runs_the_logarithm_is_interpolated_and_beyond_them_the_end_holds() {
        let close = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() < 1e-9);
        let f = frontier();
        assert!(close(f.violations_at(150.0), 1000.0_f64.sqrt() - 1.0));
        assert!(close(f.cost_at(1000.0_f64.sqrt() - 1.0), 150.0));
        assert!(close(f.violations_at(50.0), 99.0) && close(f.violations_at(900.0), 0.0));
        assert!(close(f.cost_at(500.0), 100.0) && close(f.cost_at(0.0), 300.0));
        assert_eq!(Frontier::of(&[]).cost_at(1.0), None);
    }
}
