//! `tidegate plan`: who may use how much of a pool, and what comes next.

use super::connect::{Output, Session};
use super::errors::Told as _;
use super::{json, words};
use crate::config::Seconds;
use crate::render::plot::sparkline;
use crate::render::table::Table;
use anyhow::Result;
use tidegate_client::v1;

/// Which plan.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool
    pool: String,
    /// Which plan; the newest unless told
    #[arg(long, value_name = "N", conflicts_with = "watch")]
    generation: Option<u64>,
    /// Go on with every plan that is published
    #[arg(short, long)]
    watch: bool,
}

/// Shows one plan, or all to come.
pub(crate) async fn run(args: Args, session: Session) -> Result<()> {
    let mut plans = session.client.plans();
    if !args.watch {
        let request = v1::GetPlanRequest {
            pool: args.pool,
            generation: args.generation,
        };
        let plan = plans
            .get_plan(request)
            .await
            .told()?
            .plan
            .unwrap_or_default();
        let now = session
            .client
            .clock()
            .now(v1::NowRequest {})
            .await
            .told()?
            .now_ms;
        return session.print(|| json::plan(&plan), || person(&plan, now));
    }
    let request = v1::WatchPlansRequest {
        pool: args.pool,
        after_generation: None,
    };
    let mut stream = plans.watch_plans(request).await.told()?;
    while let Some(message) = stream
        .message()
        .await
        .map_err(|s| super::errors::explain(&s))?
    {
        let plan = message.plan.unwrap_or_default();
        match session.output {
            // One line per plan, so that a program can follow.
            Output::Json => super::say(&json::plan(&plan).to_string())?,
            Output::Human => {
                if message.skipped > 0 {
                    super::say(&format!("({} plans were left out)", message.skipped))?;
                }
                super::say(&format!("{}\n", person(&plan, plan.made_at_ms)))?;
            }
        }
    }
    Ok(())
}

fn person(plan: &v1::Plan, now: i64) -> String {
    let step_ms = (i64::from(plan.step_s) * 1000).max(1);
    let last = i64::from(plan.step_count.max(1)) - 1;
    let current = ((now - plan.start_ms) / step_ms).clamp(0, last) as usize;
    let width = plan.dimensions.len();
    let column = |m: &[f64], d: usize| {
        m.iter()
            .skip(d)
            .step_by(width.max(1))
            .copied()
            .collect::<Vec<f64>>()
    };
    let mut text = format!(
        "pool {}, generation {}, made {} by {}\nvalid until {}{}; {} steps of {}\n\n",
        plan.pool,
        plan.generation,
        words::instant(plan.made_at_ms),
        words::served(plan.served.as_ref()),
        words::instant(plan.expires_at_ms),
        if now >= plan.expires_at_ms {
            " (EXPIRED: safe capacity applies)"
        } else {
            ""
        },
        plan.step_count,
        Seconds(plan.step_s),
    );
    let mut table = Table::new(&[
        "api",
        "tier",
        "dimension",
        "guaranteed",
        "limit now",
        "demand",
        "next steps",
        "at the end",
    ]);
    for api in &plan.apis {
        for (d, dimension) in plan.dimensions().enumerate() {
            let limit = column(&api.limit, d);
            let at = |m: &[f64], i: usize| {
                column(m, d)
                    .get(i)
                    .map_or_else(|| "-".into(), |v| words::amount(dimension, *v))
            };
            table.row(vec![
                match api.mode() {
                    v1::Mode::Unspecified | v1::Mode::Enforce => api.api.clone(),
                    passive => format!("{} ({})", api.api, words::mode(passive)),
                },
                words::tier(api.tier()),
                words::dimension(dimension),
                at(&api.guaranteed, current),
                at(&api.limit, current),
                at(&api.demand, current),
                sparkline(&limit[current.min(limit.len())..]),
                at(&api.limit, last as usize),
            ]);
        }
    }
    text += &table.to_string();
    text.push('\n');
    for (d, dimension) in plan.dimensions().enumerate() {
        let at = |m: &[f64], i: usize| column(m, d).get(i).copied().unwrap_or(0.0);
        let given: f64 = plan.apis.iter().map(|a| at(&a.limit, current)).sum();
        text += &format!(
            "{}: {} of {} given, {} wanted at the end\n",
            words::dimension(dimension),
            words::amount(dimension, given),
            words::amount(dimension, at(&plan.capacity, current)),
            words::amount(dimension, at(&plan.wanted, last as usize)),
        );
    }
    for loan in &plan.loans {
        text += &format!(
            "{} lends {} {} to {} until {}\n",
            loan.lender,
            words::amount(loan.dimension(), loan.amount),
            words::dimension(loan.dimension()),
            loan.borrower,
            words::instant(loan.until_ms),
        );
    }
    for api in plan.apis.iter().filter(|a| a.emergency.is_some()) {
        text += &format!(
            "{}: step bounds lifted: {}\n",
            api.api,
            api.emergency.as_deref().unwrap_or_default()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_shown_at_the_step_that_is_now() {
        let plan = v1::Plan {
            pool: "edge".into(),
            generation: 7,
            start_ms: 60_000,
            step_s: 60,
            step_count: 3,
            expires_at_ms: 240_000,
            dimensions: vec![v1::Dimension::Requests.into()],
            capacity: vec![200.0; 3],
            wanted: vec![210.0; 3],
            apis: vec![v1::ApiPlan {
                api: "shop/pay".into(),
                tier: v1::Tier::Gold.into(),
                guaranteed: vec![50.0; 3],
                limit: vec![100.0, 120.0, 140.0],
                demand: vec![80.0; 3],
                ..Default::default()
            }],
            ..Default::default()
        };
        let shown = person(&plan, 121_000);
        assert!(
            shown.contains("shop/pay  gold  requests         50/s      120/s    80/s  ▇█"),
            "{shown}"
        );
        assert!(
            shown.contains("requests: 120/s of 200/s given, 210/s wanted at the end"),
            "{shown}"
        );
        assert!(!shown.contains("EXPIRED") && person(&plan, 240_000).contains("EXPIRED"));
    }
}
