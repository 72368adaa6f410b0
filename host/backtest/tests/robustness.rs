//! One statement on every shipped forecaster: misfortune breaks none of them.
//!
//! The models run as plain code under the host's own checks and calibration. Recovery is held to what
//! an operator can live with and not to what each model does best: the table itself is
//! `tidegate evaluate --robustness`.

use tidegate_backtest::evaluate::calendar::Calendar;
use tidegate_backtest::evaluate::robustness::{Endured, endure};
use tidegate_backtest::evaluate::subject::Subject;

fn all() -> Vec<(String, Vec<Endured>)> {
    let linked = tidegate_native::forecasters().into_iter();
    linked
        .map(|linked| {
            let subject = Subject {
                name: linked.name.clone(),
                forecaster: linked.forecaster,
                config: "{}".into(),
                seed: 1,
                calendar: Calendar::Utc(vec![]),
            };
            (linked.name, endure(&subject))
        })
        .collect()
}

#[test]
fn no_misfortune_breaks_a_shipped_forecaster() {
    let mut wrong = vec![];
    for (name, lives) in all() {
        for life in lives {
            println!("{name:15} {life:?}");
            if !life.outcome.is_good() {
                wrong.push(format!("{name}: {life:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
