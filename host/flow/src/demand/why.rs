//! Says in one sentence per resource what demand made of a forecast, and what it rests on.

use super::{CostOf, Input, Need, Source, queues};
use tidegate_core::units::{Dimension, Level};

/// `None` for what is granted as it is asked for.
pub(super) fn sentence(input: &Input<'_>, dimension: Dimension, need: &Need<'_>) -> Option<String> {
    if dimension == Dimension::Requests {
        return None;
    }
    let unit = dimension.unit();
    let made_of = match (need.source, need.requests, need.direct, need.cost) {
        (_, None, None, _) | (_, Some(_), None, None) => {
            "is not forecast: what was last measured stands in".to_owned()
        }
        (Source::Itself, _, Some(_), _) => {
            "follows its own forecast, which erred less than requests times their cost".to_owned()
        }
        (_, _, Some(_), None) | (_, None, Some(_), _) => "follows its own forecast".to_owned(),
        (source, Some(requests), direct, Some(CostOf::Learned(cost))) => {
            let load = requests.quantile(0, Level::P50);
            let sure = 100.0 * cost.spread(load) / cost.at(load).max(f64::MIN_POSITIVE);
            let beside = match (source, direct) {
                (_, None) => "",
                (Source::Requests, _) => ", which erred less than its own forecast",
                (Source::Mean, _) => ", and its own forecast counts as much",
                (_, Some(_)) => {
                    ", or its own forecast where that is higher: they were not compared enough, or a \
                     full grant hid the need"
                }
            };
            let base = cost.base();
            let above = if base > 0.001 * cost.at(load) {
                format!(" above a base of {}", short(base))
            } else {
                String::new()
            };
            format!(
                "costs {} {unit} per request/s{above} (give or take {sure:.0} %){beside}",
                short(cost.per_request()),
            )
        }
        (_, Some(_), _, Some(CostOf::Itself)) => return None,
    };
    let name = dimension.name();
    let aim = aim(input, dimension, need);
    Some(format!("{name} {made_of}; {aim}{}", levels(input)))
}

/// Up to which quantile is met and bought, where that differs.
fn levels(input: &Input<'_>) -> String {
    if input.buy_level <= input.level {
        return String::new();
    }
    format!(
        "; of the forecast it asks for {}, and for {} as far as the pool can grow",
        quantile(input.level),
        quantile(input.buy_level)
    )
}

fn quantile(level: Level) -> String {
    format!("p{}", short(f64::from(level.get()) / 100.0))
}

fn aim(input: &Input<'_>, dimension: Dimension, need: &Need<'_>) -> String {
    let percent = 100.0 * need.aim;
    let learned = input.learned.strictest(dimension);
    match learned {
        Some((slo, curve)) if curve.is_informed() && !curve.is_curable() => format!(
            "it aims at the configured {percent:.0} % utilisation, because {slo} is missed at any: mostly \
             more than {} % of requests take over {} even when little is used",
            short(100.0 * curve.allowed),
            time(curve.threshold),
        ),
        Some((slo, curve)) if curve.is_informed() => format!(
            "it aims at {percent:.0} % utilisation, because above it more than {} % of requests would \
             take over {} in too many steps ({slo})",
            short(100.0 * curve.allowed),
            time(curve.threshold),
        ),
        Some((slo, _)) => format!(
            "it aims at {percent:.0} % utilisation, since too little was seen near that to learn what \
             {slo} allows"
        ),
        None if queues(dimension) => format!(
            "it aims at the configured {percent:.0} % utilisation, since no latency objective was seen \
             under load"
        ),
        None => format!("it aims at the configured {percent:.0} % utilisation"),
    }
}

/// Three digits that say something.
fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return "0".into();
    }
    let digits = libm::floor(libm::log10(x.abs())) as i32;
    if !(-6..=5).contains(&digits) {
        return format!("{x:.2e}");
    }
    let text = format!("{x:.*}", usize::try_from((2 - digits).max(0)).unwrap_or(0));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", short(1000.0 * seconds))
    } else {
        format!("{} s", short(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_three_digits() {
        let said: Vec<String> = [0.0, 5.0, 0.012_345, 71.25, 123_456.0, 4e9, 1e-9]
            .map(short)
            .into();
        assert_eq!(
            said,
            ["0", "5", "0.0123", "71.2", "123456", "4.00e9", "1.00e-9"]
        );
        assert_eq!((time(0.2), time(1.5)), ("200 ms".into(), "1.5 s".into()));
    }
}
