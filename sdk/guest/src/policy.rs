//! What all kinds of policies declare, and what follows from it alone: config, state, description.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_model_kit::{decode, encode};

use crate::Error;
use crate::wit::types::{Description, ModuleKind, PolicyError};

/// Prefix of a crate's name that the module's name goes without, as in the manifest.
const CRATE_PREFIX: &str = "tidegate-plugin-";

/// What every policy declares, whatever its kind.
pub trait Policy {
    /// JSON Schema of [`Policy::Config`]. Put it into a file that Cargo.toml's
    /// `package.metadata.tidegate.config-schema` names too, and `include_str!` it here: the manifest
    /// and [`describe`](crate::forecaster::Component) must agree.
    const CONFIG_SCHEMA: &str;

    /// Number of the layout of [`Policy::State`]. Raise it with every change of that type.
    const STATE_FORMAT: u32;

    /// Parsed from JSON. `{}` must work and mean the defaults; derive `Deserialize` with
    /// `#[serde(default, deny_unknown_fields)]`, so that a misspelt key is an error.
    type Config: DeserializeOwned;

    /// What the host keeps between calls, `()` for nothing.
    type State: Serialize + DeserializeOwned;

    /// Checks what the type of the config does not express.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the key and its range.
    fn validate(config: &Self::Config) -> Result<(), Error> {
        let _ = config;
        Ok(())
    }

    /// The state as bytes. The default writes the format number and then postcard. Whatever is written must
    /// come back as it was: a forecaster is asked of states that were stored and of states that were not,
    /// and has to answer the same.
    ///
    /// # Errors
    /// [`Error::Internal`] if the state cannot be serialised.
    fn encode(state: &Self::State) -> Result<Vec<u8>, Error> {
        if size_of::<Self::State>() == 0 {
            return Ok(Vec::new());
        }
        encode(Self::STATE_FORMAT, state)
    }

    /// Reads what [`Policy::encode`] wrote. Bytes that come back from a store are input: check
    /// here what the policy relies on.
    ///
    /// # Errors
    /// Any; the SDK answers `not-fitted` with the text.
    fn decode(bytes: &[u8]) -> Result<Self::State, Error> {
        decode(Self::STATE_FORMAT, bytes)
    }

    /// Translates a state that an earlier version wrote under another format number. Before this version
    /// serves, the host rehearses it on copies of all states that the version before has stored.
    ///
    /// # Errors
    /// [`Error::Unsupported`], which is the default: the host then begins anew. Any other refuses the swap.
    fn migrate(format: u32, bytes: &[u8]) -> Result<Self::State, Error> {
        let _ = bytes;
        Err(Error::Unsupported(format!(
            "a state of format {format}; this version reads {} alone: begin without a state",
            Self::STATE_FORMAT
        )))
    }
}

/// The names under which a policy is exported. The exporting macros write it.
pub trait Exported {
    /// The module's name, or its crate's.
    const NAME: &str;
    /// The crate's version.
    const VERSION: &str;
}

/// The module's name: a shipped crate's goes without the prefix.
pub(crate) fn module_name<P: Exported>() -> &'static str {
    P::NAME.strip_prefix(CRATE_PREFIX).unwrap_or(P::NAME)
}

pub(crate) fn describe<P: Policy + Exported>(kind: ModuleKind) -> Description {
    Description {
        name: module_name::<P>().to_owned(),
        version: P::VERSION.to_owned(),
        kind,
        config_schema: P::CONFIG_SCHEMA.to_owned(),
        state_format: P::STATE_FORMAT,
    }
}

/// Parses and validates a config.
pub(crate) fn config<P: Policy>(json: &str) -> Result<P::Config, PolicyError> {
    // serde would also take a list as a struct's fields in order, which no schema describes.
    if !json.trim_start().starts_with('{') {
        return Err(invalid(
            "config is not a JSON object: write {} for the defaults",
        ));
    }
    let mut parser = serde_json::Deserializer::from_str(json);
    let config = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let (path, problem) = (error.path().to_string(), error.inner());
        let place = if path == "." {
            String::new()
        } else {
            format!(".{path}")
        };
        invalid(format!("config{place}: {problem}"))
    })?;
    parser
        .end()
        .map_err(|problem| invalid(format!("config: {problem}")))?;
    P::validate(&config)?;
    Ok(config)
}

pub(crate) fn invalid(text: impl Into<String>) -> PolicyError {
    PolicyError::InvalidInput(text.into())
}
