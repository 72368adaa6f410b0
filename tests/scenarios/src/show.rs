//! What a script prints: tables for what is compared, sentences for what is explained.
//!
//! Module digests are left out, since a digest changes with every build of a component and says
//! nothing to a reader; instants are told as days and times of the simulated world.

use crate::interpreter::Told;
use crate::words::told;
use tidegate_core::access::Principal;
use tidegate_core::canonical::Canonical;
use tidegate_core::ids::{ApiId, PoolId};
use tidegate_core::life::Side;
use tidegate_core::module::ModuleRef;
use tidegate_core::ports::storage::{History, Ledger};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Dimension, Level, Resources, Signal};
use tidegate_flow::observe::{ExplainInput, declared, explain};
use tidegate_harness::World;

/// Columns side by side, the first to the left and numbers to the right.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn of(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|h| (*h).to_owned()).collect()],
        }
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let number = |c: usize| {
            let mut cells = self.rows.iter().skip(1).filter_map(|r| r.get(c));
            cells.all(|cell| cell.is_empty() || cell == "-" || cell.parse::<f64>().is_ok())
        };
        let layout: Vec<(usize, bool)> = (0..columns).map(|c| (width(c), number(c))).collect();
        self.rows
            .iter()
            .map(|row| {
                let cells = row.iter().zip(&layout).map(|(cell, (width, right))| {
                    if *right {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                });
                cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            })
            .collect()
    }
}

/// The lines, or one that says that there are none.
pub(crate) fn or(lines: Vec<String>, none: &str) -> Vec<String> {
    if lines.is_empty() {
        vec![none.to_owned()]
    } else {
        lines
    }
}

/// Takes digests out of a line, and tells instants as days and times.
pub(crate) fn readable(line: &str) -> String {
    let mut text = String::new();
    for word in line.split(' ') {
        let core = word.trim_start_matches('(');
        let end = core.trim_end_matches(['.', ',', ';', ')', ':']);
        let digest =
            word.starts_with('(') && end.len() >= 6 && end.chars().all(|c| c.is_ascii_hexdigit());
        let tail = &core[end.len()..];
        if digest {
            text.truncate(text.trim_end().len());
            text.push_str(tail.strip_prefix(')').unwrap_or(tail));
        } else if let Some(t) = instant(end) {
            text.push_str(&told(t));
            text.push_str(tail);
        } else {
            text.push_str(word);
        }
        text.push(' ');
    }
    text.trim_end().to_owned()
}

/// Seconds since 1970 within a year of the simulated world.
fn instant(word: &str) -> Option<Timestamp> {
    let seconds: i64 = word.parse().ok().filter(|_| word.len() == 10)?;
    let t = Timestamp::from_secs(seconds);
    let days = t.since_ms(tidegate_harness::DAY_ZERO) / 86_400_000;
    (0..366).contains(&days).then_some(t)
}

fn module(m: &ModuleRef) -> String {
    format!("{} {}", m.name, m.version)
}

fn cpu(r: Resources) -> String {
    amount(r.get(Dimension::Cpu).unwrap_or(0.0))
}

fn amount(value: f64) -> String {
    format!("{value:.2}")
}

/// The plan in force, at the step of an instant.
pub(crate) fn plan(world: &World, pool: &str, at: Timestamp) -> Told {
    let Some(plan) = world.plan(pool) else {
        return Ok(vec!["no plan yet".into()]);
    };
    let step = plan.step_at(at);
    let mut table = Table::of(&["api", "tier", "guaranteed", "limit", "needs", "reason"]);
    for row in &plan.apis {
        let cell = |matrix: &[f64]| cpu(plan.row(matrix, step));
        table.rows.push(vec![
            row.api.to_string(),
            row.tier.name().into(),
            cell(&row.guaranteed),
            cell(&row.limit),
            cell(&row.demand),
            row.reason.clone(),
        ]);
    }
    let mut lines = vec![format!(
        "plan {} of {}, made {} by {} ({}), valid until {}; at {} of {} cores, {} wanted",
        plan.generation,
        plan.pool,
        told(plan.made_at),
        module(&plan.served.module),
        plan.served.retreat.name(),
        told(plan.expires_at),
        told(plan.grid.at(step)),
        cpu(plan.row(&plan.capacity, step)),
        cpu(plan.row(&plan.wanted, step)),
    )];
    lines.extend(table.lines());
    for loan in plan.loans.iter().filter(|l| l.from <= at && at < l.until) {
        lines.push(format!(
            "{} lends {} to {} until {}",
            loan.lender,
            amount(loan.amount),
            loan.borrower,
            told(loan.until)
        ));
    }
    Ok(lines)
}

