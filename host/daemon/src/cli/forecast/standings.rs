//! The table of a series: every candidate by how far ahead it looked, and who was chosen.
//!
//! One row per candidate and band, because a module that is good for the next quarter of an hour may
//! be poor for tomorrow. A loss stands beside seasonal-naive and not in the signal's unit: only so
//! does one see whether a model is worth its time. What is not better is said in words below.

use crate::cli::{json, words};
use crate::render::table::Table;
use serde_json::{Value, json};
use tidegate_client::v1;

/// A band for machines; shares from 0 to 1.
pub(super) fn band(band: &v1::BandStanding) -> Value {
    json!({
        "band": band.band, "outcomes": band.outcomes, "weight": band.weight, "loss": band.loss,
        "coverage": band.coverage.iter().map(|c| json!({"level": c.level, "below": c.below})).collect::<Vec<_>>(),
        "top_bias": band.top_bias, "top_excess": band.top_excess,
    })
}

/// The table for machines.
pub(super) fn machine(table: &v1::GetStandingsResponse) -> Value {
    let candidates = table.candidates.iter().map(|c| {
        json!({
            "module": c.module.as_ref().map(json::module_ref), "config": c.config,
            "champion": c.champion, "loss": c.loss,
            "verdict": words::lower(c.verdict().as_str_name(), "COMPARISON_"),
            "bands": c.bands.iter().map(band).collect::<Vec<_>>(),
        })
    });
    json!({
        "candidates": candidates.collect::<Vec<_>>(),
        "choice": table.choice.as_ref().map(|c| json!({
            "champion": c.champion, "since": json::instant(c.since_ms),
            "ground": words::lower(c.ground().as_str_name(), "GROUND_"),
            "rival": c.rival, "rival_since": json::instant(c.rival_since_ms),
        })),
    })
}

/// The table for people.
pub(super) fn person(table: &v1::GetStandingsResponse) -> String {
    if table.candidates.is_empty() {
        return "No forecast of it has been compared with what came yet.\n".into();
    }
    let mut rows = Table::new(&[
        "candidate",
        "ahead",
        "loss",
        "in 80%",
        "in 95%",
        "below 90%",
        "below 99%",
        "top bias",
        "outcomes",
    ]);
    for candidate in &table.candidates {
        let mut name = name(candidate.module.as_ref());
        if candidate.champion {
            name += " *";
        }
        if candidate.bands.is_empty() {
            let nothing = ["-"; 7].map(str::to_owned);
            rows.row([vec![name.clone()], nothing.to_vec(), vec!["0".into()]].concat());
        }
        for band in &candidate.bands {
            rows.row(vec![
                std::mem::take(&mut name),
                band.band.clone(),
                band.loss.map_or_else(|| "-".into(), |l| format!("{l:.3}")),
                percent(inside(band, 1_000, 9_000)),
                percent(inside(band, 250, 9_750)),
                percent(below(band, 9_000)),
                percent(below(band, 9_900)),
                format!("{:+.1}", 100.0 * band.top_bias),
                band.outcomes.to_string(),
            ]);
        }
    }
    let mut text = rows.to_string();
    text += "  * answers. loss: pinball loss over that of seasonal-naive, below 1 is better; shares in %;\n  \
             top bias: share above the top level less the share promised, in points\n\n";
    for candidate in &table.candidates {
        let loss = candidate
            .loss
            .map_or_else(String::new, |l| format!(" (loss {l:.3})"));
        let verdict = match candidate.verdict() {
            v1::Comparison::Better => "better than seasonal-naive",
            v1::Comparison::NotBetter => "not better than seasonal-naive",
            v1::Comparison::TooEarly | v1::Comparison::Unspecified => "too early to say",
        };
        text += &format!("{}: {verdict}{loss}\n", name(candidate.module.as_ref()));
    }
    text += &chosen(table);
    text
}

