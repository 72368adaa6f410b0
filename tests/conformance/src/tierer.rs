//! What a tierer promises: a tier and a sentence for every api, again and again the same.

use crate::report::Cases;
use crate::samples;
use crate::{
    Asked, FOREIGN_FORMAT, answered, check_configs, check_format, ensure, is_not_fitted,
    is_unsupported, refused,
};
use tidegate_core::policy::{Blob, Tierer};

pub(crate) fn check(cases: &mut Cases, policy: &dyn Tierer, asked: Asked<'_>) {
    let config = asked.config;
    let plain = samples::tiers(9, 1);
    check_configs(cases, asked, |config| policy.decide(config, &plain));
    if let Ok(answer) = policy.decide(config, &plain) {
        check_format(cases, asked, answer.state.format);
    }
    cases.run(
        "every api gets a tier and a sentence, for none to thirty apis",
        || {
            for n in [0, 1, 9, 30] {
                let answer = answered(policy.decide(config, &samples::tiers(n, 7)))?;
                ensure(
                    answer.wanted.len() == n && answer.reasons.len() == n,
                    || {
                        format!(
                            "{} tiers and {} reasons for {n} apis",
                            answer.wanted.len(),
                            answer.reasons.len()
                        )
                    },
                )?;
                ensure(answer.reasons.iter().all(|r| !r.is_empty()), || {
                    "a reason is empty".into()
                })?;
            }
            Ok(())
        },
    );
    cases.run("a second answer from the same question is the same", || {
        for seed in 0..8 {
            let question = samples::tiers(12, seed);
            let one = answered(policy.decide(config, &question))?;
            let two = answered(policy.decide(config, &question))?;
            ensure(one == two, || format!("it differs for seed {seed}"))?;
        }
        Ok(())
    });
    cases.run("its state carries on over an hour", || {
        let mut question = plain.clone();
        for _ in 0..12 {
            let answer = answered(policy.decide(config, &question))?;
            question.now = question.now.plus_ms(300_000);
            question.state = answer.state;
        }
        Ok(())
    });
    cases.run("a state that is not its own is not-fitted", || {
        let mut question = plain.clone();
        question.state = Blob {
            format: FOREIGN_FORMAT,
            bytes: vec![0xee; 64],
        };
        refused(
            policy.decide(config, &question),
            is_not_fitted,
            "not-fitted",
        )
        .map(drop)
    });
    cases.run("its own state migrates to itself", || {
        let state = answered(policy.decide(config, &plain))?.state;
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
