//! `--fail-if 'violations > hpa'`: an answer that a pipeline can act on.
//!
//! One comparison: a metric of Tidegate, an operator, and a number or the same metric of a policy,
//! with a factor if need be. `hpa` means its frontier: violations are compared at Tidegate's cost, and
//! cost at Tidegate's violations, since any single target of HPA would be one that somebody chose.

use super::runs::Policy;
use super::score::Score;
use super::summary::Summary;
use std::str::FromStr;
use tidegate_core::tier::Tier;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Violations,
    Rate,
    OfTier(Tier),
    ResourceHours,
    Slack,
    Churn,
}

const METRICS: [(&str, Metric); 8] = [
    ("violations", Metric::Violations),
    ("violation_rate", Metric::Rate),
    ("gold", Metric::OfTier(Tier::Gold)),
    ("silver", Metric::OfTier(Tier::Silver)),
    ("bronze", Metric::OfTier(Tier::Bronze)),
    ("resource_hours", Metric::ResourceHours),
    ("slack", Metric::Slack),
    ("churn", Metric::Churn),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

const OPERATORS: [(&str, Operator); 4] = [
    (">", Operator::Above),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    ("<=", Operator::AtMost),
];

#[derive(Debug, Clone, PartialEq)]
enum Bound {
    Number(f64),
    Policy(f64, String),
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct FailIf {
    text: String,
    metric: Metric,
    operator: Operator,
    bound: Bound,
}

impl FromStr for FailIf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let wrong = |what: String| {
            format!(
                "{what}; write for example 'violations > hpa', 'resource_hours > 0.9 * static' or 'violation_rate > 0.001'"
            )
        };
        let (metric, operator, rest) = match words.as_slice() {
            [metric, operator, rest @ ..] if !rest.is_empty() => (*metric, *operator, rest),
            _ => return Err(wrong("it is no comparison".into())),
        };
        let names = || METRICS.map(|(name, _)| name).join(", ");
        let metric = METRICS.iter().find(|(name, _)| *name == metric);
        let (_, metric) =
            metric.ok_or_else(|| wrong(format!("`{}` is no metric of {}", words[0], names())))?;
        let operator = OPERATORS.iter().find(|(name, _)| *name == operator);
        let (_, operator) =
            operator.ok_or_else(|| wrong(format!("`{}` is not one of > >= < <=", words[1])))?;
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite());
        let bound = match rest {
            [one] => match number(one) {
                Some(n) => Bound::Number(n),
                None => Bound::Policy(1.0, (*one).to_owned()),
            },
            [factor, "*", policy] => match number(factor) {
                Some(n) => Bound::Policy(n, (*policy).to_owned()),
                None => return Err(wrong(format!("`{factor}` is no number"))),
            },
            _ => return Err(wrong(format!("`{}` is no bound", rest.join(" ")))),
        };
        Ok(Self {
            text: text.to_owned(),
            metric: *metric,
            operator: *operator,
            bound,
        })
    }
}

impl FailIf {
    /// That both sides are among the policies that will run: told before hours of it, not after.
    ///
    /// # Errors
    /// When a side of the comparison would not be run.
    pub fn within(&self, policies: &[Policy]) -> Result<(), String> {
        if !policies.iter().any(|p| matches!(p, Policy::Tidegate(_))) {
            return Err("--fail-if judges tidegate; name it in --policies".into());
        }
        let Bound::Policy(_, name) = &self.bound else {
            return Ok(());
        };
        let names: Vec<String> = policies.iter().map(|p| p.name()).collect();
        let is_run = match name.as_str() {
            "hpa" => policies.iter().any(|p| matches!(p, Policy::Hpa(_))),
            one => names.iter().any(|n| n == one),
        };
        match is_run {
            true => Ok(()),
            false => Err(format!(
                "--fail-if '{}': no policy `{name}` is run; name it in --policies (there are {})",
                self.text,
                names.join(", ")
            )),
        }
    }

    /// What is wrong, if the comparison holds.
    ///
    /// # Errors
    /// When a side of the comparison was not run.
    pub fn judge(&self, summary: &Summary<'_>) -> Result<Option<String>, String> {
        let own = summary
            .tidegate()
            .ok_or("--fail-if judges tidegate; name it in --policies")?;
        let left = of(&own.total, self.metric);
        let right = match &self.bound {
            Bound::Number(n) => *n,
            Bound::Policy(factor, name) => factor * self.rival(summary, name)?,
        };
        let holds = match self.operator {
            Operator::Above => left > right,
            Operator::AtLeast => left >= right,
            Operator::Below => left < right,
            Operator::AtMost => left <= right,
        };
        Ok(holds.then(|| format!("--fail-if '{}': {left:.4} against {right:.4}", self.text)))
    }

