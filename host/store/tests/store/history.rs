//! Samples in, columns out: what a reader may rely on, across seals, restarts and late arrivals.

use super::*;

const NAN: f64 = f64::NAN;

#[test]
fn counts_are_read_as_rates_gauges_as_they_are_and_gaps_as_gaps() {
    let f = Fixture::new(Options::default());
    let (requests, cpu) = (key("shop/a", Signal::Requests), key("shop/a", Signal::Cpu));
    let stored = f
        .append(minutes(&requests, &[(0, 60.0), (1, 120.0), (3, 30.0)]))
        .unwrap();
    assert_eq!(
        (
            stored.stored,
            stored.duplicates,
            stored.late,
            stored.sequence
        ),
        (3, 0, 0, 1)
    );
    assert_eq!(
        f.append(minutes(&cpu, &[(1, 0.1 + 0.2)])).unwrap().sequence,
        2
    );
    let column = f.store().column(&requests, grid(0, 60, 5)).unwrap();
    assert_eq!(bits(&column), of_values(&[1.0, 2.0, NAN, 0.5, NAN]));
    let column = f.store().column(&cpu, grid(0, 60, 2)).unwrap();
    assert_eq!(bits(&column), of_values(&[NAN, 0.1 + 0.2]));
    assert_eq!(f.store().series(), [requests.clone(), cpu]);
    assert_eq!(f.store().newest(&requests), Some(Timestamp::from_secs(240)));
    assert_eq!(f.store().newest(&key("shop/b", Signal::Cpu)), None);
    let mark = f.store().watermark();
    assert_eq!((mark.sequence, mark.newest), (2, Timestamp::from_secs(240)));
}

#[test]
fn two_steps_of_one_series_meet_on_any_grid() {
    let mut f = Fixture::new(eager());
    let cpu = key("shop/a", Signal::Cpu);
    f.append(at_step(&cpu, 60, &[(0, 6.0), (60, 3.0)])).unwrap();
    f.append(at_step(&cpu, 10, &[(120, 1.0), (130, 2.0), (140, 6.0)]))
        .unwrap();
    for _ in 0..2 {
        let fine = f.store().column(&cpu, grid(0, 30, 5)).unwrap();
        assert_eq!(bits(&fine), of_values(&[6.0, 6.0, 3.0, 3.0, 3.0]));
        let coarse = f.store().column(&cpu, grid(0, 120, 2)).unwrap();
        assert_eq!(bits(&coarse), of_values(&[4.5, 3.0]));
        f.restart();
    }
}

#[test]
fn a_retried_batch_changes_nothing_and_says_so() {
    let mut f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let batch = minutes(&cpu, &[(0, 1.0), (1, 2.0)]);
    f.append(batch.clone()).unwrap();
    let again = f.append(batch).unwrap();
    assert_eq!((again.stored, again.duplicates, again.sequence), (0, 2, 2));
    // Another value for a time that is there: the first one stands.
    let other = f.append(minutes(&cpu, &[(1, 9.0), (2, 3.0)])).unwrap();
    assert_eq!((other.stored, other.duplicates), (1, 1));
    // A sequence is given once, across restarts too, even if nothing was stored under it.
    f.append(minutes(&cpu, &[(0, 5.0)])).unwrap();
    f.restart();
    assert_eq!(f.append(minutes(&cpu, &[(3, 4.0)])).unwrap().sequence, 5);
    let column = f.store().column(&cpu, grid(0, 60, 4)).unwrap();
    assert_eq!(bits(&column), of_values(&[1.0, 2.0, 3.0, 4.0]));
}

#[test]
fn a_retry_in_the_same_commit_and_in_the_same_batch_is_a_duplicate() {
    let f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let (send, receive) = sync_channel(200);
    for i in 0..100_i64 {
        for value in [1.0, 2.0] {
            let send = send.clone();
            let batch = minutes(&cpu, &[(i, value)]);
            f.store()
                .append(batch, Box::new(move |r| send.send(r.unwrap()).unwrap()));
        }
    }
    let all: Vec<Stored> = (0..200).map(|_| receive.recv().unwrap()).collect();
    assert_eq!(all.iter().map(|s| s.stored).sum::<u64>(), 100);
    assert_eq!(all.iter().map(|s| s.duplicates).sum::<u64>(), 100);
    assert!(all.iter().map(|s| s.sequence).eq(1..=200));
    let mut twice = minutes(&cpu, &[(200, 1.0), (200, 2.0), (199, 3.0)]);
    twice
        .series
        .extend(minutes(&cpu, &[(199, 4.0), (201, 5.0)]).series);
    let stored = f.append(twice).unwrap();
    assert_eq!((stored.stored, stored.duplicates), (3, 2));
    let column = f.store().column(&cpu, grid(0, 60, 202)).unwrap();
    assert!(
        column.values[..100]
            .iter()
            .all(|v| v.to_bits() == 1.0_f64.to_bits())
    );
    assert_eq!(
        of_values(&column.values[199..]),
        of_values(&[3.0, 1.0, 5.0])
    );
}

