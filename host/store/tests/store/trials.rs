//! Comparisons outlive the daemon, and go when they are over.

use super::*;
use tidegate_core::ports::storage::Trials;

#[test]
fn what_is_known_of_a_comparison_is_there_after_a_restart_until_it_is_forgotten() {
    let mut f = Fixture::new(Options::default());
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    let first = [
        named("default shadow", vec![7; 300_000]),
        named("default watch", vec![]),
    ];
    let again = [named("default shadow", vec![8; 3])];
    f.store().keep(&first, &[]).unwrap();
    f.store().keep(&again, &[]).unwrap();
    f.clean();
    f.restart();
    let [shadow] = again;
    let [_, watch] = first;
    assert_eq!(f.store().kept().unwrap(), [shadow, watch.clone()]);
    f.store().keep(&[], &["default shadow".into()]).unwrap();
    assert_eq!(f.store().kept().unwrap(), [watch]);
    f.clean();
}
