//! States as bytes: a format number, then postcard.
//!
//! The number comes first, so that a newer model can tell an old state before it reads it, and an
//! old model refuses a new one by name and not by a decoding error.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ModelError;

/// Encodes a state under its format number.
///
/// # Errors
/// [`ModelError::Internal`] if the state cannot be serialised.
pub fn encode<T: Serialize>(format: u32, state: &T) -> Result<Vec<u8>, ModelError> {
    postcard::to_allocvec(&(format, state)).map_err(|e| ModelError::Internal(e.to_string()))
}

/// Decodes a state of exactly this format number. No bytes at all mean that nothing was fitted.
///
/// # Errors
/// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
/// [`ModelError::InvalidInput`] for bytes that are no such state.
pub fn decode<T: DeserializeOwned>(format: u32, bytes: &[u8]) -> Result<T, ModelError> {
    if bytes.is_empty() {
        return Err(ModelError::NotFitted);
    }
    let damaged = |e: postcard::Error| ModelError::invalid(format!("damaged state: {e}"));
    let (found, rest) = postcard::take_from_bytes::<u32>(bytes).map_err(damaged)?;
    if found != format {
        return Err(ModelError::Unsupported(format!(
            "state format {found}, this module reads {format}: fit again or migrate"
        )));
    }
    let (state, rest) = postcard::take_from_bytes::<T>(rest).map_err(damaged)?;
    if !rest.is_empty() {
        return Err(ModelError::invalid(format!(
            "{} bytes after the state",
            rest.len()
        )));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_anything_else_is_refused() {
        let bytes = encode(3, &vec![1.5f32, 2.5]).unwrap();
        assert_eq!(decode::<Vec<f32>>(3, &bytes).unwrap(), vec![1.5, 2.5]);
        assert_eq!(decode::<Vec<f32>>(3, &[]), Err(ModelError::NotFitted));
        assert!(matches!(
            decode::<Vec<f32>>(4, &bytes),
            Err(ModelError::Unsupported(_))
        ));
        assert!(matches!(
            decode::<Vec<f32>>(3, &bytes[..5]),
            Err(ModelError::InvalidInput(_))
        ));
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(
            decode::<Vec<f32>>(3, &longer),
            Err(ModelError::InvalidInput(_))
        ));
    }
}
