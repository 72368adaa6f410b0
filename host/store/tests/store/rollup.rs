//! Roll-ups and retention: what is dropped is still answered as far as it can be, bit for bit where nothing was
//! averaged, and never twice.

use super::*;
use std::time::Duration;
use tidegate_core::ports::storage::Replays as _;
use tidegate_store::{Resolution, Retained, Retention, Rollup};

pub(super) const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

/// Small blocks, rolled up as soon as the next hour has begun.
fn quick() -> Options {
    Options {
        block_bytes: 400,
        out_of_order_ms: 3_600_000,
        seal_after_ms: 1_800_000,
        ..Options::default()
    }
}

fn hours(n: i64) -> Duration {
    Duration::from_secs(n as u64 * 3600)
}

/// Raw samples for so many hours, cells for so many days.
pub(super) fn keep(raw_h: i64, five_d: i64, hour_d: i64) -> Retention {
    Retention {
        raw: hours(raw_h),
        five_minutes: hours(24 * five_d),
        hour: hours(24 * hour_d),
        size: None,
        records: hours(24),
        reach: hours(1),
    }
}

pub(super) fn at(minute: i64) -> Timestamp {
    Timestamp::from_secs(minute * 60)
}

/// Retains until nothing more goes; the keeper rolls up in between.
pub(super) fn retain(f: &Fixture, keep: &Retention, now: i64) -> Retained {
    let mut all = Retained::default();
    let mut quiet = 0;
    // The first call tells the store what time it is; what is rolled up by then goes with the second.
    while quiet < 2 {
        let told = f.store().retain(keep, at(now)).unwrap();
        all.then(&told);
        quiet = if told.all().bytes == 0 { quiet + 1 } else { 0 };
        f.until(|s| s.unrolled_blocks == 0 && s.sealing_groups == 0);
    }
    all
}

fn cells(f: &Fixture, key: &SeriesKey, resolution: Resolution) -> Vec<Rollup> {
    let (from, to) = (Timestamp(i64::MIN / 4), Timestamp(i64::MAX / 4));
    f.store().rollups(key, resolution, from, to).unwrap()
}

pub(super) fn column(f: &Fixture, key: &SeriesKey, from: i64, step: u32, count: usize) -> Vec<f64> {
    f.store()
        .column(key, grid(from * 60, step, count))
        .unwrap()
        .values
}

/// Equal but for rounding.
pub(super) fn near(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let same = a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * (1.0 + b.abs());
        assert!(same, "step {i}: {a} and {b}");
    }
}

fn fill(f: &Fixture, key: &SeriesKey, range: std::ops::Range<i64>, value: impl Fn(i64) -> f64) {
    for from in range.clone().step_by(30) {
        let batch: Vec<_> = (from..range.end.min(from + 30))
            .map(|m| (m, value(m)))
            .collect();
        f.append(minutes(key, &batch)).unwrap();
    }
}

fn wave(m: i64) -> f64 {
    ((m * 7919) % 1009) as f64
}

/// Nothing of the past is unsealed once the series has moved on.
fn sealed(f: &Fixture) {
    f.until(|s| s.wal_records == 0 || s.head_samples < 40);
}