/// Who answers since when, and who is about to.
fn chosen(table: &v1::GetStandingsResponse) -> String {
    let Some(choice) = &table.choice else {
        return "The binding's own module answers; nobody has been better for long enough.\n"
            .into();
    };
    let by_digest = |digest: &str| {
        let mut modules = table.candidates.iter().filter_map(|c| c.module.as_ref());
        let short = || digest.get(..12).unwrap_or(digest).to_owned();
        let found = modules.find(|m| m.digest == digest);
        found.map_or_else(short, |m| m.name.clone())
    };
    let ground = match choice.ground() {
        v1::Ground::Series => "by the scores of this series",
        v1::Ground::Category => "by the scores of its tenant and category, its own are too few",
        v1::Ground::Bound | v1::Ground::Unspecified => "as the binding says",
    };
    let mut text = format!(
        "{} answers since {}, {ground}.\n",
        by_digest(&choice.champion),
        words::instant(choice.since_ms)
    );
    if !choice.rival.is_empty() {
        text += &format!(
            "{} has been better since {}.\n",
            by_digest(&choice.rival),
            words::instant(choice.rival_since_ms)
        );
    }
    text
}

fn name(module: Option<&v1::ModuleRef>) -> String {
    module.map_or_else(|| "?".into(), words::module_ref)
}

fn below(band: &v1::BandStanding, level: u32) -> Option<f64> {
    band.coverage
        .iter()
        .find(|c| c.level == level)
        .map(|c| c.below)
}

fn inside(band: &v1::BandStanding, low: u32, high: u32) -> Option<f64> {
    Some(below(band, high)? - below(band, low)?)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |s| format!("{:.1}", 100.0 * s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(module: &str, champion: bool, loss: Option<f64>) -> v1::Candidate {
        let coverage = [(250, 0.01), (1_000, 0.1), (9_000, 0.92), (9_900, 0.995)];
        let verdict = match loss {
            Some(loss) if loss < 1.0 => v1::Comparison::Better,
            Some(_) => v1::Comparison::NotBetter,
            None => v1::Comparison::TooEarly,
        };
        let band = v1::BandStanding {
            band: "15m".into(),
            outcomes: 120,
            weight: 88.0,
            loss,
            coverage: coverage
                .map(|(level, below)| v1::Coverage { level, below })
                .to_vec(),
            top_bias: -0.005,
            top_excess: 0.0,
        };
        v1::Candidate {
            module: Some(v1::ModuleRef {
                name: module.into(),
                version: "0.1.0".into(),
                digest: format!("{module}-digest"),
            }),
            config: String::new(),
            champion,
            loss,
            verdict: verdict.into(),
            bands: if loss.is_some() { vec![band] } else { vec![] },
        }
    }

    #[test]
    fn every_candidate_has_its_rows_and_its_verdict_in_words() {
        let table = v1::GetStandingsResponse {
            api: "shop/pay".into(),
            signal: v1::Signal::Requests.into(),
            candidates: vec![
                candidate("theta", true, Some(0.8123)),
                candidate("ets", false, Some(1.2)),
                candidate("arima", false, None),
            ],
            choice: Some(v1::Choice {
                champion: "theta-digest".into(),
                since_ms: 60_000,
                ground: v1::Ground::Series.into(),
                rival: "ets-digest".into(),
                rival_since_ms: 120_000,
            }),
        };
        let text = person(&table);
        let row = text.lines().find(|l| l.contains("15m")).unwrap();
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert!(row.starts_with("theta") && row.contains(" * "), "{text}");
        assert!(
            cells.ends_with(&["15m", "0.812", "82.0", "-", "92.0", "99.5", "-0.5", "120"]),
            "{text}"
        );
        for part in [
            "better than seasonal-naive (loss 0.812)",
            "not better than seasonal-naive (loss 1.200)",
            "too early to say",
            "theta answers since 1970-01-01",
            "by the scores of this series",
            "ets has been better since",
        ] {
            assert!(text.contains(part), "no `{part}` in:\n{text}");
        }
        let value = machine(&table);
        assert_eq!(value["candidates"][1]["verdict"], "not_better");
        assert_eq!(value["candidates"][0]["bands"][0]["outcomes"], 120);
        assert_eq!(value["choice"]["ground"], "series");
    }

    #[test]
    fn a_series_without_outcomes_says_so() {
        let nothing = v1::GetStandingsResponse::default();
        assert!(person(&nothing).contains("yet"));
    }
}
