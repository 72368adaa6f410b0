//! Where every value lies: `version | shard | kind | …`, big-endian.
//!
//! One tree holds everything, because one sled batch is atomic over one tree: a sealed block, its
//! group's page and (later) the deletion of the write-ahead records must not come apart. Big-endian
//! numbers make the byte order the natural order, so that a scan by prefix is a scan in time.
//! Signed instants are biased by `i64::MIN`, so that times before 1970 sort before it.
//!
//! The layout version has a key of its own outside the versioned prefix ([`LAYOUT`]): a binary
//! that does not know the layout must still be able to read which one it is.

use crate::rollup::Level;
use tidegate_core::ids::{Digest, Generation, PoolId};
use tidegate_core::sample::SeriesKey;

/// The first byte of every key.
pub(crate) const VERSION: u8 = 1;

/// The layout that this code writes.
pub(crate) const LAYOUT_VERSION: u32 = 3;

/// Where the layout version is written, in every version.
pub(crate) const LAYOUT: &[u8] = b"\0layout";

/// Before a pool is spread over machines, everything belongs to shard 0.
const SHARD: u16 = 0;

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Counters that survive the write-ahead records.
    Marks = 0,
    /// Who is in a group of series, and which blocks it has.
    Group = 1,
    /// A write-ahead record.
    Wal = 2,
    /// A sealed block.
    Block = 3,
    /// A ledger record.
    Record = 4,
    /// When a ledger record was made.
    RecordTime = 5,
    /// What is known of a component.
    Module = 6,
    /// A component.
    Component = 7,
    /// A series' state.
    State = 8,
    /// A model that states share.
    Model = 9,
    /// The catalog.
    Catalog = 10,
    /// What a module's forecasts of a series are judged by.
    Track = 11,
    /// Who answers for a series.
    Choice = 12,
    /// A step in the life of versions.
    Step = 13,
    /// What is known of a comparison that goes on.
    Trial = 14,
    /// An entry of notes that are not samples yet.
    Note = 15,
    /// What a replay sets out from, written with a record.
    Anchor = 20,
    /// What records and anchors name by digest: models, and what was declared.
    Kept = 21,
    /// Samples of a batch that came late.
    Late = 22,
    /// Models that the anchors of a record name.
    Named = 23,
    /// How far a group is rolled up, which blocks of cells it has, and what of it was dropped.
    Rolled = 24,
    /// A block of cells.
    Cells = 25,
}

impl Kind {
    pub(crate) const ALL: [Kind; 22] = [
        Kind::Marks,
        Kind::Group,
        Kind::Wal,
        Kind::Block,
        Kind::Record,
        Kind::RecordTime,
        Kind::Module,
        Kind::Component,
        Kind::State,
        Kind::Model,
        Kind::Catalog,
        Kind::Track,
        Kind::Choice,
        Kind::Step,
        Kind::Trial,
        Kind::Note,
        Kind::Anchor,
        Kind::Kept,
        Kind::Late,
        Kind::Named,
        Kind::Rolled,
        Kind::Cells,
    ];

    /// The prefix of its keys.
    pub(crate) fn prefix(self) -> Vec<u8> {
        let mut key = Vec::with_capacity(32);
        key.push(VERSION);
        key.extend_from_slice(&SHARD.to_be_bytes());
        key.push(self as u8);
        key
    }

    /// Whether a key, or the beginning of keys, is of it.
    pub(crate) fn is_of(self, key: &[u8]) -> bool {
        let shard = SHARD.to_be_bytes();
        matches!(key, [VERSION, a, b, kind, ..] if [*a, *b] == shard && *kind == self as u8)
    }

    /// The kind of a key, `None` for a foreign one.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let &[version, s0, s1, kind, ..] = key else {
            return None;
        };
        let known = version == VERSION && u16::from_be_bytes([s0, s1]) == SHARD;
        Self::ALL.into_iter().find(|k| known && *k as u8 == kind)
    }
}