#[test]
fn what_raw_retention_drops_is_answered_by_cells_and_joined_without_a_seam() {
    let mut f = Fixture::new(quick());
    let (requests, cpu) = (key("shop/a", Signal::Requests), key("shop/a", Signal::Cpu));
    let noisy = |m: i64| wave(m) * 0.37;
    for day in 0..3 {
        fill(&f, &requests, day * DAY..(day + 1) * DAY, wave);
        fill(&f, &cpu, day * DAY..(day + 1) * DAY, noisy);
    }
    sealed(&f);
    let count = 3 * 24;
    let before = [&requests, &cpu].map(|k| column(&f, k, 0, 3600, count));
    let fine = column(&f, &cpu, 0, 300, 12 * count);
    let gone = retain(&f, &keep(24, 30, 60), 3 * DAY);
    assert!(
        gone.raw.blocks > 10 && gone.five_minutes.blocks == 0,
        "{gone:?}"
    );
    for _ in 0..2 {
        let sources = f.store().sources(&cpu, grid(0, 60, 3 * DAY as usize));
        let [old, new] = sources[..] else {
            panic!("{sources:?}");
        };
        assert_eq!(
            (old.resolution, old.is_coarser),
            (Resolution::FiveMinutes, true)
        );
        assert_eq!((new.resolution, new.is_coarser), (Resolution::Raw, false));
        assert!(old.to == new.from && old.to.0 % 3_600_000 == 0);
        assert!(old.to > at(DAY) && old.to <= at(2 * DAY), "{sources:?}");
        // Gauges at the cells' own step are what raw reading gave, bit for bit.
        assert_eq!(
            of_values(&column(&f, &cpu, 0, 300, 12 * count)),
            of_values(&fine)
        );
        for (k, before) in [&requests, &cpu].into_iter().zip(&before) {
            near(&column(&f, k, 0, 3600, count), before);
        }
        // Finer steps than the cells' are missing where they were dropped, and there where not.
        let minutes = column(&f, &cpu, 0, 60, 3 * DAY as usize);
        let border = old.to.secs() / 60;
        assert!(minutes[..border as usize].iter().all(|v| v.is_nan()));
        let rest: Vec<f64> = (border..3 * DAY).map(noisy).collect();
        assert_eq!(of_values(&minutes[border as usize..]), of_values(&rest));
        // What is dropped is not admitted again, as news or as a repetition.
        let late = f.append(minutes_of(&cpu, border - 10)).unwrap();
        assert_eq!((late.stored, late.late), (0, 1));
        f.clean();
        f.restart();
    }
    let all = cells(&f, &requests, Resolution::Hour);
    let full: Vec<_> = all.iter().filter(|c| c.samples == 60).collect();
    assert!(full.len() > 60 && full.iter().all(|c| c.covered == hours(1)));
    let sums: f64 = full.iter().map(|c| c.value).sum();
    let expected: f64 = (0..full.len() as i64 * HOUR).map(wave).sum();
    assert_eq!(sums.to_bits(), expected.to_bits(), "counts add up exactly");
}

fn minutes_of(key: &SeriesKey, minute: i64) -> SampleBatch {
    minutes(key, &[(minute, 1.0)])
}

#[test]
fn hours_answer_where_five_minutes_are_dropped_too_and_in_the_end_nothing() {
    // Everything is sealed by itself: a block that held the end of one stretch and the beginning of the next
    // would be as young as the latter, and keep its cells.
    let mut f = Fixture::new(Options {
        block_bytes: 1,
        ..quick()
    });
    let cpu = key("shop/a", Signal::Cpu);
    // Two stretches far apart, so that blocks of cells have ends.
    let far = 40 * DAY;
    fill(&f, &cpu, 0..6 * HOUR, wave);
    f.until(|s| s.head_samples == 0);
    retain(&f, &keep(24, 2, 90), 2 * HOUR);
    fill(&f, &cpu, far..far + 6 * HOUR, wave);
    f.until(|s| s.head_samples == 0);
    let before = column(&f, &cpu, 0, 3600, 6);
    let gone = retain(&f, &keep(24, 2, 90), far + 8 * HOUR);
    assert!(
        gone.raw.blocks > 0 && gone.five_minutes.blocks > 0,
        "{gone:?}"
    );
    for _ in 0..2 {
        near(&column(&f, &cpu, 0, 3600, 6), &before);
        assert!(column(&f, &cpu, 0, 300, 72).iter().all(|v| v.is_nan()));
        let sources = f.store().sources(&cpu, grid(0, 300, 72));
        assert_eq!(
            (sources.len(), sources[0].resolution),
            (1, Resolution::Hour)
        );
        assert!(sources[0].is_coarser);
        f.clean();
        f.restart();
    }
    let stat = f.store().stat().unwrap();
    assert_eq!(stat.hour.oldest, Some(at(0)));
    assert!(stat.five_minutes.oldest > Some(at(DAY)));
    // A block of hours reaches over a year at most, and goes as a whole.
    let farther = 400 * DAY;
    fill(&f, &cpu, farther..farther + 6 * HOUR, wave);
    f.until(|s| s.head_samples == 0);
    retain(&f, &keep(24, 2, 90), farther + 8 * HOUR);
    assert!(column(&f, &cpu, 0, 3600, 6).iter().all(|v| v.is_nan()));
    assert!(f.store().stat().unwrap().hour.oldest > Some(at(DAY)));
    f.clean();
}

