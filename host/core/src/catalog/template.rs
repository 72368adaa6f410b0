//! Templates: what a group of apis is and promises, where they do not say it themselves.
//!
//! A template selects apis as a binding does (tenant, pool, category, labels); what it selects is its
//! *group*. Each of its values fills a field that an api leaves open, and each of its SLOs is put on
//! every api of the group under `API/NAME`. Precedence, field by field and SLO by SLO: what an api says
//! itself, and an SLO that is declared under such a name, wins over all templates; then the template
//! with the most conditions; of several with as many, the first by name, as with bindings.
//!
//! [`Catalog::fill`] writes the result into the apis and the SLOs of the catalog, and each remembers
//! the template that it has it from. No room knows that there are templates; the rejected
//! alternative, to resolve where a value is used, would give as many answers as places.

use super::{Api, Catalog, FieldProblem, Mode, Object, ObjectKey, ObjectKind, Versioned};
use crate::ids::{Name, ScopedId, TemplateId};
use crate::module::Selector;
use crate::slo::{FromTemplate, Indicator, Judged, Slo};
use crate::tier::{Pin, Tier};
use crate::units::Resources;

/// A field of an api that may be left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// What Tidegate may do.
    Mode,
    /// Tier in quiet times.
    BaseTier,
    /// Never below.
    LowestTier,
    /// Never above.
    HighestTier,
    /// Stays here.
    PinnedTier,
    /// Share within its tier.
    Weight,
    /// Replaces the tier's floor.
    Floor,
    /// Never more.
    Ceiling,
    /// Without a valid plan.
    Safe,
    /// Of its calendar.
    TimeZone,
}

impl Field {
    /// All, in the order in which they are filled: `safe` after the floor that it falls back to.
    pub const ALL: [Field; 10] = [
        Field::Mode,
        Field::BaseTier,
        Field::LowestTier,
        Field::HighestTier,
        Field::PinnedTier,
        Field::Weight,
        Field::Floor,
        Field::Ceiling,
        Field::Safe,
        Field::TimeZone,
    ];

    /// The name in APIs and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Mode => "mode",
            Field::BaseTier => "base_tier",
            Field::LowestTier => "lowest_tier",
            Field::HighestTier => "highest_tier",
            Field::PinnedTier => "pinned_tier",
            Field::Weight => "weight",
            Field::Floor => "floor",
            Field::Ceiling => "ceiling",
            Field::Safe => "safe",
            Field::TimeZone => "time_zone",
        }
    }

    /// The field of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }
}

/// An SLO of the apis of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSlo {
    /// Its name; on the api `shop/pay` it is `shop/pay/NAME`.
    pub name: Name,
    /// What is bad.
    pub indicator: Indicator,
    /// Part of good events that is promised, above 0 and below 1.
    pub objective: f64,
    /// Rolling window, in seconds.
    pub window_s: u32,
    /// Over which events.
    pub judged: Judged,
}

/// A selector, and what fills the apis that it selects. `None` fills nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Its name.
    pub id: TemplateId,
    /// Its group.
    pub selector: Selector,
    /// What Tidegate may do.
    pub mode: Option<Mode>,
    /// Tier in quiet times.
    pub base_tier: Option<Tier>,
    /// Never below.
    pub lowest_tier: Option<Tier>,
    /// Never above.
    pub highest_tier: Option<Tier>,
    /// Stays here whatever the tierer says, or is not pinned whatever a template with fewer conditions says.
    pub pinned_tier: Option<Pin>,
    /// Share within its tier, times the tier's weight; > 0.
    pub weight: Option<f64>,
    /// Replaces the tier's floor, per dimension.
    pub floor: Option<Resources>,
    /// Never more than this, per dimension.
    pub ceiling: Option<Resources>,
    /// What applies when no valid plan is there.
    pub safe: Option<Resources>,
    /// IANA time zone of calendar covariates.
    pub time_zone: Option<String>,
    /// On each api of the group.
    pub slos: Vec<GroupSlo>,
}