    fn rival(&self, summary: &Summary<'_>, name: &str) -> Result<f64, String> {
        let own = summary.tidegate().map(|r| &r.total);
        if let ("hpa", Some(own)) = (name, own) {
            let at = match self.metric {
                Metric::Violations => summary.hpa.violations_at(own.resource_hours),
                Metric::Rate => summary
                    .hpa
                    .violations_at(own.resource_hours)
                    .map(|v| v / own.minutes.max(1) as f64),
                Metric::ResourceHours => summary.hpa.cost_at(own.violations as f64),
                Metric::OfTier(_) | Metric::Slack | Metric::Churn => {
                    return Err(
                        "hpa is compared by violations, violation_rate or resource_hours; name one of its targets for another metric, as hpa-60"
                            .into(),
                    );
                }
            };
            return at.ok_or_else(|| "hpa was not run; name it in --policies".into());
        }
        let row = summary.rows.iter().find(|r| r.policy.name() == name);
        let row = row.ok_or_else(|| {
            let known: Vec<String> = summary.rows.iter().map(|r| r.policy.name()).collect();
            format!(
                "no policy `{name}` was run; there are hpa, {}",
                known.join(", ")
            )
        })?;
        Ok(of(&row.total, self.metric))
    }
}

fn of(score: &Score, metric: Metric) -> f64 {
    match metric {
        Metric::Violations => score.violations as f64,
        Metric::Rate => score.rate(),
        Metric::OfTier(tier) => score.by_tier.get(&tier).copied().unwrap_or(0) as f64,
        Metric::ResourceHours => score.resource_hours,
        Metric::Slack => score.slack(),
        Metric::Churn => score.churn_per_hour(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::frontier::{Frontier, Point};
    use super::super::summary::Row;
    use super::*;
    use std::collections::BTreeMap;

    fn summary() -> Summary<'static> {
        let row = |policy, violations, resource_hours| Row {
            policy,
            total: Score {
                minutes: 10_000,
                violations,
                by_tier: BTreeMap::from([(Tier::Gold, violations)]),
                resource_hours,
                ..Score::default()
            },
            traces: BTreeMap::new(),
            tallies: vec![],
        };
        let points = [(100.0, 80.0), (200.0, 10.0)];
        Summary {
            rows: vec![
                row(Policy::Tidegate(0.85), 20, 200.0),
                row(Policy::Static, 0, 400.0),
            ],
            hpa: Frontier::of(&points.map(|(cost, violations)| Point { cost, violations })),
            versus: Default::default(),
            per_trace: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(text: &str, fails: Result<bool, &str>) {
        let judged = text
            .parse::<FailIf>()
            .and_then(|f| f.judge(&summary()))
            .map(|why| why.is_some());
        match (judged, fails) {
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (judged, fails) => assert_eq!(judged.as_ref().ok(), fails.as_ref().ok(), "{judged:?}"),
        }
    }

    #[test]
    fn a_metric_is_held_against_a_number_a_policy_or_the_frontier_of_hpa() {
        check("violations > 19", Ok(true));
        check("violations > 20", Ok(false));
        check("violations >= 20", Ok(true));
        check("violation_rate > 0.001", Ok(true));
        check("violations > hpa", Ok(true));
        check("violations > 2 * hpa", Ok(false));
        check("resource_hours <= 0.5 * static", Ok(true));
        check("gold < static", Ok(false));
    }

    #[test]
    fn what_cannot_be_compared_says_what_can() {
        check("violations", Err("no comparison"));
        check("speed > hpa", Err("`speed` is no metric"));
        check("violations ~ hpa", Err("not one of"));
        check("violations > two * hpa", Err("`two` is no number"));
        check("violations > vpa", Err("there are hpa, tidegate, static"));
        check("churn > hpa", Err("name one of its targets"));
    }

    #[test]
    fn a_side_that_will_not_be_run_is_told_before_the_run() {
        let within = |text: &str, policies: &[Policy]| {
            text.parse::<FailIf>().and_then(|f| f.within(policies))
        };
        let own = Policy::Tidegate(0.85);
        assert_eq!(within("violations > hpa", &[own, Policy::Hpa(60)]), Ok(()));
        assert_eq!(within("violations > 3", &[own]), Ok(()));
        let missing = within("violations > hpa", &[own, Policy::Static]).unwrap_err();
        assert!(missing.contains("no policy `hpa` is run"), "{missing}");
        assert!(missing.contains("tidegate, static"), "{missing}");
        let alone = within("violations > static", &[Policy::Static]).unwrap_err();
        assert!(alone.contains("name it in --policies"), "{alone}");
    }
}