#[test]
fn a_late_sample_is_in_its_cell_once_it_is_sealed() {
    let mut f = Fixture::new(Options {
        block_bytes: 1,
        out_of_order_ms: 6 * 3_600_000,
        ..Options::default()
    });
    let requests = key("shop/a", Signal::Requests);
    let sparse: Vec<(i64, f64)> = (0..10 * HOUR)
        .filter(|m| m % 7 != 0)
        .map(|m| (m, 6.0))
        .collect();
    f.append(minutes(&requests, &sparse)).unwrap();
    f.until(|s| s.head_samples == 0);
    f.store().retain(&keep(48, 90, 90), at(23 * HOUR)).unwrap();
    f.until(|s| s.unrolled_blocks == 0);
    let of_hour = |f: &Fixture, h: i64| {
        let found = cells(f, &requests, Resolution::Hour);
        let cell = found.iter().find(|c| c.start == at(h * HOUR)).unwrap();
        (cell.value, cell.covered.as_secs() / 60, cell.samples)
    };
    assert_eq!(of_hour(&f, 5), (306.0, 51, 51));
    let late = f
        .append(minutes(&requests, &[(302, 1000.0), (308, 9.0)]))
        .unwrap();
    assert_eq!((late.stored, late.late), (1, 0), "302 was there");
    f.until(|s| s.head_samples == 0);
    f.store().retain(&keep(48, 90, 90), at(23 * HOUR)).unwrap();
    f.until(|s| s.unrolled_blocks == 0);
    for _ in 0..2 {
        assert_eq!(of_hour(&f, 5), (315.0, 52, 52));
        assert_eq!(of_hour(&f, 4), (312.0, 52, 52));
        f.clean();
        f.restart();
    }
    // And then its raw block goes with the others.
    retain(&f, &keep(24, 90, 90), 60 * HOUR);
    assert_eq!(f.store().stat().unwrap().raw.blocks, 0);
    near(
        &column(&f, &requests, 5 * HOUR, 3600, 1),
        &[315.0 / (52.0 * 60.0)],
    );
    f.clean();
}

#[test]
fn a_new_series_may_bring_its_past_to_a_group_that_has_dropped_its_own() {
    let f = Fixture::new(quick());
    let (old, new) = (key("shop/a", Signal::Cpu), key("shop/b", Signal::Cpu));
    fill(&f, &old, 0..2 * DAY, wave);
    sealed(&f);
    retain(&f, &keep(12, 90, 90), 2 * DAY);
    let hours = column(&f, &old, 0, 3600, 48);
    let told = f.append(minutes(
        &new,
        &(0..2 * DAY).map(|m| (m, wave(m + 3))).collect::<Vec<_>>(),
    ));
    assert_eq!(told.unwrap().stored, 2 * DAY as u64);
    f.until(|s| s.head_samples < 40);
    let before = column(&f, &new, 0, 3600, 48);
    retain(&f, &keep(12, 90, 90), 2 * DAY + 2 * HOUR);
    assert_eq!(
        f.store().sources(&new, grid(0, 3600, 4))[0].resolution,
        Resolution::FiveMinutes
    );
    near(&column(&f, &new, 0, 3600, 48), &before);
    near(&column(&f, &old, 0, 3600, 48), &hours);
    f.clean();
}

