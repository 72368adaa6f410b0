//! Whose things are asked for: what each thing is called that is one's own, the bank's, or nobody's.
//!
//! The names have the same lengths whoever bears them, so that two answers can be compared byte by byte
//! once the names are struck out.

use super::world::World;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) tenant: &'static str,
    pub(super) api: &'static str,
    pub(super) pool: &'static str,
    pub(super) slo: &'static str,
    pub(super) event: &'static str,
    pub(super) binding: &'static str,
    /// A binding that an operator named.
    pub(super) operators: &'static str,
    /// Templates: the tenant's own, and one that an operator named.
    pub(super) template: &'static str,
    pub(super) general: &'static str,
    pub(super) module: &'static str,
    /// As much of a digest as names a module.
    pub(super) digest: String,
}

impl Names {
    /// What is there and the bank's.
    pub(super) fn bank(world: &World) -> Self {
        Self {
            tenant: "zzqbank",
            api: "zzqbank/pay",
            pool: "vault",
            slo: "zzqbank/slo",
            event: "zzqbank/sale",
            binding: "zzqbank/own",
            template: "zzqbank/tpl",
            general: "zzq-generally",
            operators: "zzq-operators",
            module: "zzqmodel-naive",
            digest: world.digest[..12].into(),
        }
    }

    /// What nobody has.
    pub(super) fn nobody() -> Self {
        Self {
            tenant: "zzqvoid",
            api: "zzqvoid/pay",
            pool: "vuult",
            slo: "zzqvoid/slo",
            event: "zzqvoid/sale",
            binding: "zzqvoid/own",
            template: "zzqvoid/tpl",
            general: "zzq-nobody-ha",
            operators: "zzq-nobody-is",
            module: "zzqnobody-has-",
            digest: "0".repeat(12),
        }
    }

    /// What the bank could have and has not.
    pub(super) fn nothing_of_the_bank() -> Self {
        Self {
            tenant: "zzqbank",
            api: "zzqbank/nil",
            pool: "vxxlt",
            slo: "zzqbank/nil",
            event: "zzqbank/none",
            binding: "zzqbank/nil",
            template: "zzqbank/nul",
            ..Self::nobody()
        }
    }

    /// What the asker has.
    pub(super) fn shop() -> Self {
        Self {
            tenant: "shop",
            api: "shop/orders",
            pool: "edge",
            slo: "shop/slo",
            event: "shop/sale",
            binding: "shop/own",
            template: "shop/tpl",
            general: "everybody-all",
            operators: "default-forecaster",
            module: "seasonal-naive",
            digest: "seasonal-naive".into(),
        }
    }

    /// The names, longest first, so that none is struck out of another.
    pub(super) fn asked(&self) -> Vec<&str> {
        let mut all = vec![
            self.tenant,
            self.api,
            self.pool,
            self.slo,
            self.event,
            self.binding,
            self.operators,
            self.template,
            self.general,
            self.module,
            self.digest.as_str(),
        ];
        all.sort_by_key(|name| std::cmp::Reverse(name.len()));
        all
    }
}
