//! Samples as columns, and columns of many series as grids.
//!
//! A program that measures a thousand series measures them at the same step. As columns that would
//! cost a name, an instant and a float each; as a grid it costs the count. So series whose columns
//! cover the same steps are sent together, in the order of their references, and what stands alone
//! or has gaps stays as it is.

use super::sample::{Sample, SeriesKey, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tidegate_proto::v1;

/// Largest whole number that is sent as a count.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// Samples as columns: numbers and distributions apart, regular ones without their instants.
pub(super) fn columns(key: &SeriesKey, samples: Vec<Sample>) -> Vec<v1::Columns> {
    let step_ms = i64::from(key.step_s) * 1000;
    let (mut numbers, mut shapes) = (v1::Columns::default(), v1::Columns::default());
    let (mut number_times, mut shape_times) = (Vec::new(), Vec::new());
    for sample in samples {
        match sample.value {
            Value::Number(number) => {
                number_times.push(sample.start_ms);
                numbers.values.push(number);
            }
            Value::Distribution(shape) => {
                shape_times.push(sample.start_ms);
                shapes.distributions.push(shape);
            }
        }
    }
    let mut filled = Vec::new();
    for (mut columns, times) in [(numbers, number_times), (shapes, shape_times)] {
        let Some(&first) = times.first() else {
            continue;
        };
        columns.start_ms = first;
        let deltas: Vec<i64> = times
            .windows(2)
            .map(|w| w[1].saturating_sub(w[0]))
            .collect();
        if deltas.iter().any(|&d| d != step_ms) {
            columns.delta_ms = deltas;
        }
        filled.push(columns);
    }
    filled
}

/// What the rows of one grid have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Common {
    step_s: u32,
    start_ms: i64,
    steps: usize,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Counts,
    Values,
    /// With these thresholds, by their bits.
    Distributions(Vec<u64>),
}

/// The columns of a frame: what fits a grid as grids, the rest as it is. `step_s` is the step of a
/// reference.
pub(super) fn grids(
    all: &[v1::SeriesSamples],
    step_s: impl Fn(u32) -> Option<u32>,
) -> (Vec<v1::SeriesSamples>, Vec<v1::SampleGrid>) {
    let mut rest = Vec::new();
    let mut rows: BTreeMap<Common, BTreeMap<u32, &v1::Columns>> = BTreeMap::new();
    for samples in all {
        let row = samples.columns.as_ref().and_then(|columns| {
            let common = common(columns, step_s(samples.series_ref)?)?;
            Some((common, columns))
        });
        match row {
            // A series that comes twice with the same steps has one row; the other stays a column.
            Some((common, columns)) => {
                match rows.entry(common).or_default().entry(samples.series_ref) {
                    Entry::Occupied(_) => rest.push(samples.clone()),
                    Entry::Vacant(free) => {
                        free.insert(columns);
                    }
                }
            }
            None => rest.push(samples.clone()),
        }
    }
    let grids = rows.iter().map(|(common, rows)| grid(common, rows));
    (rest, grids.collect())
}

fn common(columns: &v1::Columns, step_s: u32) -> Option<Common> {
    let numbers = &columns.values;
    let shapes = &columns.distributions;
    let kind = match (numbers.first(), shapes.first()) {
        (Some(_), None) if numbers.iter().all(|v| is_count(*v)) => Kind::Counts,
        (Some(_), None) => Kind::Values,
        (None, Some(first)) => {
            let alike = shapes
                .iter()
                .all(|d| d.thresholds == first.thresholds && d.above.len() == d.thresholds.len());
            if !alike {
                return None;
            }
            Kind::Distributions(first.thresholds.iter().map(|t| t.to_bits()).collect())
        }
        _ => return None,
    };
    columns.delta_ms.is_empty().then_some(Common {
        step_s,
        start_ms: columns.start_ms,
        steps: numbers.len() + shapes.len(),
        kind,
    })
}

fn is_count(value: f64) -> bool {
    value.is_sign_positive() && value <= MAX_COUNT && value.to_bits() == value.trunc().to_bits()
}

fn grid(common: &Common, rows: &BTreeMap<u32, &v1::Columns>) -> v1::SampleGrid {
    let refs: Vec<u32> = rows.keys().copied().collect();
    let mut grid = v1::SampleGrid {
        start_ms: common.start_ms,
        steps: u32::try_from(common.steps).unwrap_or(u32::MAX),
        ..v1::SampleGrid::default()
    };
    let consecutive = refs.windows(2).all(|w| w[1] - w[0] == 1);
    if consecutive && refs.len() > 1 {
        grid.rows = u32::try_from(refs.len()).unwrap_or(u32::MAX);
        grid.series_ref = refs[..1].to_vec();
    } else {
        grid.series_ref = refs;
    }
    match common.kind {
        Kind::Counts => {
            let numbers = rows.values().flat_map(|c| &c.values);
            grid.counts = numbers.map(|&v| v as u64).collect();
        }
        Kind::Values => grid.values = rows.values().flat_map(|c| c.values.clone()).collect(),
        Kind::Distributions(_) => {
            grid.distributions = Some(shapes(rows.values().flat_map(|c| &c.distributions)));
        }
    }
    grid
}

