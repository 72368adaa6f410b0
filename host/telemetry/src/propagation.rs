//! W3C trace context across the wire, without a type of the wire.
//!
//! `api` must not see this crate, nor this crate tonic. So the way between them is a function
//! over a look-up closure: the daemon hands [`adopt_parent`] to whoever serves calls.
//! Source: W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Whether a span became part of its caller's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// It continues the caller's trace.
    Remote,
    /// The caller sent no (valid) trace context, or spans are not exported: the span begins a
    /// trace of its own. A malformed header is no error to the call that carries it.
    Own,
}

/// Makes `span` a child of the remote span that the call's metadata names. `lookup` gives the
/// value of a metadata key. Call it right after the span is made, before it is entered.
pub fn adopt_parent(span: &Span, lookup: &dyn Fn(&str) -> Option<String>) -> Adopted {
    let carrier = Pair {
        parent: lookup(TRACEPARENT),
        state: lookup(TRACESTATE),
    };
    if carrier.parent.is_none() {
        return Adopted::Own;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    if !context.span().span_context().is_valid() {
        return Adopted::Own;
    }
    match span.set_parent(context) {
        Ok(()) => Adopted::Remote,
        Err(_) => Adopted::Own,
    }
}

/// Gives the headers that carry `span`'s trace to a callee, e.g. an actuator. Nothing is given
/// where spans are not exported.
pub fn inject(span: &Span, set: &mut dyn FnMut(&str, String)) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut Setter(set));
}

/// The two headers, looked up once.
struct Pair {
    parent: Option<String>,
    state: Option<String>,
}

impl Extractor for Pair {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => self.parent.as_deref(),
            TRACESTATE => self.state.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

struct Setter<'a>(&'a mut dyn FnMut(&str, String));

impl Injector for Setter<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            (self.0)(key, value);
        }
    }
}
