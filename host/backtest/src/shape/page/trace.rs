//! One trace: its load, what was foreseen of it, what was granted, and when it was not enough.

use super::super::runs::{Done, Policy, World};
use super::super::simulate::Trail;
use super::super::summary::Summary;
use super::plot::{Frame, ticks};
use std::fmt::Write as _;

/// Columns of the drawing: a browser shows no more, and a file with every minute would be large.
const COLUMNS: usize = 500;

/// The drawing of one api of a case.
pub(super) fn svg(
    world: &World,
    summary: &Summary<'_>,
    done: &[Done],
    case_at: usize,
    api_at: usize,
) -> String {
    let case = &world.cases[case_at];
    let api = &case.apis[api_at];
    let minutes = case.minutes();
    let wide = minutes.div_ceil(COLUMNS).max(1);
    let columns: Vec<std::ops::Range<usize>> = (0..minutes)
        .step_by(wide)
        .map(|from| from..(from + wide).min(minutes))
        .collect();
    let run = |policy: usize| {
        let found = done
            .iter()
            .find(|d| d.case == case_at && d.policy == policy)?;
        Some((found, found.trails.get(api_at)?))
    };
    let place = |is: fn(Policy) -> bool| world.policies.iter().position(|p| is(*p));
    let own = place(|p| matches!(p, Policy::Tidegate(_))).and_then(run);
    let oracle = place(|p| p == Policy::Oracle).and_then(run);
    let rival = rival(world, summary, &api.name, own.map(|(_, t)| t)).and_then(run);

    let day = |minute: usize| minute as f64 / 1440.0;
    let load: Vec<(f64, f64)> = columns
        .iter()
        .map(|c| {
            let from = case.score + c.start * 60;
            let part = &api.requests[from..case.score + c.end * 60];
            let sum: f64 = part.iter().map(|n| f64::from(*n)).sum();
            (day(c.start), sum / part.len() as f64 * api.unit)
        })
        .collect();
    let capacity = |trail: &Trail| -> Vec<(f64, f64)> {
        let of = |c: &std::ops::Range<usize>| {
            let part = trail.serving.get(c.clone()).unwrap_or_default();
            let mean = part.iter().map(|n| f64::from(*n)).sum::<f64>() / part.len() as f64;
            (day(c.start), mean * api.unit * 100.0)
        };
        columns.iter().map(of).collect()
    };
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = vec![];
    if let Some((_, trail)) = oracle {
        lines.push(("oracle", capacity(trail)));
    }
    if let Some((_, trail)) = rival {
        lines.push(("hpa", capacity(trail)));
    }
    if let Some((_, trail)) = own {
        lines.push(("own", capacity(trail)));
    }
    lines.push(("load", load));
    let all = lines.iter().flat_map(|(_, line)| line).map(|(_, y)| *y);
    let most = all
        .filter(|y| y.is_finite())
        .fold(f64::MIN_POSITIVE, f64::max);
    let frame = Frame {
        width: 1000.0,
        height: 230.0,
        left: 60.0,
        bottom: 52.0,
        x: (0.0, day(minutes).max(1e-9)),
        y: (0.0, most * 1.05),
    };
    let mut inside = own.map_or_else(String::new, |(done, _)| {
        let tellings = done.tally.as_ref().and_then(|t| t.tellings.get(api_at));
        let start = case.at(case.score);
        let mut sums = vec![(0.0, 0.0, 0.0); columns.len()];
        for telling in tellings.into_iter().flatten() {
            let minute = telling.at.since_ms(start) / 60_000;
            if let Some(sum) = usize::try_from(minute)
                .ok()
                .and_then(|m| sums.get_mut(m / wide))
            {
                *sum = (sum.0 + telling.low, sum.1 + telling.bought, sum.2 + 1.0);
            }
        }
        let band: Vec<(f64, f64, f64)> = sums
            .iter()
            .zip(&columns)
            .map(|((low, high, n), c)| (day(c.start), low / n * api.unit, high / n * api.unit))
            .collect();
        frame.band("band", &band)
    });
    for (class, line) in &lines {
        inside.push_str(&frame.line(class, line));
    }
    for (row, (class, of)) in [("bad-own", own), ("bad-hpa", rival)]
        .into_iter()
        .enumerate()
    {
        if let Some((_, trail)) = of {
            marks(&mut inside, &frame, class, row, &columns, trail);
        }
    }
    let days: Vec<(f64, String)> = ticks(day(minutes), 8)
        .into_iter()
        .map(|(x, label)| (x, format!("day {label}")))
        .collect();
    let title = "Load (line), interval foreseen (band), capacity of Tidegate (line), HPA (dashed) and oracle (dotted); violated minutes as marks below, Tidegate's above HPA's";
    frame.svg(&days, &ticks(most * 1.05, 4), &inside, title)
}

/// The run of HPA whose cost is nearest to Tidegate's.
fn rival(world: &World, summary: &Summary<'_>, name: &str, own: Option<&Trail>) -> Option<usize> {
    let cost = own?.held_s / 3600.0;
    let of_hpa = world
        .policies
        .iter()
        .enumerate()
        .filter(|(_, p)| matches!(p, Policy::Hpa(_)));
    let distance = |at: usize| {
        let score = summary.rows.get(at).and_then(|r| r.traces.get(name));
        score.map_or(f64::INFINITY, |s| (s.resource_hours - cost).abs())
    };
    of_hpa
        .map(|(at, _)| at)
        .min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
}

fn marks(
    out: &mut String,
    frame: &Frame,
    class: &str,
    row: usize,
    columns: &[std::ops::Range<usize>],
    trail: &Trail,
) {
    let y = frame.height - 22.0 + 9.0 * row as f64;
    for column in columns {
        let part = trail.bad.get(column.clone()).unwrap_or_default();
        let bad = part.iter().filter(|b| **b).count();
        if bad > 0 {
            let x = frame.at_x(column.start as f64 / 1440.0);
            let _ = write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"1.9\" height=\"7\"><title>{bad} violated minutes</title></rect>"
            );
        }
    }
}