#[test]
fn samples_out_of_order_are_taken_within_the_window_and_counted_beyond() {
    let options = Options {
        out_of_order_ms: 600_000,
        ..eager()
    };
    let mut f = Fixture::new(options);
    let cpu = key("shop/a", Signal::Cpu);
    f.append(minutes(&cpu, &[(0, 0.0), (20, 20.0)])).unwrap();
    f.until(|s| s.sealed_samples == 2);
    f.restart();
    let stored = f
        .append(minutes(
            &cpu,
            &[(9, 9.0), (10, 10.0), (15, 15.0), (20, 7.0)],
        ))
        .unwrap();
    assert_eq!((stored.stored, stored.duplicates, stored.late), (2, 1, 1));
    f.until(|s| s.sealed_samples == 4);
    let column = f.store().column(&cpu, grid(540, 60, 12)).unwrap();
    let mut expected = [NAN; 12];
    (expected[1], expected[6], expected[11]) = (10.0, 15.0, 20.0);
    assert_eq!(bits(&column), of_values(&expected));
    f.clean();
}

#[test]
fn a_batch_in_any_order_is_never_late_to_itself() {
    let f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let week: Vec<(i64, f64)> = (0..10_080).rev().map(|m| (m, m as f64)).collect();
    assert_eq!(f.append(minutes(&cpu, &week)).unwrap().stored, 10_080);
    let column = f.store().column(&cpu, grid(0, 60, 10_080)).unwrap();
    assert!(
        column
            .values
            .iter()
            .enumerate()
            .all(|(i, v)| v.to_bits() == (i as f64).to_bits())
    );
}

#[test]
fn latency_is_merged_exactly_and_read_as_its_mean() {
    let mut f = Fixture::new(eager());
    let api = "shop/a".parse().unwrap();
    f.append(distributions(
        "shop/a",
        &[
            (0, distribution(1)),
            (1, distribution(5)),
            (3, distribution(2)),
        ],
    ))
    .unwrap();
    for _ in 0..2 {
        let steps = f.store().distributions(&api, grid(0, 120, 2)).unwrap();
        let mut merged = distribution(1);
        merged.merge(&distribution(5));
        assert_eq!(steps, [Some(merged.clone()), Some(distribution(2))]);
        let column = f
            .store()
            .column(&key("shop/a", Signal::Latency), grid(0, 120, 3))
            .unwrap();
        let mean = |d: &Distribution| d.mean().unwrap();
        assert_eq!(
            bits(&column),
            of_values(&[mean(&merged), mean(&distribution(2)), NAN])
        );
        // A sample that is coarser than the grid stands in every step that it covers.
        let fine = f.store().distributions(&api, grid(60, 30, 3)).unwrap();
        assert_eq!(fine, [Some(distribution(5)), Some(distribution(5)), None]);
        f.restart();
    }
}

#[test]
fn a_malformed_batch_is_refused_whole_and_takes_no_sequence() {
    let f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let mut short = minutes(&cpu, &[(0, 1.0), (1, 2.0)]);
    short.series[0].times.pop();
    let mut far = minutes(&cpu, &[(0, 1.0)]);
    far.series[0].times[0] = Timestamp(i64::MAX);
    let wrong = minutes(&key("shop/a", Signal::Latency), &[(0, 1.0)]);
    let mut large = distribution(1);
    large.above = (1..5000).map(|i| (f64::from(i), 0)).collect();
    let large = distributions("shop/a", &[(0, large)]);
    for (batch, word) in [
        (short, "one value per time"),
        (far, "no time"),
        (wrong, "distributions"),
        (large, "fewer"),
    ] {
        let error = f.append(batch).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(f.append(minutes(&cpu, &[(0, 1.0)])).unwrap().sequence, 1);
    assert_eq!(f.store().series(), [cpu]);
}

#[test]
fn a_closed_store_says_so_and_still_reads() {
    let f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    f.append(minutes(&cpu, &[(0, 1.0)])).unwrap();
    f.store().close();
    assert_eq!(
        f.append(minutes(&cpu, &[(1, 1.0)])),
        Err(StoreError::Closed)
    );
    assert_eq!(
        f.store().column(&cpu, grid(0, 60, 1)).unwrap().values.len(),
        1
    );
}

/// Write-ahead records once named series by the order in which a process had met them; the next
/// process met them group by group, and gave the unsealed samples of one series to another.
#[test]
fn series_that_were_met_in_turns_keep_their_own_samples_over_a_restart() {
    let mut f = Fixture::new(Options::default());
    let apis: Vec<String> = (0..40).map(|n| format!("shop/api-{n}")).collect();
    for (n, api) in apis.iter().enumerate() {
        let value = n as f64;
        for signal in [Signal::Cpu, Signal::Memory] {
            f.append(minutes(&key(api, signal), &[(0, value)])).unwrap();
        }
        f.append(distributions(api, &[(0, distribution(n as u64))]))
            .unwrap();
    }
    for _ in 0..2 {
        for (n, api) in apis.iter().enumerate() {
            for signal in [Signal::Cpu, Signal::Memory] {
                let column = f.store().column(&key(api, signal), grid(0, 60, 1)).unwrap();
                assert_eq!(bits(&column), of_values(&[n as f64]), "{api} {signal:?}");
            }
            let id = api.parse().unwrap();
            let found = f.store().distributions(&id, grid(0, 60, 1)).unwrap();
            assert_eq!(found, [Some(distribution(n as u64))], "{api}");
        }
        f.restart();
    }
}
