//! Grids unpacked, and every way in which one can be malformed.

use super::*;
use crate::convert::samples::Declarations;
use tidegate_core::access::Principal;

/// References 1 to 3 are counts and 4 is latency, all per minute; 5 has another step.
fn known() -> Declarations {
    let mut known = Declarations::default();
    let declare = |series_ref, signal: v1::Signal, step_s| v1::SeriesDeclaration {
        series_ref,
        api: format!("shop/a{series_ref}"),
        signal: signal.into(),
        step_s,
    };
    let all = [
        declare(1, v1::Signal::Requests, 60),
        declare(2, v1::Signal::Requests, 60),
        declare(3, v1::Signal::Cpu, 60),
        declare(4, v1::Signal::Latency, 60),
        declare(5, v1::Signal::Requests, 300),
    ];
    known.declare(&Principal::local(), &all, 10).unwrap();
    known
}

fn read_all(grid: v1::SampleGrid) -> Translated {
    known().translate(vec![], vec![grid])
}

fn grid(refs: &[u32], steps: u32, counts: &[u64]) -> v1::SampleGrid {
    v1::SampleGrid {
        start_ms: 60_000,
        steps,
        series_ref: refs.to_vec(),
        counts: counts.to_vec(),
        ..Default::default()
    }
}

fn minutes(samples: &SeriesSamples) -> Vec<i64> {
    samples.times.iter().map(|t| t.0 / 60_000).collect()
}

#[test]
fn rows_and_steps_become_series_without_what_is_missing() {
    // Row 0 misses its step 1, row 1 everything, row 2 nothing.
    let mut sent = grid(&[1, 2, 3], 3, &[10, 12, 30, 31, 32]);
    sent.missing = vec![0b0011_1010, 0];
    let read = read_all(sent);
    assert_eq!(read.rejections, []);
    let [first, third] = read.batch.series.as_slice() else {
        panic!("{read:?}")
    };
    assert_eq!(first.key.api.to_string(), "shop/a1");
    assert_eq!(minutes(first), [1, 3]);
    assert_eq!(first.values, Values::Numbers(vec![10.0, 12.0]));
    assert_eq!(minutes(third), [1, 2, 3]);
    assert_eq!(third.values, Values::Numbers(vec![30.0, 31.0, 32.0]));
    let at = |base, place| Origin::Row {
        grid: 0,
        place,
        column: "counts",
        base,
    };
    assert_eq!(read.origin, [at(0, 0), at(2, 2)]);
}

#[test]
fn consecutive_references_are_named_by_the_first() {
    let mut sent = grid(&[1], 1, &[7, 8]);
    sent.rows = 2;
    let read = read_all(sent);
    let names: Vec<_> = read
        .batch
        .series
        .iter()
        .map(|s| s.key.api.to_string())
        .collect();
    assert_eq!(
        (names, read.rejections.len()),
        (vec!["shop/a1".into(), "shop/a2".into()], 0)
    );
    let mut sent = grid(&[3], 1, &[7, 8]);
    sent.rows = 2;
    let read = read_all(sent);
    assert_eq!(read.batch.series.len(), 1);
    let told = &read.rejections[0];
    assert_eq!(
        (told.field.as_str(), told.samples),
        ("grids[0].series_ref[0]", 1)
    );
    assert!(
        told.reason.starts_with("row 1: latency is sent as"),
        "{told:?}"
    );
}

/// Two distributions of series 4.
fn latencies() -> v1::SampleGrid {
    v1::SampleGrid {
        distributions: Some(v1::DistributionColumns {
            scale: vec![3],
            offset: vec![-4, 5],
            bucket_count: vec![2, 1],
            buckets: vec![1, 2, 3],
            sum: vec![0.5, 0.25],
            thresholds: vec![0.1, 0.2],
            above: vec![3, 1, 2, 0],
            ..Default::default()
        }),
        ..grid(&[4], 2, &[])
    }
}

#[test]
fn distributions_are_taken_apart_column_by_column() {
    let read = read_all(latencies());
    assert_eq!(read.rejections, []);
    let one = |offset, buckets: &[u64], sum, above: [u64; 2]| Distribution {
        scale: 3,
        zero_count: 0,
        offset,
        buckets: buckets.to_vec(),
        sum,
        above: vec![(0.1, above[0]), (0.2, above[1])],
    };
    let wanted = vec![one(-4, &[1, 2], 0.5, [3, 1]), one(5, &[3], 0.25, [2, 0])];
    assert_eq!(read.batch.series[0].values, Values::Distributions(wanted));
}

