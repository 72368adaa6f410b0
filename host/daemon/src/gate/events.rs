//! When events happen, spread out for whoever asks: of the caller's tenants alone, and bounded, since
//! a rule of a few bytes can mean more occurrences than an answer holds.

use super::Gate;
use crate::recur;
use tidegate_core::access::Principal;
use tidegate_core::event::Event;
use tidegate_core::ids::Generation;
use tidegate_core::ports::events::{EventsPort, Happening};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::time::Timestamp;

/// Most occurrences of one answer.
const MOST: usize = 10_000;

/// The longest range, in days: a year, and its first days again.
const MOST_DAYS: i64 = 400;

impl EventsPort for Gate {
    fn generation(&self) -> Generation {
        self.world.catalog.load().generation
    }

    /// Expanded here and not read off the catalog's table, whose window is around the present: who
    /// looks at last year's campaign may ask for it.
    fn happenings(
        &self,
        caller: &Principal,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Happening>, ServeError> {
        let wrong = |field, text: String| Err(ServeError::field("", field, text));
        if to <= from {
            return wrong("to_ms", "it is not after from_ms; give a later end".into());
        }
        if to.since_ms(from) > MOST_DAYS * 86_400_000 {
            let text =
                format!("it is more than {MOST_DAYS} days after from_ms; ask for less at once");
            return wrong("to_ms", text);
        }
        let catalog = self.world.catalog.load_full();
        let mut found = vec![];
        for event in catalog.events.values().map(|e| &e.value) {
            if !caller.sees(&event.id.tenant) {
                continue;
            }
            // It was in order when it was declared, and its trouble is in the log.
            let ruled = recur::expand(event, (from, to)).unwrap_or_default();
            let regular = match event.recurrence {
                Some(_) => None,
                None => Some(catalog.occurrences(event, from, to)),
            };
            let spans = regular.into_iter().flatten().chain(ruled);
            let of = |(start, end)| Happening {
                start,
                end,
                event: event.clone(),
            };
            found.extend(spans.map(of).take(MOST + 1));
            if found.len() > MOST {
                let text =
                    format!("more than {MOST} occurrences lie before it; ask for a shorter range");
                return wrong("to_ms", text);
            }
        }
        found.sort_by(|a, b| (a.start, &a.event.id).cmp(&(b.start, &b.event.id)));
        Ok(found)
    }
}

/// What `core` cannot check of an event: its rule.
pub(super) fn known_rule(event: &Event, now: Timestamp) -> Result<(), ServeError> {
    match event.recurrence {
        Some(_) => recur::check(event, now),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{api, gate, of, pool, tenant};
    use tidegate_core::access::Role;
    use tidegate_core::catalog::{Change, Object};
    use tidegate_core::event::Recurrence;
    use tidegate_core::ports::serve::{CatalogPort, Run};

    const DAY_MIN: i64 = 24 * 60;

    fn weekly(name: &str) -> Event {
        Event {
            recurrence: Some(Recurrence {
                rule: "FREQ=WEEKLY".into(),
                time_zone: "Europe/Berlin".into(),
                ..Recurrence::default()
            }),
            ..Event::once(name.parse().unwrap(), "batch", Timestamp(0), 3600)
        }
    }

    fn starts(gate: &Gate, from_day: i64, to_day: i64) -> Vec<i64> {
        let catalog = gate.world.catalog.load();
        let event = &catalog.events[&"shop/weekly".parse().unwrap()].value;
        let at = |day: i64| Timestamp(day * DAY_MIN * 60_000);
        let spans = catalog.occurrences(event, at(from_day), at(to_day));
        spans.map(|(start, _)| start.0 / 3_600_000).collect()
    }

    fn world(dir: &std::path::Path) -> Gate {
        let gate = gate(dir);
        gate.put(vec![tenant("shop"), tenant("bank"), pool("edge")]);
        gate.put(vec![
            api("shop/orders", "edge"),
            Object::Event(weekly("shop/weekly")),
        ]);
        gate
    }

    #[test]
    fn the_rooms_see_what_comes_back_by_a_rule_also_years_later_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(dir.path());
        assert_eq!(starts(&gate, 0, 15), [0, 7 * 24, 14 * 24]);
        assert_eq!(
            starts(&gate, 3000, 3010),
            [0_i64; 0],
            "not yet within the window"
        );
        gate.to(3000 * DAY_MIN);
        let weeks = starts(&gate, 3000, 3008);
        assert_eq!(weeks.len(), 1);
        gate.world.store.close();
        drop(gate);
        let again = crate::testing::gate(dir.path());
        again.to(3000 * DAY_MIN);
        assert_eq!(starts(&again, 3000, 3008), weeks);
    }

    #[test]
    fn a_rule_that_is_none_is_refused_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(dir.path());
        let mut bad = weekly("shop/weekly");
        bad.recurrence.as_mut().unwrap().rule = "FREQ=MINUTELY".into();
        let change = Change::Put {
            object: Box::new(Object::Event(bad)),
            expect: None,
        };
        for run in [Run::Dry, Run::Real] {
            let refused = gate.apply(&Principal::local(), vec![change.clone()], run);
            let ServeError::Invalid { problems } = refused.unwrap_err() else {
                panic!("it is invalid");
            };
            assert_eq!(problems[0].object, "event shop/weekly");
            assert_eq!(problems[0].field, "rrule");
        }
        assert_eq!(starts(&gate, 0, 8).len(), 2);
    }

    #[test]
    fn the_rules_of_one_tenant_together_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(dir.path());
        let mut busy = weekly("shop/busy-0");
        busy.recurrence.as_mut().unwrap().rule = "FREQ=DAILY;BYHOUR=0,2,4,6,8,10,12,14".into();
        let many = (0..60).map(|i| Change::Put {
            object: Box::new(Object::Event(Event {
                id: format!("shop/busy-{i}").parse().unwrap(),
                ..busy.clone()
            })),
            expect: None,
        });
        let refused = gate.apply(&Principal::local(), many.collect(), Run::Real);
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("the events of `shop` come back"), "{text}");
    }

    #[test]
    fn a_caller_hears_of_its_own_events_alone_by_their_start() {
        let dir = tempfile::tempdir().unwrap();
        let gate = world(dir.path());
        let once = Event::once("bank/run".parse().unwrap(), "run", Timestamp(5), 60);
        gate.put(vec![Object::Event(once)]);
        let (from, to) = (Timestamp(1), Timestamp(8 * 86_400_000));
        let heard = |caller: &Principal| -> Vec<(String, i64)> {
            let all = gate.happenings(caller, from, to).unwrap();
            all.into_iter()
                .map(|h| (h.event.id.to_string(), h.start.0))
                .collect()
        };
        let week = 7 * 86_400_000;
        let shop = heard(&of(Role::Reader, &["shop"]));
        assert_eq!(
            shop,
            [
                ("shop/weekly".to_owned(), 0),
                ("shop/weekly".to_owned(), week)
            ]
        );
        assert_eq!(
            heard(&of(Role::Reader, &["bank"])),
            [("bank/run".to_owned(), 5)]
        );
        assert_eq!(heard(&Principal::local()).len(), 3);
        let backwards = gate.happenings(&Principal::local(), to, from);
        assert!(backwards.unwrap_err().to_string().contains("not after"));
        let years = gate.happenings(&Principal::local(), from, Timestamp(i64::MAX));
        assert!(years.unwrap_err().to_string().contains("400 days"));
    }
}