fn shapes<'a>(all: impl Iterator<Item = &'a v1::Distribution>) -> v1::DistributionColumns {
    let mut out = v1::DistributionColumns::default();
    for d in all {
        out.scale.push(d.scale);
        out.zero_count.push(d.zero_count);
        out.offset.push(d.offset);
        out.bucket_count
            .push(u32::try_from(d.buckets.len()).unwrap_or(u32::MAX));
        out.buckets.extend(&d.buckets);
        out.sum.push(d.sum);
        out.thresholds.clone_from(&d.thresholds);
        out.above.extend(&d.above);
    }
    one_for_all(&mut out.scale);
    one_for_all(&mut out.offset);
    one_for_all(&mut out.bucket_count);
    if out.zero_count.iter().all(|&n| n == 0) {
        out.zero_count.clear();
    }
    out
}

fn one_for_all<T: PartialEq>(column: &mut Vec<T>) {
    if column.windows(2).all(|w| w[0] == w[1]) {
        column.truncate(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn samples(series_ref: u32, start_ms: i64, values: &[f64]) -> v1::SeriesSamples {
        v1::SeriesSamples {
            series_ref,
            columns: Some(v1::Columns {
                start_ms,
                values: values.to_vec(),
                ..v1::Columns::default()
            }),
        }
    }

    fn minute(_: u32) -> Option<u32> {
        Some(60)
    }

    #[test]
    fn counts_of_one_step_become_one_grid_of_few_bytes() {
        let all: Vec<_> = (1..=1000)
            .map(|r| samples(r, 0, &[f64::from(r % 100)]))
            .collect();
        let (rest, grids) = grids(&all, minute);
        assert!(rest.is_empty());
        let [grid] = grids.as_slice() else {
            panic!("{grids:?}")
        };
        assert_eq!(
            (grid.rows, grid.series_ref.as_slice(), grid.steps),
            (1000, &[1][..], 1)
        );
        assert_eq!(grid.counts[150], 51);
        let as_columns: usize = all.iter().map(|s| s.encoded_len() + 2).sum();
        assert!(grid.encoded_len() < 1020, "{}", grid.encoded_len());
        assert!(as_columns > 14 * grid.encoded_len(), "{as_columns}");
    }

    #[test]
    fn what_differs_in_step_start_length_or_kind_is_told_apart_and_gaps_stay_columns() {
        let mut gap = samples(6, 0, &[1.0, 2.0]);
        gap.columns.as_mut().unwrap().delta_ms = vec![120_000];
        let all = [
            samples(4, 0, &[1.0]),
            samples(1, 0, &[2.0]),
            samples(2, 0, &[0.5]),
            samples(3, 60_000, &[3.0]),
            samples(5, 0, &[1.0, 2.0]),
            samples(4, 0, &[9.0]),
            samples(7, 0, &[-0.0]),
            gap.clone(),
        ];
        let (rest, grids) = grids(&all, |r| Some(if r == 1 { 300 } else { 60 }));
        assert_eq!(rest, [all[5].clone(), gap]);
        let told: Vec<_> = grids
            .iter()
            .map(|g| (g.series_ref.clone(), g.counts.len(), g.values.len()))
            .collect();
        let wanted = [
            (vec![4], 1, 0),
            (vec![2, 7], 0, 2),
            (vec![5], 2, 0),
            (vec![3], 1, 0),
            (vec![1], 1, 0),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn distributions_with_the_same_thresholds_share_a_grid_and_their_common_fields() {
        let shape = |offset, threshold: f64| v1::Distribution {
            scale: 3,
            offset,
            buckets: vec![1, 2],
            sum: 0.5,
            thresholds: vec![threshold],
            above: vec![1],
            zero_count: 0,
        };
        let of = |series_ref, shape| v1::SeriesSamples {
            series_ref,
            columns: Some(v1::Columns {
                distributions: vec![shape],
                ..v1::Columns::default()
            }),
        };
        let all = [
            of(1, shape(4, 0.2)),
            of(2, shape(5, 0.2)),
            of(3, shape(5, 0.1)),
        ];
        let (rest, grids) = grids(&all, minute);
        assert_eq!((rest.len(), grids.len()), (0, 2));
        let both = grids.iter().find(|g| g.rows == 2).unwrap();
        let wanted = v1::DistributionColumns {
            scale: vec![3],
            zero_count: vec![],
            offset: vec![4, 5],
            bucket_count: vec![2],
            buckets: vec![1, 2, 1, 2],
            sum: vec![0.5, 0.5],
            thresholds: vec![0.2],
            above: vec![1, 1],
        };
        assert_eq!(both.distributions, Some(wanted));
    }
}
