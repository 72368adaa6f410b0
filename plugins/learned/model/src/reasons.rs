//! What was bought and why, in the words of an operator, behind what waterfill says of the share.

use std::fmt::Write as _;

use crate::state::{Api, Ask};

/// The sentence of one api. `asked` is `[dimension]`, the same step as the asks.
pub(crate) fn reason(of_share: &str, api: &Api, asked: &[f64]) -> String {
    let mut text = of_share.to_owned();
    let median = |ask: &Ask| ask.newest().median;
    let multiples = api.asks.iter().zip(asked);
    let multiples = multiples.filter(|(ask, _)| median(ask) > 0.0);
    let multiples = multiples.map(|(ask, asked)| asked / median(ask));
    let Some(multiple) = multiples.max_by(f64::total_cmp) else {
        return text;
    };
    let _ = write!(text, "; buys {multiple:.2} of its median need: ");
    let [quiet, busy] = api.regimes;
    let seen = quiet.with(&busy);
    let _ = match (
        seen.slack(f64::from(api.headroom)),
        api.shortages.map(u32::from).iter().sum(),
    ) {
        (None, _) => write!(text, "nothing learned of it yet"),
        (Some(slack), shortages) => {
            let shortages = match shortages {
                0 => "no shortage".to_owned(),
                1 => "one shortage".to_owned(),
                n => format!("{n} shortages"),
            };
            let slack = 100.0 * slack;
            write!(
                text,
                "{shortages} in the last day against {slack:.0} % slack"
            )
        }
    };
    if api.retreat > 1.005 {
        let raised = 100.0 * (f64::from(api.retreat) - 1.0);
        let _ = write!(text, "; {raised:.0} % of it for a shortage just now");
    }
    text
}