/// What is in force now, safe capacity included.
pub(crate) fn grants(world: &World, pool: &PoolId) -> Told {
    let plan = world.plan(pool.as_str());
    let expired = plan.as_ref().is_some_and(|p| world.now() >= p.expires_at);
    let mut table = Table::of(&["api", "limit", "from plan", "in force"]);
    let mut sum = 0.0;
    for api in world.catalog().apis_of(pool) {
        let Some(grant) = world.grant(&api.id) else {
            continue;
        };
        sum += grant.limit.get(Dimension::Cpu).unwrap_or(0.0);
        let how = if expired { "safe capacity" } else { "plan" };
        table.rows.push(vec![
            api.id.to_string(),
            cpu(grant.limit),
            grant.generation.to_string(),
            how.into(),
        ]);
    }
    let mut lines = table.lines();
    lines.push(format!(
        "together {} cores at {}",
        amount(sum),
        told(world.now())
    ));
    Ok(lines)
}

/// Versions on trial: what is known of each beside the other.
pub(crate) fn trials(world: &World) -> Vec<String> {
    let head = [
        "binding",
        "candidate",
        "beside",
        "serves",
        "question",
        "pairs",
        "lost more",
        "mean",
        "verdict",
    ];
    let mut table = Table::of(&head);
    for trial in world.trials() {
        let about = &trial.about;
        let serves = match about.serves {
            Side::Candidate => "yes",
            Side::Incumbent => "no",
        };
        for q in &trial.questions {
            table.rows.push(vec![
                about.binding.to_string(),
                module(&about.candidate.module),
                module(&about.incumbent.module),
                serves.into(),
                q.name.into(),
                q.pairs.to_string(),
                q.worse.to_string(),
                format!("{:+.3}", q.mean),
                q.verdict.into(),
            ]);
        }
    }
    if table.rows.len() == 1 {
        return vec!["nothing is on trial".into()];
    }
    table.lines()
}

/// Requests/s that are expected, hour by hour.
pub(crate) fn forecast(world: &World, api: &ApiId) -> Told {
    let Some(forecast) = world.forecast(api) else {
        return Ok(vec![format!("no forecast of {api}")]);
    };
    let mut lines = vec![format!(
        "{api} requests/s, by {} ({})",
        module(&forecast.served.module),
        forecast.served.retreat.name()
    )];
    let mut table = Table::of(&["from", "p50", "p90", "p99"]);
    let apart = (1800 / forecast.grid.step.secs()).max(1) as usize;
    for step in (0..forecast.grid.count).step_by(apart) {
        let level = |l| format!("{:.0}", forecast.quantile(step, l));
        table.rows.push(vec![
            told(forecast.grid.at(step)),
            level(Level::P50),
            level(Level::P90),
            level(Level::P99),
        ]);
    }
    lines.extend(table.lines());
    Ok(lines)
}

/// What stands.
pub(crate) fn alerts(world: &World) -> Vec<String> {
    let all = world.alerts();
    let lines = all
        .iter()
        .map(|a| format!("{}: {}", a.kind.name(), a.message));
    or(lines.collect(), "nothing stands")
}

/// Who serves.
pub(crate) fn slots(world: &World) -> Vec<String> {
    let mut table = Table::of(&["binding", "kind", "serves", "last good", "faults"]);
    for slot in world.slots() {
        table.rows.push(vec![
            slot.binding.to_string(),
            slot.kind.name().into(),
            module(&slot.active),
            slot.last_good.as_ref().map_or("-".into(), module),
            slot.faults.to_string(),
        ]);
    }
    let mut lines = table.lines();
    let quarantined = world.quarantined();
    if !quarantined.is_empty() {
        let names: Vec<String> = quarantined.iter().map(module).collect();
        lines.push(format!("quarantined: {}", names.join(", ")));
    }
    lines
}

