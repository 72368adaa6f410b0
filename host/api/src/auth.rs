//! Who asks: bearer tokens, kept as hashes.
//!
//! A token is 256 bits from the operating system's random source, so its SHA-256 can be stored and
//! compared as it is: there is nothing to guess that a slow hash (argon2, bcrypt) would make slower,
//! and a slow hash on every call would be a way to overload the daemon. Slow hashes are for
//! passwords, which people choose.
//!
//! The digest of a presented token is compared with *every* stored one, each in constant time, so
//! that neither the position nor the shared prefix of a digest shows in the answer's time.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use tidegate_core::access::{Principal, Role};
use tidegate_core::ids::TenantId;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Longest text that is looked at as a token, in bytes.
const MAX_TOKEN: usize = 512;

/// A stored credential. The token itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    digest: [u8; 32],
    principal: Principal,
}

/// Why a configured credential is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The digest is malformed.
    #[error(
        "credential `{name}`: the digest is not 64 hexadecimal digits; store the SHA-256 of the \
         token, never the token itself"
    )]
    Digest {
        /// The credential's name.
        name: String,
    },
    /// It holds no tenant.
    #[error(
        "credential `{name}` holds an empty list of tenants and could see nothing; name a tenant, \
         or leave the list out to hold all of them"
    )]
    NoTenant {
        /// The credential's name.
        name: String,
    },
    /// Two credentials share a name.
    #[error("two credentials are named `{name}`; logs and records could not tell them apart")]
    SameName {
        /// The shared name.
        name: String,
    },
    /// Two credentials share a token.
    #[error("the credentials `{first}` and `{second}` have the same token; give each its own")]
    SameToken {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
}

impl Credential {
    /// A credential of that name, for the token with this SHA-256 (64 hexadecimal digits). No
    /// tenants means all of them.
    ///
    /// # Errors
    /// When the digest is malformed or the list of tenants is empty.
    pub fn new(
        name: &str,
        sha256: &str,
        role: Role,
        tenants: Option<BTreeSet<TenantId>>,
    ) -> Result<Self, CredentialError> {
        let parsed: Result<tidegate_core::ids::Digest, _> = sha256.parse();
        let Ok(digest) = parsed else {
            return Err(CredentialError::Digest { name: name.into() });
        };
        if tenants.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(CredentialError::NoTenant { name: name.into() });
        }
        Ok(Self {
            digest: digest.0,
            principal: Principal {
                name: name.into(),
                role,
                tenants,
            },
        })
    }
}

/// What is stored of a token: its SHA-256 in hexadecimal.
#[must_use]
pub fn token_digest(token: &str) -> String {
    tidegate_core::ids::Digest(Sha256::digest(token.as_bytes()).into()).to_string()
}

/// How callers are known.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everybody who can connect is [`Principal::local`]; for a daemon on loopback.
    #[default]
    Local,
    /// Every call but a health check carries `authorization: Bearer TOKEN`.
    Tokens(Arc<[Credential]>),
}

impl Auth {
    /// Authentication by these credentials.
    ///
    /// # Errors
    /// When two share a name or a token.
    pub fn tokens(credentials: Vec<Credential>) -> Result<Self, CredentialError> {
        for (i, later) in credentials.iter().enumerate() {
            for first in &credentials[..i] {
                if first.principal.name == later.principal.name {
                    let name = first.principal.name.clone();
                    return Err(CredentialError::SameName { name });
                }
                if first.digest == later.digest {
                    return Err(CredentialError::SameToken {
                        first: first.principal.name.clone(),
                        second: later.principal.name.clone(),
                    });
                }
            }
        }
        Ok(Auth::Tokens(credentials.into()))
    }

    /// Who sends a header `authorization` of this value, for servers of other protocols.
    ///
    /// # Errors
    /// When it is nobody who is known; text for the sender.
    pub fn identify(&self, header: Option<&[u8]>) -> Result<Principal, String> {
        self.principal(header).map_err(|e| e.message().to_owned())
    }

