//! Who asks, and what they may do. The tenant comes from the credential, never from the request.

use crate::ids::TenantId;
use std::collections::BTreeSet;

/// What a credential is good for; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads what belongs to its tenants.
    Reader,
    /// Feeds samples and declares apis, SLOs, events and tenant bindings.
    Writer,
    /// Also pools, tiers and allocators, of all tenants.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "reader" => Role::Reader,
            "writer" => Role::Writer,
            "operator" => Role::Operator,
            "admin" => Role::Admin,
            _ => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

/// The authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The credential's name, for logs and records.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its tenants; `None` means all (operators and admins, or a loopback daemon without tokens).
    pub tenants: Option<BTreeSet<TenantId>>,
}

impl Principal {
    /// The caller of a daemon that runs without tokens, on loopback.
    #[must_use]
    pub fn local() -> Self {
        Self {
            name: "local".into(),
            role: Role::Admin,
            tenants: None,
        }
    }

    /// Whether it may see this tenant at all.
    #[must_use]
    pub fn sees(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|t| t.contains(tenant))
    }

    /// Whether it has at least this role for this tenant.
    #[must_use]
    pub fn may(&self, role: Role, tenant: &TenantId) -> bool {
        self.role >= role && self.sees(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_of_one_tenant_is_a_stranger_to_another() {
        let shop: TenantId = "shop".parse().unwrap();
        let writer = Principal {
            name: "ci".into(),
            role: Role::Writer,
            tenants: Some([shop.clone()].into()),
        };
        assert!(writer.may(Role::Reader, &shop) && writer.may(Role::Writer, &shop));
        assert!(!writer.may(Role::Operator, &shop));
        assert!(!writer.may(Role::Reader, &"bank".parse().unwrap()));
        assert!(Principal::local().may(Role::Admin, &shop));
    }
}
