//! The shipped traces: request rates on one calendar, and what each api is like.

use anyhow::{Context, Result, bail};
use tidegate_client::sim::{Objective, ServiceSpec, Tier};

const TRACES: &str = include_str!("../../demo/traces.csv");
const SERVICES: &str = include_str!("../../demo/services.csv");

/// Seconds of a step.
pub(crate) const STEP_S: u32 = 300;
/// Steps of a day.
pub(crate) const DAY: usize = (86_400 / STEP_S) as usize;
/// Steps of history before the live days.
pub(crate) const HISTORY: usize = 7 * DAY;
/// Start of the calendar: a Wednesday, 00:00 UTC, as the traces are aligned.
pub(crate) const START_MS: i64 = 1_767_744_000_000;

/// One api.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// Its name.
    pub(crate) name: String,
    /// Its tier in quiet times.
    pub(crate) tier: Tier,
    /// What its service is like.
    pub(crate) spec: ServiceSpec,
    /// What it promises.
    pub(crate) promise: Objective,
    /// The promise's threshold in seconds.
    pub(crate) threshold: f64,
    /// Requests/s per step.
    pub(crate) rates: Vec<f64>,
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    /// In the file's order.
    pub(crate) apis: Vec<Api>,
}

/// Reads the shipped files.
pub(crate) fn load() -> Result<Traces> {
    let mut lines = TRACES.lines();
    let header: Vec<&str> = lines
        .next()
        .context("traces.csv is empty")?
        .split(',')
        .skip(1)
        .collect();
    let mut rates: Vec<Vec<f64>> = vec![vec![]; header.len()];
    for (number, line) in lines.enumerate() {
        let mut cells = line.split(',').skip(1);
        for column in &mut rates {
            let cell = cells
                .next()
                .with_context(|| format!("traces.csv: row {} is short", number + 2))?;
            column.push(
                cell.parse()
                    .with_context(|| format!("traces.csv: row {}: `{cell}`", number + 2))?,
            );
        }
    }
    let mut apis = vec![];
    for line in SERVICES.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [name, tier, cpu_s, cpu_cv, burst_shape, threshold, objective] = cells[..] else {
            bail!("services.csv: `{line}` does not have 7 cells");
        };
        let column = header
            .iter()
            .position(|h| *h == name)
            .with_context(|| format!("traces.csv has no `{name}`"))?;
        let number = |text: &str| {
            text.parse::<f64>()
                .with_context(|| format!("services.csv: `{text}` in `{line}`"))
        };
        let mut spec = ServiceSpec::new(name, number(cpu_s)?);
        spec.cpu.cv = number(cpu_cv)?;
        spec.burst_shape = number(burst_shape)?;
        spec.slo_thresholds_s = vec![number(threshold)?];
        let tier: Tier = tier.parse().map_err(anyhow::Error::from)?;
        apis.push(Api {
            name: name.to_owned(),
            tier,
            promise: Objective {
                tier,
                objective: number(objective)?,
                threshold: 0,
            },
            threshold: number(threshold)?,
            spec,
            rates: rates[column].clone(),
        });
    }
    Ok(Traces { apis })
}

impl Traces {
    /// Steps of the shortest trace.
    pub(crate) fn len(&self) -> usize {
        self.apis.iter().map(|a| a.rates.len()).min().unwrap_or(0)
    }

    /// Permutes each trace in time (Fisher-Yates): the same loads, at other times.
    pub(crate) fn shuffle(&mut self, seed: u64) {
        for api in &mut self.apis {
            for i in (1..api.rates.len()).rev() {
                let draw = tidegate_core::canonical::seed(seed, "shuffle", &api.name, i as i64);
                api.rates
                    .swap(i, usize::try_from(draw % (i as u64 + 1)).unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_traces_hold_nine_days_of_six_apis() {
        let traces = load().unwrap();
        assert_eq!((traces.apis.len(), traces.len()), (6, 9 * DAY));
        assert_eq!(START_MS.rem_euclid(86_400_000), 0);
    }

    #[test]
    fn shuffling_moves_loads_in_time_and_loses_none() {
        let (plain, mut shuffled) = (load().unwrap(), load().unwrap());
        shuffled.shuffle(1);
        let sorted = |t: &Traces| {
            let mut rates = t.apis[0].rates.clone();
            rates.sort_by(f64::total_cmp);
            rates
        };
        assert_ne!(plain.apis[0].rates, shuffled.apis[0].rates);
        assert_eq!(sorted(&plain), sorted(&shuffled));
    }
}
