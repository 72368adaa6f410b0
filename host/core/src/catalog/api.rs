//! An api of which nobody has said anything yet: what its fields are before somebody does.
//!
//! For whoever makes apis in code, so that a field that is added is given its meaning in one place. No
//! `Default`, since an api without a name and a pool is none.

use super::{Api, Mode};
use crate::ids::{ApiId, PoolId};
use crate::tier::Tier;
use crate::units::Resources;
use std::collections::BTreeMap;

impl Api {
    /// An api that is enforced and free to move between all tiers, from bronze, with nothing of its own
    /// declared.
    #[must_use]
    pub fn free(id: ApiId, pool: PoolId) -> Self {
        Self {
            id,
            pool,
            labels: BTreeMap::new(),
            category: String::new(),
            mode: Mode::Enforce,
            base_tier: Tier::Bronze,
            lowest_tier: Tier::Bronze,
            highest_tier: Tier::Gold,
            pinned_tier: None,
            weight: 1.0,
            floor: Resources::NONE,
            ceiling: Resources::NONE,
            safe: Resources::NONE,
            expected: None,
            time_zone: "UTC".into(),
            open: BTreeMap::new(),
        }
    }
}
