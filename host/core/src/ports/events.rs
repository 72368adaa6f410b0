//! What the daemon tells of the calendar beyond the objects of the catalog: that it changed, and when
//! events happen.
//!
//! Declaring an event is a change of the catalog like any other and goes through
//! [`super::serve::CatalogPort`]: a second way in would be a second set of rules.

use super::serve::ServeError;
use crate::access::Principal;
use crate::event::Event;
use crate::ids::Generation;
use crate::time::Timestamp;

/// One occurrence of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// From when.
    pub start: Timestamp,
    /// Until when, exclusive.
    pub end: Timestamp,
    /// The event.
    pub event: Event,
}

/// The calendar.
pub trait EventsPort: Send + Sync {
    /// Rises with every change of the catalog: who has read it at this number has missed nothing.
    fn generation(&self) -> Generation;

    /// The occurrences that overlap `from <= t < to` of the events that the caller may see, by start
    /// and then by name.
    ///
    /// # Errors
    /// When the range is empty, longer than the daemon expands, or holds too many.
    fn happenings(
        &self,
        caller: &Principal,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Happening>, ServeError>;
}
