//! What a replay sets out from: anchors, and what was declared, as they are stored.
//!
//! Anchors of one record are one compressed value; their models, which many share, are named by digest. A
//! declared world is kept with the tables that the daemon wrote into it: a replay must see the offsets and
//! occurrences of that day, whatever a database of time zones says later.

use super::{Mirror, State, mirror_struct};
use crate::codec::Malformed;
use crate::packing;
use std::collections::BTreeMap;
use tidegate_core::catalog::Catalog;
use tidegate_core::event::Occurrences;
use tidegate_core::forecast::Track;
use tidegate_core::ids::{Digest, ScopedId};
use tidegate_core::ports::storage::{Anchor, StoreError};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::zone::{Zone, Zones};

/// Form of both.
const FORM: u8 = 1;

/// An anchor whose model is named by its digest.
pub(crate) struct Anchored {
    pub(crate) key: SeriesKey,
    pub(crate) module: Digest,
    pub(crate) config: Digest,
    pub(crate) state: Option<State>,
    pub(crate) track: Option<Track>,
}

mirror_struct!(Anchored as StoredAnchored {
    key: SeriesKey,
    module: Digest,
    config: Digest,
    state: Option<State>,
    track: Option<Track>,
});

impl Anchored {
    pub(crate) fn of(anchor: &Anchor, model: Digest) -> Self {
        Self {
            key: anchor.key.clone(),
            module: anchor.module,
            config: anchor.config,
            state: anchor.state.as_ref().map(|s| State::of(s, model)),
            track: anchor.track.clone(),
        }
    }
}

/// The bytes of a record's anchors.
pub(crate) fn encode_anchors(anchors: &Vec<Anchored>) -> Result<Vec<u8>, StoreError> {
    packing::pack(FORM, &anchors.store())
}

/// What [`encode_anchors`] wrote.
pub(crate) fn anchors_of(bytes: &[u8]) -> Result<Vec<Anchored>, Malformed> {
    let plain = packing::plain(FORM, bytes)?;
    Vec::restore(packing::unpack(&plain)?)
}

/// A declared world with its tables.
struct Declared {
    catalog: Catalog,
    zones: Vec<(String, Vec<Change>)>,
    window: Option<Span>,
    recurring: Vec<(ScopedId, Vec<Span>)>,
}

mirror_struct!(Declared as StoredDeclared {
    catalog: Catalog,
    zones: Vec<(String, Vec<Change>)>,
    window: Option<Span>,
    recurring: Vec<(ScopedId, Vec<Span>)>,
});

struct Change {
    from: Timestamp,
    offset_s: i64,
}

mirror_struct!(Change as StoredChange { from: Timestamp, offset_s: i64 });

struct Span {
    from: Timestamp,
    to: Timestamp,
}

mirror_struct!(Span as StoredSpan { from: Timestamp, to: Timestamp });

impl<T: Mirror> Mirror for (String, Vec<T>) {
    type Stored = (String, Vec<T::Stored>);

    fn store(&self) -> Self::Stored {
        (self.0.clone(), self.1.store())
    }

    fn restore((name, all): Self::Stored) -> Result<Self, Malformed> {
        Ok((name, Vec::restore(all)?))
    }
}

impl<T: Mirror> Mirror for (ScopedId, Vec<T>) {
    type Stored = (String, Vec<T::Stored>);

    fn store(&self) -> Self::Stored {
        (self.0.store(), self.1.store())
    }

    fn restore((name, all): Self::Stored) -> Result<Self, Malformed> {
        Ok((Mirror::restore(name)?, Vec::restore(all)?))
    }
}

/// The bytes of a declared world.
pub(crate) fn encode_declared(catalog: &Catalog) -> Result<Vec<u8>, StoreError> {
    let span = |(from, to): (Timestamp, Timestamp)| Span { from, to };
    let change = |(from, offset_s): &(Timestamp, i32)| Change {
        from: *from,
        offset_s: i64::from(*offset_s),
    };
    let zones = catalog.zones.iter();
    let recurring = catalog.recurring.iter();
    let declared = Declared {
        catalog: catalog.clone(),
        zones: zones
            .map(|(name, zone)| (name.clone(), zone.changes().iter().map(change).collect()))
            .collect(),
        window: catalog.recurring.window().map(span),
        recurring: recurring
            .map(|(event, spans)| (event.clone(), spans.iter().copied().map(span).collect()))
            .collect(),
    };
    packing::pack(FORM, &declared.store())
}

/// What [`encode_declared`] wrote.
pub(crate) fn declared_of(bytes: &[u8]) -> Result<Catalog, Malformed> {
    let plain = packing::plain(FORM, bytes)?;
    let declared = Declared::restore(packing::unpack(&plain)?)?;
    let mut catalog = declared.catalog;
    let mut zones = BTreeMap::new();
    for (name, changes) in declared.zones {
        let offset = |c: &Change| Some((c.from, i32::try_from(c.offset_s).ok()?));
        let changes = changes.iter().map(offset).collect::<Option<Vec<_>>>();
        let changes = changes.ok_or(Malformed("an offset of it is none of a clock"))?;
        zones.insert(name, Zone::new(changes));
    }
    catalog.zones = Zones::new(zones);
    let spans = |all: Vec<Span>| all.into_iter().map(|s| (s.from, s.to)).collect();
    if let Some(window) = declared.window {
        let recurring = declared.recurring.into_iter();
        let recurring = recurring.map(|(event, all)| (event, spans(all))).collect();
        catalog.recurring = Occurrences::new((window.from, window.to), recurring);
    }
    Ok(catalog)
}