impl Template {
    /// Whether it fills a field.
    #[must_use]
    pub fn says(&self, field: Field) -> bool {
        match field {
            Field::Mode => self.mode.is_some(),
            Field::BaseTier => self.base_tier.is_some(),
            Field::LowestTier => self.lowest_tier.is_some(),
            Field::HighestTier => self.highest_tier.is_some(),
            Field::PinnedTier => self.pinned_tier.is_some(),
            Field::Weight => self.weight.is_some(),
            Field::Floor => self.floor.is_some(),
            Field::Ceiling => self.ceiling.is_some(),
            Field::Safe => self.safe.is_some(),
            Field::TimeZone => self.time_zone.is_some(),
        }
    }
}

impl Api {
    /// Gives a field the template's value, or its default.
    fn fill(&mut self, field: Field, from: Option<&Template>) {
        match field {
            Field::Mode => self.mode = from.and_then(|t| t.mode).unwrap_or_default(),
            Field::BaseTier => {
                self.base_tier = from.and_then(|t| t.base_tier).unwrap_or(Tier::Bronze);
            }
            Field::LowestTier => {
                self.lowest_tier = from.and_then(|t| t.lowest_tier).unwrap_or(Tier::Bronze);
            }
            Field::HighestTier => {
                self.highest_tier = from.and_then(|t| t.highest_tier).unwrap_or(Tier::Gold);
            }
            Field::PinnedTier => self.pinned_tier = from.and_then(|t| t.pinned_tier?.tier()),
            Field::Weight => self.weight = from.and_then(|t| t.weight).unwrap_or(1.0),
            Field::Floor => self.floor = from.and_then(|t| t.floor).unwrap_or_default(),
            Field::Ceiling => self.ceiling = from.and_then(|t| t.ceiling).unwrap_or_default(),
            Field::Safe => self.safe = from.and_then(|t| t.safe).unwrap_or(self.floor),
            Field::TimeZone => {
                let zone = from.and_then(|t| t.time_zone.clone());
                self.time_zone = zone.unwrap_or_else(|| "UTC".into());
            }
        }
        self.open.insert(field, from.map(|t| t.id.clone()));
    }

    /// Whether a field has the value that it has in another api.
    fn agrees(&self, field: Field, other: &Api) -> bool {
        match field {
            Field::Mode => self.mode == other.mode,
            Field::BaseTier => self.base_tier == other.base_tier,
            Field::LowestTier => self.lowest_tier == other.lowest_tier,
            Field::HighestTier => self.highest_tier == other.highest_tier,
            Field::PinnedTier => self.pinned_tier == other.pinned_tier,
            Field::Weight => self.weight.to_bits() == other.weight.to_bits(),
            Field::Floor => self.floor == other.floor,
            Field::Ceiling => self.ceiling == other.ceiling,
            Field::Safe => self.safe == other.safe,
            Field::TimeZone => self.time_zone == other.time_zone,
        }
    }

    /// The api as it was declared: what it leaves open has its default.
    #[must_use]
    pub fn declared(&self) -> Api {
        let mut plain = self.clone();
        for field in Field::ALL {
            if self.open.contains_key(&field) {
                plain.fill(field, None);
            }
        }
        plain
    }

    /// The fields that have their default value: what is open of an api of which only the values are
    /// known.
    #[must_use]
    pub fn defaulted(&self) -> Vec<Field> {
        let mut plain = self.clone();
        let keeps = |field: &Field| {
            plain.fill(*field, None);
            let keeps = plain.agrees(*field, self);
            if !keeps {
                plain.clone_from(self);
            }
            keeps
        };
        Field::ALL.into_iter().filter(keeps).collect()
    }

    /// Closes each field that is called open and has been given a value: not its default, and not the
    /// one that fills it in what stands. So what was told of an api can be changed and put back.
    pub(super) fn settle(&mut self, stands: Option<&Api>) {
        let plain = self.declared();
        let given = |field: &Field| {
            let told = stands.filter(|s| s.open.contains_key(field));
            !self.agrees(*field, &plain) && !told.is_some_and(|s| self.agrees(*field, s))
        };
        let given: Vec<Field> = self.open.keys().copied().filter(given).collect();
        self.open.retain(|field, _| !given.contains(field));
        *self = self.declared();
    }
}

