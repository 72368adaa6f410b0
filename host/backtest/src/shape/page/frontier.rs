//! Cost against violations, every policy a point.

use super::super::runs::Policy;
use super::super::summary::Summary;
use super::plot::{Frame, ticks};
use super::{label, text};
use std::fmt::Write as _;

/// Violations are drawn by their logarithm, of one more since 0 occurs.
fn log(violations: f64) -> f64 {
    libm::log1p(violations)
}

/// The drawing.
pub(super) fn svg(summary: &Summary<'_>) -> String {
    let scores = || summary.rows.iter().map(|r| &r.total);
    let dearest = scores().map(|s| s.resource_hours).fold(1.0, f64::max);
    let worst = scores().map(|s| s.violations as f64).fold(9.0, f64::max);
    let frame = Frame {
        width: 1000.0,
        height: 360.0,
        left: 60.0,
        bottom: 40.0,
        x: (0.0, dearest * 1.05),
        y: (0.0, log(worst) * 1.05),
    };
    let mut inside = String::new();
    for (class, is) in [
        (
            "hpa",
            (|p| matches!(p, Policy::Hpa(_))) as fn(Policy) -> bool,
        ),
        ("own", |p| matches!(p, Policy::Tidegate(_))),
    ] {
        let of = summary.rows.iter().filter(|r| is(r.policy));
        let mut points: Vec<(f64, f64)> = of
            .map(|r| (r.total.resource_hours, log(r.total.violations as f64)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        inside.push_str(&frame.line(class, &points));
    }
    for row in &summary.rows {
        let (class, radius) = match row.policy {
            Policy::Tidegate(_) => ("dot-own", 5.0),
            Policy::Hpa(_) => ("dot-hpa", 3.5),
            Policy::Oracle => ("dot-oracle", 5.0),
            Policy::Static | Policy::Reactive => ("dot-other", 5.0),
        };
        let (x, y) = (row.total.resource_hours, log(row.total.violations as f64));
        let (x, y) = (frame.at_x(x), frame.at_y(y));
        let name = text(&label(row.policy));
        let _ = write!(
            inside,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{name}: {} violated minutes, {:.0} replica-hours</title></circle>",
            row.total.violations, row.total.resource_hours
        );
        let is_named = !matches!(row.policy, Policy::Hpa(target) if !target.is_multiple_of(30));
        if is_named {
            let _ = write!(
                inside,
                "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                x + 7.0,
                y - 6.0
            );
        }
    }
    let decades: Vec<(f64, String)> = [0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]
        .into_iter()
        .filter(|v| *v <= worst)
        .map(|v| (log(v), format!("{v:.0}")))
        .collect();
    frame.svg(
        &ticks(dearest * 1.05, 8),
        &decades,
        &inside,
        "Replica-hours (across) against violated minutes (up)",
    )
}
