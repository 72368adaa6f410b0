//! Objects of a catalog by kind and name: one place that knows in which map a kind is kept, so that
//! whoever lists, stores or deletes objects need not.

use super::{Catalog, Object, ObjectKey, ObjectKind, Versioned};
use crate::ids::Generation;
use crate::tier::Tier;

impl Catalog {
    /// An object by key, with its generation.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Versioned<Object>> {
        fn wrap<T: Clone>(v: &Versioned<T>, f: impl Fn(T) -> Object) -> Versioned<Object> {
            Versioned {
                generation: v.generation,
                value: f(v.value.clone()),
            }
        }
        let name = &key.name;
        match key.kind {
            ObjectKind::Tenant => self
                .tenants
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Tenant)),
            ObjectKind::Pool => self
                .pools
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Pool)),
            ObjectKind::Tier => self
                .tiers
                .get(&Tier::parse(name)?)
                .map(|v| wrap(v, Object::Tier)),
            ObjectKind::Api => self
                .apis
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Api)),
            ObjectKind::Slo => self
                .slos
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Slo)),
            ObjectKind::Event => self
                .events
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Event)),
            ObjectKind::Binding => self
                .bindings
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Binding)),
            ObjectKind::Template => self
                .templates
                .get(&name.parse().ok()?)
                .map(|v| wrap(v, Object::Template)),
        }
    }

    /// All objects of a kind, ascending by name.
    #[must_use]
    pub fn list(&self, kind: ObjectKind) -> Vec<Versioned<Object>> {
        let names: Vec<String> = match kind {
            ObjectKind::Tenant => self.tenants.keys().map(ToString::to_string).collect(),
            ObjectKind::Pool => self.pools.keys().map(ToString::to_string).collect(),
            ObjectKind::Tier => self.tiers.keys().map(|t| t.name().to_owned()).collect(),
            ObjectKind::Api => self.apis.keys().map(ToString::to_string).collect(),
            ObjectKind::Slo => self.slos.keys().map(ToString::to_string).collect(),
            ObjectKind::Event => self.events.keys().map(ToString::to_string).collect(),
            ObjectKind::Binding => self.bindings.keys().map(ToString::to_string).collect(),
            ObjectKind::Template => self.templates.keys().map(ToString::to_string).collect(),
        };
        names
            .into_iter()
            .filter_map(|name| self.get(&ObjectKey { kind, name }))
            .collect()
    }

    /// Puts an object at a given generation, unchecked: for loading what was checked before.
    pub fn insert(&mut self, object: Object, generation: Generation) {
        match object {
            Object::Tenant(value) => drop(
                self.tenants
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
            Object::Pool(value) => drop(
                self.pools
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
            Object::Tier(value) => drop(
                self.tiers
                    .insert(value.tier, Versioned { generation, value }),
            ),
            Object::Api(value) => drop(
                self.apis
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
            Object::Slo(value) => drop(
                self.slos
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
            Object::Event(value) => drop(
                self.events
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
            Object::Binding(value) => drop(
                self.bindings
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
            Object::Template(value) => drop(
                self.templates
                    .insert(value.id.clone(), Versioned { generation, value }),
            ),
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) {
        self.tenants
            .retain(|k, _| key.kind != ObjectKind::Tenant || k.to_string() != key.name);
        self.pools
            .retain(|k, _| key.kind != ObjectKind::Pool || k.to_string() != key.name);
        self.tiers
            .retain(|k, _| key.kind != ObjectKind::Tier || k.name() != key.name);
        self.apis
            .retain(|k, _| key.kind != ObjectKind::Api || k.to_string() != key.name);
        self.slos
            .retain(|k, _| key.kind != ObjectKind::Slo || k.to_string() != key.name);
        self.events
            .retain(|k, _| key.kind != ObjectKind::Event || k.to_string() != key.name);
        self.bindings
            .retain(|k, _| key.kind != ObjectKind::Binding || k.to_string() != key.name);
        self.templates
            .retain(|k, _| key.kind != ObjectKind::Template || k.to_string() != key.name);
    }
}