#[test]
fn whatever_does_not_fit_its_shape_is_refused_by_its_field() {
    let with = |change: fn(&mut v1::SampleGrid)| {
        let mut sent = grid(&[1, 2], 2, &[1, 2, 3, 4]);
        change(&mut sent);
        sent
    };
    let of = |change: fn(&mut v1::DistributionColumns)| {
        let mut sent = latencies();
        change(sent.distributions.as_mut().unwrap());
        sent
    };
    let cases = [
        (with(|g| g.steps = 0), "steps", "it is 0"),
        (with(|g| g.steps = 3), "counts", "it holds 4, but"),
        (with(|g| g.series_ref.clear()), "series_ref", "empty"),
        (
            with(|g| g.rows = 2),
            "series_ref",
            "it holds 2; with `rows`",
        ),
        (
            with(|g| (g.series_ref, g.rows) = (vec![u32::MAX], 2)),
            "rows",
            "beyond 32 bits",
        ),
        (with(|g| g.missing = vec![0, 0]), "missing", "take 1"),
        (with(|g| g.missing = vec![16]), "missing", "bits are set"),
        (with(|g| g.missing = vec![1]), "counts", "leave 3 samples"),
        (with(|g| g.values = vec![1.0]), "values", "exactly one"),
        (with(|g| g.counts.clear()), "values", "fill one of them"),
        (with(|g| g.counts[3] = 1 << 54), "counts[3]", "2^53"),
        (of(|d| d.sum.truncate(1)), "distributions.sum", "leave 2"),
        (of(|d| d.scale.clear()), "distributions.scale", "each of 2"),
        (of(|d| d.scale = vec![200]), "distributions.scale[0]", "20"),
        (
            of(|d| d.zero_count = vec![1]),
            "distributions.zero_count",
            "or none",
        ),
        (
            of(|d| d.offset = vec![1; 3]),
            "distributions.offset",
            "or one",
        ),
        (
            of(|d| d.bucket_count[1] = 400),
            "distributions.bucket_count[1]",
            "more than 320",
        ),
        (
            of(|d| d.bucket_count[1] = 2),
            "distributions.buckets",
            "ends within",
        ),
        (
            of(|d| d.bucket_count[1] = 0),
            "distributions.buckets",
            "left over",
        ),
        (
            of(|d| d.above.truncate(3)),
            "distributions.above",
            "2 thresholds",
        ),
    ];
    for (sent, field, part) in cases {
        let claimed = sent.counts.len().max(sent.values.len());
        let claimed = claimed.max(sent.distributions.as_ref().map_or(0, |d| d.sum.len()));
        let read = read_all(sent);
        assert!(read.batch.series.is_empty(), "{field}: {read:?}");
        let [told] = read.rejections.as_slice() else {
            panic!("{field}: {read:?}")
        };
        assert_eq!(told.field, format!("grids[0].{field}"));
        assert!(told.reason.contains(part), "{told:?}");
        assert_eq!(told.samples, claimed as u64, "{told:?}");
    }
}

#[test]
fn a_bad_row_loses_none_of_its_neighbours() {
    let read = read_all(grid(&[1, 9, 5, 4, 2], 1, &[1, 2, 3, 4, 5]));
    assert_eq!(read.batch.series.len(), 2);
    let told: Vec<_> = read.rejections.iter().map(|r| r.field.as_str()).collect();
    assert_eq!(
        told,
        [
            "grids[0].series_ref[1]",
            "grids[0].series_ref[2]",
            "grids[0].series_ref[3]"
        ]
    );
    let reasons = ["not declared", "a grid of its own", "`distributions` alone"];
    for (told, part) in read.rejections.iter().zip(reasons) {
        assert!(told.reason.contains(part), "{told:?}");
    }
    let far = v1::SampleGrid {
        start_ms: i64::MAX,
        ..grid(&[1], 2, &[1, 2])
    };
    assert!(read_all(far).rejections[0].reason.contains("64 bits"));
}
