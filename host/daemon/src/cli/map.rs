//! `tidegate map test`: what a metric becomes, and why, by the configuration alone.
//!
//! It runs the same decision as the daemon, on the same file, without one: a rule is tried before
//! it is in force. The protocol tells of a metric what kind it is; where a person does not say it,
//! it is guessed by the name as a reader would.

use super::connect::Output;
use crate::config;
use anyhow::{Result, anyhow, ensure};
use clap::{Subcommand, ValueEnum};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tidegate_bridges::feed::Clock;
use tidegate_bridges::mapping::rules::{self, Written};
use tidegate_bridges::mapping::{Holder, How, Labels, Shape, Stream, Verdict};
use tidegate_core::ids::TenantId;

/// What is asked about the mapping of metrics.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Tell what a metric becomes and why, by the configuration; the exit code is 1 when nothing of it is taken
    Test(Args),
}

/// A metric.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The metric, for example 'http_requests_total{job="edge", code="200"} 12'
    #[arg(value_name = "NAME{LABEL=\"VALUE\",…} [VALUE]")]
    metric: String,
    /// Configuration file whose `feeds:` is tried
    #[arg(short, long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// What kind of metric it is; guessed by its name unless told
    #[arg(long = "type", value_enum)]
    kind: Option<KindArg>,
    /// Its unit, as OTLP tells it, for example ms
    #[arg(long, default_value = "")]
    unit: String,
    /// A tenant that the sender's credential holds; again for more; all unless told
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<TenantId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    Counter,
    Gauge,
    Histogram,
}

/// Runs a verb. A script that tries its metrics before it sends them asks by the exit code.
pub(crate) fn run(verb: &Verb, output: Output) -> Result<()> {
    let Verb::Test(args) = verb;
    let (text, taken) = test(args, output)?;
    super::say(&text)?;
    ensure!(taken, "nothing of this metric would be taken");
    Ok(())
}

fn guess(name: &str) -> KindArg {
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
    if ends(&[
        "_total",
        "_count",
        "_xx",
        "_2xx",
        "_4xx",
        "_5xx",
        "_sum",
        ".time",
        ".io",
        ".operations",
        "_recursive",
    ]) {
        KindArg::Counter
    } else if ends(&[
        ".duration",
        "_duration_seconds",
        "_duration_milliseconds",
        "_bucket",
        ".upstream_rq_time",
    ]) {
        KindArg::Histogram
    } else {
        KindArg::Gauge
    }
}

/// What is told, and whether anything is taken.
fn test(args: &Args, output: Output) -> Result<(String, bool)> {
    let config = config::load(args.config.as_deref())?;
    let options = config
        .feeds
        .options(config.step.0, Clock::Machine)
        .map_err(|problem| anyhow!(problem))?;
    let Written {
        name,
        labels,
        value,
    } = rules::written(&args.metric)?;
    let kind = args.kind.unwrap_or_else(|| guess(&name));
    let shape = match kind {
        KindArg::Counter => Shape::Counter,
        KindArg::Gauge => Shape::Level,
        // The series of a classic histogram are read together, whatever their bounds.
        KindArg::Histogram if name.ends_with("_bucket") => Shape::Buckets,
        KindArg::Histogram => Shape::Histogram,
    };
    let tenants: BTreeSet<TenantId> = args.tenant.iter().cloned().collect();
    let holder = Holder {
        tenants: (!tenants.is_empty()).then_some(&tenants),
    };
    let decide = |shape, without: &str| {
        let kept = labels.iter().filter(|(label, _)| label != without);
        let labels = Labels::new(kept.cloned().collect());
        let stream = Stream {
            name: &name,
            unit: &args.unit,
            shape,
            labels: &labels,
        };
        options.mapping.decide(&stream, holder)
    };
    let verdict = match shape {
        // Where a rule makes a counter of one of them, it is one.
        Shape::Buckets => match decide(Shape::Counter, "") {
            Verdict::Mapped(mapped) => Verdict::Mapped(mapped),
            Verdict::PassedOver(_) | Verdict::Refused(_) => decide(shape, "le"),
        },
        Shape::Counter | Shape::Level | Shape::Histogram => decide(shape, ""),
    };
    let taken = matches!(verdict, Verdict::Mapped(_));
    let text = match output {
        Output::Json => json(&verdict).to_string(),
        Output::Human => {
            let told = if args.kind.is_some() {
                ""
            } else {
                " (by its name; --type says it)"
            };
            let kind = kind.to_possible_value();
            let kind = kind.map_or_else(String::new, |k| k.get_name().to_owned());
            human(&verdict, &format!("read as a {kind}{told}"), value)
        }
    };
    Ok((text, taken))
}

fn way(how: How) -> &'static str {
    match how {
        How::Count => "counted per step, added up over instances",
        How::Rate => "added up over instances, per second of the step",
        How::Level => "mean of the step, added up over instances",
        How::Latency => "distributions merged over instances",
    }
}

