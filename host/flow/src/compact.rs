//! Trees in as much memory as they take.
//!
//! Keys that come in their order, as they do from a cycle that goes through its apis, leave every node of a
//! `BTreeMap` half empty behind them: of what a large world keeps, a third was such room. Made of all
//! its entries at once, a tree has full nodes. So it is made again when it has grown by a quarter; what
//! is put in place of what is there does not change its shape.

use std::collections::BTreeMap;

/// The size that a tree had when it was made again; see the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compact {
    at: usize,
}

impl Compact {
    /// To be called after a change: makes the tree again if it has grown.
    pub(crate) fn after<K: Ord, V>(&mut self, tree: &mut BTreeMap<K, V>) {
        if tree.len() > self.at + self.at / 4 {
            *tree = std::mem::take(tree).into_iter().collect();
            self.at = tree.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_grows_is_made_again_seldom_and_holds_what_it_held() {
        let (mut tree, mut compact, mut made) = (BTreeMap::new(), Compact::default(), 0);
        for i in 0..10_000 {
            tree.insert(i, i);
            let before = compact.at;
            compact.after(&mut tree);
            made += u32::from(compact.at != before);
        }
        assert!(tree.into_iter().eq((0..10_000).map(|i| (i, i))));
        assert!(made < 60, "{made}");
    }
}
