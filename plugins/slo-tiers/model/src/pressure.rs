//! What pushes one api up or lets it down, in the order in which it is asked.

use crate::config::{BurnRule, Config, Raise};
use crate::input::{Input, Tier};
use crate::{Error, Since};

/// A burn rule with the places of its windows among the measured ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    rule: BurnRule,
    long: usize,
    short: usize,
}

/// The rules whose windows are both measured.
///
/// # Errors
/// [`Error::InvalidInput`] if that is none of them.
pub(crate) fn measured(config: &Config, input: &Input) -> Result<Vec<Measured>, Error> {
    let place = |seconds: u32| input.burn_windows.iter().position(|&w| w == seconds);
    let rules: Vec<Measured> = config
        .burn_rules
        .iter()
        .filter_map(|&rule| {
            let (long, short) = (place(rule.long_seconds)?, place(rule.short_seconds)?);
            Some(Measured { rule, long, short })
        })
        .collect();
    if rules.is_empty() {
        return Err(Error::InvalidInput(format!(
            "burn is measured over {:?} seconds, but no rule in burn_rules has both of its \
             windows among them: change the rules or the measured windows",
            input.burn_windows
        )));
    }
    Ok(rules)
}

/// The tier that one api should be in (not yet within its bounds), and why.
pub(crate) fn weigh(
    config: &Config,
    input: &Input,
    rules: &[Measured],
    api: usize,
    since: &mut Since,
) -> (Tier, String) {
    let (current, base) = (input.current[api], input.base[api]);
    let saturated = hold(
        &mut since.saturated,
        input.utilisation[api] >= config.saturated,
        input.now,
    );
    let burning = rules.iter().find(|m| burns(m, input, api));
    let left = input.budget_left[api];
    since.poor = left < config.budget_low || (since.poor && left < config.budget_recovered);

    let push = if let Some(m) = burning {
        let target = match m.rule.raise {
            Raise::One => base.above(),
            Raise::Highest => input.highest[api],
        };
        Some((target, burn_text(m, input, api)))
    } else if since.poor {
        Some((
            base.above(),
            format!("{:.0} % of the error budget is left", 100.0 * left),
        ))
    } else if saturated >= Some(i64::from(config.saturated_seconds)) {
        let used = 100.0 * input.utilisation[api];
        let minutes = saturated.unwrap_or(0) / 60;
        Some((
            base.above(),
            format!("{used:.0} % of the grant used for {minutes} min"),
        ))
    } else {
        surge(config, input, api).map(|text| (base.above(), text))
    };

    let idle = push.is_none()
        && input.utilisation[api] <= config.idle
        && input.expected[api] > 0.0
        && input.surge(api, 9000) <= config.idle;
    let idle = hold(&mut since.idle, idle, input.now);
    // A surge that is too uncertain to act on is still a reason not to go down.
    let unsure = input.surge(api, 9000) >= config.surge;
    let calm = hold(&mut since.calm, push.is_none() && !unsure, input.now);

    if let Some((target, text)) = push {
        // A push never lowers: where the base alone would be enough, what is held is kept.
        return (target.max(current), text);
    }
    let rest = if idle >= Some(i64::from(config.idle_seconds)) {
        base.below()
    } else {
        base
    };
    if current <= rest {
        let text = if rest < base {
            "idle, below its base"
        } else {
            "quiet, at its base"
        };
        return (rest, text.to_owned());
    }
    match calm {
        Some(seconds) if current <= base || seconds >= i64::from(config.calm_seconds) => {
            let state = if rest < base { "idle" } else { "calm" };
            (
                current.below(),
                format!("{state} for {} min, one level down", seconds / 60),
            )
        }
        Some(seconds) => {
            let wait = i64::from(config.calm_seconds) - seconds;
            (
                current,
                format!(
                    "calm for {} min, goes down in {} min",
                    seconds / 60,
                    wait / 60 + 1
                ),
            )
        }
        None => (
            current,
            "held: a surge is possible, but too uncertain to go up".to_owned(),
        ),
    }
}

/// Keeps since when a condition holds; answers for how many seconds.
fn hold(since: &mut Option<i64>, holds: bool, now: i64) -> Option<i64> {
    // A clock that was set back starts the wait anew.
    *since = if holds {
        Some(since.filter(|&start| start <= now).unwrap_or(now))
    } else {
        None
    };
    since.map(|start| now.saturating_sub(start) / 1000)
}

fn burns(m: &Measured, input: &Input, api: usize) -> bool {
    let over = |window| input.burn_over(api, window) >= m.rule.rate;
    over(m.long) && over(m.short)
}

fn burn_text(m: &Measured, input: &Input, api: usize) -> String {
    let (long, short) = (input.burn_over(api, m.long), input.burn_over(api, m.short));
    format!(
        "the error budget burns {long:.1} times too fast over {} min and {short:.1} times over {} \
         min, {} is the limit",
        m.rule.long_seconds / 60,
        m.rule.short_seconds / 60,
        m.rule.rate
    )
}

/// A surge that is certain enough to act on.
fn surge(config: &Config, input: &Input, api: usize) -> Option<String> {
    let (median, high) = (input.surge(api, 5000), input.surge(api, 9900));
    (median >= config.surge && high <= median * config.surge_width).then(|| {
        format!("a peak of {median:.1} times the expected load is predicted (99 %: {high:.1})")
    })
}
