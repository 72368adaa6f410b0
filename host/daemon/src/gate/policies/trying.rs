//! A binding is tried before it serves: its module is asked under its config, on the series that it selects,
//! and so is whoever stands beside it, its challengers and what is in shadow of it.
//!
//! The module was admitted under the smallest config of its schema, which says nothing of this one: a schema
//! cannot tell that two numbers do not go together, nor that a season is longer than the history. What fails
//! here would fail in the next cycle, and be answered by the version before; so it is refused, and the person
//! who wrote it is told at once. The module runs as it will serve, in this process and under its own limits.
//! A shadow that fails harms nobody, but would be a trial of nothing for days, and be quarantined for what was
//! a slip of its config.

use crate::gate::Gate;
use crate::policies::{Whose, sample};
use tidegate_core::access::Principal;
use tidegate_core::catalog::{Change, Object};
use tidegate_core::module::{Binding, ModuleKind};
use tidegate_core::policy::CallError;
use tidegate_core::ports::serve::ServeError;
use tidegate_engine::{AdmissionError, check_config, try_config};

impl Gate {
    /// Refuses a binding under whose config its module fails. What serves already is not asked again.
    pub(super) fn try_binding(&self, binding: &Binding) -> Result<(), ServeError> {
        let policies = &self.world.policies;
        let loaded = policies.find(&binding.module, Whose::of(binding))?;
        let serves = policies.serving(&binding.id);
        if serves.is_some_and(|(m, c)| m.digest == loaded.digest() && c == binding.config) {
            return Ok(());
        }
        let one = One {
            module: &binding.module,
            config: &binding.config,
            field: String::new(),
        };
        self.try_one(binding, &one)
    }

    /// The same for those beside it. What stands there already is not asked again, and who may not stand
    /// there hears so from who checks that.
    pub(super) fn try_beside(&self, binding: &Binding) -> Result<(), ServeError> {
        let policies = &self.world.policies;
        let catalog = self.world.catalog.load();
        let stands = catalog.bindings.get(&binding.id).map(|b| &b.value);
        let beside = |binding: &Binding| -> Vec<(String, String)> {
            let shadow = binding.shadow.iter();
            let shadow = shadow.map(|s| (s.module.clone(), s.config.clone()));
            let challengers = binding.challengers.iter();
            let challengers = challengers.map(|c| (c.module.clone(), c.config.clone()));
            shadow.chain(challengers).collect()
        };
        let known = stands.map(beside).unwrap_or_default();
        let shadow = binding.shadow.iter().map(|shadow| One {
            module: &shadow.module,
            config: &shadow.config,
            field: "shadow.".into(),
        });
        let challengers = binding.challengers.iter().enumerate();
        let challengers = challengers.map(|(i, challenger)| One {
            module: &challenger.module,
            config: &challenger.config,
            field: format!("challengers[{i}]."),
        });
        for one in shadow.chain(challengers) {
            let is_known = known
                .iter()
                .any(|(m, c)| m == one.module && c == one.config);
            let found = policies.find(one.module, Whose::of(binding)).ok();
            let may = found.is_some_and(|loaded| {
                let manifest = loaded.manifest();
                manifest.kind == binding.kind
                    && check_config(&manifest.config_schema, one.config).is_ok()
                    && policies.admits(&binding.id, loaded.digest())
            });
            if may && !is_known {
                self.try_one(binding, &one)?;
            }
        }
        Ok(())
    }

    fn try_one(&self, binding: &Binding, one: &One<'_>) -> Result<(), ServeError> {
        let policies = &self.world.policies;
        let loaded = policies.find(one.module, Whose::of(binding))?;
        let stored = match binding.kind {
            ModuleKind::Forecaster => sample(&self.world, |api| binding.selector.selects(api)),
            _ => vec![],
        };
        let tried = try_config(&loaded, one.config, &stored);
        tried.map_err(|error| refused(binding, one, &error))
    }