/// Answers that were not used, by module and reason.
pub(crate) fn refusals(world: &World) -> Vec<String> {
    let all = world.refusals().iter();
    let lines = all.map(|((module, why), n)| format!("{module}: {why} {n} times"));
    or(lines.collect(), "every answer was used")
}

/// The digest of the last plan's canonical bytes.
pub(crate) fn digest(world: &World, pool: &str) -> Told {
    let Some(plan) = world.plan(pool) else {
        return Ok(vec!["no plan yet".into()]);
    };
    Ok(vec![format!(
        "plan {} of {pool}: {} bytes, {}",
        plan.generation,
        plan.canonical().len(),
        plan.digest()
    )])
}

/// Why an api has what it has, from the record alone.
pub(crate) fn why(world: &World, api: &ApiId) -> Told {
    let known = world.catalog().apis.get(api);
    let pool = known.map(|a| a.value.pool.clone());
    let pool = pool.ok_or_else(|| format!("there is no api {api}"))?;
    let store = world.store();
    let generation = Ledger::last(store, &pool);
    let record = generation.and_then(|g| Ledger::record(store, &pool, g).ok().flatten());
    let explained = record.as_ref().and_then(|record| {
        explain(&ExplainInput {
            record,
            api,
            at: world.now(),
            caller: &Principal::local(),
        })
    });
    let Some((_, mut sentences)) = explained else {
        return Ok(vec!["no plan yet".into()]);
    };
    sentences.extend(declared(world.catalog(), api));
    Ok(sentences)
}

/// What every api of a pool used and could use, over time.
#[derive(Debug)]
pub(crate) struct Course {
    apis: Vec<ApiId>,
    pool: PoolId,
    table: Table,
}

impl Course {
    pub(crate) fn new(world: &World, pool: &PoolId) -> Self {
        let apis: Vec<ApiId> = world
            .catalog()
            .apis_of(pool)
            .map(|a| a.id.clone())
            .collect();
        let mut head = vec!["until".to_owned()];
        for api in &apis {
            head.push(api.to_string());
            head.push("of".into());
        }
        head.push("answered".into());
        Self {
            apis,
            pool: pool.clone(),
            table: Table { rows: vec![head] },
        }
    }

    /// Notes the step that has just ended: what was used, and what may be used from now on.
    pub(crate) fn note(&mut self, world: &World) {
        let mut row = vec![told(world.now())];
        for api in &self.apis {
            let key = SeriesKey {
                api: api.clone(),
                signal: Signal::Cpu,
            };
            let grid = Grid::ending_at(world.now(), world.settings().step, 1);
            let used = world.store().column(&key, grid).ok().and_then(|c| c.last());
            row.push(used.map_or("-".into(), amount));
            let grant = world.grant(api);
            row.push(grant.map_or("-".into(), |g| cpu(g.limit)));
        }
        row.push(match world.plan(self.pool.as_str()) {
            None => "no plan".into(),
            Some(plan) if world.now() >= plan.expires_at => "safe capacity".into(),
            Some(plan) if plan.made_at < world.now() => format!("held plan {}", plan.generation),
            Some(plan) => plan.served.module.name.clone(),
        });
        self.table.rows.push(row);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.table.lines()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_go_and_instants_are_told() {
        assert_eq!(
            readable("made by ets 0.1.0 (0a1b2c3d4e5f), since 1767603600. Done (really)."),
            "made by ets 0.1.0, since d0 09:00. Done (really)."
        );
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = Table::of(&["api", "limit"]);
        table.rows.push(vec!["a".into(), "1.00".into()]);
        table.rows.push(vec!["long".into(), "10.00".into()]);
        assert_eq!(table.lines(), ["api   limit", "a      1.00", "long  10.00"]);
    }
}
