//! States as the host holds them: bytes under a format number, per call or per series.
//!
//! A forecaster's shared `model` carries what all series of a fit have in common and what `update`
//! and `predict` are not told again: module, format, step and config. It is the same for the same
//! config, so that the host can batch series that were fitted apart. A series' state begins with
//! the instant that comes next, so that rows that were skipped or sent twice are refused instead of
//! shifting a season by an hour in silence.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{decode, encode};

use crate::policy::{Exported, Policy, invalid, module_name};
use crate::wit::types::{Blob, Blobs, PolicyError};

/// Number of this layout, apart from the author's.
const LAYOUT: u32 = 1;

/// What all series of a fit share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    module: String,
    /// The author's number for the layout of what was fitted.
    pub(crate) format: u32,
    /// Seconds.
    pub(crate) step: u32,
    /// As it was given to `fit`.
    pub(crate) config: String,
}

impl Header {
    pub(crate) fn new<P: Policy + Exported>(step: u32, config: &str) -> Self {
        Self {
            module: module_name::<P>().to_owned(),
            format: P::STATE_FORMAT,
            step,
            config: config.to_owned(),
        }
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>, PolicyError> {
        Ok(encode(LAYOUT, self)?)
    }

    /// Reads a model that this module wrote, in any format.
    pub(crate) fn read<P: Exported>(model: &[u8]) -> Result<Self, PolicyError> {
        let name = module_name::<P>();
        if model.is_empty() {
            return Err(PolicyError::NotFitted(
                "the model is empty: call fit first".to_owned(),
            ));
        }
        let foreign = |what: String| {
            PolicyError::NotFitted(format!("the model is not one of {name}: {what}; fit anew"))
        };
        let header: Self = decode(LAYOUT, model).map_err(|error| foreign(error.to_string()))?;
        if header.module != name {
            return Err(foreign(format!("it was fitted by {}", header.module)));
        }
        Ok(header)
    }
}

/// A series' state: the instant that comes next, then the author's bytes.
pub(crate) fn write_series<P: Policy>(next: i64, state: &P::State) -> Result<Vec<u8>, PolicyError> {
    let mut bytes = next.to_le_bytes().to_vec();
    bytes.extend(P::encode(state)?);
    Ok(bytes)
}

/// Splits a series' state; empty means that there is none.
pub(crate) fn split_series(bytes: &[u8]) -> Result<(i64, &[u8]), PolicyError> {
    match bytes.split_first_chunk() {
        Some((next, rest)) => Ok((i64::from_le_bytes(*next), rest)),
        None if bytes.is_empty() => Err(PolicyError::NotFitted(
            "the series has no state: call fit first".to_owned(),
        )),
        None => Err(PolicyError::NotFitted(format!(
            "a state of {} bytes is not one of this module: fit anew",
            bytes.len()
        ))),
    }
}

/// The author's state, with any trouble told as `not-fitted`.
pub(crate) fn read<P: Policy>(bytes: &[u8]) -> Result<P::State, PolicyError> {
    P::decode(bytes).map_err(|error| {
        PolicyError::NotFitted(format!(
            "the state is not one of this module: {error}; begin anew"
        ))
    })
}

/// Refuses a format that this version does not read.
pub(crate) fn expect_format<P: Policy>(format: u32) -> Result<(), PolicyError> {
    if format == P::STATE_FORMAT {
        return Ok(());
    }
    Err(PolicyError::NotFitted(format!(
        "the state has format {format}, this version reads {}: call migrate, or begin anew",
        P::STATE_FORMAT
    )))
}

/// The state of a call; empty bytes are the default, whatever their format number.
pub(crate) fn of_call<P: Policy<State: Default>>(blob: &Blob) -> Result<P::State, PolicyError> {
    if blob.bytes.is_empty() {
        return Ok(P::State::default());
    }
    expect_format::<P>(blob.format)?;
    read::<P>(&blob.bytes)
}

pub(crate) fn to_blob<P: Policy>(state: &P::State) -> Result<Blob, PolicyError> {
    Ok(Blob {
        format: P::STATE_FORMAT,
        bytes: P::encode(state)?,
    })
}

/// The author's state of any format, as one of this version.
pub(crate) fn migrated<P: Policy>(format: u32, bytes: &[u8]) -> Result<P::State, PolicyError> {
    if format == P::STATE_FORMAT {
        return read::<P>(bytes);
    }
    Ok(P::migrate(format, bytes)?)
}

/// `migrate` of the kinds with one state per call.
pub(crate) fn migrate_call<P: Policy>(blob: &Blob) -> Result<Blob, PolicyError> {
    if blob.bytes.is_empty() {
        return Ok(Blob {
            format: P::STATE_FORMAT,
            bytes: Vec::new(),
        });
    }
    to_blob::<P>(&migrated::<P>(blob.format, &blob.bytes)?)
}

/// One slice per series.
pub(crate) fn slices(blobs: &Blobs) -> Result<Vec<&[u8]>, PolicyError> {
    let ranges = ranges("states.offsets", &blobs.offsets, blobs.bytes.len())?;
    Ok(ranges
        .into_iter()
        .map(|range| &blobs.bytes[range])
        .collect())
}

/// The ranges that offsets cut `total` entries into.
pub(crate) fn ranges(
    name: &str,
    offsets: &[u32],
    total: usize,
) -> Result<Vec<std::ops::Range<usize>>, PolicyError> {
    let lawful = offsets.first() == Some(&0)
        && offsets.last().is_some_and(|&last| last as usize == total)
        && offsets.is_sorted();
    if !lawful {
        return Err(invalid(format!(
            "{name} must begin with 0, never fall, and end with {total}"
        )));
    }
    Ok(offsets
        .windows(2)
        .map(|w| w[0] as usize..w[1] as usize)
        .collect())
}

/// Joins one slice per series.
pub(crate) fn join(format: u32, parts: &[Vec<u8>]) -> Result<Blobs, PolicyError> {
    let mut offsets = vec![0];
    let bytes = parts.concat();
    let mut end = 0;
    for part in parts {
        end += part.len();
        let end = u32::try_from(end)
            .map_err(|_| PolicyError::Internal("states of more than 4 GiB".to_owned()))?;
        offsets.push(end);
    }
    Ok(Blobs {
        format,
        offsets,
        bytes,
    })
}
