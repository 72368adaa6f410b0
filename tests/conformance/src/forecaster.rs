//! What a forecaster promises: FC1, states that are told apart, and batches that change nothing.

use crate::report::Cases;
use crate::samples::{self, ROWS, SERIES};
use crate::{
    Asked, FOREIGN_FORMAT, answered, check_configs, check_format, ensure, is_not_fitted,
    is_unsupported, refused, same_bits,
};
use tidegate_core::invariant::check_forecasts;
use tidegate_core::policy::{
    Blobs, CallError, Fitted, Forecaster, Forecasts, Frames, PolicyError, SeriesStatus,
};
use tidegate_core::units::Level;

const ALL: [usize; SERIES] = [0, 1, 2, 3, 4];
/// Rows that are fitted; the rest are for updates.
const FITTED: usize = ROWS - 20;

pub(crate) fn check(cases: &mut Cases, policy: &dyn Forecaster, asked: Asked<'_>) {
    let config = asked.config;
    check_configs(cases, asked, |config| {
        policy.fit(config, &samples::frames(&[0], 0, FITTED))
    });
    let history = samples::frames(&ALL, 0, FITTED);
    let fitted = match answered(policy.fit(config, &history)).and_then(|f| whole(f, SERIES)) {
        Ok(fitted) => fitted,
        Err(problem) => {
            cases.run("three weeks of five series are fitted", || Err(problem));
            return;
        }
    };
    cases.run("three weeks of five series are fitted", || Ok(()));
    check_format(cases, asked, fitted.states.format);
    cases.run("a second fit is the same to the last bit", || {
        let again = answered(policy.fit(config, &history))?;
        ensure(again == fitted, || {
            "it fitted another model or state".into()
        })
    });
    cases.run("forecasts keep FC1", || {
        for (steps, levels) in [
            (1, &Level::STANDARD[..1]),
            (96, &Level::STANDARD[..]),
            (48, &[]),
        ] {
            let horizon = samples::horizon(&ALL, FITTED, steps, levels);
            let answer = answered(policy.predict(&fitted.model, &fitted.states, &horizon))?;
            check_forecasts(&horizon, &answer).map_err(|breach| breach.to_string())?;
            all_ok(&answer.status)?;
        }
        Ok(())
    });
    cases.run("a second forecast is the same to the last bit", || {
        let (one, two) = (
            predict(policy, &fitted, &ALL, FITTED)?,
            predict(policy, &fitted, &ALL, FITTED)?,
        );
        same(&one, &two)
    });
    cases.run("a batch of five is five batches of one", || {
        batches(policy, config, &fitted)
    });
    cases.run("an advance is an update and a forecast of it", || {
        advance(policy, &fitted)
    });
    cases.run("a series that fails leaves its neighbours alone", || {
        neighbours(policy, config, &fitted)
    });
    cases.run("a state that is not its own is not-fitted", || {
        foreign(policy, &fitted)
    });
    cases.run("its own state migrates to itself", || {
        let moved = whole(
            answered(policy.migrate(&fitted.model, &fitted.states))?,
            SERIES,
        )?;
        same(
            &predict(policy, &moved, &ALL, FITTED)?,
            &predict(policy, &fitted, &ALL, FITTED)?,
        )
    });
    cases.run(
        "a state of a format that it cannot read is unsupported by `migrate`",
        || {
            let mut states = fitted.states.clone();
            states.format = FOREIGN_FORMAT;
            every(
                policy.migrate(&fitted.model, &states),
                |f| f.status,
                is_unsupported,
                "unsupported",
            )
        },
    );
}

/// An answer of that many series, all of them good.
fn whole(fitted: Fitted, series: usize) -> Result<Fitted, String> {
    ensure(
        fitted.status.len() == series && fitted.states.len() == series,
        || {
            format!(
                "{} statuses and {} states for {series} series",
                fitted.status.len(),
                fitted.states.len()
            )
        },
    )?;
    all_ok(&fitted.status)?;
    Ok(fitted)
}

