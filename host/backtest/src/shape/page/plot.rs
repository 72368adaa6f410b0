//! Drawing in SVG: a frame with axes, and lines, bands and marks in it.

use std::fmt::Write as _;

/// A frame in which `x` and `y` are drawn.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) bottom: f64,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
}

const TOP: f64 = 10.0;
const RIGHT: f64 = 10.0;

impl Frame {
    /// Where a value of `x` lies.
    pub(super) fn at_x(&self, x: f64) -> f64 {
        let part = (x - self.x.0) / (self.x.1 - self.x.0).max(f64::MIN_POSITIVE);
        self.left + part * (self.width - self.left - RIGHT)
    }

    /// Where a value of `y` lies.
    pub(super) fn at_y(&self, y: f64) -> f64 {
        let part = (y - self.y.0) / (self.y.1 - self.y.0).max(f64::MIN_POSITIVE);
        self.height - self.bottom - part.clamp(0.0, 1.0) * (self.height - self.bottom - TOP)
    }

    /// The drawing with its axes, ticks and what is in it.
    pub(super) fn svg(
        &self,
        x_ticks: &[(f64, String)],
        y_ticks: &[(f64, String)],
        inside: &str,
        title: &str,
    ) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>",
            self.width, self.height
        );
        let (floor, end) = (self.height - self.bottom, self.width - RIGHT);
        for (y, label) in y_ticks {
            let at = self.at_y(*y);
            let _ = write!(
                out,
                "<path class=\"axis\" d=\"M{:.1} {at:.1}H{end:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                self.left,
                self.left - 6.0,
                at + 4.0
            );
        }
        for (x, label) in x_ticks {
            let at = self.at_x(*x);
            let _ = write!(
                out,
                "<path class=\"axis\" d=\"M{at:.1} {floor:.1}v4\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                floor + 17.0
            );
        }
        out.push_str(inside);
        out.push_str("</svg>");
        out
    }

    /// A line through points; a step where a point is not finite begins anew.
    pub(super) fn line(&self, class: &str, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for (x, y) in points {
            if y.is_finite() {
                let _ = write!(path, "{pen}{:.1} {:.1}", self.at_x(*x), self.at_y(*y));
                pen = 'L';
            } else {
                pen = 'M';
            }
        }
        format!("<path class=\"{class}\" d=\"{path}\"/>")
    }

    /// A band between two lines on the same `x`.
    pub(super) fn band(&self, class: &str, points: &[(f64, f64, f64)]) -> String {
        let whole: Vec<_> = points
            .iter()
            .filter(|p| p.1.is_finite() && p.2.is_finite())
            .collect();
        let mut path = String::new();
        let mut pen = 'M';
        let upper = whole.iter().map(|p| (p.0, p.2));
        let lower = whole.iter().rev().map(|p| (p.0, p.1));
        for (x, y) in upper.chain(lower) {
            let _ = write!(path, "{pen}{:.1} {:.1}", self.at_x(x), self.at_y(y));
            pen = 'L';
        }
        format!("<path class=\"{class}\" d=\"{path}\"/>")
    }
}

/// About so many round numbers from 0 to the most.
pub(super) fn ticks(most: f64, about: usize) -> Vec<(f64, String)> {
    let raw = (most / about.max(1) as f64).max(1e-12);
    let power = power_of_ten(raw);
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|s| *s >= raw)
        .unwrap_or(raw);
    let count = (most / step).floor() as usize;
    (0..=count)
        .map(|i| i as f64 * step)
        .map(|v| (v, short(v)))
        .collect()
}

/// The power of ten at or below a positive number.
fn power_of_ten(value: f64) -> f64 {
    let mut power = 1.0;
    while power > value {
        power /= 10.0;
    }
    while power * 10.0 <= value {
        power *= 10.0;
    }
    power
}

/// A number as short as it is clear.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{:.1}G", value / 1e9),
        v if v >= 1e6 => format!("{:.1}M", value / 1e6),
        v if v >= 1e4 => format!("{:.0}k", value / 1e3),
        v if v >= 10.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 0.1 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_no_further_than_the_most() {
        let labels = |most| {
            ticks(most, 4)
                .into_iter()
                .map(|(_, l)| l)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(7.0), ["0", "2.0", "4.0", "6.0"]);
        assert_eq!(labels(2_300.0), ["0", "1000", "2000"]);
        assert_eq!(labels(50_000.0), ["0", "20k", "40k"]);
    }
}
