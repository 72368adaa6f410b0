//! Declared things by their ids, and beside that by whom they concern.
//!
//! A pool is the unit of all that is decided, and a hundred pools of which each looks through every api
//! for its own, and through every SLO and event for what binds those, make a square. So things are kept
//! by id, for who names one, and their ids a second time in the order of whom they concern ([`Filed`]),
//! for who asks what there is of a pool, an api or a tenant. The second order follows from the first: it
//! is made when it is asked for, and whoever may change a value lets go of it, so that it is never stale.
//! Rejected: maps of maps, in which an api that moves to another pool is a change in three places.
//!
//! In builds with debug assertions, every value that is handed out is counted ([`Shelf::looks`]): what
//! grows with what is told by counting looks, since a clock on a shared machine proves nothing.

use super::Versioned;
use std::collections::{BTreeMap, btree_map};
use std::fmt::Debug;
use std::ops::Index;
use std::sync::{Arc, OnceLock};

/// A thing that concerns somebody.
pub trait Filed {
    /// Whom.
    type Under: Ord + Clone + Debug;

    /// All whom it concerns, nobody twice.
    fn under(&self) -> Vec<Self::Under>;
}

/// Whom, and which concerns it.
type Order<U, K> = Arc<[(U, K)]>;

/// See the module.
#[derive(Debug)]
pub struct Shelf<K, T: Filed> {
    all: BTreeMap<K, Versioned<T>>,
    /// Ascending by whom, then by id.
    filed: OnceLock<Order<T::Under, K>>,
    looks: Looks,
}

impl<K: Ord + Clone, T: Filed> Shelf<K, T> {
    /// What concerns somebody, ascending by id.
    pub fn of<'a>(&'a self, whom: &T::Under) -> impl Iterator<Item = &'a T> {
        let filed = self.filed();
        let first = filed.partition_point(|(under, _)| under < whom);
        let of = filed[first..]
            .iter()
            .take_while(move |(under, _)| under == whom);
        of.filter_map(|(_, id)| self.get(id)).map(|v| &v.value)
    }

    fn filed(&self) -> &[(T::Under, K)] {
        self.filed.get_or_init(|| {
            let all = self.iter().flat_map(|(id, v)| {
                let under = v.value.under().into_iter();
                under.map(|whom| (whom, id.clone()))
            });
            let mut all: Vec<_> = all.collect();
            all.sort_by(|(a, _), (b, _)| a.cmp(b)); // stable: ids stay ascending
            all.into()
        })
    }

    /// Values that were handed out since this was made or copied; 0 in builds without debug assertions.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.told()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one of that id.
    #[must_use]
    pub fn get(&self, id: &K) -> Option<&Versioned<T>> {
        self.looks.note();
        self.all.get(id)
    }

    /// Whether there is one of that id.
    #[must_use]
    pub fn contains_key(&self, id: &K) -> bool {
        self.looks.note();
        self.all.contains_key(id)
    }

    /// All, ascending by id.
    pub fn iter(&self) -> Iter<'_, K, T> {
        Iter {
            all: self.all.iter(),
            looks: &self.looks,
        }
    }

    /// All ids, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(id, _)| id)
    }

    /// All values, ascending by id.
    pub fn values(&self) -> impl Iterator<Item = &Versioned<T>> {
        self.iter().map(|(_, v)| v)
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Versioned<T>> {
        self.changing().values_mut()
    }

    /// Puts one in place of the one of that id, which is returned.
    pub fn insert(&mut self, id: K, value: Versioned<T>) -> Option<Versioned<T>> {
        self.changing().insert(id, value)
    }

    /// Keeps those alone for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut Versioned<T>) -> bool) {
        self.changing().retain(keep);
    }

    /// Lets go of room: puts in ascending order leave a tree's nodes half empty, and made of all its
    /// entries at once it has full ones.
    pub(super) fn compact(&mut self) {
        self.all = std::mem::take(&mut self.all).into_iter().collect();
    }

    /// The one way to what may be changed.
    fn changing(&mut self) -> &mut BTreeMap<K, Versioned<T>> {
        self.filed.take();
        &mut self.all
    }
}

impl<K, T: Filed> Default for Shelf<K, T> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            filed: OnceLock::new(),
            looks: Looks::default(),
        }
    }
}

impl<K: Clone, T: Filed + Clone> Clone for Shelf<K, T> {
    fn clone(&self) -> Self {
        Self {
            all: self.all.clone(),
            filed: self.filed.clone(),
            looks: Looks::default(),
        }
    }
}

impl<K: PartialEq, T: Filed + PartialEq> PartialEq for Shelf<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl<K: Ord + Clone, T: Filed> Index<&K> for Shelf<K, T> {
    type Output = Versioned<T>;

    fn index(&self, id: &K) -> &Versioned<T> {
        self.looks.note();
        &self.all[id]
    }
}

