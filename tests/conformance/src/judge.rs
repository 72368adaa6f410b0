//! What a judge promises: no verdict from nothing, none against a twin, one against a wreck.

use crate::report::Cases;
use crate::samples;
use crate::{
    Asked, FOREIGN_FORMAT, answered, check_configs, check_format, ensure, is_not_fitted,
    is_unsupported, refused,
};
use tidegate_core::policy::{Blob, Judge, MetricSpec, Verdict};

pub(crate) fn check(cases: &mut Cases, policy: &dyn Judge, asked: Asked<'_>) {
    let config = asked.config;
    let plain = samples::release(0, 3, 10, 10);
    check_configs(cases, asked, |config| policy.judge(config, &plain));
    if let Ok(answer) = policy.judge(config, &plain) {
        check_format(cases, asked, answer.state.format);
    }
    cases.run("without any flush it proceeds", || {
        let answer = answered(policy.judge(config, &samples::release(0, 0, 0, 0)))?;
        ensure(answer.verdict == Verdict::Proceed, || {
            format!("it says {}: {}", answer.verdict.name(), answer.reason)
        })
    });
    cases.run(
        "a shadow that fails exactly as production does is not rolled back",
        || {
            let answer = over_flushes(policy, config, 40, 10)?;
            ensure(answer != Verdict::RollBack, || "it was rolled back".into())
        },
    );
    cases.run(
        "a shadow that fails thirty times as often is rolled back",
        || {
            let answer = over_flushes(policy, config, 40, 300)?;
            ensure(answer == Verdict::RollBack, || {
                format!("it says {}", answer.name())
            })
        },
    );
    cases.run("evidence names every metric, and a reason is given", || {
        let answer = answered(policy.judge(config, &plain))?;
        let named = |m: &MetricSpec| answer.evidence.iter().any(|e| e.metric == m.name);
        ensure(plain.metrics.iter().all(named), || {
            "a metric has no evidence".into()
        })?;
        ensure(!answer.reason.is_empty(), || "the reason is empty".into())
    });
    cases.run("a second answer from the same question is the same", || {
        let (one, two) = (
            answered(policy.judge(config, &plain))?,
            answered(policy.judge(config, &plain))?,
        );
        ensure(one == two, || "it differs".into())
    });
    cases.run("a state that is not its own is not-fitted", || {
        let mut question = plain.clone();
        question.state = Blob {
            format: FOREIGN_FORMAT,
            bytes: vec![0xee; 64],
        };
        refused(policy.judge(config, &question), is_not_fitted, "not-fitted").map(drop)
    });
    cases.run("its own state migrates to itself", || {
        let state = answered(policy.judge(config, &plain))?.state;
        let moved = answered(policy.migrate(&state))?;
        ensure(moved == state, || "it became another".into())
    });
    cases.run(
        "a state of a format that it cannot read is unsupported by `migrate`",
        || {
            let state = Blob {
                format: FOREIGN_FORMAT,
                bytes: vec![1, 2, 3],
            };
            refused(policy.migrate(&state), is_unsupported, "unsupported").map(drop)
        },
    );
}

/// The verdict after so many calls of one flush each, or the first that ends the release.
fn over_flushes(
    policy: &dyn Judge,
    config: &str,
    calls: i64,
    shadow: u64,
) -> Result<Verdict, String> {
    let mut state = Blob::default();
    for call in 0..calls {
        let mut question = samples::release(call, 1, shadow, 10);
        question.state = state;
        let answer = answered(policy.judge(config, &question))?;
        if answer.verdict != Verdict::Proceed {
            return Ok(answer.verdict);
        }
        state = answer.state;
    }
    Ok(Verdict::Proceed)
}