    fn principal(&self, header: Option<&[u8]>) -> Result<Principal, Status> {
        let Auth::Tokens(credentials) = self else {
            return Ok(Principal::local());
        };
        let header = header.ok_or_else(|| {
            Status::unauthenticated(
                "this daemon wants a token: send the metadata `authorization: Bearer TOKEN`",
            )
        })?;
        let token = bearer(header).ok_or_else(|| {
            Status::unauthenticated(
                "the metadata `authorization` is not of the form `Bearer TOKEN`; other schemes are \
                 not served",
            )
        })?;
        let known = find(credentials, token)
            .ok_or_else(|| Status::unauthenticated("the token is not known; ask the operator"))?;
        Ok(known.principal.clone())
    }
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    let fits = (1..=MAX_TOKEN).contains(&token.len());
    (scheme.eq_ignore_ascii_case(b"bearer ") && fits).then_some(token)
}

fn find<'a>(credentials: &'a [Credential], token: &[u8]) -> Option<&'a Credential> {
    let digest: [u8; 32] = Sha256::digest(token).into();
    let mut found = u32::MAX;
    for (i, credential) in (0_u32..).zip(credentials) {
        found.conditional_assign(&i, credential.digest.ct_eq(&digest));
    }
    credentials.get(usize::try_from(found).ok()?)
}

/// Puts the caller into each request, or refuses it.
#[derive(Clone, Debug)]
pub(crate) struct Authenticate(pub(crate) Auth);

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request
            .metadata()
            .get("authorization")
            .map(|v| v.as_bytes().to_vec());
        let principal = self.0.principal(header.as_deref())?;
        tracing::Span::current().record("caller", principal.name.as_str());
        // The token has served: nothing behind this line needs it.
        request.metadata_mut().remove("authorization");
        request.extensions_mut().insert(Caller(Arc::new(principal)));
        Ok(request)
    }
}

/// The authenticated caller, in a request's extensions.
#[derive(Clone, Debug)]
struct Caller(Arc<Principal>);

/// Who sent a request.
pub(crate) fn caller<T>(request: &Request<T>) -> Result<Arc<Principal>, Status> {
    match request.extensions().get::<Caller>() {
        Some(caller) => Ok(caller.0.clone()),
        None => Err(Status::internal(
            "the call went past authentication; please report this",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, token: &str) -> Credential {
        Credential::new(name, &token_digest(token), Role::Reader, None).unwrap()
    }

    #[test]
    fn the_right_token_finds_its_credential_wherever_it_stands() {
        let auth = Auth::tokens(vec![
            credential("a", "t-a"),
            credential("b", "t-b"),
            credential("c", "t-c"),
        ])
        .unwrap();
        for name in ["a", "b", "c"] {
            let header = format!("bEARER   t-{name} ");
            let found = auth.principal(Some(header.as_bytes())).unwrap();
            assert_eq!(found.name, name);
        }
    }

    #[test]
    fn whatever_is_no_known_token_is_refused_with_its_reason() {
        let auth = Auth::tokens(vec![credential("a", "t-a")]).unwrap();
        let long = format!("Bearer {}", "x".repeat(513));
        for (header, part) in [
            (None, "wants a token"),
            (Some(""), "not of the form"),
            (Some("Basic dXNlcjpwYXNz"), "not of the form"),
            (Some("Bearer "), "not of the form"),
            (Some("Bearer t-A"), "not known"),
            (Some("Bearer t-a x"), "not known"),
            (Some(long.as_str()), "not of the form"),
        ] {
            let error = auth.principal(header.map(str::as_bytes)).unwrap_err();
            assert_eq!(error.code(), tonic::Code::Unauthenticated);
            assert!(error.message().contains(part), "{header:?}: {error}");
            assert!(!error.message().contains("t-"), "{error}");
        }
        let nobody = Auth::tokens(vec![]).unwrap();
        assert!(nobody.principal(Some(b"Bearer t-a")).is_err());
    }

    #[test]
    fn a_token_in_the_place_of_its_digest_is_refused_without_being_repeated() {
        let error = Credential::new("ci", "secret", Role::Writer, None).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let empty = Credential::new("ci", &token_digest("t"), Role::Writer, Some([].into()));
        assert!(matches!(empty, Err(CredentialError::NoTenant { .. })));
    }

    #[test]
    fn two_credentials_share_neither_name_nor_token() {
        let same = |a, b| Auth::tokens(vec![a, b]).unwrap_err();
        assert!(matches!(
            same(credential("a", "1"), credential("a", "2")),
            CredentialError::SameName { .. }
        ));
        assert!(matches!(
            same(credential("a", "1"), credential("b", "1")),
            CredentialError::SameToken { .. }
        ));
    }
}
