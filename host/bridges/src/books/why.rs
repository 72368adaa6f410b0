//! Why a point is refused: its name in metrics, and what its sender is told.

/// Nobody sends what is so old, but for a time that is told in seconds.
pub(super) const FAR_MS: i64 = 20 * 365 * 86_400_000;

/// Why a point was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Its steps' sums were given out already.
    Late,
    /// It lies ahead of the clock.
    Ahead,
    /// Its time is told in another unit than it should be.
    Unit,
    /// It is no finite number of 0 or more.
    NoAmount,
    /// It is not of its stream's kind.
    OtherKind,
    /// It is one series too many of its histogram.
    TooFine,
    /// It would open one step too many.
    Crowded,
}

impl Why {
    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Why::Late => "late",
            Why::Ahead => "ahead",
            Why::Unit => "unit",
            Why::NoAmount => "value",
            Why::OtherKind => "kind",
            Why::TooFine => "buckets",
            Why::Crowded => "open",
        }
    }

    /// What a sender is told.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Why::Late => {
                "the steps that it counts in were given out already; send sooner, or raise `feeds.hold`"
            }
            Why::Ahead => {
                "it lies more than a minute ahead of the daemon's clock; check the sender's"
            }
            Why::Unit => {
                "its time lies more than 20 years back; remote write tells milliseconds, OTLP nanoseconds"
            }
            Why::NoAmount => "its value is no finite number of 0 or more",
            Why::OtherKind => "it is of another kind than its stream was before",
            Why::TooFine => "its histogram has 512 buckets already; send fewer",
            Why::Crowded => {
                "100000 steps of its series wait to be complete already; send the past more slowly, in the order of time"
            }
        }
    }
}