/// Of templates in ascending order, the first of those with the most conditions.
fn winner<'a>(all: impl Iterator<Item = &'a Template>) -> Option<&'a Template> {
    all.reduce(|best, next| {
        if next.selector.specificity() > best.selector.specificity() {
            next
        } else {
            best
        }
    })
}

impl Catalog {
    /// Takes out what templates filled in.
    pub(super) fn unfill(&mut self) {
        self.slos.retain(|_, slo| slo.value.template.is_none());
        for api in self.apis.values_mut() {
            if !api.value.open.is_empty() {
                api.value = api.value.declared();
            }
        }
    }

    /// An object as it is declared, given as it may have been told: see [`Api::settle`]. An SLO that is
    /// put was declared, whatever put one there before.
    pub(super) fn settled(&self, object: &Object) -> Object {
        let mut object = object.clone();
        match &mut object {
            Object::Api(api) => api.settle(self.apis.get(&api.id).map(|a| &a.value)),
            Object::Slo(slo) => slo.template = None,
            _ => {}
        }
        object
    }

    /// Fills apis and SLOs from the templates.
    pub fn fill(&mut self) {
        self.unfill();
        self.fill_open(&mut Vec::new());
    }

    /// Fills what is not filled, and adds a problem for each SLO whose name another api's has.
    pub(super) fn fill_open(&mut self, problems: &mut Vec<FieldProblem>) {
        let mut slos = Vec::new();
        for api in self.apis.values_mut().map(|a| &mut a.value) {
            let templates = self.templates.values().map(|t| &t.value);
            let group: Vec<&Template> = templates.filter(|t| t.selector.selects(api)).collect();
            if group.is_empty() {
                continue;
            }
            for field in Field::ALL {
                if api.open.contains_key(&field) {
                    let saying = group.iter().copied().filter(|t| t.says(field));
                    api.fill(field, winner(saying));
                }
            }
            let named = |t: &&Template, name: &Name| t.slos.iter().any(|s| s.name == *name);
            let mut names: Vec<&Name> = group
                .iter()
                .flat_map(|t| t.slos.iter().map(|s| &s.name))
                .collect();
            names.sort();
            names.dedup();
            for name in names {
                let Some(won) = winner(group.iter().copied().filter(|t| named(t, name))) else {
                    continue;
                };
                let found = won.slos.iter().find(|s| s.name == *name);
                slos.extend(found.map(|slo| (api.id.clone(), won.id.clone(), slo.clone())));
            }
        }
        for (api, template, slo) in slos {
            // Too long a name is a problem of the template, told by its check.
            let Ok(name) = Name::new(&format!("{}/{}", api.name, slo.name)) else {
                continue;
            };
            let id = ScopedId::new(api.tenant.clone(), name);
            match self.slos.get(&id) {
                None => {}
                Some(stands) if stands.value.api == api => continue,
                Some(stands) => {
                    problems.push(FieldProblem {
                        object: format!("template {template}"),
                        field: "slos".into(),
                        problem: format!(
                            "`{id}` would be an SLO of api {api}, and is one of api {} already; give one of them another name",
                            stands.value.api
                        ),
                    });
                    continue;
                }
            }
            let from = self.templates.get(&template);
            let generation = from.map(|t| t.generation).unwrap_or_default();
            let value = Slo {
                id: id.clone(),
                api,
                indicator: slo.indicator,
                objective: slo.objective,
                window_s: slo.window_s,
                template: Some(FromTemplate {
                    id: template,
                    name: slo.name,
                    judged: slo.judged,
                }),
            };
            self.slos.insert(id, Versioned { generation, value });
        }
    }

    /// What is told of an object that cannot be deleted because it was not declared.
    pub(super) fn why_absent(&self, key: &ObjectKey) -> String {
        let slo = key.name.parse::<ScopedId>().ok();
        let slo = slo.filter(|_| key.kind == ObjectKind::Slo);
        let from = slo
            .and_then(|id| self.slos.get(&id))
            .and_then(|s| s.value.template.as_ref());
        from.map_or_else(
            || "there is no such object".into(),
            |from| {
                format!(
                    "the template `{}` puts it on the api; change the template, or declare an SLO of this name",
                    from.id
                )
            },
        )
    }
}
