//! A trace's way over the gap between data that comes and a cycle that uses it.
//!
//! Ingest ends when the data is durable; the cycle begins by its own clock and takes no input
//! from whoever woke it. What joins them is data, so the trace travels as data: ingest leaves its
//! span's context under a key (the pool), the cycle takes what was left since its last run. The
//! span that brought the newest data becomes its parent, so that one trace reaches from that
//! sample to the plan; the others become links, as OpenTelemetry has it for a consumer of many
//! messages. The rejected alternative, to hand the span along with the data through `flow`,
//! would teach the rooms about tracing.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Links that are kept per key; of more, the oldest are dropped.
const MAX_LINKS: usize = 32;

/// Where ingest leaves traces and cycles take them. One for the daemon; `K` names a cycle's world,
/// that is, its pool.
#[derive(Debug)]
pub struct TraceHandoff<K> {
    waiting: Mutex<BTreeMap<K, Origins>>,
}

impl<K: Ord> Default for TraceHandoff<K> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
        }
    }
}

impl<K: Ord> TraceHandoff<K> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ingest: `span` brought data for `key` up to the instant `newest` (any unit, as long as it
    /// is the same one). Does nothing where spans are not exported.
    pub fn leave(&self, key: K, newest: i64, span: &Span) {
        let context = span.context().span().span_context().clone();
        if !context.is_valid() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(key).or_default().add(newest, context);
    }

    /// The cycle: takes all that was left for `key` since the last time.
    #[must_use]
    pub fn take(&self, key: &K) -> Origins {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(key).unwrap_or_default()
    }
}

/// The spans that brought a cycle its data.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    parent: Option<(i64, SpanContext)>,
    links: VecDeque<SpanContext>,
}

impl Origins {
    /// Makes `span` a child of the span that brought the newest data, and links it to the others.
    /// Call it right after the span is made, before it is entered.
    pub fn adopt(self, span: &Span) {
        if let Some((_, parent)) = self.parent {
            let parent = Context::new().with_remote_span_context(parent);
            // Refused where spans are not exported or this one is filtered out: then there is
            // nothing to join.
            let _ = span.set_parent(parent);
        }
        for link in self.links {
            span.add_link(link);
        }
    }

    /// A call that arrives later wins a tie: it is the nearer cause.
    fn add(&mut self, newest: i64, context: SpanContext) {
        let is_newer = self.parent.as_ref().is_none_or(|(best, _)| newest >= *best);
        let link = if is_newer {
            self.parent.replace((newest, context)).map(|(_, old)| old)
        } else {
            Some(context)
        };
        self.links.extend(link);
        if self.links.len() > MAX_LINKS {
            self.links.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    fn context(id: u64) -> SpanContext {
        let (trace, span) = (TraceId::from(u128::from(id)), SpanId::from(id));
        SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE)
    }

    fn links(origins: &Origins) -> Vec<SpanId> {
        origins.links.iter().map(SpanContext::span_id).collect()
    }

    #[test]
    fn the_newest_data_gives_the_parent_and_the_later_call_wins_a_tie() {
        let mut origins = Origins::default();
        for (newest, id) in [(10, 1), (30, 2), (20, 3), (30, 4)] {
            origins.add(newest, context(id));
        }
        assert_eq!(
            origins.parent.as_ref().map(|(_, c)| c.span_id()),
            Some(SpanId::from(4))
        );
        assert_eq!(links(&origins), [1, 3, 2].map(SpanId::from));
    }

    #[test]
    fn links_are_bounded_and_the_oldest_go_first() {
        let mut origins = Origins::default();
        for id in 1..=100 {
            origins.add(i64::try_from(id).expect("small"), context(id));
        }
        let expected: Vec<_> = (68..=99).map(SpanId::from).collect();
        assert_eq!(links(&origins), expected);
    }
}
