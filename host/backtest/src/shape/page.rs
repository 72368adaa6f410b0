//! The report for people: one HTML file with its drawings in it, to be mailed or kept with a build.
//!
//! No script, no font, no link: it must open in ten years and behind any wall. Colours keep their
//! meaning throughout and are told apart without them (dashes, labels), in light and in dark.

mod frontier;
mod plot;
mod trace;

use super::case::Supply;
use super::runs::{Done, Policy, World};
use super::score::Score;
use super::summary::{Summary, Versus};
use std::fmt::Write as _;
use tidegate_core::tier::Tier;

const STYLE: &str = include_str!("page/style.css");

/// The whole file.
#[must_use]
pub fn html(seed: u64, world: &World, summary: &Summary<'_>, done: &[Done]) -> String {
    let mut out = String::new();
    let apis: usize = world.cases.iter().map(|c| c.apis.len()).sum();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Tidegate backtest</title><style>{STYLE}</style></head><body><main>\
         <h1>What shaping would have brought</h1><p>{apis} trace(s), {} minutes of them scored, seed {}. {}</p>",
        grouped(summary.rows.first().map_or(0, |r| r.total.minutes)),
        seed,
        pool(world),
    );
    for error in &world.left_out {
        let _ = write!(
            out,
            "<p class=\"note\">Left out: {}</p>",
            text(&error.to_string())
        );
    }
    figures(&mut out, &summary.versus);
    let _ = write!(out, "<h2>Policies</h2>{}", policies(summary));
    let _ = write!(
        out,
        "<h2>Cost against violations</h2>{}<p class=\"note\">Each point is one policy over all traces; \
         lower and further left is better. HPA is drawn at every target of its sweep.</p>",
        frontier::svg(summary)
    );
    out.push_str("<h2>Traces</h2>");
    for (at, case) in world.cases.iter().enumerate() {
        for (api, of) in case.apis.iter().enumerate() {
            let _ = write!(
                out,
                "<section><h3>{} <small>{}</small></h3>",
                text(&of.name),
                of.tier.name()
            );
            if let Some(v) = summary.per_trace.get(of.name.as_str()) {
                let _ = write!(out, "<p>{}</p>", sentence(summary, &of.name, v));
            }
            out.push_str(&trace::svg(world, summary, done, at, api));
            out.push_str("</section>");
        }
    }
    out.push_str(METHOD);
    out.push_str("</main></body></html>\n");
    out
}

const METHOD: &str = "<h2>How it was measured</h2><ul>\
<li>A replica serves a tenth of a trace's 95th percentile at full use. A minute is violated when its 95th percentile of latency is above 200 ms or more than 1 % of its requests fail.</li>\
<li>Every policy meets the same arrivals, second by second, with bursts that no trace shows; what a request costs drifts, and nobody is told. New replicas serve after the lead time, and are paid for from the moment they are asked for.</li>\
<li>HPA is Kubernetes' documented algorithm (15 s sync, 10 % tolerance, 5 min stabilisation, metrics one scrape old), swept over targets of 30 to 90 %. Static peak and oracle know the future.</li>\
<li>At equal cost, or equal violations, HPA is read from the frontier of its sweep.</li></ul>";

fn pool(world: &World) -> String {
    match world.cases.first().map(|c| (c.supply, c.lead_s)) {
        Some((Supply::Scarce(replicas), lead)) => {
            format!("One pool of {replicas} replicas for all; new capacity serves after {lead} s.")
        }
        Some((Supply::Elastic, lead)) => {
            format!("Capacity can be bought; new capacity serves after {lead} s.")
        }
        None => String::new(),
    }
}

fn figures(out: &mut String, versus: &Versus) {
    let all = [
        ("violations, at HPA's cost", versus.violations_vs_hpa),
        ("replica-hours, at HPA's violations", versus.cost_vs_hpa),
        ("replica-hours, of the oracle's", versus.cost_vs_oracle),
    ];
    out.push_str("<div class=\"figures\">");
    for (what, ratio) in all {
        let figure = ratio.map_or("–".to_owned(), |r| format!("{r:.2}×"));
        let _ = write!(out, "<div><b>{figure}</b><span>{what}</span></div>");
    }
    out.push_str("</div>");
}

fn policies(summary: &Summary<'_>) -> String {
    let mut out = String::from(
        "<table><thead><tr><th>policy</th><th>violated minutes</th><th>share</th><th>gold</th><th>silver</th>\
         <th>bronze</th><th>replica-hours</th><th>slack</th><th>changes/h</th></tr></thead><tbody>",
    );
    for row in &summary.rows {
        let class = match row.policy {
            Policy::Tidegate(_) => " class=\"own\"",
            _ => "",
        };
        let _ = write!(
            out,
            "<tr{class}><td>{}</td>{}</tr>",
            text(&label(row.policy)),
            cells(&row.total)
        );
    }
    out.push_str("</tbody></table>");
    out
}

/// With its dial, where it has one.
fn label(policy: Policy) -> String {
    match policy {
        Policy::Tidegate(target) => format!("Tidegate ({:.0} %)", target * 100.0),
        Policy::Hpa(target) => format!("HPA ({target} %)"),
        Policy::Static => "static peak".into(),
        Policy::Reactive => "threshold rule".into(),
        Policy::Oracle => "oracle".into(),
    }
}

fn cells(score: &Score) -> String {
    let tier = |t: Tier| {
        score
            .by_tier
            .get(&t)
            .map_or("–".to_owned(), |n| grouped(*n))
    };
    [
        grouped(score.violations),
        format!("{:.3} %", 100.0 * score.rate()),
        tier(Tier::Gold),
        tier(Tier::Silver),
        tier(Tier::Bronze),
        format!("{:.0}", score.resource_hours),
        format!("{:.0} %", 100.0 * score.slack()),
        format!("{:.1}", score.churn_per_hour()),
    ]
    .map(|cell| format!("<td>{cell}</td>"))
    .concat()
}

fn sentence(summary: &Summary<'_>, name: &str, v: &Versus) -> String {
    let Some(own) = summary.tidegate().and_then(|r| r.traces.get(name)) else {
        return String::new();
    };
    let ratio = |r: Option<f64>| r.map_or("–".to_owned(), |r| format!("{r:.2}"));
    format!(
        "{} of {} minutes violated, {:.0} replica-hours. Of HPA's at equal cost: {} of the violations; at equal violations: {} of the cost. Of the oracle's cost: {}.",
        grouped(own.violations),
        grouped(own.minutes),
        own.resource_hours,
        ratio(v.violations_vs_hpa),
        ratio(v.cost_vs_hpa),
        ratio(v.cost_vs_oracle)
    )
}

/// 12345 as 12,345.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Safe in HTML.
fn text(raw: &str) -> String {
    raw.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_text_and_numbers_are_grouped() {
        assert_eq!(text("<b>&\"x\""), "&lt;b&gt;&amp;&quot;x&quot;");
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
