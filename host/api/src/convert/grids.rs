//! Grids: many series over the same steps, packed; unpacked here into series.
//!
//! A grid promises its own shape (rows, steps, what is missing), so its columns are checked against
//! that before a sample is read. What is wrong with the shape refuses the grid; what is wrong with a
//! row, that row. Who calls has bounded rows * steps already: a grid of a few bytes may claim
//! billions.

use super::samples::{Declared, Origin, Translated};
use tidegate_core::distribution::{Distribution, MAX_BUCKETS};
use tidegate_core::sample::{SeriesSamples, Values};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_proto::v1;

/// Largest whole number that a float holds exactly.
const MAX_COUNT: u64 = 1 << 53;

/// A field of the grid, and what is wrong with it.
type Problem = (String, String);

fn problem<T>(field: &str, reason: impl Into<String>) -> Result<T, Problem> {
    Err((field.into(), reason.into()))
}

/// What a grid says of its own size.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: usize,
    steps: usize,
    /// Samples that are not missing.
    present: usize,
}

/// A grid's samples, in its order.
enum Cells {
    Numbers(&'static str, Vec<f64>),
    Distributions(Vec<Distribution>),
}

/// Reads grid `g` of a frame into `out`; `known` says what a reference means.
pub(super) fn read(
    g: usize,
    grid: v1::SampleGrid,
    known: &dyn Fn(u32) -> Result<Declared, String>,
    out: &mut Translated,
) {
    let claimed = grid.counts.len().max(grid.values.len());
    let claimed = claimed.max(grid.distributions.as_ref().map_or(0, |d| d.sum.len()));
    if let Err((field, reason)) = unpack(g, grid, known, out) {
        out.rejections.push(v1::Rejection {
            field: format!("grids[{g}].{field}"),
            samples: claimed as u64,
            reason,
        });
    }
}

fn unpack(
    g: usize,
    grid: v1::SampleGrid,
    known: &dyn Fn(u32) -> Result<Declared, String>,
    out: &mut Translated,
) -> Result<(), Problem> {
    let shape = shape(&grid)?;
    let v1::SampleGrid {
        start_ms,
        series_ref,
        rows,
        missing,
        counts,
        values,
        distributions,
        ..
    } = grid;
    let mut cells = cells(shape.present, counts, values, distributions)?;
    let mut base = 0;
    let mut step_of_grid: Option<Step> = None;
    for row in 0..shape.rows {
        let (place, reference) = match rows {
            0 => (row, series_ref[row]),
            _ => (0, series_ref[0] + row as u32),
        };
        let is_there = |s: usize| {
            let bit = row * shape.steps + s;
            missing.get(bit / 8).is_none_or(|b| b >> (bit % 8) & 1 == 0)
        };
        let there = (0..shape.steps).filter(|&s| is_there(s)).count();
        if there == 0 {
            continue;
        }
        let (column, values) = cells.split(base, there);
        let read = known(reference).and_then(|declared| {
            let Declared { key, step } = declared;
            let of_grid = *step_of_grid.get_or_insert(step);
            if step != of_grid {
                return Err(format!(
                    "it has a step of {step}, the rows before it of {of_grid}; send each step in \
                     a grid of its own"
                ));
            }
            let latency = key.signal == Signal::Latency;
            if latency != matches!(values, Values::Distributions(_)) {
                let wanted = if latency {
                    "`distributions` alone"
                } else {
                    "`counts` or `values`"
                };
                return Err(format!("{} is sent as {wanted}", key.signal.name()));
            }
            let times = times(start_ms, step, shape.steps, &is_there)?;
            Ok(SeriesSamples {
                key,
                step,
                times,
                values,
            })
        });
        match read {
            Ok(series) => {
                out.origin.push(Origin::Row {
                    grid: g,
                    place,
                    column,
                    base,
                });
                out.batch.series.push(series);
            }
            Err(reason) => out.rejections.push(v1::Rejection {
                field: format!("grids[{g}].series_ref[{place}]"),
                samples: there as u64,
                reason: if rows > 0 {
                    format!("row {row}: {reason}")
                } else {
                    reason
                },
            }),
        }
        base += there;
    }
    Ok(())
}

fn shape(grid: &v1::SampleGrid) -> Result<Shape, Problem> {
    let steps = grid.steps as usize;
    if steps == 0 {
        return problem("steps", "it is 0; say how many steps the grid covers");
    }
    let listed = grid.series_ref.len();
    let rows = match grid.rows as usize {
        0 => listed,
        rows if listed == 1 => rows,
        _ => {
            return problem(
                "series_ref",
                format!("it holds {listed}; with `rows`, it holds the first row's alone"),
            );
        }
    };
    let Some(first) = grid.series_ref.first() else {
        return problem("series_ref", "it is empty; name at least one series");
    };
    if grid.rows > 0 && first.checked_add(grid.rows - 1).is_none() {
        return problem("rows", "the references of its rows go beyond 32 bits");
    }
    let all = rows.saturating_mul(steps);
    let bytes = all.div_ceil(8);
    let given = grid.missing.len();
    if given != 0 && given != bytes {
        return problem(
            "missing",
            format!("it has {given} bytes; {rows} rows of {steps} steps take {bytes}, or none"),
        );
    }
    let absent: usize = grid.missing.iter().map(|b| b.count_ones() as usize).sum();
    let beyond = grid.missing.last().map_or(0, |last| match all % 8 {
        0 => 0,
        used => last >> used,
    });
    if beyond != 0 {
        return problem(
            "missing",
            "bits are set after the last step of the last row; leave them 0",
        );
    }
    Ok(Shape {
        rows,
        steps,
        present: all - absent,
    })
}

fn cells(
    present: usize,
    counts: Vec<u64>,
    values: Vec<f64>,
    distributions: Option<v1::DistributionColumns>,
) -> Result<Cells, Problem> {
    let full = |field, len: usize| {
        if len == present {
            return Ok(());
        }
        problem(
            field,
            format!("it holds {len}, but rows, steps and what is missing leave {present} samples"),
        )
    };
    match (counts.is_empty(), values.is_empty(), distributions) {
        (false, true, None) => {
            full("counts", counts.len())?;
            if let Some(i) = counts.iter().position(|&c| c > MAX_COUNT) {
                let text = format!("{} is more than 2^53; send it among `values`", counts[i]);
                return problem(&format!("counts[{i}]"), text);
            }
            let numbers = counts.into_iter().map(|c| c as f64).collect();
            Ok(Cells::Numbers("counts", numbers))
        }
        (true, false, None) => {
            full("values", values.len())?;
            Ok(Cells::Numbers("values", values))
        }
        (true, true, Some(columns)) => {
            full("distributions.sum", columns.sum.len())?;
            let read = distributions_of(&columns, present);
            let inside = |(field, reason)| (format!("distributions.{field}"), reason);
            Ok(Cells::Distributions(read.map_err(inside)?))
        }
        (true, true, None) if present == 0 => Ok(Cells::Numbers("values", values)),
        (true, true, None) => problem(
            "values",
            "it is empty, as are `counts` and `distributions`; fill one of them",
        ),
        _ => problem(
            "values",
            "fill exactly one of `counts`, `values` and `distributions`",
        ),
    }
}

impl Cells {
    /// The samples of one row, and the field that held them. Numbers are copied, distributions moved.
    fn split(&mut self, base: usize, count: usize) -> (&'static str, Values) {
        let range = base..base + count;
        match self {
            Cells::Numbers(field, all) => (field, Values::Numbers(all[range].to_vec())),
            Cells::Distributions(all) => {
                let row = all[range].iter_mut().map(std::mem::take).collect();
                ("distributions", Values::Distributions(row))
            }
        }
    }
}

/// A column of one entry for each of `n`, of one for all, or of none where `or` stands for all.
fn each<T: Copy>(
    field: &str,
    column: &[T],
    n: usize,
    or: Option<T>,
) -> Result<impl Fn(usize) -> T, Problem> {
    let of_all = match (column, or) {
        ([], Some(or)) => Some(or),
        (&[one], None) => Some(one),
        _ if column.len() == n => None,
        _ => {
            let else_ = if or.is_some() { "none" } else { "one for all" };
            let text = format!(
                "it holds {}; give one for each of {n}, or {else_}",
                column.len()
            );
            return problem(field, text);
        }
    };
    Ok(move |i: usize| of_all.unwrap_or_else(|| column[i]))
}

fn distributions_of(
    columns: &v1::DistributionColumns,
    n: usize,
) -> Result<Vec<Distribution>, Problem> {
    let scale = each("scale", &columns.scale, n, None)?;
    let zero_count = each("zero_count", &columns.zero_count, n, Some(0))?;
    let offset = each("offset", &columns.offset, n, None)?;
    let count = each("bucket_count", &columns.bucket_count, n, None)?;
    let thresholds = &columns.thresholds;
    if columns.above.len() != n.saturating_mul(thresholds.len()) {
        let text = format!(
            "it holds {}; give one for each of {n} distributions and {} thresholds",
            columns.above.len(),
            thresholds.len()
        );
        return problem("above", text);
    }
    let mut buckets = columns.buckets.as_slice();
    let mut all = Vec::with_capacity(n);
    for (i, &sum) in columns.sum.iter().enumerate() {
        let wanted = count(i) as usize;
        if wanted > MAX_BUCKETS {
            let text = format!("{wanted} buckets are more than {MAX_BUCKETS}; merge them");
            return problem(&format!("bucket_count[{i}]"), text);
        }
        let Some((own, rest)) = buckets.split_at_checked(wanted) else {
            let text = format!("it ends within the distribution {i}, which has {wanted}");
            return problem("buckets", text);
        };
        buckets = rest;
        let Ok(scale) = i8::try_from(scale(i)) else {
            let text = format!("{} is not between -10 and 20", scale(i));
            return problem(&format!("scale[{i}]"), text);
        };
        let above = &columns.above[i * thresholds.len()..][..thresholds.len()];
        all.push(Distribution {
            scale,
            zero_count: zero_count(i),
            offset: offset(i),
            buckets: own.to_vec(),
            sum,
            above: thresholds
                .iter()
                .copied()
                .zip(above.iter().copied())
                .collect(),
        });
    }
    if !buckets.is_empty() {
        let text = format!(
            "{} are left over after the last distribution",
            buckets.len()
        );
        return problem("buckets", text);
    }
    Ok(all)
}

fn times(
    start_ms: i64,
    step: Step,
    steps: usize,
    is_there: &dyn Fn(usize) -> bool,
) -> Result<Vec<Timestamp>, String> {
    let last = i64::try_from(steps - 1).ok();
    let last = last.and_then(|n| n.checked_mul(step.ms()));
    if last.and_then(|n| start_ms.checked_add(n)).is_none() {
        return Err("its times go beyond what milliseconds in 64 bits can tell".into());
    }
    let at = |s: usize| Timestamp(start_ms + s as i64 * step.ms());
    Ok((0..steps).filter(|&s| is_there(s)).map(at).collect())
}

#[cfg(test)]
mod tests;
