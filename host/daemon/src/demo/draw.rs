//! What a person sees while the demo runs: bars of grant and use per api, redrawn in place on a
//! terminal, a line every six hours elsewhere.
#![expect(
    clippy::print_stderr,
    reason = "progress is for a person; the summary goes to stdout"
)]

use super::traces::{DAY, STEP_S, Traces};
use super::{POOL_CORES, setup};
use std::fmt::Write as _;
use tidegate_client::sim::Observation;

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drawing {
    /// Bars, redrawn in place.
    Live,
    /// A line now and then.
    Lines,
    /// Nothing.
    Off,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Screen {
    drawing: Drawing,
    /// Lines of the last drawing, to be overwritten.
    drawn: usize,
}

/// Width of a bar of the whole pool, in characters.
const WIDTH: f64 = 48.0;
/// Steps between two drawings.
const EVERY: usize = 6;

impl Screen {
    /// A screen of that kind.
    pub(crate) fn new(drawing: Drawing) -> Self {
        Self { drawing, drawn: 0 }
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, text: &str) {
        if self.drawing != Drawing::Off {
            self.clear();
            eprintln!("{text}");
        }
    }

    /// The state after live step `n` of `all`.
    pub(crate) fn step(
        &mut self,
        traces: &Traces,
        n: usize,
        all: usize,
        cores: &[f64],
        seen: &[Observation],
    ) {
        let clock = (n % DAY) * STEP_S as usize / 60;
        let when = format!(
            "live day {}, {:02}:{:02}",
            n / DAY + 1,
            clock / 60,
            clock % 60
        );
        match self.drawing {
            Drawing::Live if n.is_multiple_of(EVERY) || n + 1 == all => {
                let text = bars(traces, &when, cores, seen);
                self.clear();
                self.drawn = text.lines().count();
                eprint!("{text}");
            }
            Drawing::Lines if n.is_multiple_of(DAY / 4) => {
                let used: f64 = seen.iter().map(Observation::mean_cores).sum();
                eprintln!("{when}: {used:.1} of {POOL_CORES} cores in use ({n} of {all} steps)");
            }
            Drawing::Live | Drawing::Lines | Drawing::Off => {}
        }
    }

    /// Leaves the last drawing where it is.
    pub(crate) fn end(&mut self) {
        self.drawn = 0;
    }

    fn clear(&mut self) {
        if self.drawn > 0 {
            eprint!("\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }
}

/// One line an api: what it uses (█) inside what it may use (░), and whether it keeps its promise.
fn bars(traces: &Traces, when: &str, cores: &[f64], seen: &[Observation]) -> String {
    let mut text = format!("{when}   pool of {POOL_CORES} cores   █ used  ░ granted\n");
    for ((api, &granted), seen) in traces.apis.iter().zip(cores).zip(seen) {
        let used = seen.mean_cores();
        let scale = |x: f64| (x / POOL_CORES * WIDTH).round().clamp(0.0, WIDTH) as usize;
        let (full, whole) = (scale(used), scale(granted).max(scale(used)));
        let bad = seen.slow.first().copied().unwrap_or(0) + seen.errors();
        let answered = (seen.served + seen.errors()).max(1);
        let kept = bad as f64 <= (1.0 - api.promise.objective) * answered as f64;
        let tier = setup::tier(api.tier)
            .as_str_name()
            .trim_start_matches("TIER_")
            .to_lowercase();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<8} {tier:<6} {:>6.0}/s {:>5.2} of {granted:>5.2} {}{}{} {}",
            api.name,
            seen.requests as f64 / f64::from(STEP_S),
            used,
            "█".repeat(full),
            "░".repeat(whole - full),
            " ".repeat(WIDTH as usize - whole.min(WIDTH as usize)),
            if kept { " ok" } else { "MISSED" },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_client::sim::{Grant, Service};

    #[test]
    fn a_bar_shows_use_within_the_grant() {
        let traces = super::super::traces::load().unwrap();
        let mut services: Vec<Service> = traces
            .apis
            .iter()
            .map(|a| Service::new(a.spec.clone(), 1).unwrap())
            .collect();
        let cores = vec![POOL_CORES / 2.0; 6];
        let seen: Vec<_> = services
            .iter_mut()
            .map(|s| s.step(50.0, 50.0, 300, Grant::of_cores(7.0)))
            .collect();
        let text = bars(&traces, "now", &cores, &seen);
        let first = text.lines().nth(1).unwrap();
        assert_eq!(text.lines().count(), 7);
        assert!(
            first.starts_with("orders   gold") && first.contains('█') && first.contains('░'),
            "{first}"
        );
        assert_eq!(first.chars().filter(|c| "█░".contains(*c)).count(), 24);
    }
}
