//! How forecasts compare with seasonal-naive, in a word: for listings, where the whole table of
//! `tidegate forecast --why` has no place. What is not better is said first and by name, because
//! that is what somebody can do something about; a mean over all would hide it.

use super::words;
use tidegate_client::v1;
use v1::Comparison;

/// How the series of an api fare, as a cell of a table.
pub(crate) fn cell(all: &[v1::SeriesStanding]) -> String {
    let of = |verdict| all.iter().filter(move |s| s.verdict() == verdict);
    let named = |s: &v1::SeriesStanding| format!("{}{}", words::signal(s.signal()), loss(s));
    let losing: Vec<String> = of(Comparison::NotBetter).map(named).collect();
    if !losing.is_empty() {
        return format!("not better than naive: {}", losing.join(", "));
    }
    let worst = of(Comparison::Better).max_by(|a, b| a.loss().total_cmp(&b.loss()));
    match (worst, all.is_empty()) {
        (Some(worst), _) => format!("better{}", loss(worst)),
        (None, true) => "-".into(),
        (None, false) => "too early to say".into(),
    }
}

/// One series as a sentence.
pub(crate) fn sentence(standing: &v1::SeriesStanding) -> String {
    let verdict = match standing.verdict() {
        Comparison::Better => "better than seasonal-naive",
        Comparison::NotBetter => "not better than seasonal-naive",
        Comparison::TooEarly | Comparison::Unspecified => "too early to say",
    };
    let module = standing.module.as_ref();
    format!(
        "{} by {}: {verdict}{}, {} outcomes",
        words::signal(standing.signal()),
        module.map_or_else(|| "?".into(), words::module_ref),
        loss(standing),
        standing.outcomes
    )
}

fn loss(standing: &v1::SeriesStanding) -> String {
    let text = |loss| format!(" ({loss:.2})");
    standing.loss.map_or_else(String::new, text)
}

/// The summary of all series that the caller may see.
pub(crate) fn summary(summary: &v1::ForecastSummary) -> String {
    let v1::ForecastSummary {
        better,
        not_better,
        too_early,
        ..
    } = summary;
    if better + not_better + too_early == 0 {
        return "no forecast has been held against what came yet\n".into();
    }
    let mut text = format!(
        "forecasts beside seasonal-naive, by series: {better} better, {not_better} not better, {too_early} too early to say\n"
    );
    for standing in &summary.worst {
        text += &format!("  {} {}\n", standing.api, sentence(standing));
    }
    let more = (*not_better).saturating_sub(summary.worst.len() as u64);
    if more > 0 {
        text += &format!("  and {more} more; `tidegate get apis` lists them\n");
    }
    if *not_better > 0 {
        text += "  `tidegate forecast API --why` shows the table; another module, or a challenger, may do better\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(signal: v1::Signal, verdict: Comparison, loss: Option<f64>) -> v1::SeriesStanding {
        v1::SeriesStanding {
            api: "shop/pay".into(),
            signal: signal.into(),
            module: Some(v1::ModuleRef {
                name: "theta".into(),
                ..v1::ModuleRef::default()
            }),
            verdict: verdict.into(),
            loss,
            outcomes: 40,
        }
    }

    #[test]
    fn one_series_that_is_not_better_is_named_whatever_the_others_are() {
        use v1::Signal::{Cpu, Requests};
        let good = series(Requests, Comparison::Better, Some(0.61));
        let fair = series(Cpu, Comparison::Better, Some(0.9));
        let poor = series(Cpu, Comparison::NotBetter, Some(1.2));
        let young = series(Cpu, Comparison::TooEarly, None);
        assert_eq!(cell(&[good.clone(), fair]), "better (0.90)");
        assert_eq!(
            cell(&[good, poor.clone()]),
            "not better than naive: cpu (1.20)"
        );
        assert_eq!(cell(std::slice::from_ref(&young)), "too early to say");
        assert_eq!(cell(&[]), "-");

        let told = summary(&v1::ForecastSummary {
            better: 3,
            not_better: 2,
            too_early: 0,
            worst: vec![poor],
        });
        for part in [
            "3 better, 2 not better",
            "shop/pay cpu by theta: not better than seasonal-naive (1.20), 40 outcomes",
            "and 1 more",
            "--why",
        ] {
            assert!(told.contains(part), "no `{part}` in:\n{told}");
        }
        assert!(summary(&v1::ForecastSummary::default()).contains("yet"));
    }
}
