//! Notes that are not samples come back whole and in order, until they are dropped.

use super::*;
use tidegate_core::ports::storage::Notes;

fn entries(store: &Store) -> Vec<Vec<u8>> {
    let mut all = vec![];
    store
        .entries(&mut |entry| all.push(entry.to_vec()))
        .unwrap();
    all
}

/// An entry of its own, of any size.
fn entry(n: usize) -> Vec<u8> {
    (0..n * 70_001).map(|i| (i * (n + 1)) as u8).collect()
}

#[test]
fn notes_of_any_size_come_back_in_order_after_a_restart() {
    let mut fixture = Fixture::new(Options::default());
    for n in 0..12 {
        let number = fixture.store().write(&entry(n)).unwrap();
        assert_eq!(number, n as u64 + 1);
        if n % 5 == 4 {
            fixture.restart();
        }
    }
    let all: Vec<Vec<u8>> = (0..12).map(entry).collect();
    assert_eq!(entries(fixture.store()), all);
    fixture.clean();
}

#[test]
fn dropped_notes_are_gone_and_numbers_go_on() {
    let mut fixture = Fixture::new(Options::default());
    for n in 0..6 {
        fixture.store().write(&entry(n)).unwrap();
    }
    fixture.store().drop_before(5).unwrap();
    fixture.restart();
    assert_eq!(entries(fixture.store()), [entry(4), entry(5)]);
    // The last one stays whatever is asked, since it holds the place from which numbers go on.
    fixture.store().drop_before(99).unwrap();
    fixture.restart();
    assert_eq!(entries(fixture.store()), [entry(5)]);
    assert_eq!(fixture.store().write(&entry(1)).unwrap(), 7);
    fixture.clean();
}

#[test]
fn a_closed_store_takes_no_notes() {
    let fixture = Fixture::new(Options::default());
    fixture.store().close();
    assert!(matches!(
        fixture.store().write(b"x"),
        Err(StoreError::Closed)
    ));
}
