//! What a rehearsal finds, on states that are one byte: the value that goes on.

use super::*;
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Fitted, Frames};
use tidegate_core::roster::Retreat;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Signal;

/// What the second version does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    OneSeries,
    OtherFormat,
    Traps,
    Unsupported,
    OneUnsupported,
    Wild,
    NotANumber,
    Short,
}

/// Format 1 is the value, format 2 the value behind a zero.
#[derive(Debug)]
struct Version(u32, Fault);

fn value(format: u32, state: &[u8]) -> f64 {
    f64::from(
        state
            .last()
            .copied()
            .filter(|_| state.len() == format as usize)
            .unwrap_or(255),
    )
}

impl Forecaster for Version {
    fn fit_from(&self, _: &str, _: &[u8], _: &Frames) -> Result<Fitted, CallError> {
        Err(CallError::Unavailable("not asked".into()))
    }

    fn update(&self, _: &[u8], _: &Blobs, _: &Frames) -> Result<Fitted, CallError> {
        Err(CallError::Unavailable("not asked".into()))
    }

    fn predict(&self, _: &[u8], states: &Blobs, ask: &Horizon) -> Result<Forecasts, CallError> {
        let values: Vec<f64> = (0..states.len())
            .map(|i| match self.1 {
                Fault::Wild => 50.0 * value(self.0, states.get(i)),
                Fault::NotANumber => f64::NAN,
                _ => value(self.0, states.get(i)),
            })
            .collect();
        let each = |count: usize| -> Vec<f64> {
            let rows = values.iter().flat_map(|v| vec![*v; count]);
            rows.collect()
        };
        Ok(Forecasts {
            mean: each(ask.steps as usize),
            quantiles: each(ask.steps as usize * ask.levels.len()),
            status: vec![Ok(()); values.len()],
        })
    }

    fn migrate(&self, model: &[u8], states: &Blobs) -> Result<Fitted, CallError> {
        let n = states.len();
        let mut status = vec![Ok(()); n];
        match self.1 {
            Fault::Traps => return Err(CallError::Trap("the tide went out".into())),
            Fault::Unsupported => {
                let error = PolicyError::Unsupported("format 1".into());
                return Err(CallError::Policy(error));
            }
            Fault::OneSeries => status[1] = Err(PolicyError::Numeric("beyond 1".into())),
            Fault::OneUnsupported => status[1] = Err(PolicyError::Unsupported("odd".into())),
            Fault::Short => {
                status.pop();
            }
            _ => {}
        }
        let parts: Vec<Vec<u8>> = (0..n).map(|i| [&[0], states.get(i)].concat()).collect();
        let format = if self.1 == Fault::OtherFormat { 7 } else { 2 };
        Ok(Fitted {
            model: model.to_vec(),
            states: Blobs::join(format, parts.iter().map(Vec::as_slice)),
            status,
        })
    }
}

fn member(version: u32, fault: Fault) -> Member<dyn Forecaster> {
    let text = version.to_string();
    Member {
        module: ModuleRef {
            name: "steady".into(),
            digest: tidegate_core::ids::Digest::of(text.as_bytes()),
            version: text,
        },
        binding: None,
        retreat: Retreat::Active,
        config: "{}".into(),
        policy: Arc::new(Version(version, fault)),
    }
}

fn state(api: &str, value: u8) -> SeriesState {
    let from = member(1, Fault::Nothing);
    SeriesState {
        key: SeriesKey {
            api: api.parse().unwrap(),
            signal: Signal::Requests,
        },
        module: from.module.digest,
        config: super::super::fitted_with("{}", Step::MINUTE),
        format: 1,
        model: Arc::from(&b"model"[..]),
        state: vec![value],
        fitted_at: Timestamp(60_000),
        seen: Timestamp(120_000),
        prior: None,
    }
}

fn rehearsed(fault: Fault) -> Vec<Migrated> {
    let states = [state("shop/a", 10), state("shop/b", 20), state("shop/c", 0)];
    migrate(&MigrateInput {
        seed: 1,
        step: Step::MINUTE,
        steps: 5,
        states: &states,
        from: Some(&member(1, Fault::Nothing)),
        to: &member(2, fault),
        format: 2,
        catalog: &Catalog::default(),
    })
}

#[test]
fn states_that_answer_as_before_go_on_as_they_were_but_for_their_writer() {
    let all = rehearsed(Fault::Nothing);
    for (one, before) in all
        .iter()
        .zip([("shop/a", 10), ("shop/b", 20), ("shop/c", 0)])
    {
        let before = state(before.0, before.1);
        let expected = SeriesState {
            module: member(2, Fault::Nothing).module.digest,
            format: 2,
            state: [&[0], &before.state[..]].concat(),
            ..before
        };
        assert_eq!(*one, Migrated::Moved(Box::new(expected)));
    }
}

/// Says of each state whether it moved, or which words its failure holds.
#[track_caller]
fn check(fault: Fault, expected: [&str; 3]) {
    for (one, words) in rehearsed(fault).iter().zip(expected) {
        let said = match one {
            Migrated::Moved(_) => "moved".to_owned(),
            Migrated::Unsupported => "unsupported".to_owned(),
            Migrated::Failed(why) => why.clone(),
        };
        assert!(
            said.contains(words),
            "{fault:?}: `{words}` is not in: {said}"
        );
    }
}

#[test]
fn what_goes_wrong_is_told_of_each_state() {
    check(Fault::Traps, ["the tide went out"; 3]);
    check(Fault::OneSeries, ["moved", "beyond 1", "moved"]);
    check(Fault::OtherFormat, ["wrote format 7, `describe` says 2"; 3]);
    check(Fault::Short, ["2 statuses for 3 series"; 3]);
    check(Fault::NotANumber, ["FC1"; 3]);
}

#[test]
fn what_a_module_does_not_read_is_no_failure() {
    check(Fault::Unsupported, ["unsupported"; 3]);
    check(Fault::OneUnsupported, ["moved", "unsupported", "moved"]);
}

#[test]
fn a_state_that_was_misread_is_found_by_what_it_foresees() {
    let wild = "foresees 500.0000 on average, the version before foresees 10.0000";
    // Of a series that is expected to stand still nothing can be said.
    check(Fault::Wild, [wild, "foresees 1000.0000", "moved"]);
}
