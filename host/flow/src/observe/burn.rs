//! Alerts of error budgets that burn too fast: one per api of what is judged over its own events, and one
//! per group of what is judged over a group's.
//!
//! A group's budget is one budget: told once per api, ten apis would wake somebody ten times, and none of
//! the ten texts would say that it is the same trouble. It is raised under the first api of the group, so
//! that it reaches those who may see that tenant, and names the group and whose events it is made of.

use super::Input;
use crate::tier::Spent;
use std::collections::BTreeMap;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::ids::{ApiId, Name, TemplateId, TenantId};
use tidegate_core::slo::{BURN_RULES, BURN_WINDOWS};

/// Apis of a group that are named in its alert.
const NAMED: usize = 3;

/// A group's budget, and the apis that share it.
type Group<'a> = (Spent, Vec<&'a ApiId>);

/// Adds what burns.
pub(super) fn alerts(input: &Input<'_>, alerts: &mut Vec<Alert>) {
    let mut groups: BTreeMap<(&TenantId, &TemplateId, &Name), Group<'_>> = BTreeMap::new();
    for (api, facts) in input.apis.iter().zip(input.facts) {
        let all = Spent {
            burn: facts.burn,
            left: facts.budget_left,
        };
        let own = facts.apart.as_ref().map_or(all, |apart| apart.own);
        let whose = format!("{} spends its error budget", api.id);
        alerts.extend(burning(input, &api.id, String::new(), &whose, own));
        for (template, slo, spent) in facts.apart.iter().flat_map(|apart| &apart.groups) {
            let key = (&api.id.tenant, template, slo);
            let (_, members) = groups.entry(key).or_insert((*spent, vec![]));
            members.push(&api.id);
        }
    }
    for ((_, template, slo), (spent, members)) in groups {
        let Some(first) = members.first() else {
            continue;
        };
        let whose = format!(
            "the group of template {template} ({}) spends the error budget of its SLO {slo} together",
            named(&members)
        );
        let subject = format!("{template}/{slo}");
        alerts.extend(burning(input, first, subject, &whose, spent));
    }
}