/// What a person calls a kind, by its byte: also one that this code does not know.
pub(crate) fn kind_name(kind: u8) -> String {
    match Kind::ALL.into_iter().find(|k| *k as u8 == kind) {
        Some(kind) => format!("{kind:?}").to_lowercase(),
        None if kind == u8::MAX => "layout".into(),
        None => format!("kind-{kind}"),
    }
}

/// The largest number of anything that is counted up: what claims more was not written by a store.
pub(crate) const LAST: u64 = 1 << 62;

/// Length of [`Kind::prefix`].
pub(crate) const PREFIX: usize = 4;

fn with(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = kind.prefix();
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

pub(crate) fn marks() -> Vec<u8> {
    Kind::Marks.prefix()
}

pub(crate) fn group(group: u32) -> Vec<u8> {
    with(Kind::Group, &[&group.to_be_bytes()])
}

pub(crate) fn wal(number: u64) -> Vec<u8> {
    with(Kind::Wal, &[&number.to_be_bytes()])
}

pub(crate) fn note(number: u64) -> Vec<u8> {
    with(Kind::Note, &[&number.to_be_bytes()])
}

/// The number of a write-ahead record, an entry or a batch: the eight bytes that its key is made of, behind the
/// prefix. What is beyond [`LAST`] is none, since no other could follow it.
pub(crate) fn trailing_u64(key: &[u8]) -> Option<u64> {
    let tail = key.get(PREFIX..)?.try_into().ok();
    tail.map(u64::from_be_bytes).filter(|n| *n <= LAST)
}

/// The number of a group: the four bytes that its key is made of, behind the prefix.
pub(crate) fn trailing_u32(key: &[u8]) -> Option<u32> {
    key.get(PREFIX..)?.try_into().ok().map(u32::from_be_bytes)
}

/// `ordinal` tells apart blocks of one group that begin at the same instant.
pub(crate) fn block(slice: i64, group: u32, ordinal: u32) -> Vec<u8> {
    with(Kind::Block, &[&of_block(slice, group, ordinal)])
}

/// The key of a block of cells.
pub(crate) fn cells(level: Level, slice: i64, group: u32, ordinal: u32) -> Vec<u8> {
    let of = of_block(slice, group, ordinal);
    with(Kind::Cells, &[&[level as u8], &of])
}

fn of_block(slice: i64, group: u32, ordinal: u32) -> [u8; 16] {
    let biased = (slice as u64) ^ (1 << 63);
    let all = (u128::from(biased) << 64) | (u128::from(group) << 32) | u128::from(ordinal);
    all.to_be_bytes()
}

/// The group of a block, by its key.
pub(crate) fn group_of(block: &[u8]) -> Option<u32> {
    let (_, [a, b, c, d, ..]) = block.get(PREFIX..)?.split_last_chunk::<8>()?;
    Some(u32::from_be_bytes([*a, *b, *c, *d]))
}

/// The key of what is known of a group's roll-ups.
pub(crate) fn rolled(group: u32) -> Vec<u8> {
    with(Kind::Rolled, &[&group.to_be_bytes()])
}

/// Prefix of a pool's keys; names hold no NUL, so no pool's prefix is another's.
pub(crate) fn pool(kind: Kind, pool: &PoolId) -> Vec<u8> {
    with(kind, &[pool.as_str().as_bytes(), &[0]])
}

pub(crate) fn record(kind: Kind, of: &PoolId, generation: Generation) -> Vec<u8> {
    let mut key = pool(kind, of);
    key.extend_from_slice(&generation.0.to_be_bytes());
    key
}

pub(crate) fn digest(kind: Kind, digest: &Digest) -> Vec<u8> {
    with(kind, &[&digest.0])
}

/// The key of what belongs to a series.
pub(crate) fn series(kind: Kind, key: &SeriesKey) -> Vec<u8> {
    with(
        kind,
        &[
            key.api.to_string().as_bytes(),
            &[0],
            key.signal.name().as_bytes(),
            &[0],
        ],
    )
}

/// The key of what belongs to a series, a module and its config.
pub(crate) fn fit(kind: Kind, (of, module, config): (&SeriesKey, &Digest, &Digest)) -> Vec<u8> {
    let mut key = series(kind, of);
    key.extend_from_slice(&module.0);
    key.extend_from_slice(&config.0);
    key
}

/// The key of a step of the journal, by its sequence.
pub(crate) fn step(sequence: u64) -> Vec<u8> {
    with(Kind::Step, &[&sequence.to_be_bytes()])
}

/// The key of a comparison, by its name, which holds no NUL.
pub(crate) fn trial(name: &str) -> Vec<u8> {
    with(Kind::Trial, &[name.as_bytes(), &[0]])
}

pub(crate) fn late(sequence: u64) -> Vec<u8> {
    with(Kind::Late, &[&sequence.to_be_bytes()])
}

pub(crate) fn catalog() -> Vec<u8> {
    Kind::Catalog.prefix()
}

/// A key as a person reads it in an error.
pub(crate) fn show(key: &[u8]) -> String {
    if key == LAYOUT {
        return "layout".into();
    }
    let tail = key.get(PREFIX..).unwrap_or_default();
    let number = |from: usize| {
        tail.get(from..)
            .and_then(|t| t.first_chunk())
            .map(|b| u32::from_be_bytes(*b))
    };
    match (Kind::of(key), tail.len()) {
        (Some(Kind::Block), 16) => {
            let biased = tail.first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
            let start = (biased ^ (1 << 63)) as i64;
            let (group, ordinal) = (number(8).unwrap_or(0), number(12).unwrap_or(0));
            return format!("block:{ordinal} of group {group}, from {start} ms");
        }
        (Some(Kind::Group), 4..) => return format!("group:{}", number(0).unwrap_or(0)),
        (Some(Kind::Wal), 8) => return format!("wal:{}", trailing_u64(key).unwrap_or(0)),
        _ => {}
    }
    let rest: String = key
        .get(PREFIX..)
        .unwrap_or_default()
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\{byte:02x}"),
        })
        .collect();
    match Kind::of(key) {
        Some(kind) => format!("{kind:?}:{rest}").to_lowercase(),
        None => format!("unknown key {key:02x?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_times_do() {
        let times = [i64::MIN, -60_000, -1, 0, 1, 60_000, i64::MAX];
        let keys: Vec<_> = times.iter().map(|t| block(*t, 7, 0)).collect();
        assert!(keys.is_sorted());
        assert!(wal(255) < wal(256));
    }

    #[test]
    fn a_key_leads_back_to_its_kind_and_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&kind.prefix()), Some(kind));
        }
        assert_eq!(Kind::of(LAYOUT), None);
        assert_eq!(Kind::of(&[]), None);
        assert_eq!(trailing_u64(&wal(42)), Some(42));
        assert_eq!(trailing_u64(&catalog()), None);
        assert_eq!(trailing_u64(&wal(u64::MAX)), None);
        assert_eq!(trailing_u64(&[wal(42), vec![0]].concat()), None);
        assert_eq!(trailing_u32(&rolled(42)), Some(42));
        assert_eq!(trailing_u32(&catalog()), None);
        assert_eq!(group_of(&block(-60_000, 7, 2)), Some(7));
        assert_eq!(group_of(&cells(Level::Hour, 0, 9, 1)), Some(9));
        assert_eq!(group_of(&catalog()), None);
    }

    #[test]
    fn a_person_reads_numbers_and_times_where_a_key_has_them() {
        assert_eq!(
            show(&block(-60_000, 7, 2)),
            "block:2 of group 7, from -60000 ms"
        );
        assert_eq!(show(&[group(3), vec![0, 1]].concat()), "group:3");
        assert_eq!(show(&wal(258)), "wal:258");
        assert_eq!(show(&trial("a/b")), "trial:a/b\\00");
    }

    #[test]
    fn no_pools_records_mingle_with_anothers() {
        let (a, b) = (PoolId::new("edge").unwrap(), PoolId::new("edge-2").unwrap());
        let key = record(Kind::Record, &b, Generation(1));
        assert!(!key.starts_with(&pool(Kind::Record, &a)));
    }
}