#[test]
fn latencies_are_merged_exactly_and_their_thresholds_counted() {
    let mut f = Fixture::new(quick());
    let api = "shop/a".parse().unwrap();
    for from in (0..DAY).step_by(30) {
        let samples: Vec<_> = (from..from + 30)
            .map(|m| (m, distribution(m as u64 % 50)))
            .collect();
        f.append(distributions("shop/a", &samples)).unwrap();
    }
    sealed(&f);
    let read =
        |f: &Fixture, step, count| f.store().distributions(&api, grid(0, step, count)).unwrap();
    let (five, hour) = (read(&f, 300, 120), read(&f, 3600, 10));
    retain(&f, &keep(2, 90, 90), DAY);
    assert!(read(&f, 60, 600).iter().all(Option::is_none));
    for _ in 0..2 {
        assert_eq!(read(&f, 300, 120), five);
        for (a, b) in read(&f, 3600, 10).into_iter().zip(&hour) {
            let (a, b) = (a.unwrap(), b.as_ref().unwrap());
            assert_eq!(
                (a.count(), &a.buckets, &a.above),
                (b.count(), &b.buckets, &b.above)
            );
            assert!((a.sum - b.sum).abs() < 1e-9);
        }
        f.clean();
        f.restart();
    }
}

#[test]
fn samples_of_a_cells_own_step_and_of_longer_ones_stay_as_they_are() {
    let f = Fixture::new(quick());
    let (five, quarter, day) = (
        key("shop/five", Signal::Cpu),
        key("shop/quarter", Signal::Requests),
        key("shop/day", Signal::Memory),
    );
    let series = |step: i64, n: i64| {
        (0..n)
            .map(|i| (i * step, wave(i) + 0.25))
            .collect::<Vec<_>>()
    };
    f.append(at_step(&five, 300, &series(300, 600))).unwrap();
    f.append(at_step(&quarter, 900, &series(900, 200))).unwrap();
    f.append(at_step(&day, 86_400, &series(86_400, 3))).unwrap();
    f.until(|s| s.head_samples == 0);
    let read = |f: &Fixture| {
        [&five, &quarter, &day].map(|k| of_values(&column(f, k, 0, 60, DAY as usize)))
    };
    let before = read(&f);
    let gone = retain(&f, &keep(2, 90, 90), 6 * DAY);
    assert!(gone.raw.blocks > 0 && f.store().stat().unwrap().raw.blocks == 0);
    assert_eq!(
        read(&f),
        before,
        "finer steps are filled as they always were"
    );
    f.clean();
}

#[test]
fn a_size_takes_the_oldest_of_the_finest_first_and_says_what_it_cannot() {
    let f = Fixture::new(quick());
    let cpu = key("shop/a", Signal::Cpu);
    fill(&f, &cpu, 0..4 * DAY, |m| wave(m) * 0.37);
    sealed(&f);
    let long = keep(24 * 60, 90, 90);
    retain(&f, &long, 4 * DAY);
    let held = f.store().stat().unwrap();
    let total = |s: &Stat| s.raw.bytes + s.five_minutes.bytes + s.hour.bytes;
    let size = total(&held) - held.raw.bytes / 2;
    let told = retain(
        &f,
        &Retention {
            size: Some(size),
            ..long
        },
        4 * DAY,
    );
    let now = f.store().stat().unwrap();
    assert!(total(&now) <= size && total(&now) > size - 2_000, "{now:?}");
    assert_eq!((told.early, told.over), (told.raw, 0));
    assert_eq!(now.five_minutes, held.five_minutes);
    assert!(now.raw.oldest > held.raw.oldest);
    // Raw samples that must stay: a size below them drops no roll-up in vain.
    let told = retain(
        &f,
        &Retention {
            size: Some(10),
            ..long
        },
        4 * DAY,
    );
    let now = f.store().stat().unwrap();
    assert!(now.raw.blocks > 0 && now.raw.blocks < 20, "{now:?}");
    assert_eq!((now.five_minutes, now.hour), (held.five_minutes, held.hour));
    assert_eq!(told.over, total(&now) - 10);
    f.clean();
}

#[test]
fn a_finer_resolution_is_not_kept_for_longer_than_a_coarser_one() {
    let f = Fixture::new(quick());
    let error = f
        .store()
        .retain(&keep(48, 1, 90), at(0))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no longer than"), "{error}");
}