fn all_ok(status: &[SeriesStatus]) -> Result<(), String> {
    status.iter().enumerate().try_for_each(|(i, status)| {
        status
            .as_ref()
            .map_err(|error| format!("series {i}: {error}"))
            .copied()
    })
}

fn predict(
    policy: &dyn Forecaster,
    from: &Fitted,
    which: &[usize],
    seen: usize,
) -> Result<Forecasts, String> {
    let horizon = samples::horizon(which, seen, 24, &Level::STANDARD);
    let answer = answered(policy.predict(&from.model, &from.states, &horizon))?;
    all_ok(&answer.status)?;
    Ok(answer)
}

fn same(a: &Forecasts, b: &Forecasts) -> Result<(), String> {
    ensure(
        same_bits(&a.mean, &b.mean) && same_bits(&a.quantiles, &b.quantiles),
        || {
            let at = a
                .mean
                .iter()
                .zip(&b.mean)
                .position(|(a, b)| a.to_bits() != b.to_bits());
            format!("they differ, first in mean {at:?}")
        },
    )
}

/// Fit, update and predict together and alone; what is compared is what they forecast, since a
/// model may be shared by the batch.
/// No series may see its neighbours in `update` and `predict`. In `fit` it may where the model was
/// learned from all of them together; where fits of one give the very same model, it learned nothing
/// from the others, and the states must be the same as well.
fn batches(policy: &dyn Forecaster, config: &str, together: &Fitted) -> Result<(), String> {
    let step = |which: &[usize], model: &[u8], states: &Blobs| -> Result<Forecasts, String> {
        let rows = samples::frames(which, FITTED, ROWS);
        let moved = answered(policy.update(model, states, &rows))?;
        predict(policy, &whole(moved, which.len())?, which, ROWS)
    };
    let all = step(&ALL, &together.model, &together.states)?;
    for i in ALL {
        let state = Blobs::join(together.states.format, [together.states.get(i)]);
        let one = step(&[i], &together.model, &state)?;
        let (m, q) = (one.mean.len(), one.quantiles.len());
        let part = Forecasts {
            mean: all.mean[i * m..(i + 1) * m].to_vec(),
            quantiles: all.quantiles[i * q..(i + 1) * q].to_vec(),
            status: vec![Ok(())],
        };
        same(&part, &one).map_err(|problem| format!("series {i}: {problem}"))?;
        let alone = answered(policy.fit(config, &samples::frames(&[i], 0, FITTED)))?;
        let alone = whole(alone, 1)?;
        if alone.model == together.model {
            ensure(alone.states.bytes == state.bytes, || {
                format!("series {i}: its state depends on who is fitted beside it")
            })?;
        }
    }
    Ok(())
}

/// In one call as in two, and of a series without news as it was.
fn advance(policy: &dyn Forecaster, fitted: &Fitted) -> Result<(), String> {
    let news = samples::frames(&ALL, FITTED, ROWS);
    let horizon = samples::horizon(&ALL, ROWS, 24, &Level::STANDARD);
    let moved = whole(
        answered(policy.update(&fitted.model, &fitted.states, &news))?,
        SERIES,
    )?;
    let twice = predict(
        policy,
        &Fitted {
            model: fitted.model.clone(),
            ..moved.clone()
        },
        &ALL,
        ROWS,
    )?;
    let once = answered(policy.advance(&fitted.model, &fitted.states, &news, &horizon))?;
    all_ok(&once.forecasts.status)?;
    same(&once.forecasts, &twice)?;
    ensure(once.states == moved.states, || {
        "the states of one call differ from those of two".into()
    })?;
    let news = samples::frames(&ALL, FITTED, FITTED);
    let horizon = samples::horizon(&ALL, FITTED, 24, &Level::STANDARD);
    let still = answered(policy.advance(&fitted.model, &fitted.states, &news, &horizon))?;
    same(&still.forecasts, &predict(policy, fitted, &ALL, FITTED)?)?;
    ensure(still.states == fitted.states, || {
        "a state changed without news".into()
    })
}

