//! What is forgotten, and when: streams that fell silent, and accounts that nobody feeds any more.
//!
//! Pods come and go, and some name an api by them. A stream is forgotten after an hour without a point,
//! or after the longest time that anybody is waited for, and with it the names by which it was found. An
//! account is closed once all its streams are forgotten, its last step was given out, and that is as long
//! ago; up to where it was given out is known to the store, which is asked when it is opened again. Both are
//! noted in the journal, so that a replay comes to the same numbers.
//!
//! Silence is counted over restarts, but not while the daemon was down, when nobody could speak: a daemon
//! that is started anew every half hour forgets too.

use super::account::Account;
use super::stream::Source;
use super::{Books, FORGET_MS};

impl Books {
    /// How long somebody is waited for, in milliseconds, before he is forgotten.
    fn patience(&self) -> i64 {
        let terms = self.terms;
        let waits = terms.hold_ms.max(terms.gap_ms).max(super::BASIS_MS);
        FORGET_MS.max(waits + terms.step.ms())
    }

    /// Forgets streams that have not been heard for long, and closes accounts without any.
    pub(super) fn sweep(&mut self, clock: i64, now: i64) {
        let patience = self.patience();
        let silent = |s: &Option<Source>| s.as_ref().is_some_and(|s| now - s.heard > patience);
        let gone: Vec<u32> = (0_u32..)
            .zip(&self.sources)
            .filter(|(_, s)| silent(s))
            .map(|(id, _)| id)
            .collect();
        self.forget(&gone);
        self.shrink();
        let over: Vec<u32> = (0_u32..)
            .zip(&self.accounts)
            .filter(|(id, a)| self.may_close(*id) && a.given < clock.saturating_sub(patience))
            .map(|(id, _)| id)
            .collect();
        for id in over.into_iter().rev() {
            self.log.close(id);
            self.drop_account(id);
        }
    }

    /// Whether nothing would be lost.
    pub(super) fn may_close(&self, id: u32) -> bool {
        let account = self.accounts.get(id as usize);
        account.is_some_and(|a| !a.closed && a.sources.is_empty() && a.open.len() == 0)
    }

    /// Closes an account that may be closed.
    pub(super) fn drop_account(&mut self, id: u32) {
        let account = &mut self.accounts[id as usize];
        self.by_series.remove(&account.key);
        *account = Account::new(account.key.clone(), account.how, i64::MIN);
        account.closed = true;
        self.free_accounts.insert(id);
        while self.accounts.last().is_some_and(|a| a.closed) {
            self.accounts.pop();
            self.free_accounts.remove(&(self.accounts.len() as u32));
        }
        if self.accounts.capacity() > 2 * self.accounts.len() {
            self.accounts.shrink_to_fit();
        }
    }

    /// After a time in which the daemon was down: who was heard last was heard just now, and what waits to be
    /// complete has not waited meanwhile, or the steps that the end cut through would be given out half heard.
    ///
    /// It is noted, since the next start knows only the end before it.
    pub(super) fn wake(&mut self, now: i64) {
        let last = self.sources.iter().flatten().map(|s| s.heard).max();
        let down = last.map_or(0, |last| now.saturating_sub(last));
        if down != 0 {
            self.log.woke(down, now);
            self.put_off(down, now);
        }
    }

    /// Counts silence and waiting from so much later, but from no later than `now`.
    pub(super) fn put_off(&mut self, down: i64, now: i64) {
        let later = |at: &mut i64| *at = at.saturating_add(down).min(now);
        let heard = self.sources.iter_mut().flatten().map(|s| &mut s.heard);
        heard.for_each(later);
        let open = self.accounts.iter_mut().flat_map(|a| a.open.each_mut());
        open.for_each(|open| later(&mut open.arrived));
    }

    /// Signals of apis that are kept account of.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.by_series.len()
    }
}