/// The first of them, and how many more there are.
fn named(members: &[&ApiId]) -> String {
    let first: Vec<String> = members
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    match members.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The most urgent burn rule that fires.
fn burning(
    input: &Input<'_>,
    api: &ApiId,
    subject: String,
    whose: &str,
    spent: Spent,
) -> Option<Alert> {
    let place = BURN_RULES.iter().position(|r| r.fires(&spent.burn))?;
    let rule = BURN_RULES[place];
    let then = match place {
        0 if subject.is_empty() => "Its step bounds are lifted until this ends",
        0 => "The step bounds of its apis are lifted until this ends",
        _ if rule.is_urgent => "`tidegate why` shows what it holds and why",
        _ => "Slow but lasting: give it more, or a lower objective",
    };
    Some(Alert {
        kind: AlertKind::SloBurn,
        severity: match rule.is_urgent {
            true => Severity::Critical,
            false => Severity::Warning,
        },
        pool: Some(input.pool.clone()),
        api: Some(api.clone()),
        subject,
        at: input.now,
        message: format!(
            "{whose} {} times too fast ({}), {} times ({}); {:.0} % is left. {then}",
            times(spent.burn[rule.short]),
            window(BURN_WINDOWS[rule.short]),
            times(spent.burn[rule.long]),
            window(BURN_WINDOWS[rule.long]),
            spent.left * 100.0
        ),
    })
}

fn times(burn: f64) -> String {
    match burn < 9.5 {
        true => format!("{burn:.1}"),
        false => format!("{burn:.0}"),
    }
}

fn window(seconds: u32) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s % 3_600 == 0 => format!("{} h", s / 3_600),
        s => format!("{} min", s / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocate;
    use crate::tier::{Apart, Facts};
    use tidegate_core::catalog::Api;
    use tidegate_core::ports::storage::Watermark;
    use tidegate_core::record::Basis;
    use tidegate_core::slo::{Burn, FromTemplate, Indicator, Judged, Slo};
    use tidegate_core::time::{Step, Timestamp};

    const FAST: Burn = [20.0; BURN_WINDOWS.len()];
    const CALM: Burn = [0.0; BURN_WINDOWS.len()];

    fn together(api: &str) -> Slo {
        Slo {
            id: format!("{api}/up").parse().unwrap(),
            api: api.parse().unwrap(),
            indicator: Indicator::Availability,
            objective: 0.99,
            window_s: 86_400,
            template: Some(FromTemplate {
                id: "critical".parse().unwrap(),
                name: "up".parse().unwrap(),
                judged: Judged::Together,
            }),
        }
    }

    fn facts(burn: Burn, apart: Option<Box<Apart>>) -> Facts {
        Facts {
            expected: 1.0,
            peak: [1.0; 3],
            utilisation: 0.5,
            burn,
            budget_left: 0.25,
            apart,
        }
    }

    /// What an api of a group is told, whose own SLOs burn so.
    fn of_group(api: &str, own: Burn, group: Burn) -> Facts {
        let mut apart = Apart::default();
        let alone = Slo {
            template: None,
            ..together(api)
        };
        apart.add(&alone, &own, 0.5);
        apart.add(&together(api), &group, 0.25);
        facts(group, apart.told())
    }

    /// The alerts of apis of that name, as (api, subject, message).
    fn raised(all: &[(&str, Facts)]) -> Vec<(String, String, String)> {
        let pool = "edge".parse().unwrap();
        let apis: Vec<Api> = all
            .iter()
            .map(|(name, _)| Api::free(name.parse().unwrap(), "edge".parse().unwrap()))
            .collect();
        let apis: Vec<&Api> = apis.iter().collect();
        let facts: Vec<Facts> = all.iter().map(|(_, facts)| facts.clone()).collect();
        let mut found = vec![];
        alerts(
            &Input {
                now: Timestamp(0),
                step: Step::MINUTE,
                pool: &pool,
                apis: &apis,
                facts: &facts,
                watermark: Watermark::default(),
                forecasts: &BTreeMap::new(),
                silent: &[],
                lagging: &[],
                tiers: vec![],
                holds: BTreeMap::new(),
                needs: vec![],
                floors: vec![],
                origins: vec![],
                basis: Basis::default(),
                allocation: Err(allocate::Error::Empty("edge".into())),
                faults: &[],
            },
            &mut found,
        );
        let told = |a: Alert| (a.api.unwrap().to_string(), a.subject, a.message);
        found.into_iter().map(told).collect()
    }

    fn whose(told: &[(String, String, String)]) -> Vec<(&str, &str)> {
        let pairs = told.iter();
        pairs
            .map(|(api, subject, _)| (&**api, &**subject))
            .collect()
    }

    #[test]
    fn a_groups_burn_is_told_once_by_the_groups_name_and_that_of_another_tenant_apart() {
        let told = raised(&[
            ("bank/a", of_group("bank/a", CALM, FAST)),
            ("shop/a", of_group("shop/a", CALM, FAST)),
            ("shop/b", of_group("shop/b", CALM, FAST)),
            ("shop/c", facts(CALM, None)),
        ]);
        assert_eq!(
            whose(&told),
            [("bank/a", "critical/up"), ("shop/a", "critical/up")]
        );
        assert_eq!(
            told[1].2,
            "the group of template critical (shop/a, shop/b) spends the error budget of its SLO up together \
             20 times too fast (5 min), 20 times (1 h); 25 % is left. \
             The step bounds of its apis are lifted until this ends"
        );
    }

    #[test]
    fn an_api_that_burns_its_own_budget_is_told_beside_its_group() {
        let told = raised(&[
            ("shop/a", of_group("shop/a", FAST, FAST)),
            ("shop/b", of_group("shop/b", CALM, FAST)),
            ("shop/c", facts(FAST, None)),
        ]);
        assert_eq!(
            whose(&told),
            [("shop/a", ""), ("shop/c", ""), ("shop/a", "critical/up")]
        );
        assert!(
            told[0]
                .2
                .starts_with("shop/a spends its error budget 20 times")
        );
        assert!(told[0].2.contains("50 % is left"), "its own: {}", told[0].2);
    }

    #[test]
    fn a_group_that_does_not_burn_is_not_told_though_one_of_its_apis_is() {
        let told = raised(&[
            ("shop/a", of_group("shop/a", FAST, CALM)),
            ("shop/b", of_group("shop/b", CALM, CALM)),
        ]);
        assert_eq!(told.len(), 1);
        assert_eq!((&*told[0].0, &*told[0].1), ("shop/a", ""));
    }

    #[test]
    fn a_large_group_is_named_by_its_first_apis() {
        let apis: Vec<ApiId> = (0..5)
            .map(|i| format!("shop/{i}").parse().unwrap())
            .collect();
        let all: Vec<&ApiId> = apis.iter().collect();
        assert_eq!(named(&all), "shop/0, shop/1, shop/2 and 2 more");
        assert_eq!(named(&all[..2]), "shop/0, shop/1");
    }
}
