//! Stored mirrors of core's types.
//!
//! `core` derives no serde, because a type that can be serialised is already a promise. The promise
//! is made here: [`Mirror`] names the stored form of a type and both ways between them. The macros
//! only spare the repetition; a field that is added in `core` fails to compile here, which is the
//! moment to decide what older records mean.
//!
//! Stored bytes are a format number and postcard's documented encoding: fields in order, so a
//! mirror's field order and its enums' numbers are part of the layout.

mod anchor;
mod binding;
mod catalog;
mod life;
mod module;
mod plan;
mod policy;
mod track;

pub(crate) use anchor::{Anchored, anchors_of, declared_of, encode_anchors, encode_declared};
pub(crate) use life::{encode_step, step_of};
pub(crate) use module::{State, encode_module, module_of, state_of};
pub(crate) use plan::{encode_record, record_of};
pub(crate) use track::{encode_track, track_of};

use crate::codec::Malformed;
use crate::keys;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_core::ids::{
    BindingId, Digest, Generation, Name, PoolId, ScopedId, TemplateId, TenantId,
};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Level, Resources, Signal};

/// A type with a stored form.
pub(crate) trait Mirror: Sized {
    /// What is written.
    type Stored: Serialize + DeserializeOwned;

    /// To the stored form.
    fn store(&self) -> Self::Stored;

    /// From the stored form.
    fn restore(stored: Self::Stored) -> Result<Self, Malformed>;
}

/// The format of everything that [`pack`] writes; records have one of their own.
const FORMAT: u8 = 1;

/// Format number and postcard bytes.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    pack_as(FORMAT, value)
}

fn pack_as<T: Serialize>(format: u8, value: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(value, vec![format]).map_err(|e| StoreError::Io {
        step: "encode a value",
        cause: e.to_string(),
    })
}

/// What [`pack`] wrote.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    unpack_as(FORMAT, bytes)
}

fn unpack_as<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Result<T, Malformed> {
    match bytes.split_first() {
        Some((found, rest)) if *found == format => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Malformed("bytes follow the value")),
            Err(_) => Err(Malformed("it cannot be decoded")),
        },
        _ => Err(Malformed("it has an unknown format")),
    }
}

/// The bytes of a mirrored value.
pub(crate) fn encode<T: Mirror>(value: &T) -> Result<Vec<u8>, StoreError> {
    pack(&value.store())
}

/// The value of mirrored bytes.
pub(crate) fn decode<T: Mirror>(bytes: &[u8]) -> Result<T, Malformed> {
    unpack(bytes).and_then(T::restore)
}

/// A struct, field by field.
macro_rules! mirror_struct {
    ($name:ident as $stored:ident { $($field:ident: $ty:ty),+ $(,)? }) => {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub(crate) struct $stored {
            $($field: <$ty as $crate::mirror::Mirror>::Stored),+
        }

        impl $crate::mirror::Mirror for $name {
            type Stored = $stored;

            fn store(&self) -> $stored {
                $stored { $($field: $crate::mirror::Mirror::store(&self.$field)),+ }
            }

            fn restore(stored: $stored) -> Result<Self, $crate::codec::Malformed> {
                Ok(Self { $($field: $crate::mirror::Mirror::restore(stored.$field)?),+ })
            }
        }
    };
}

/// An enum without fields, by number.
macro_rules! mirror_enum {
    ($name:ident { $($number:literal => $variant:ident),+ $(,)? }) => {
        impl $crate::mirror::Mirror for $name {
            type Stored = u8;

            fn store(&self) -> u8 {
                match self { $($name::$variant => $number),+ }
            }

            fn restore(stored: u8) -> Result<Self, $crate::codec::Malformed> {
                match stored {
                    $($number => Ok($name::$variant),)+
                    _ => Err($crate::codec::Malformed(concat!("it names no ", stringify!($name)))),
                }
            }
        }
    };
}

pub(crate) use {mirror_enum, mirror_struct};

macro_rules! mirror_itself {
    ($($ty:ty),+) => {
        $(impl Mirror for $ty {
            type Stored = $ty;

            fn store(&self) -> $ty {
                self.clone()
            }

            fn restore(stored: $ty) -> Result<Self, Malformed> {
                Ok(stored)
            }
        })+
    };
}

mirror_itself!(bool, u8, u16, i16, u32, u64, i64, f32, f64, String);

macro_rules! mirror_name {
    ($($ty:ty),+) => {
        $(impl Mirror for $ty {
            type Stored = String;

            fn store(&self) -> String {
                self.to_string()
            }

            fn restore(stored: String) -> Result<Self, Malformed> {
                stored.parse().map_err(|_| Malformed("a name in it is not valid"))
            }
        })+
    };
}

mirror_name!(TenantId, Name, PoolId, BindingId, TemplateId, ScopedId);

