//! Which of several Prometheus servers that scrape the same is listened to.
//!
//! A pair for high availability sends each series twice, but for a label that names the server ([`REPLICA`]). They
//! are one stream, of which one server *leads* and the others are heard when it has fallen silent. Points of all of
//! them in the order of their times would be wrong: the time of a point is when a scrape began, and two scrapes of
//! one moment may be answered in the other order, or two clocks differ, so that the value seems to fall, as after a
//! restart, and counts as a whole. Who leads changes only after a silence that is longer than either.

use crate::books::Key;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Labels by which servers of a pair differ: that of Cortex and Mimir, and that of the Prometheus operator.
pub(in crate::feed) const REPLICA: [&str; 2] = ["__replica__", "prometheus_replica"];

/// After so long without its leader a stream has another, in milliseconds: more than a scrape may take.
const SILENCE_MS: i64 = 30_000;

/// After so long a stream has a leader where it is not known who led, in milliseconds: more than scrapes of one
/// moment and clocks mostly differ.
const APART_MS: i64 = 5_000;

#[derive(Debug)]
struct Leader {
    replica: u64,
    /// Its newest point.
    time: i64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Leaders(HashMap<Key, Leader, RandomState>);

impl Leaders {
    /// What one of them takes, in bytes.
    pub(super) const EACH: usize = 2 * size_of::<(Key, Leader)>();

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a point of a stream counts, by who sends it; `spoken` is up to when the stream has spoken.
    pub(super) fn admit(&mut self, stream: &Key, replica: u64, time: i64, spoken: i64) -> bool {
        let Some(leader) = self.0.get_mut(stream) else {
            let leads = time > spoken.saturating_add(APART_MS);
            if leads {
                self.0.insert(*stream, Leader { replica, time });
            }
            return leads;
        };
        if leader.replica != replica {
            if time <= leader.time.max(spoken).saturating_add(SILENCE_MS) {
                return false;
            }
            leader.replica = replica;
        }
        leader.time = leader.time.max(time);
        true
    }
}