#[test]
fn what_the_ledgers_records_may_be_replayed_from_stays() {
    let f = Fixture::new(quick());
    let cpu = key("shop/a", Signal::Cpu);
    fill(&f, &cpu, 0..3 * DAY, wave);
    sealed(&f);
    let made = DAY + 5 * HOUR;
    let mut record = super::ledger::record("edge", 1, at(made).0);
    record.amends = None;
    f.store().append_with(&record, &[]).unwrap();
    let long = Retention {
        records: hours(24 * 30),
        ..keep(2, 90, 90)
    };
    retain(&f, &long, 3 * DAY);
    let raw = |f: &Fixture| {
        f.store()
            .sources(&cpu, grid(0, 60, 3 * DAY as usize))
            .pop()
            .unwrap()
            .from
    };
    assert!(
        raw(&f) <= at(made - HOUR) && raw(&f) > at(DAY),
        "{:?}",
        raw(&f)
    );
    let seen = column(&f, &cpu, made - HOUR, 60, HOUR as usize);
    assert!(seen.iter().all(|v| !v.is_nan()));
    // A record that is there only because it is its pool's last holds nothing back.
    retain(
        &f,
        &Retention {
            records: hours(3),
            ..long
        },
        3 * DAY,
    );
    assert!(raw(&f) > at(2 * DAY), "{:?}", raw(&f));
    f.clean();
}

#[test]
fn a_copy_holds_the_cells_too() {
    let f = Fixture::new(quick());
    let cpu = key("shop/a", Signal::Cpu);
    fill(&f, &cpu, 0..2 * DAY, wave);
    sealed(&f);
    retain(&f, &keep(12, 90, 90), 2 * DAY);
    let wanted = f.store().column(&cpu, grid(0, 3600, 48)).unwrap();
    let target = f.dir.path().join("copy");
    f.store().copy_to(&target).unwrap();
    let copy = Store::open(&target, Options::default()).unwrap();
    assert_eq!(
        bits(&copy.column(&cpu, grid(0, 3600, 48)).unwrap()),
        bits(&wanted)
    );
    let report = copy.verify().unwrap();
    assert!(report.is_clean() && report.cells > 100, "{report:?}");
}

#[test]
fn a_damaged_block_is_left_out_and_what_comes_after_it_is_rolled_up_and_let_go_of() {
    let mut f = Fixture::new(quick());
    let requests = key("shop/a", Signal::Requests);
    fill(&f, &requests, 0..60, wave);
    f.until(|s| s.blocks > 0 && s.sealing_groups == 0);
    f.stop();
    super::damage::flip_block(f.dir.path(), 0);
    f.store = Some(Store::open(f.dir.path(), f.options.clone()).unwrap());
    fill(&f, &requests, 60..3 * DAY, wave);
    sealed(&f);
    let before = column(&f, &requests, HOUR, 3600, 3 * 24 - 1);
    let gone = retain(&f, &keep(24, 30, 60), 3 * DAY);
    assert!(gone.raw.blocks > 10, "{gone:?}");
    near(&column(&f, &requests, HOUR, 3600, 3 * 24 - 1), &before);
    assert_eq!(f.store().verify().unwrap().problems, []);
}

#[test]
fn what_a_clock_that_was_ahead_has_left_does_not_make_everything_late() {
    let mut f = Fixture::new(quick());
    let cpu = key("shop/a", Signal::Cpu);
    f.append(minutes(&cpu, &[(10, 1.0)])).unwrap();
    f.append(minutes(&cpu, &[(30 * DAY, 9.0)])).unwrap();
    f.append(minutes(&cpu, &[(30 * DAY + 60, 9.0)])).unwrap();
    assert_eq!(f.append(minutes(&cpu, &[(12, 2.0)])).unwrap().late, 1);
    for _ in 0..2 {
        f.store().retain(&keep(24, 30, 60), at(12)).unwrap();
        let stored = f.append(minutes(&cpu, &[(10, 5.0), (12, 2.0)])).unwrap();
        assert_eq!((stored.stored + stored.duplicates, stored.late), (2, 0));
        near(&column(&f, &cpu, 10, 60, 3)[2..], &[2.0]);
        f.restart();
    }
    f.clean();
}
