//! Apis whose streams are known and that nobody has declared yet.
//!
//! To declare an api costs a write of all that is declared, whether it is one api or a thousand. So a
//! request that tells of new ones waits for no declaration: its points are in the journal like any
//! others, and so is that their api waits; whoever keeps the books declares all that wait at once,
//! before he stores a sum of them. After a crash they wait again. That one was declared is noted too:
//! what somebody deletes afterwards must not come back with the next start.

use super::Books;
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::ids::{ApiId, TenantId};

/// By tenant: the api, and the account by which the journal names it.
pub(super) type Waiting = BTreeMap<TenantId, BTreeMap<ApiId, u32>>;

impl Books {
    /// From now on the api of a stream waits for its declaration.
    pub fn await_declaration(&mut self, stream: u32) {
        let source = self.sources.get(stream as usize).and_then(Option::as_ref);
        let Some((account, _)) = source.and_then(|s| s.feeds.get(0)) else {
            return;
        };
        if self.wait_for(account) {
            self.log.waits(account);
        }
    }

    /// Whether that is news.
    pub(super) fn wait_for(&mut self, account: u32) -> bool {
        let Some(of) = self.accounts.get(account as usize) else {
            return false;
        };
        let api = of.key.api.clone();
        let waiting = self.waiting.entry(api.tenant.clone()).or_default();
        waiting.insert(api, account).is_none()
    }

    /// An api waits no more: it is declared, or it cannot be.
    pub fn settle_declaration(&mut self, api: &ApiId) {
        if let Some(account) = self.wait_no_more(api) {
            self.log.waits_no_more(account);
        }
    }

    fn wait_no_more(&mut self, api: &ApiId) -> Option<u32> {
        let of = self.waiting.get_mut(&api.tenant)?;
        let account = of.remove(api);
        if of.is_empty() {
            self.waiting.remove(&api.tenant);
        }
        account
    }

    pub(super) fn wait_no_more_by(&mut self, account: u32) {
        if let Some(of) = self.accounts.get(account as usize) {
            let api = of.key.api.clone();
            self.wait_no_more(&api);
        }
    }

    /// Whether an api waits for its declaration.
    #[must_use]
    pub fn waits(&self, api: &ApiId) -> bool {
        let of = self.waiting.get(&api.tenant);
        of.is_some_and(|of| of.contains_key(api))
    }

    /// How many apis of a tenant do.
    #[must_use]
    pub fn waiting_of(&self, tenant: &TenantId) -> u64 {
        self.waiting.get(tenant).map_or(0, |of| of.len() as u64)
    }

    /// All that do.
    #[must_use]
    pub fn waiting(&self) -> BTreeSet<ApiId> {
        let all = self.waiting.values().flat_map(BTreeMap::keys);
        all.cloned().collect()
    }
}
