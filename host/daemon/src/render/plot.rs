//! Curves in a terminal: what was measured, what is expected, and how sure that is.
//!
//! One character is one bucket of steps, so that a long horizon fits; a bucket shows the mean of
//! its values, and the outer edges of its band, because a band must not look narrower than it is.

/// Curves over time; NaN where nothing was measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Curves<'a> {
    /// Measured.
    pub(crate) history: &'a [f64],
    /// Expected.
    pub(crate) mean: &'a [f64],
    /// Lower edge of the band.
    pub(crate) low: &'a [f64],
    /// Upper edge of the band.
    pub(crate) high: &'a [f64],
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values as a line of bars between 0 and the largest; a space where nothing is.
pub(crate) fn sparkline(values: &[f64]) -> String {
    let top = values
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    let bar = |v: &f64| match v {
        v if !v.is_finite() => ' ',
        _ if top <= 0.0 => BARS[0],
        v => BARS[((v / top * 7.0).round() as usize).min(7)],
    };
    values.iter().map(bar).collect()
}

/// Draws curves, `width` characters wide at most and `height` high, with an axis of labels that
/// `label` writes.
pub(crate) fn draw(
    curves: &Curves<'_>,
    width: usize,
    height: usize,
    label: impl Fn(f64) -> String,
) -> String {
    let total = curves.history.len() + curves.mean.len();
    let per = total.div_ceil(width.max(2)).max(1);
    let mean = |chunk: &[f64]| {
        let seen: Vec<f64> = chunk.iter().copied().filter(|v| v.is_finite()).collect();
        if seen.is_empty() {
            f64::NAN
        } else {
            seen.iter().sum::<f64>() / seen.len() as f64
        }
    };
    let history: Vec<f64> = curves.history.rchunks(per).rev().map(mean).collect();
    let expected: Vec<f64> = curves.mean.chunks(per).map(mean).collect();
    let low: Vec<f64> = curves
        .low
        .chunks(per)
        .map(|c| c.iter().copied().fold(f64::INFINITY, f64::min))
        .collect();
    let high: Vec<f64> = curves
        .high
        .chunks(per)
        .map(|c| c.iter().copied().fold(0.0, f64::max))
        .collect();

    let all = history
        .iter()
        .chain(&expected)
        .chain(&high)
        .copied()
        .filter(|v| v.is_finite());
    let top = all.fold(0.0, f64::max);
    if total == 0 || top <= 0.0 {
        return "nothing to draw: every value is 0 or missing\n".into();
    }
    let height = height.max(2);
    let row = |v: f64| ((v / top * (height - 1) as f64).round() as usize).min(height - 1);
    let mut cells = vec![vec![' '; history.len() + expected.len()]; height];
    for (x, v) in history.iter().enumerate().filter(|(_, v)| v.is_finite()) {
        cells[row(*v)][x] = '•';
    }
    for (i, v) in expected.iter().enumerate() {
        let x = history.len() + i;
        if let (Some(&low), Some(&high)) = (low.get(i), high.get(i))
            && low.is_finite()
        {
            cells
                .iter_mut()
                .take(row(high) + 1)
                .skip(row(low))
                .for_each(|line| line[x] = '░');
        }
        if v.is_finite() {
            cells[row(*v)][x] = '━';
        }
    }
    let labels = [label(top), label(top / 2.0), label(0.0)];
    let margin = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (y, line) in cells.iter().enumerate().rev() {
        let name = match y {
            _ if y == height - 1 => labels[0].as_str(),
            0 => labels[2].as_str(),
            _ if y == height / 2 && height > 4 => labels[1].as_str(),
            _ => "",
        };
        let line: String = line.iter().collect();
        text += format!("{name:>margin$} │{line}").trim_end();
        text.push('\n');
    }
    let axis = format!(
        "{}┴{}",
        "─".repeat(history.len()),
        "─".repeat(expected.len())
    );
    text + &format!(
        "{:>margin$} └{}\n",
        "",
        axis.chars()
            .take(history.len() + expected.len() + 1)
            .collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(drawn: &str, expected: &[&str]) {
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines, expected, "\n{drawn}");
    }

    #[test]
    fn history_runs_into_a_mean_within_its_band() {
        let curves = Curves {
            history: &[0.0, 2.0, 4.0, f64::NAN],
            mean: &[4.0, 6.0, 6.0],
            low: &[4.0, 4.0, 2.0],
            high: &[4.0, 6.0, 8.0],
        };
        check(
            &draw(&curves, 40, 5, |v| format!("{v:.0}")),
            &[
                "8 │      ░",
                "  │     ━━",
                "4 │  • ━░░",
                "  │ •    ░",
                "0 │•",
                "  └────┴───",
            ],
        );
    }

    #[test]
    fn a_long_curve_is_squeezed_and_its_band_keeps_its_outer_edges() {
        let high: Vec<f64> = (0..100).map(|i| if i == 50 { 10.0 } else { 5.0 }).collect();
        let curves = Curves {
            history: &[],
            mean: &[5.0; 100],
            low: &[5.0; 100],
            high: &high,
        };
        let drawn = draw(&curves, 10, 3, |v| format!("{v}"));
        check(
            &drawn,
            &["10 │     ░", "   │━━━━━━━━━━", " 0 │", "   └┴──────────"],
        );
    }

    #[test]
    fn nothing_is_told_as_nothing() {
        assert!(draw(&Curves::default(), 10, 3, |v| format!("{v}")).contains("nothing to draw"));
        assert!(
            draw(
                &Curves {
                    mean: &[0.0],
                    ..Curves::default()
                },
                10,
                3,
                |v| format!("{v}")
            )
            .contains("every value is 0")
        );
    }

    #[test]
    fn a_sparkline_spans_from_zero_to_its_top() {
        assert_eq!(sparkline(&[0.0, 50.0, 100.0, f64::NAN]), "▁▅█ ");
        assert_eq!(sparkline(&[0.0, 0.0]), "▁▁");
    }
}