impl<'a, K: Ord + Clone, T: Filed> IntoIterator for &'a Shelf<K, T> {
    type Item = (&'a K, &'a Versioned<T>);
    type IntoIter = Iter<'a, K, T>;

    fn into_iter(self) -> Iter<'a, K, T> {
        self.iter()
    }
}

/// All of a shelf, ascending by id.
#[derive(Debug, Clone)]
pub struct Iter<'a, K, T> {
    all: btree_map::Iter<'a, K, Versioned<T>>,
    looks: &'a Looks,
}

impl<'a, K, T> Iterator for Iter<'a, K, T> {
    type Item = (&'a K, &'a Versioned<T>);

    fn next(&mut self) -> Option<Self::Item> {
        self.looks.note();
        self.all.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.all.size_hint()
    }
}

#[derive(Debug, Default)]
struct Looks {
    #[cfg(debug_assertions)]
    count: std::sync::atomic::AtomicU64,
}

impl Looks {
    fn note(&self) {
        #[cfg(debug_assertions)]
        self.count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn told(&self) -> u64 {
        #[cfg(debug_assertions)]
        return self.count.load(std::sync::atomic::Ordering::Relaxed);
        #[cfg(not(debug_assertions))]
        0
    }
}

#[cfg(test)]
mod tests {
    use crate::catalog::{Api, Catalog, Versioned};
    use crate::event::Event;
    use crate::ids::{Generation, PoolId};
    use crate::time::Timestamp;

    fn first<T>(value: T) -> Versioned<T> {
        Versioned {
            generation: Generation(1),
            value,
        }
    }

    fn put(catalog: &mut Catalog, api: &str, pool: &str) {
        let api = Api::free(api.parse().unwrap(), pool.parse().unwrap());
        catalog.apis.insert(api.id.clone(), first(api));
    }

    fn of(catalog: &Catalog, pool: &str) -> Vec<String> {
        let pool: PoolId = pool.parse().unwrap();
        let apis = catalog.apis_of(&pool);
        apis.map(|a| a.id.to_string()).collect()
    }

    #[test]
    fn what_is_of_a_pool_follows_every_change() {
        let mut catalog = Catalog::default();
        put(&mut catalog, "shop/b", "edge");
        put(&mut catalog, "shop/a", "edge");
        put(&mut catalog, "bank/c", "yard");
        assert_eq!(of(&catalog, "edge"), ["shop/a", "shop/b"]);
        assert_eq!(of(&catalog, "none"), [""; 0]);
        let before = catalog.clone();
        put(&mut catalog, "shop/a", "yard");
        assert_eq!(of(&catalog, "yard"), ["bank/c", "shop/a"]);
        for api in catalog.apis.values_mut() {
            api.value.pool = "edge".parse().unwrap();
        }
        assert_eq!(of(&catalog, "edge"), ["bank/c", "shop/a", "shop/b"]);
        catalog.apis.retain(|id, _| id.tenant.as_str() == "bank");
        assert_eq!(of(&catalog, "edge"), ["bank/c"]);
        assert_eq!(of(&before, "edge"), ["shop/a", "shop/b"]);
    }

    #[test]
    fn an_event_is_told_to_each_api_once_whether_it_names_it_or_its_tenant() {
        let mut catalog = Catalog::default();
        let apis = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect();
        for (id, names) in [
            ("shop/all", apis(&[])),
            ("shop/one", apis(&["shop/a", "shop/a", "bank/a"])),
            ("bank/all", apis(&[])),
        ] {
            let event = Event {
                apis: names,
                ..Event::once(id.parse().unwrap(), "sale", Timestamp(0), 60)
            };
            catalog.events.insert(event.id.clone(), first(event));
        }
        let told = |api: &str| -> Vec<String> {
            let api = api.parse().unwrap();
            let all = catalog.events.values().map(|e| &e.value);
            let touching: Vec<_> = all.filter(|e| e.touches(&api)).collect();
            assert_eq!(catalog.events_of(&api), touching);
            touching.iter().map(|e| e.id.to_string()).collect()
        };
        assert_eq!(told("shop/a"), ["shop/all", "shop/one"]);
        assert_eq!(told("shop/b"), ["shop/all"]);
        assert_eq!(told("bank/a"), ["bank/all"]);
        assert_eq!(told("park/a"), [""; 0]);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_pool_is_looked_up_without_a_look_at_the_others() {
        let mut catalog = Catalog::default();
        for i in 0..1000 {
            put(
                &mut catalog,
                &format!("shop/a{i}"),
                &format!("p{}", i % 100),
            );
        }
        assert_eq!(of(&catalog, "p7").len(), 10);
        let before = catalog.apis.looks();
        assert_eq!(of(&catalog, "p8").len(), 10);
        assert_eq!(catalog.apis.looks() - before, 10);
    }
}
