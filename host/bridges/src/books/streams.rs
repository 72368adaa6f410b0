//! Whose streams there are.
//!
//! The lowest number of a stream that is gone is given to the next one; numbers at the end that nobody has are
//! given back, so that memory falls again after a wave of streams that lived for a day.

use super::{Books, Key};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::ids::TenantId;

impl Books {
    pub(super) fn forget(&mut self, all: &[u32]) {
        all.iter().for_each(|id| self.log.forget(*id));
        self.drop_streams(all);
    }

    /// Drops streams at once, in one pass over each account that they fed: thousands that an api had together fall
    /// silent together, and each looked for by itself would keep everybody waiting for as many passes.
    pub(super) fn drop_streams(&mut self, all: &[u32]) {
        let mut fed = BTreeMap::<u32, BTreeSet<Key>>::new();
        for &id in all {
            self.count_out(id);
            let Some(source) = self.sources[id as usize].take() else {
                continue;
            };
            self.by_key.remove(&source.key);
            self.open -= source.recent.weight();
            for (account, _) in source.feeds.iter() {
                fed.entry(*account).or_default().insert(source.instance);
            }
            let family = &mut self.families[source.family as usize];
            family.streams -= 1;
            // Of this metric, what appears may be this stream again.
            family.tainted = true;
            if family.streams == 0 {
                self.by_family.remove(&family.key);
                self.free_families.push(source.family);
            }
            self.free.insert(id);
            self.epoch += 1;
        }
        for (account, mut gone) in fed {
            let account = &mut self.accounts[account as usize];
            account.sources.retain(|id| {
                let source = self.sources[*id as usize].as_ref();
                source.is_some_and(|s| {
                    gone.remove(&s.instance);
                    true
                })
            });
            gone.iter()
                .for_each(|instance| drop(account.instances.remove(instance)));
        }
    }

    /// Whose a stream is.
    #[must_use]
    pub fn tenant(&self, id: u32) -> Option<&TenantId> {
        let source = self.sources.get(id as usize)?.as_ref()?;
        let (account, _) = source.feeds.get(0)?;
        Some(&self.accounts.get(account as usize)?.key.api.tenant)
    }

    pub(super) fn count_in(&mut self, id: u32) {
        if let Some(tenant) = self.tenant(id).cloned() {
            *self.shares.entry(tenant).or_default() += 1;
        }
    }

    fn count_out(&mut self, id: u32) {
        let Some(tenant) = self.tenant(id).cloned() else {
            return;
        };
        if let Some(n) = self.shares.get_mut(&tenant) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.shares.remove(&tenant);
            }
        }
    }

    /// Whether a tenant may have one more.
    pub(super) fn check_share(&self, tenant: &TenantId) -> Result<(), String> {
        let known = self.shares.get(tenant).copied().unwrap_or(0);
        if known < self.terms.max_streams_per_tenant {
            return Ok(());
        }
        Err(format!(
            "{known} streams of tenant `{tenant}` are known already; send fewer labels, or raise `feeds.max_streams_per_tenant`"
        ))
    }

    /// Gives back what nobody has.
    pub(super) fn shrink(&mut self) {
        while self.sources.last().is_some_and(Option::is_none) {
            self.sources.pop();
            self.free.remove(&(self.sources.len() as u32));
        }
        if self.sources.capacity() > 2 * self.sources.len() {
            self.sources.shrink_to_fit();
        }
    }
}
