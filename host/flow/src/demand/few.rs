//! A map of a handful of entries, in as much memory as they take.
//!
//! What is learned of an api is by dimension, of which a pool has two or three, and by objective, of
//! which most apis have one. A `BTreeMap` makes room for eleven with the first: three kilobytes for each
//! of a hundred thousand apis. Ascending by key like one, so that what is written of it is the same.

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<K: Ord, V> Few<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(k, _)| k.cmp(key))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|i| &self.0[i].1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().map(|i| &mut self.0[i].1)
    }

    /// What is there, or what `fresh` makes.
    pub(super) fn or_insert_with(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        let place = self.place(&key).unwrap_or_else(|place| {
            self.0.reserve_exact(1);
            self.0.insert(place, (key, fresh()));
            place
        });
        &mut self.0[place].1
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(place) => self.0[place].1 = value,
            Err(_) => {
                self.or_insert_with(key, || value);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.place(key).ok().map(|i| self.0.remove(i).1)
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|(k, v)| keep(k, v));
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.0.iter().map(|(k, v)| (k, v))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, v)| v)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, v)| v)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_the_order_of_their_keys_and_the_last_word_counts() {
        let mut few = Few::default();
        for (key, value) in [(3, 'c'), (1, 'a'), (2, 'x'), (2, 'b')] {
            few.insert(key, value);
        }
        let all: Vec<_> = few.iter().map(|(k, v)| (*k, *v)).collect();
        assert_eq!(all, [(1, 'a'), (2, 'b'), (3, 'c')]);
        assert_eq!(*few.or_insert_with(1, || 'z'), 'a');
        assert_eq!((few.remove(&3), few.remove(&3)), (Some('c'), None));
        few.retain(|k, _| *k > 1);
        assert_eq!(few.values().collect::<Vec<_>>(), [&'b']);
    }
}
