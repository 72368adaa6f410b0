//! Names. Every id is parsed once, at the edge, and cannot be malformed afterwards.
//!
//! The rule is one for all: 1 to 100 characters of `a-z A-Z 0-9 . _ -` (a name also admits `/`
//! inside, since routes are names), beginning with a letter or a digit. Names travel into labels,
//! file names, metric attributes and URLs, so nothing wider is admitted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {why}")]
pub struct IdError {
    /// What it should have been, for example `tenant`.
    pub what: &'static str,
    /// The offending text, shortened.
    pub text: String,
    /// What is wrong and what is allowed.
    pub why: &'static str,
}

const MAX: usize = 100;

fn check(what: &'static str, text: &str, slash: Slash) -> Result<(), IdError> {
    let fail = |why| {
        Err(IdError {
            what,
            text: text.chars().take(60).collect(),
            why,
        })
    };
    if text.is_empty() {
        return fail("it is empty; give it a name");
    }
    if text.len() > MAX {
        return fail("it is longer than 100 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return fail("it must begin with a letter or a digit");
    }
    let ok = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_' | '-')
            || (slash == Slash::Allowed && c == '/')
    };
    if !text.chars().all(ok) {
        return fail("only letters, digits, `.`, `_` and `-` are allowed");
    }
    if text.ends_with('/') || text.contains("//") {
        return fail("a `/` must stand between two parts");
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    Allowed,
    Refused,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $slash:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Parses a ", $what, ".")]
            ///
            /// # Errors
            /// When the text breaks the rule of this module.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check($what, text, $slash)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
    };
}

id!(
    /// Owner of apis; every series, query and quota belongs to one.
    TenantId, "tenant", Slash::Refused
);
id!(
    /// An api's, SLO's or event's name inside its tenant.
    Name, "name", Slash::Allowed
);
id!(
    /// A pool of resources.
    PoolId, "pool", Slash::Refused
);
id!(
    /// A binding of policies to what they serve. With a `/`, the part before it is the tenant that it
    /// serves; without one, it is the operator's name for it.
    BindingId, "binding", Slash::Allowed
);

id!(
    /// A template. With a `/`, the part before it is the tenant whose apis alone it selects; without
    /// one, it is the operator's.
    TemplateId, "template", Slash::Allowed
);

/// `tenant/name`: an api, an SLO or an event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopedId {
    /// The owner.
    pub tenant: TenantId,
    /// The name inside the tenant.
    pub name: Name,
}

/// An api: one endpoint or group whose load is forecast and shaped.
pub type ApiId = ScopedId;

impl ScopedId {
    /// Joins the two parts, both already parsed.
    #[must_use]
    pub fn new(tenant: TenantId, name: Name) -> Self {
        Self { tenant, name }
    }
}

impl fmt::Display for ScopedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

impl fmt::Debug for ScopedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for ScopedId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let Some((tenant, name)) = text.split_once('/') else {
            return Err(IdError {
                what: "api",
                text: text.chars().take(60).collect(),
                why: "write it as TENANT/NAME",
            });
        };
        Ok(Self::new(tenant.parse()?, name.parse()?))
    }
}

/// SHA-256 of a module, a state or an input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first 12 hexadecimal digits, enough to tell modules apart for a person.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError {
            what: "digest",
            text: text.chars().take(60).collect(),
            why: "write all 64 hexadecimal digits",
        };
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

/// Counts the plans of one pool, or the versions of one catalog object. 0 is "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The one after this (PL1: generations rise by one).
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_parsed_once_and_keeps_its_text() {
        let api: ApiId = "shop/v1/orders".parse().unwrap();
        assert_eq!(
            (api.tenant.as_str(), api.name.as_str()),
            ("shop", "v1/orders")
        );
        assert_eq!(api.to_string(), "shop/v1/orders");
    }

    #[test]
    fn a_bad_name_says_what_is_wrong() {
        for (text, part) in [
            ("", "TENANT/NAME"),
            ("shop", "TENANT/NAME"),
            ("shop/", "empty"),
            ("sh op/x", "only letters"),
            ("-shop/x", "begin with"),
            ("shop/a//b", "between two parts"),
        ] {
            let error = text.parse::<ApiId>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = "x".repeat(101);
        assert!(
            TenantId::new(&long)
                .unwrap_err()
                .to_string()
                .contains("100")
        );
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"module");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("12".parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
