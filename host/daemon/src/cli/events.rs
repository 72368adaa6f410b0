//! `tidegate events`: the calendar. What is known to come, read from the calendars that a team keeps
//! anyway, listed, and taken back.
//!
//! Declaring one event is `tidegate apply`; this is for calendars as a whole, and for time.

mod delete;
mod ics;
mod import;
mod list;
mod vevent;

pub(crate) use list::comes_back;

use super::connect::{Flags, online};
use super::errors::Told as _;
use anyhow::Result;
use tidegate_client::{Client, v1};

/// What to do with the calendar.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Declare what an iCalendar file holds; reading it again changes what has changed
    Import(Box<import::Args>),
    /// List events, or when they happen
    List(list::Args),
    /// Delete events by name, or all that came from a calendar
    Delete(delete::Args),
}

/// Does it.
pub(crate) fn run(verb: Verb, flags: &Flags) -> Result<()> {
    match verb {
        Verb::Import(args) => {
            let calendar = import::read(&args)?;
            online(flags, async |session| {
                import::run(&args, calendar, session).await
            })
        }
        Verb::List(args) => online(flags, async |session| list::run(&args, session).await),
        Verb::Delete(args) => {
            args.check()?;
            online(flags, async |session| delete::run(&args, session).await)
        }
    }
}

/// All objects of a kind that the caller may see.
async fn all(client: &Client, kind: v1::ObjectKind) -> Result<Vec<v1::object::Object>> {
    let mut catalog = client.catalog();
    let (mut objects, mut page_token) = (vec![], String::new());
    loop {
        let request = v1::ListObjectsRequest {
            kind: kind.into(),
            page_size: 0,
            page_token,
        };
        let page = catalog.list(request).await.told()?;
        objects.extend(page.objects.into_iter().filter_map(|o| o.object?.object));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(objects);
        }
    }
}

/// All events that the caller may see.
async fn events(client: &Client) -> Result<Vec<v1::Event>> {
    let all = all(client, v1::ObjectKind::Event).await?;
    let events = all.into_iter().filter_map(|o| match o {
        v1::object::Object::Event(event) => Some(event),
        _ => None,
    });
    Ok(events.collect())
}

/// Creates or replaces an event.
fn put(event: v1::Event) -> v1::Change {
    let object = Some(v1::Object {
        object: Some(v1::object::Object::Event(event)),
    });
    v1::Change {
        change: Some(v1::change::Change::Put(v1::Put {
            object,
            expect_generation: None,
        })),
    }
}

/// Deletes an event.
fn gone(name: &str) -> v1::Change {
    let key = Some(v1::ObjectKey {
        kind: v1::ObjectKind::Event.into(),
        name: name.to_owned(),
    });
    v1::Change {
        change: Some(v1::change::Change::Delete(v1::Deletion {
            key,
            expect_generation: None,
        })),
    }
}