fn neighbours(policy: &dyn Forecaster, config: &str, fitted: &Fitted) -> Result<(), String> {
    // Series 1 has nothing but gaps.
    let mut frames = Frames::new(samples::step());
    let good = samples::frames(&[0, 2], 0, FITTED);
    for (at, values) in [
        (0, good.series(0)),
        (0, vec![f64::NAN; 40]),
        (1, good.series(1)),
    ] {
        frames.push(good.signals[at], good.starts[at], &values, good.seeds[at]);
    }
    let answer = answered(policy.fit(config, &frames))?;
    ensure(answer.status.len() == 3, || {
        format!("{} statuses for 3 series", answer.status.len())
    })?;
    ensure(answer.status[1].is_err(), || {
        "a series without any value was fitted".into()
    })?;
    ensure(answer.status[0].is_ok() && answer.status[2].is_ok(), || {
        "a neighbour of a series without values failed".into()
    })?;
    ensure(answer.states.get(1).is_empty(), || {
        "a failed series has a state".into()
    })?;
    // The same in a forecast: one state is missing.
    let parts = [fitted.states.get(0), &[], fitted.states.get(2)];
    let states = Blobs::join(fitted.states.format, parts);
    let horizon = samples::horizon(&[0, 1, 2], FITTED, 4, &[Level::P50]);
    let answer = answered(policy.predict(&fitted.model, &states, &horizon))?;
    check_forecasts(&horizon, &answer).map_err(|breach| breach.to_string())?;
    let right = |s: &SeriesStatus| matches!(s, Err(PolicyError::NotFitted(_)));
    ensure(answer.status[0].is_ok() && answer.status[2].is_ok(), || {
        "a neighbour of a series without state failed".into()
    })?;
    ensure(right(&answer.status[1]), || {
        format!("a series without state is {:?}", answer.status[1])
    })
}

fn foreign(policy: &dyn Forecaster, fitted: &Fitted) -> Result<(), String> {
    let horizon = samples::horizon(&[0], FITTED, 4, &[Level::P50]);
    let own = fitted.states.get(0);
    let format = fitted.states.format;
    let strange = [
        ("no model", &[][..], Blobs::join(format, [own])),
        (
            "another's model",
            &b"not a model"[..],
            Blobs::join(format, [own]),
        ),
        ("no state", &fitted.model, Blobs::join(format, [&[][..]])),
        (
            "another's state",
            &fitted.model,
            Blobs::join(format, [&[0xee; 64][..]]),
        ),
        (
            "a state of another format",
            &fitted.model,
            Blobs::join(FOREIGN_FORMAT, [own]),
        ),
    ];
    for (what, model, states) in &strange {
        let outcome = policy.predict(model, states, &horizon);
        // A module that keeps all in the states has an empty model, which is then its own.
        if model.is_empty() && fitted.model.is_empty() {
            continue;
        }
        every(outcome, |f| f.status, is_not_fitted, "not-fitted")
            .map_err(|problem| format!("{what}: {problem}"))?;
    }
    Ok(())
}

/// The call, or each of its series, must end with this error.
fn every<T>(
    outcome: Result<T, CallError>,
    status: impl FnOnce(T) -> Vec<SeriesStatus>,
    right: fn(&PolicyError) -> bool,
    wanted: &str,
) -> Result<(), String> {
    match outcome {
        Ok(answer) => status(answer)
            .into_iter()
            .try_for_each(|s| refused(s.map_err(CallError::Policy), right, wanted).map(drop)),
        Err(error) => refused(Err::<(), _>(error), right, wanted).map(drop),
    }
}