impl Mirror for Digest {
    type Stored = [u8; 32];

    fn store(&self) -> [u8; 32] {
        self.0
    }

    fn restore(stored: [u8; 32]) -> Result<Self, Malformed> {
        Ok(Self(stored))
    }
}

impl Mirror for Generation {
    type Stored = u64;

    fn store(&self) -> u64 {
        self.0
    }

    fn restore(stored: u64) -> Result<Self, Malformed> {
        Ok(Self(stored))
    }
}

impl Mirror for Timestamp {
    type Stored = i64;

    fn store(&self) -> i64 {
        self.0
    }

    fn restore(stored: i64) -> Result<Self, Malformed> {
        Ok(Self(stored))
    }
}

impl Mirror for Step {
    type Stored = u32;

    fn store(&self) -> u32 {
        self.secs()
    }

    fn restore(stored: u32) -> Result<Self, Malformed> {
        Step::from_secs(stored).ok_or(Malformed("it has an impossible step"))
    }
}

impl Mirror for Level {
    type Stored = u16;

    fn store(&self) -> u16 {
        self.get()
    }

    fn restore(stored: u16) -> Result<Self, Malformed> {
        Level::new(stored).ok_or(Malformed("it has an impossible quantile level"))
    }
}

impl Mirror for usize {
    type Stored = u64;

    fn store(&self) -> u64 {
        *self as u64
    }

    fn restore(stored: u64) -> Result<Self, Malformed> {
        usize::try_from(stored).map_err(|_| Malformed("a count is too large"))
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    type Stored = Vec<T::Stored>;

    fn store(&self) -> Self::Stored {
        self.iter().map(T::store).collect()
    }

    fn restore(stored: Self::Stored) -> Result<Self, Malformed> {
        stored.into_iter().map(T::restore).collect()
    }
}

impl<T: Mirror + Copy, const N: usize> Mirror for [T; N] {
    type Stored = Vec<T::Stored>;

    fn store(&self) -> Self::Stored {
        self.iter().map(T::store).collect()
    }

    fn restore(stored: Self::Stored) -> Result<Self, Malformed> {
        let all: Vec<T> = Vec::restore(stored)?;
        all.try_into()
            .map_err(|_| Malformed("a list in it has another length"))
    }
}

impl<T: Mirror> Mirror for Box<T> {
    type Stored = T::Stored;

    fn store(&self) -> Self::Stored {
        (**self).store()
    }

    fn restore(stored: Self::Stored) -> Result<Self, Malformed> {
        T::restore(stored).map(Box::new)
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type Stored = Option<T::Stored>;

    fn store(&self) -> Self::Stored {
        self.as_ref().map(T::store)
    }

    fn restore(stored: Self::Stored) -> Result<Self, Malformed> {
        stored.map(T::restore).transpose()
    }
}

impl<K: Mirror + Ord, V: Mirror> Mirror for BTreeMap<K, V> {
    type Stored = Vec<(K::Stored, V::Stored)>;

    fn store(&self) -> Self::Stored {
        self.iter().map(|(k, v)| (k.store(), v.store())).collect()
    }

    fn restore(stored: Self::Stored) -> Result<Self, Malformed> {
        stored
            .into_iter()
            .map(|(k, v)| Ok((K::restore(k)?, V::restore(v)?)))
            .collect()
    }
}

impl Mirror for Resources {
    type Stored = Vec<(u8, f64)>;

    fn store(&self) -> Self::Stored {
        self.iter().map(|(d, x)| (d.store(), x)).collect()
    }

    fn restore(stored: Self::Stored) -> Result<Self, Malformed> {
        stored.into_iter().try_fold(Resources::NONE, |r, (d, x)| {
            Ok(r.with(Dimension::restore(d)?, x))
        })
    }
}

mirror_enum!(Signal {
    0 => Requests, 1 => Errors, 2 => Latency, 3 => Cpu, 4 => Memory, 5 => Network, 6 => Io,
});
mirror_enum!(Dimension { 0 => Cpu, 1 => Memory, 2 => Network, 3 => Io, 4 => Requests });
mirror_struct!(SeriesKey as StoredSeriesKey { api: ScopedId, signal: Signal });
mirror_struct!(Grid as StoredGrid { start: Timestamp, step: Step, count: usize });

/// The counters that outlive the write-ahead records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// Newest batch.
    pub(crate) sequence: u64,
    /// Number of the next write-ahead record.
    pub(crate) next_record: u64,
}

impl Marks {
    /// What a store may have written: others could not be counted on from.
    pub(crate) fn checked(self) -> Result<Self, Malformed> {
        match self.sequence.max(self.next_record) <= keys::LAST {
            true => Ok(self),
            false => Err(Malformed("its numbers are beyond any")),
        }
    }
}