fn human(verdict: &Verdict, kind: &str, value: Option<f64>) -> String {
    match verdict {
        Verdict::PassedOver(why) => format!("passed over: {why}\n  {kind}"),
        Verdict::Refused(why) => format!("refused: {why}\n  {kind}"),
        Verdict::Mapped(mapped) => {
            let mut lines = vec![format!("api {}", mapped.api)];
            for (signal, how) in &mapped.feeds {
                let unit = signal.unit();
                lines.push(format!("  {:<9} {} ({unit})", signal.name(), way(*how)));
            }
            if let Some(value) = value.filter(|_| (mapped.factor - 1.0).abs() > 1e-12) {
                lines.push(format!(
                    "  {value} is {} in the signal's unit",
                    value * mapped.factor
                ));
            }
            lines.push(format!("because it is {kind}"));
            lines.extend(mapped.why.iter().map(|why| format!("  {why}")));
            lines.join("\n")
        }
    }
}

fn json(verdict: &Verdict) -> serde_json::Value {
    match verdict {
        Verdict::PassedOver(why) => serde_json::json!({"verdict": "passed over", "why": [why]}),
        Verdict::Refused(why) => serde_json::json!({"verdict": "refused", "why": [why]}),
        Verdict::Mapped(mapped) => {
            let signals = mapped.feeds.iter().map(|(signal, how)| {
                serde_json::json!({"signal": signal.name(), "how": format!("{how:?}").to_lowercase()})
            });
            serde_json::json!({
                "verdict": "mapped",
                "api": mapped.api.to_string(),
                "signals": signals.collect::<Vec<_>>(),
                "factor": mapped.factor,
                "why": mapped.why,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::errors::{Partly, Usage};
    use super::*;

    fn args(metric: &str, config: PathBuf) -> Args {
        Args {
            metric: metric.into(),
            config: Some(config),
            kind: None,
            unit: String::new(),
            tenant: vec![],
        }
    }

    fn told(metric: &str, yaml: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.yaml");
        std::fs::write(&file, yaml).unwrap();
        test(&args(metric, file), Output::Human).unwrap().0
    }

    #[test]
    fn a_metric_of_which_nothing_is_taken_is_a_failure_and_its_reason_is_told_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.yaml");
        std::fs::write(&file, "").unwrap();
        for (metric, taken) in [
            (r#"process.cpu.time{service.name="pay"}"#, true),
            (r#"go_goroutines{job="edge"} 12"#, false),
            (r#"http.server.request.duration{http.route="/"}"#, false),
        ] {
            for output in [Output::Human, Output::Json] {
                let args = args(metric, file.clone());
                assert_eq!(test(&args, output).unwrap().1, taken, "{metric}");
                let run = run(&Verb::Test(args), output);
                assert_eq!(run.is_ok(), taken, "{metric}: {run:?}");
                // Neither 2 nor 3: it was asked rightly, and nothing was done in part.
                let other = |e: anyhow::Error| e.is::<Usage>() || e.is::<Partly>();
                assert!(!run.is_err_and(other));
            }
        }
    }

    #[test]
    fn a_metric_is_told_its_api_its_signals_and_why() {
        let text = told(
            r#"http_requests_total{job="edge", route="/a", code="503"} 12"#,
            "feeds:\n  tenant: shop\n  mapping:\n    - {match: 'http_requests_total{job=\"edge\"}', api: '{job}/{route}', signal: requests, errors: '{code=~\"5..\"}'}\n",
        );
        for part in [
            "api shop/edge/a",
            "requests",
            "errors",
            "rule 1 matches",
            "as a counter",
            "feeds.tenant",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = told(r#"go_goroutines{job="edge"} 12"#, "");
        assert!(
            text.starts_with("passed over: no rule matches it"),
            "{text}"
        );
        let text = told(r#"http.server.request.duration{http.route="/"}"#, "");
        assert!(
            text.starts_with("refused") && text.contains("service.name"),
            "{text}"
        );
        for metric in [
            r#"http_server_request_duration_seconds_bucket{job="pay", le="0.1"} 7"#,
            r#"envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="pay", le="5"} 7"#,
        ] {
            let text = told(metric, "");
            assert!(
                text.starts_with("api default/pay") && text.contains("latency"),
                "{text}"
            );
        }
        let text = told("cluster.pay.upstream_rq_5xx 7", "");
        assert!(
            text.starts_with("api default/pay") && text.contains("errors"),
            "{text}"
        );
        let text = told(
            r#"x_bucket{le="+Inf"} 7"#,
            "feeds:\n  mapping:\n    - {match: 'x_bucket{le=\"+Inf\"}', api: a, signal: requests}\n",
        );
        assert!(text.contains("requests"), "{text}");
        let text = told(r#"process.cpu.time{service.name="pay"}"#, "");
        assert!(text.starts_with("api default/pay"), "{text}");
    }

    #[test]
    fn a_mistake_in_a_rule_names_its_place() {
        let yaml = "feeds:\n  mapping:\n    - {match: 'x', api: a, signal: speed}\n";
        let config: config::Config = config::mistake::read(yaml, "c.yaml", "c.yaml").unwrap();
        let problem = config.check().unwrap_err();
        assert!(
            problem.contains("feeds.mapping[0]: signal: `speed`"),
            "{problem}"
        );
    }
}
