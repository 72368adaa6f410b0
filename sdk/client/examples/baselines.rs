//! How much there is to win: the demo's traces under baselines and oracles, in one table.
//!
//!     cargo run -p tidegate-client --example baselines -- host/daemon/demo 14.5 300
//!
//! Arguments: the folder with `traces.csv` and `services.csv`, the pool's cores, and the seconds
//! between two decisions. The first seven days give the static split its means; the last two are
//! simulated.
#![expect(
    clippy::print_stdout,
    reason = "a table for people is what this example is for"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use tidegate_client::sim::{
    Grant, Objective, Reactive, Scoreboard, Service, ServiceSpec, Surplus, Tier, equal_split,
    priority_split, static_split,
};

const TRACE_STEP_S: u32 = 300;
/// Cores that every rule but the equal split leaves an idle api: on a sliver of a core even a lone
/// request is slow.
const FLOOR: f64 = 0.5;
const HISTORY_STEPS: usize = 7 * 288;

struct Api {
    spec: ServiceSpec,
    promise: Objective,
    rates: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, capacity, every] = arguments.as_slice() else {
        return Err(
            "give the demo's folder, the pool's cores, and seconds between decisions".into(),
        );
    };
    let (apis, capacity, every) = (read(Path::new(folder))?, capacity.parse()?, every.parse()?);
    let tiers: Vec<Tier> = apis.iter().map(|a| a.promise.tier).collect();
    let floored = |d: &[f64]| d.iter().map(|d| d.max(FLOOR)).collect::<Vec<_>>();
    let week = |a: &Api| {
        a.spec.cpu.mean_s * a.rates[..HISTORY_STEPS].iter().sum::<f64>() / HISTORY_STEPS as f64
    };
    let means: Vec<f64> = apis.iter().map(week).collect();
    let reactive = |target_utilisation, surplus| {
        let rule = Reactive {
            capacity,
            target_utilisation,
            floor: FLOOR,
            surplus,
        };
        move |_: &[f64], used: &[f64]| rule.next(used)
    };

    println!("{capacity} cores, a decision every {every} s; SLO-violation minutes of 2880 an api");
    header(&apis);
    row(
        "equal",
        &run(&apis, every, |d, _| equal_split(capacity, d.len()))?,
    );
    row(
        "static (weekly means)",
        &run(&apis, every, |_, _| static_split(capacity, &means))?,
    );
    for target in [0.5, 0.6, 0.7, 0.8] {
        row(
            &format!("reactive {target}"),
            &run(&apis, every, reactive(target, Surplus::Idle))?,
        );
    }
    row(
        "reactive, spread",
        &run(&apis, every, reactive(0.7, Surplus::Spread))?,
    );
    row(
        "oracle, proportional",
        &run(&apis, every, |d, _| static_split(capacity, &floored(d)))?,
    );
    // Square-root staffing: the smaller the load, the more headroom in proportion.
    let staffed = |d: &f64| (1.05 * d + 0.45 * d.sqrt()).max(FLOOR);
    let headroom = |d: &[f64]| d.iter().map(staffed).collect::<Vec<_>>();
    row(
        "oracle, tiers",
        &run(&apis, every, |d, _| {
            priority_split(capacity, &headroom(d), &tiers)
        })?,
    );
    Ok(())
}

/// Runs the two live days. `divide` gets the true demand of the coming step and the use of the
/// last one, both in cores.
fn run(
    apis: &[Api],
    every: u32,
    divide: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) -> Result<Scoreboard, Box<dyn Error>> {
    let mut services = apis
        .iter()
        .map(|a| Service::new(a.spec.clone(), 2026))
        .collect::<Result<Vec<_>, _>>()?;
    let mut board = Scoreboard::new();
    let at = |a: &Api, second: u32| {
        let position = f64::from(second) / f64::from(TRACE_STEP_S);
        let (left, part) = (HISTORY_STEPS + position as usize, position.fract());
        let last = a.rates.len() - 1;
        a.rates[left.min(last)] * (1.0 - part) + a.rates[(left + 1).min(last)] * part
    };
    let mut used: Vec<f64> = apis.iter().map(|a| at(a, 0) * a.spec.cpu.mean_s).collect();
    for start in (0..2 * 86_400).step_by(every as usize) {
        let demand: Vec<f64> = apis
            .iter()
            .zip(&services)
            .map(|(a, s)| at(a, start).max(at(a, start + every)) * s.true_cost_s())
            .collect();
        let grants = divide(&demand, &used);
        for (i, api) in apis.iter().enumerate() {
            let (from, to) = (at(api, start), at(api, start + every));
            let seen = services[i].step(from, to, every, Grant::of_cores(grants[i]));
            used[i] = seen.mean_cores();
            board.record(&api.spec.api, api.promise, grants[i], &seen);
        }
    }
    Ok(board)
}

fn header(apis: &[Api]) {
    let mut names: Vec<&str> = apis.iter().map(|a| a.spec.api.as_str()).collect();
    names.sort_unstable();
    print!("{:22}", "");
    names.iter().for_each(|name| print!(" {name:>8}"));
    println!("     gold   silver   bronze    total  bad req.  slack");
}

fn row(name: &str, board: &Scoreboard) {
    print!("{name:22}");
    board
        .apis()
        .for_each(|(_, _, score)| print!(" {:8.0}", score.bad_minutes));
    board
        .tiers()
        .values()
        .for_each(|score| print!(" {:8.0}", score.bad_minutes));
    let total = board.total();
    let bad = 100.0 * total.bad_requests as f64 / total.requests as f64;
    println!(
        " {:8.0} {bad:8.2}% {:5.1}%",
        total.bad_minutes,
        100.0 * total.slack()
    );
}

fn read(folder: &Path) -> Result<Vec<Api>, Box<dyn Error>> {
    let traces = table(&folder.join("traces.csv"))?;
    table(&folder.join("services.csv"))?
        .into_iter()
        .map(|service| {
            let number = |field: &str| -> Result<f64, Box<dyn Error>> {
                Ok(service
                    .get(field)
                    .ok_or(format!("services.csv has no {field}"))?
                    .parse()?)
            };
            let mut spec = ServiceSpec::new(service["api"].as_str(), number("cpu_s")?);
            spec.cpu.cv = number("cpu_cv")?;
            spec.burst_shape = number("burst_shape")?;
            spec.slo_thresholds_s = vec![number("slo_threshold_s")?];
            let promise = Objective {
                tier: service["tier"].parse()?,
                objective: number("slo_objective")?,
                threshold: 0,
            };
            let rate = |row: &BTreeMap<String, String>| row[&spec.api].parse();
            let rates = traces.iter().map(rate).collect::<Result<_, _>>()?;
            Ok(Api {
                spec,
                promise,
                rates,
            })
        })
        .collect()
}

fn table(path: &Path) -> Result<Vec<BTreeMap<String, String>>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut lines = text.lines().map(|l| l.split(',').map(str::to_owned));
    let names: Vec<String> = lines.next().ok_or("an empty table")?.collect();
    Ok(lines
        .map(|cells| names.iter().cloned().zip(cells).collect())
        .collect())
}