    /// The same for every binding that a change set brings; what else is wrong with it is told by who
    /// applies it.
    pub(in crate::gate) fn try_bindings(
        &self,
        caller: &Principal,
        changes: &[Change],
    ) -> Result<(), ServeError> {
        let catalog = self.world.catalog.load_full();
        let policies = &self.world.policies;
        for change in changes {
            let Change::Put { object, .. } = change else {
                continue;
            };
            let Object::Binding(binding) = &**object else {
                continue;
            };
            // Nobody else's code runs for who may not change it.
            self.may_change(caller, &catalog, change)?;
            let Ok(pinned) = policies.pinned(binding) else {
                continue;
            };
            self.try_beside(&pinned)?;
            if policies
                .candidate(&pinned)
                .is_ok_and(|c| policies.admits(&pinned.id, c.module.digest))
            {
                self.try_binding(&pinned)?;
            }
        }
        Ok(())
    }
}

/// A module of a binding with its config.
struct One<'a> {
    module: &'a str,
    config: &'a str,
    /// Where it stands in the binding.
    field: String,
}

fn refused(binding: &Binding, one: &One<'_>, error: &AdmissionError) -> ServeError {
    let object = format!("binding {}", binding.id);
    let One { module, field, .. } = one;
    match error {
        // The daemon ended it: nothing is said about the config.
        AdmissionError::Canary {
            error: CallError::Unavailable(why),
            ..
        } => ServeError::Unavailable(format!("`{module}` could not be tried: {why}; ask again")),
        AdmissionError::Canary { call, case, error } => ServeError::field(
            object,
            format!("{field}config"),
            format!(
                "`{module}` does not work with it: its `{call}` on {case} failed ({error}); write another \
                 config, or push a version that takes this one. What served goes on serving"
            ),
        ),
        other => ServeError::field(object, format!("{field}module"), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped;
    use crate::testing::{api, gate, pool, tenant};
    use std::sync::mpsc;
    use tidegate_core::module::Selector;
    use tidegate_core::ports::serve::{CatalogPort, IngestPort, PoliciesPort, Run};
    use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    fn feed(gate: &Gate, api: &str, level: f64) {
        let times = (0..120).map(|i| Timestamp(i * 60_000)).collect();
        let series = vec![SeriesSamples {
            key: SeriesKey {
                api: api.parse().unwrap(),
                signal: Signal::Cpu,
            },
            step: Step::MINUTE,
            times,
            values: Values::Numbers(vec![level; 120]),
        }];
        let (done, heard) = mpsc::sync_channel(1);
        let acked = Box::new(move |outcome| done.send(outcome).unwrap());
        gate.ingest(&Principal::local(), SampleBatch { series }, acked);
        assert_eq!(heard.recv().unwrap().unwrap().1, []);
    }

    #[test]
    fn a_config_that_its_module_refuses_is_refused_before_the_swap() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        shipped::install(&gate.world, Timestamp(0)).unwrap();
        gate.world.follow_bindings(None);
        let (admin, judge) = (Principal::local(), "default-judge".parse().unwrap());
        let slot = gate.bind(&admin, &judge, "sequential-judge", Some("{}".into()));
        let epoch = slot.unwrap().epoch;
        // Each is lawful by the schema; together they are not.
        let config = r#"{"loss_harmless": 0.5, "loss_margin": 0.1}"#;
        let refused = gate.bind(&admin, &judge, "sequential-judge", Some(config.into()));
        let refused = refused.unwrap_err().to_string();
        for part in ["config", "loss_harmless 0.5 is above", "another config"] {
            assert!(refused.contains(part), "`{part}` is not in: {refused}");
        }
        let stands = gate.world.catalog.load().bindings[&judge].value.clone();
        let changed = Binding {
            config: config.into(),
            ..stands.clone()
        };
        for run in [Run::Dry, Run::Real] {
            let change = Change::Put {
                object: Box::new(Object::Binding(changed.clone())),
                expect: None,
            };
            let refused = gate.apply(&admin, vec![change], run).unwrap_err();
            assert!(refused.to_string().contains("loss_harmless"), "{refused}");
        }
        let now = gate.world.catalog.load().bindings[&judge].value.clone();
        assert_eq!(now, stands);
        let (module, served) = gate.world.policies.serving(&judge).unwrap();
        assert_eq!(
            (module.name.as_str(), served.as_str()),
            ("sequential-judge", "{}")
        );
        assert_eq!(gate.slot(&judge).unwrap().epoch, epoch);
        let fine = r#"{"loss_harmless": 0.05, "loss_margin": 0.1}"#;
        gate.bind(&admin, &judge, "sequential-judge", Some(fine.into()))
            .unwrap();
    }

    #[test]
    fn who_stands_beside_is_tried_under_its_config_and_what_stands_there_is_not_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        shipped::install(&gate.world, Timestamp(0)).unwrap();
        gate.world.follow_bindings(None);
        let admin = Principal::local();
        // Members that nobody trusts: each figure is lawful by the schema.
        let none = r#"{"near":0,"far":0}"#;
        let names = ["theta", "arima", "prophet", "seasonal-naive", "ets"];
        let trust: Vec<String> = names.map(|n| format!(r#""{n}":{none}"#)).to_vec();
        let nobody = format!("{{{}}}", trust.join(","));
        let id = "default-forecaster".parse().unwrap();
        let stands = gate.world.catalog.load().bindings[&id].value.clone();
        let put = |config: &str| {
            let config = Some(config.to_owned());
            gate.put_in_shadow(&admin, &id, "ensemble", config)
        };
        let refused = put(&nobody).unwrap_err().to_string();
        for part in ["shadow.config", "ensemble", "another config"] {
            assert!(refused.contains(part), "`{part}` is not in: {refused}");
        }
        assert_eq!(gate.world.catalog.load().bindings[&id].value, stands);
        put(r#"{"sharpness":1}"#).unwrap();
        let beside = |config: &str| Binding {
            module: "ets".into(),
            config: "{}".into(),
            challengers: [("theta", "{}"), ("ensemble", config)]
                .map(|(module, config)| tidegate_core::module::Challenger {
                    module: module.into(),
                    config: config.into(),
                })
                .to_vec(),
            ..stands.clone()
        };
        let apply = |binding: Binding| {
            let change = Change::Put {
                object: Box::new(Object::Binding(binding)),
                expect: None,
            };
            gate.apply(&admin, vec![change], Run::Dry)
        };
        let refused = apply(beside(&nobody)).unwrap_err().to_string();
        for part in ["challengers[1].config", "ensemble", "another config"] {
            assert!(refused.contains(part), "`{part}` is not in: {refused}");
        }
        apply(beside(r#"{"sharpness":1}"#)).unwrap();
    }

    #[test]
    fn it_is_tried_on_series_of_its_own_and_of_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), tenant("bank"), pool("edge")]);
        let names = ["shop/a", "shop/b", "shop/c", "shop/d", "shop/e", "bank/a"];
        gate.put(names.map(|name| api(name, "edge")).to_vec());
        gate.world.clock.set(Timestamp(100 * 60_000));
        for (level, name) in (1_i32..).zip(names) {
            feed(&gate, name, f64::from(level));
        }
        let selector = Selector {
            tenant: Some("shop".parse().unwrap()),
            ..Selector::default()
        };
        let taken = sample(&gate.world, |api| selector.selects(api));
        let names: Vec<&str> = taken.iter().map(|s| s.api.as_str()).collect();
        assert_eq!(names, ["shop/a", "shop/c", "shop/e"]);
        assert!(
            taken
                .iter()
                .all(|s| s.values.len() <= 100 && s.signal == "cpu")
        );
        let levels: Vec<Option<f64>> = taken.iter().map(|s| s.values[0]).collect();
        assert_eq!(levels, [Some(1.0), Some(3.0), Some(5.0)]);
        assert_eq!(sample(&gate.world, |_| false), []);
    }
}
