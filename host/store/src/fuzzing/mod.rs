//! What the fuzz targets and the kept corpora run, over code that nobody outside sees.
//!
//! A value that was damaged fails its checksum, so what is tried here is worse: bytes that somebody has put
//! under the right checksum, by a backup that he edited. They may be refused with a name or taken; they may
//! not end the process, ask for memory that nothing in them accounts for, or come back otherwise than they
//! were read. Every form by itself ([`codec`]), whole stores of hostile keys and values ([`keys`],
//! [`restored`]), and logs ([`log`]).
//!
//! Built for tests and with the feature `fuzzing` alone. A corpus is lines of `verdict form hexadecimal`,
//! where the verdict is what the code says today: a form that refuses what it once took fails the test.

mod forms;
mod hostile;
mod logs;

pub use forms::{FORMS, codec};
pub use hostile::{keys, restored};
pub use logs::log;

/// A line of a corpus: whether it was taken, the form, and the bytes.
#[must_use]
pub fn line(text: &str) -> Option<(bool, &str, Vec<u8>)> {
    let mut words = text.split(' ');
    let is_taken = match words.next()? {
        "taken" => true,
        "refused" => false,
        _ => return None,
    };
    let (form, digits) = (words.next()?, words.next()?);
    let pair = |i: usize| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok();
    let bytes = (0..digits.len())
        .step_by(2)
        .map(pair)
        .collect::<Option<_>>();
    (words.next().is_none()).then_some((is_taken, form, bytes?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kept_value_is_taken_or_refused_as_it_was() {
        let mut met = BTreeSet::new();
        for (n, text) in include_str!("../../corpus/codec.hex").lines().enumerate() {
            let (is_taken, form, bytes) = line(text).unwrap_or_else(|| panic!("line {}", n + 1));
            let at = FORMS.iter().position(|(name, _)| *name == form).unwrap();
            let told = codec(&[&[at as u8], &bytes[..]].concat());
            assert_eq!(told, is_taken, "line {}, {form}", n + 1);
            met.insert((form, is_taken));
        }
        for (form, _) in FORMS {
            assert!(
                met.contains(&(form, true)),
                "no {form} that is taken is kept"
            );
        }
    }

    #[test]
    fn every_kept_log_opens_or_is_mended_as_it_was() {
        let mut met = BTreeSet::new();
        for (n, text) in include_str!("../../corpus/logs.hex").lines().enumerate() {
            let (is_taken, _, bytes) = line(text).unwrap_or_else(|| panic!("line {}", n + 1));
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(log(dir.path(), &bytes), is_taken, "line {}", n + 1);
            met.insert(is_taken);
        }
        assert_eq!(met.len(), 2, "logs of both fates are kept");
    }

    #[test]
    fn every_kept_store_opens_or_is_refused_as_it_was() {
        let mut met = BTreeSet::new();
        for (n, text) in include_str!("../../corpus/keys.hex").lines().enumerate() {
            let (is_taken, _, bytes) = line(text).unwrap_or_else(|| panic!("line {}", n + 1));
            keys(&bytes);
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(restored(dir.path(), &bytes), is_taken, "line {}", n + 1);
            met.insert(is_taken);
        }
        assert_eq!(met.len(), 2, "stores of both fates are kept");
    }
}
