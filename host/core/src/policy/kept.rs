//! The state that an allocator, tierer or judge keeps between its calls, and who wrote it.
//!
//! Whoever is asked next may be another module: after a swap, or along the chain of retreat. It gets its
//! own state as it is, that of another version of itself through its `migrate`, and never that of a
//! stranger, whose format number may be the same by chance.
//!
//! What a version left is kept beside what its follower writes, for a while: a rollback then finds
//! it as it was, and one call that another link of the chain answered costs nobody what it had learned.
//! To have the old version migrate the new one's state back was rejected, because versions do not read
//! what is written after them.

use super::{Blob, CallError};
use crate::module::ModuleRef;
use crate::time::Timestamp;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The writer; `None` before the first answer.
    pub writer: Option<ModuleRef>,
    /// What it wrote.
    pub blob: Blob,
    /// What others wrote before it, newest first; at most [`Kept::MOST_EARLIER`].
    pub earlier: Vec<Earlier>,
}

/// What a module wrote before another took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The writer.
    pub writer: ModuleRef,
    /// What it wrote last.
    pub blob: Blob,
    /// When another's answer followed it.
    pub left: Timestamp,
}

impl Kept {
    /// Most states of others that are kept: a version, the one before it, and the baseline between them.
    pub const MOST_EARLIER: usize = 3;

    /// What a module wrote, with nothing before it.
    #[must_use]
    pub fn of(writer: ModuleRef, blob: Blob) -> Self {
        Self {
            writer: Some(writer),
            blob,
            earlier: vec![],
        }
    }

    /// Takes in the state that a module returned at `now`.
    pub fn follow(&mut self, writer: ModuleRef, blob: Blob, now: Timestamp) {
        let blob = std::mem::replace(&mut self.blob, blob);
        if self.writer.as_ref() == Some(&writer) {
            return;
        }
        self.earlier.retain(|e| e.writer != writer);
        let Some(before) = self.writer.replace(writer) else {
            return;
        };
        // A baseline keeps nothing, and its nothing is not worth a place.
        if !blob.bytes.is_empty() {
            let earlier = Earlier {
                writer: before,
                blob,
                left: now,
            };
            self.earlier.insert(0, earlier);
            self.earlier.truncate(Self::MOST_EARLIER);
        }
    }

    /// Takes back what a module wrote earlier, from where it was written down.
    pub fn recall(&mut self, earlier: Earlier) {
        self.earlier.retain(|e| e.writer != earlier.writer);
        self.earlier.insert(0, earlier);
        self.earlier.truncate(Self::MOST_EARLIER);
    }

    /// Drops what was left longer ago than a rollback may need it; how many there were.
    pub fn forget(&mut self, now: Timestamp, window_ms: i64) -> usize {
        let before = self.earlier.len();
        let recent = |e: &Earlier| now.since_ms(e.left) < window_ms;
        self.earlier.retain(recent);
        before - self.earlier.len()
    }

    /// The state to hand to `module`; an empty one where it has to begin anew.
    pub fn for_module(
        &self,
        module: &ModuleRef,
        migrate: impl FnOnce(&Blob) -> Result<Blob, CallError>,
    ) -> Blob {
        if let Some(own) = self.own(module) {
            return own.clone();
        }
        let other = self.of_another_version(module);
        other.map_or_else(Blob::default, |(_, blob)| migrate(blob).unwrap_or_default())
    }

    /// What `module` itself wrote last, if that is kept.
    #[must_use]
    pub fn own(&self, module: &ModuleRef) -> Option<&Blob> {
        let same = |(writer, _): &(&ModuleRef, &Blob)| {
            writer.digest == module.digest && writer.name == module.name
        };
        self.all().find(same).map(|(_, blob)| blob)
    }

    /// What another version of `module` wrote last, where the module has nothing of its own.
    #[must_use]
    pub fn of_another_version(&self, module: &ModuleRef) -> Option<(&ModuleRef, &Blob)> {
        if self.own(module).is_some() {
            return None;
        }
        self.all().find(|(writer, _)| writer.name == module.name)
    }

    /// Newest first.
    fn all(&self) -> impl Iterator<Item = (&ModuleRef, &Blob)> {
        let last = self.writer.as_ref().map(|writer| (writer, &self.blob));
        let earlier = self.earlier.iter().map(|e| (&e.writer, &e.blob));
        last.into_iter().chain(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    fn module(name: &str, text: &str) -> ModuleRef {
        ModuleRef {
            name: name.into(),
            version: text.into(),
            digest: Digest::of(text.as_bytes()),
        }
    }

    fn blob(byte: u8) -> Blob {
        Blob {
            format: 1,
            bytes: vec![byte],
        }
    }

    fn fail(_: &Blob) -> Result<Blob, CallError> {
        Err(CallError::Unavailable("not asked".into()))
    }

    #[test]
    fn a_state_goes_to_its_writer_through_migrate_to_its_next_version_and_to_no_stranger() {
        let kept = Kept::of(module("tiers", "1"), blob(7));
        assert_eq!(kept.for_module(&module("tiers", "1"), fail), blob(7));
        let migrated = kept.for_module(&module("tiers", "2"), |b| {
            Ok(Blob {
                format: 2,
                bytes: b.bytes.clone(),
            })
        });
        assert_eq!((migrated.format, migrated.bytes), (2, vec![7]));
        assert_eq!(
            kept.for_module(&module("tiers", "3"), fail),
            Blob::default()
        );
        let stranger = kept.for_module(&module("other", "1"), |b| Ok(b.clone()));
        assert_eq!(stranger, Blob::default());
    }

    #[test]
    fn a_rollback_finds_the_state_as_it_was_until_its_time_is_over() {
        let (one, two) = (module("tiers", "1"), module("tiers", "2"));
        let at = |ms| Timestamp(ms);
        let mut kept = Kept::default();
        kept.follow(one.clone(), blob(1), at(0));
        kept.follow(one.clone(), blob(2), at(1));
        kept.follow(two.clone(), blob(9), at(2));
        kept.follow(two.clone(), blob(10), at(3));
        assert_eq!(kept.for_module(&one, fail), blob(2));
        assert_eq!(kept.for_module(&two, fail), blob(10));
        // The third version reads the second's, which is the newest.
        let third = kept.for_module(&module("tiers", "3"), |b| Ok(b.clone()));
        assert_eq!(third, blob(10));
        assert_eq!(kept.forget(at(1001), 1000), 0);
        assert_eq!(kept.forget(at(1002), 1000), 1);
        assert_eq!(kept.own(&one), None);
        assert_eq!(kept.own(&two), Some(&blob(10)));
    }

    #[test]
    fn one_answer_of_the_baseline_costs_nobody_what_it_had_learned() {
        let (one, two) = (module("tiers", "1"), module("tiers", "2"));
        let mut kept = Kept::default();
        kept.follow(one.clone(), blob(1), Timestamp(0));
        let baseline = ModuleRef::native("base-tier");
        kept.follow(baseline.clone(), Blob::default(), Timestamp(1));
        assert_eq!(kept.for_module(&one, fail), blob(1));
        let next = kept.for_module(&two, |b| Ok(b.clone()));
        assert_eq!(next, blob(1), "a version that comes now reads it too");
        for n in 2..20 {
            kept.follow(two.clone(), blob(2), Timestamp(n));
            kept.follow(baseline.clone(), Blob::default(), Timestamp(n));
            assert_eq!(kept.for_module(&one, fail), blob(1));
            assert_eq!(kept.for_module(&two, fail), blob(2));
        }
        assert!(kept.earlier.len() <= Kept::MOST_EARLIER);
    }
}
