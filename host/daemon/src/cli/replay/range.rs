//! Which plans: `POOL`, `POOL:PLAN`, `POOL:FIRST..LAST`.

use std::str::FromStr;
use tidegate_core::ids::PoolId;

/// Plans of one pool, by generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) pool: PoolId,
    pub(super) first: u64,
    pub(super) last: u64,
    named: bool,
}

impl Range {
    /// Every plan of a pool that nobody named.
    pub(super) fn all(pool: PoolId) -> Self {
        Self {
            pool,
            first: 1,
            last: u64::MAX,
            named: false,
        }
    }

    /// Whether somebody asked for this pool by name.
    pub(super) fn named(&self) -> bool {
        self.named
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` names no plans; write POOL, POOL:17, POOL:17..40, or POOL:17..");
        let (pool, plans) = match text.split_once(':') {
            None => (text, None),
            Some((pool, plans)) => (pool, Some(plans)),
        };
        let pool = pool.parse().map_err(|_| wrong())?;
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0);
        let (first, last) = match plans {
            None => Some((1, u64::MAX)),
            Some(plans) => match plans.split_once("..") {
                None => number(plans).map(|n| (n, n)),
                Some((first, "")) => number(first).map(|n| (n, u64::MAX)),
                Some((first, last)) => number(first).zip(number(last)),
            },
        }
        .filter(|(first, last)| first <= last)
        .ok_or_else(wrong)?;
        Ok(Self {
            pool,
            first,
            last,
            named: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_named_by_pool_and_generation() {
        let of = |text: &str| text.parse::<Range>().map(|r| (r.first, r.last));
        assert_eq!(of("edge"), Ok((1, u64::MAX)));
        assert_eq!(of("edge:17"), Ok((17, 17)));
        assert_eq!(of("edge:17..40"), Ok((17, 40)));
        assert_eq!(of("edge:17.."), Ok((17, u64::MAX)));
        for wrong in [
            "",
            "edge:",
            "edge:0",
            "edge:9..3",
            "edge:x",
            "a b:3",
            "edge:..4",
        ] {
            let told = of(wrong).unwrap_err();
            assert!(told.contains("POOL:17..40"), "{wrong}: {told}");
        }
    }
}
