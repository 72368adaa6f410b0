//! Everything else: each value by itself, where no other has to be there for it.

use super::{Large, Loss, Salvage};
use crate::codec::Malformed;
use crate::keys::{self, Kind, PREFIX};
use crate::mirror;
use std::collections::BTreeSet;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Choice;
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;

/// Kinds whose values are read one by one.
const ALONE: [Kind; 8] = [
    Kind::Catalog,
    Kind::Track,
    Kind::Choice,
    Kind::Step,
    Kind::Trial,
    Kind::Note,
    Kind::Kept,
    Kind::Model,
];

impl Salvage<'_> {
    pub(super) fn rest(&mut self) -> Result<(), StoreError> {
        let mut whole: BTreeSet<Vec<u8>> = BTreeSet::new();
        for kind in ALONE {
            self.each_large(kind, |s, value| match check(kind, &value) {
                Ok(()) => {
                    if kind == Kind::Model {
                        whole.insert(value.base);
                    }
                    s.copy(value.parts)
                }
                Err(malformed) => {
                    let of = of(kind, &value.base);
                    s.losses.push(Loss::new(kind, of, malformed.0));
                    Ok(())
                }
            })?;
        }
        self.states(&whole)?;
        self.modules()
    }

    /// States whose models are there.
    fn states(&mut self, models: &BTreeSet<Vec<u8>>) -> Result<(), StoreError> {
        self.each_large(Kind::State, |s, value| {
            let state = value.bytes.and_then(|bytes| mirror::state_of(&bytes));
            let cause = match state {
                Err(malformed) => malformed.0,
                Ok(state) if models.contains(&keys::digest(Kind::Model, &state.model)) => {
                    return s.copy(value.parts);
                }
                Ok(_) => "its model is lost",
            };
            s.losses
                .push(Loss::new(Kind::State, of(Kind::State, &value.base), cause));
            Ok(())
        })
    }

    /// Modules whose bytes are there, and their bytes: one without the other could not be pushed again.
    fn modules(&mut self) -> Result<(), StoreError> {
        let mut whole: BTreeSet<Vec<u8>> = BTreeSet::new();
        let digest = |base: &[u8]| base.get(PREFIX..).unwrap_or_default().to_vec();
        self.each_large(Kind::Component, |s, value| {
            match named_by_digest(Kind::Component, &value) {
                Ok(()) => drop(whole.insert(digest(&value.base))),
                Err(malformed) => {
                    let of = of(Kind::Component, &value.base);
                    s.losses.push(Loss::new(Kind::Component, of, malformed.0));
                }
            }
            Ok(())
        })?;
        let mut kept: BTreeSet<Vec<u8>> = BTreeSet::new();
        self.each_large(Kind::Module, |s, value| {
            let module = value.bytes.and_then(|bytes| mirror::module_of(&bytes));
            let (name, cause) = match module {
                Ok(_) if whole.contains(&digest(&value.base)) => {
                    kept.insert(digest(&value.base));
                    return s.copy(value.parts);
                }
                Ok(module) => {
                    let name = format!(
                        "module {} {}: push it again; what quarantined it is forgotten",
                        module.manifest.name, module.manifest.version
                    );
                    (name, "its bytes are lost")
                }
                Err(malformed) => (of(Kind::Module, &value.base), malformed.0),
            };
            s.losses.push(Loss::new(Kind::Module, name, cause));
            Ok(())
        })?;
        self.each_large(Kind::Component, |s, value| {
            match kept.contains(&digest(&value.base)) {
                true => s.copy(value.parts),
                false => Ok(()),
            }
        })
    }
}

fn check(kind: Kind, value: &Large) -> Result<(), Malformed> {
    let bytes = value.bytes.as_ref().map_err(|malformed| *malformed)?;
    match kind {
        Kind::Catalog => mirror::decode::<Catalog>(bytes).map(drop),
        Kind::Track => mirror::track_of(bytes).map(drop),
        Kind::Choice => mirror::decode::<(SeriesKey, Choice)>(bytes).map(drop),
        Kind::Step => match mirror::step_of(bytes)?.sequence {
            sequence if value.base == keys::step(sequence) => Ok(()),
            _ => Err(Malformed("it has another sequence than its key says")),
        },
        Kind::Kept | Kind::Model => named_by_digest(kind, value),
        // What they mean only their writers know.
        _ => Ok(()),
    }
}

fn named_by_digest(kind: Kind, value: &Large) -> Result<(), Malformed> {
    let bytes = value.bytes.as_ref().map_err(|malformed| *malformed)?;
    match value.base == keys::digest(kind, &Digest::of(bytes)) {
        true => Ok(()),
        false => Err(Malformed("it has another digest than its name says")),
    }
}

/// What a value was of, for a person.
fn of(kind: Kind, base: &[u8]) -> String {
    let tail = base.get(PREFIX..).unwrap_or_default();
    let digest = || {
        let hex = tail.iter().take(6).map(|byte| format!("{byte:02x}"));
        hex.collect::<String>()
    };
    // API, NUL, signal, NUL: what follows are digests.
    let series = || {
        let mut words = tail.split(|byte| *byte == 0);
        let mut word = || String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
        format!("{}:{}", word(), word())
    };
    match kind {
        Kind::Catalog => "everything that is declared: apply it again".into(),
        Kind::Track => format!("what forecasts of {} are judged by", series()),
        Kind::Choice => format!("who answers for {}", series()),
        Kind::State => format!("a fitted state of {}, which is fitted anew", series()),
        Kind::Model => format!("model {}, and the states that name it", digest()),
        Kind::Kept => format!(
            "value {} that records name: they cannot be made again",
            digest()
        ),
        Kind::Component => format!("the bytes of module {}: push it again", digest()),
        Kind::Module => format!(
            "module {}: push it again; what quarantined it is forgotten",
            digest()
        ),
        Kind::Step => "a step in the life of versions".into(),
        Kind::Trial => "what is known of a comparison, which begins anew".into(),
        Kind::Note => "points of other protocols that were no samples yet".into(),
        _ => keys::show(base),
    }
}
