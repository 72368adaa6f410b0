//! Signatures of modules: who vouches for what is pushed.
//!
//! Ed25519 (RFC 8032) over the component's bytes as they are, so that any tool can make one:
//! `openssl pkeyutl -sign -rawin -inkey key.pem -in policy.wasm`. A credential says who may push;
//! a signature says who built it, wherever it was kept in between. Where keys are trusted for an
//! owner, one of them must have signed: a daemon that merely noted signatures would protect nobody.
//! It is checked before anything else is done with the bytes. What is shipped comes with the binary
//! and needs none; what was admitted stays admitted, since it was signed then.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use tidegate_core::ids::{Digest, TenantId};
use tidegate_core::module::Signer;
use tidegate_core::ports::serve::ServeError;

/// Length of a signature, in bytes.
pub(crate) const SIGNATURE: usize = 64;

/// Length of a public key and of a seed, in bytes.
pub(crate) const KEY: usize = 32;

/// What stands before the key in DER (RFC 8410: SubjectPublicKeyInfo of id-Ed25519).
pub(crate) const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A public key, and for whose modules it is trusted.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    name: String,
    key: [u8; KEY],
    /// `None` is everybody.
    tenants: Option<Vec<TenantId>>,
}

/// The keys that are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

impl Key {
    /// Reads a key as it stands in the configuration.
    pub(crate) fn parse(
        name: &str,
        text: &str,
        tenants: Option<Vec<TenantId>>,
    ) -> Result<Self, String> {
        let key = public_key(text).ok_or(
            "it is no Ed25519 public key; write its PEM, or 64 hexadecimal digits, as `tidegate \
             policy key` prints them",
        )?;
        Ok(Self {
            name: name.to_owned(),
            key,
            tenants,
        })
    }

    fn is_for(&self, owner: Option<&TenantId>) -> bool {
        match (&self.tenants, owner) {
            (None, _) => true,
            (Some(tenants), Some(owner)) => tenants.contains(owner),
            // A tenant's key says nothing about what serves everybody.
            (Some(_), None) => false,
        }
    }
}

impl Keys {
    /// All of them.
    pub(crate) fn of(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// The key that signed the bytes; `None` where no signature is demanded.
    pub(crate) fn verify(
        &self,
        bytes: &[u8],
        signature: &[u8],
        owner: Option<&TenantId>,
    ) -> Result<Option<Signer>, ServeError> {
        let trusted: Vec<&Key> = self.0.iter().filter(|k| k.is_for(owner)).collect();
        if trusted.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = trusted.iter().map(|k| k.name.as_str()).collect();
        let names = names.join(", ");
        let refused = |text: String| ServeError::field("component", "signature", text);
        if signature.is_empty() {
            return Err(refused(format!(
                "this daemon takes signed modules alone; sign it with `tidegate policy sign FILE \
                 --key KEY` by a trusted key ({names}), and push it with --signature"
            )));
        }
        let signed = |key: &&&Key| {
            let public = UnparsedPublicKey::new(&ED25519, key.key);
            public.verify(bytes, signature).is_ok()
        };
        match trusted.iter().find(signed) {
            Some(key) => Ok(Some(Signer {
                name: key.name.clone(),
                id: key_id(&key.key),
            })),
            None => Err(refused(format!(
                "no trusted key ({names}) has made this signature of these bytes; sign the very \
                 file that is pushed, after its last change, by one of them"
            ))),
        }
    }
}

/// The id of a public key: the first 16 hexadecimal digits of its SHA-256.
pub(crate) fn key_id(key: &[u8; KEY]) -> String {
    let mut id = Digest::of(key).to_string();
    id.truncate(16);
    id
}

/// A public key from PEM or hexadecimal digits.
fn public_key(text: &str) -> Option<[u8; KEY]> {
    if let Some(der) = from_pem(text, "PUBLIC KEY") {
        return der.strip_prefix(&SPKI)?.try_into().ok();
    }
    let text = text.trim();
    if text.len() != 2 * KEY || !text.is_ascii() {
        return None;
    }
    let digit = |i: usize| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..KEY).map(digit).collect();
    bytes?.try_into().ok()
}

/// The DER inside of a PEM block (RFC 7468) of a label.
pub(crate) fn from_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inner, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let inner: String = inner.split_whitespace().collect();
    STANDARD.decode(inner).ok()
}

/// A PEM block of a label.
pub(crate) fn to_pem(der: &[u8], label: &str) -> String {
    // Nothing here is longer than the one line that RFC 7468 allows.
    let inner = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{inner}\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2: one byte.
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const MESSAGE: &[u8] = &[0x72];
    const SIGNED: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                          085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn hex(text: &str) -> Vec<u8> {
        let digit = |i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        (0..text.len() / 2).map(digit).collect()
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn a_signature_of_a_trusted_key_is_taken_and_nothing_else() {
        let keys = Keys::of(vec![Key::parse("release", PUBLIC, None).unwrap()]);
        let signed = hex(SIGNED);
        let by = |bytes: &[u8], signature: &[u8]| {
            keys.verify(bytes, signature, None)
                .map(|key| key.map(|k| k.to_string()))
        };
        let id = key_id(&hex(PUBLIC).try_into().unwrap());
        let signer = format!("release ({id})");
        assert_eq!(by(MESSAGE, &signed).unwrap(), Some(signer));
        for (bytes, signature, part) in [
            (MESSAGE, &[][..], "policy sign"),
            (&b"s"[..], &signed[..], "no trusted key (release)"),
            (MESSAGE, &signed[..63], "no trusted key"),
            (MESSAGE, &[0; 64][..], "no trusted key"),
        ] {
            let error = by(bytes, signature).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_tenants_key_is_demanded_of_its_tenant_alone() {
        let key = Key::parse("shop-ci", PUBLIC, Some(vec![tenant("shop")])).unwrap();
        let keys = Keys::of(vec![key]);
        let (shop, bank) = (tenant("shop"), tenant("bank"));
        assert!(keys.verify(MESSAGE, &[], Some(&shop)).is_err());
        assert!(keys.verify(MESSAGE, &hex(SIGNED), Some(&shop)).is_ok());
        assert_eq!(keys.verify(MESSAGE, &[], Some(&bank)).unwrap(), None);
        assert_eq!(keys.verify(MESSAGE, &[], None).unwrap(), None);
    }

    #[test]
    fn a_key_is_read_from_pem_or_digits_and_refused_otherwise() {
        let pem = to_pem(&[&SPKI[..], &hex(PUBLIC)].concat(), "PUBLIC KEY");
        assert_eq!(public_key(&pem), public_key(PUBLIC));
        assert!(public_key(PUBLIC).is_some());
        for bad in [
            "",
            "3d40",
            &PUBLIC.replace('3', "z"),
            &pem.replace("MCow", "MCox"),
        ] {
            assert!(Key::parse("bad", bad, None).is_err(), "{bad}");
        }
    }
}
