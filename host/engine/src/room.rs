//! How much address space there is for a pool.
//!
//! A pool reserves some 4 GiB of address space for each instance, without memory behind it. Where
//! that is limited (`ulimit -v`, some containers), to try and see is not enough: a reservation that
//! just succeeds leaves nothing for the heap, and the daemon dies of it an hour later. So the limit
//! and what is used of it are read first, the pool takes at most half of what is left, and only then
//! is it tried. Where nothing is limited, nothing is read.

use crate::options::Options;
use rustix::process::{Resource, getrlimit};

/// Address space of one instance beside its memory's reservation: guards, tables, the instance.
const BESIDE: u64 = 128 << 20;

/// What wasmtime reserves for a linear memory of 32 bits, with the guards before and behind.
const MEMORY: u64 = (4 << 30) + (64 << 20);

/// Most instances for which there is room; `None` where address space is not limited.
pub(crate) fn instances(options: &Options) -> Option<u32> {
    let limit = getrlimit(Resource::As).current?;
    Some(fit(limit, used().unwrap_or(0), options.memory_max as u64))
}

fn fit(limit: u64, used: u64, memory_max: u64) -> u32 {
    let each = MEMORY.max(memory_max).saturating_add(BESIDE);
    let half = limit.saturating_sub(used) / 2;
    u32::try_from(half / each).unwrap_or(u32::MAX)
}

/// Address space that this process uses, in bytes.
fn used() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_pool_takes_at_most_half_of_what_is_left() {
        assert_eq!(fit(8 * GIB, GIB, GIB), 0);
        assert_eq!(fit(100 * GIB, 10 * GIB, GIB), 10);
        assert_eq!(fit(GIB, 2 * GIB, GIB), 0);
        assert!(fit(u64::MAX, 0, 1) > 1_000_000);
    }

    #[test]
    fn what_is_used_can_be_read_here() {
        assert!(used().is_some_and(|bytes| bytes > 1 << 20));
    }
}
