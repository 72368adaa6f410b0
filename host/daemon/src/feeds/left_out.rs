//! The log's word on a past that was acknowledged and is not stored: at most once a minute, as a backfill that is
//! sent instance by instance leaves out something every second.

use std::collections::BTreeMap;
use tidegate_bridges::books::LeftOut;
use tidegate_core::ids::ApiId;
use tidegate_core::time::Timestamp;

/// How often it is told at most, in milliseconds.
const EVERY_MS: i64 = 60_000;

/// What is to be told, and when it was last.
#[derive(Debug, Default)]
pub(super) struct Told {
    by_api: BTreeMap<ApiId, LeftOut>,
    last: Option<Timestamp>,
}

impl Told {
    /// Takes in what a turn left out. The step or two of each signal with which every feed begins are for the
    /// metric alone.
    pub(super) fn hear(&mut self, left_out: BTreeMap<ApiId, LeftOut>) {
        for (api, of) in left_out.into_iter().filter(|(_, of)| of.past > 0) {
            self.by_api.entry(api).or_default().add(&of);
        }
    }

    /// The line that is due, if one is; the last one of a daemon waits for nothing.
    pub(super) fn tell(&mut self, now: Timestamp, stopping: bool) -> Option<String> {
        let waits = |last: Timestamp| (0..EVERY_MS).contains(&now.0.saturating_sub(last.0));
        if self.last.is_some_and(waits) && !stopping {
            return None;
        }
        let all = std::mem::take(&mut self.by_api);
        let (api, most) = all.iter().max_by_key(|(_, of)| of.past)?;
        self.last = Some(now);
        let others = match all.len() - 1 {
            0 => String::new(),
            n => {
                let steps = all.values().map(|of| of.past).sum::<u64>() - most.past;
                format!("; {steps} of {n} other apis")
            }
        };
        Some(format!(
            "steps that feeds told of are not stored, since an instance of the same api was first heard after them, and what it did before is not known: {} of {api} until {}{others}; send the past of all instances together, in the order of time",
            most.past, most.until
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api: &str, past: u64, until: i64) -> BTreeMap<ApiId, LeftOut> {
        let left_out = LeftOut {
            steps: past + 2,
            past,
            until: Timestamp::from_secs(until),
        };
        BTreeMap::from([(api.parse().unwrap(), left_out)])
    }

    #[test]
    fn a_past_that_is_left_out_is_told_once_a_minute_and_an_ordinary_beginning_never() {
        let at = Timestamp::from_secs;
        let mut told = Told::default();
        told.hear(of("shop/pay", 0, 0));
        assert_eq!(told.tell(at(1000), false), None);
        told.hear(of("shop/pay", 58, 600));
        let text = told.tell(at(1001), false).unwrap();
        let until = Timestamp::from_secs(600).to_string();
        assert!(
            text.contains(&format!("58 of shop/pay until {until};")),
            "{text}"
        );
        told.hear(of("shop/pay", 1, 660));
        told.hear(of("shop/pay", 2, 720));
        told.hear(of("shop/cart", 1, 60));
        assert_eq!(told.tell(at(1060), false), None);
        let text = told.tell(at(1061), false).unwrap();
        for part in ["3 of shop/pay until", "1 of 1 other apis"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(told.tell(at(2000), false), None);
        told.hear(of("shop/pay", 1, 660));
        told.tell(at(2001), false).unwrap();
        told.hear(of("shop/pay", 7, 660));
        // A daemon that stops has no minute to wait.
        assert!(told.tell(at(2002), true).unwrap().contains("7 of shop/pay"));
    }
}
