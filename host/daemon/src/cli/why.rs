//! `tidegate why` and `tidegate grant`: one api's share, and its reasons.

use super::connect::Session;
use super::errors::{Told as _, explain};
use super::{json, words};
use anyhow::{Result, anyhow};
use tidegate_client::v1;
use tonic::Code;

/// Whose share, and when.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TENANT/NAME
    api: String,
    /// At which instant: RFC 3339, or seconds since the epoch; now unless told
    #[arg(long, value_name = "TIME", value_parser = words::parse_instant)]
    at: Option<i64>,
}

/// Whose grant.
#[derive(Debug, clap::Args)]
pub(crate) struct GrantArgs {
    /// TENANT/NAME
    api: String,
}

/// Explains.
pub(crate) async fn run(args: Args, session: Session) -> Result<()> {
    let api = args.api.clone();
    let request = v1::ExplainRequest {
        api: args.api,
        at_ms: args.at,
    };
    let now = args.at.is_none();
    let answer = session.client.plans().explain(request).await;
    let answer = answer.map_err(|status| match status.code() {
        // The server cannot know that no instant was chosen: a later one does not exist.
        Code::NotFound if now && status.message().starts_with("a plan") => anyhow!(
            "no plan holds {api} yet; one is made once `requests` of the api are fed (`tidegate grant {api}` tells what applies until then)"
        ),
        _ => explain(&status),
    })?.into_inner();
    let grant = answer.grant.clone().unwrap_or_default();
    session.print(
        || serde_json::json!({"grant": json::grant(&grant), "sentences": answer.sentences, "inputs": answer.inputs}),
        || {
            let mut text = format!("{}\n\n", headline(&grant));
            answer.sentences.iter().for_each(|s| text += &format!("- {s}\n"));
            text
        },
    )
}

/// Shows a grant.
pub(crate) async fn grant(args: GrantArgs, session: Session) -> Result<()> {
    let answer = session
        .client
        .limits()
        .get_grant(v1::GetGrantRequest { api: args.api })
        .await
        .told()?;
    let grant = answer.grant.unwrap_or_default();
    session.print(|| json::grant(&grant), || person(&grant, answer.now_ms))
}

fn headline(grant: &v1::Grant) -> String {
    let tier = match grant.tier() {
        v1::Tier::Unspecified => String::new(),
        tier => format!(" ({})", words::tier(tier)),
    };
    let plan = match grant.generation {
        0 => "no plan was made yet".to_owned(),
        g => format!("generation {g}"),
    };
    let (api, pool) = (&grant.api, &grant.pool);
    match grant.mode() {
        v1::Mode::Unspecified | v1::Mode::Enforce => format!(
            "{api}{tier} may use {} of pool {pool} ({plan})",
            words::resources(grant.limit.as_ref())
        ),
        v1::Mode::Recommend => format!(
            "{api}{tier} is not limited (mode recommend); Tidegate would give it {} of pool {pool} ({plan})",
            words::resources(grant.recommended.as_ref())
        ),
        v1::Mode::Observe => {
            format!("{api}{tier} is not limited (mode observe): it is forecast only")
        }
    }
}

fn person(grant: &v1::Grant, now: i64) -> String {
    let mut text = format!("{}\n\n", headline(grant));
    if matches!(grant.mode(), v1::Mode::Recommend | v1::Mode::Observe) {
        return text;
    }
    text += &format!(
        "guaranteed  {}\n",
        words::resources(grant.guaranteed.as_ref())
    );
    text += &format!("limit       {}\n", words::resources(grant.limit.as_ref()));
    text += &format!("safe        {}\n", words::resources(grant.safe.as_ref()));
    text += &format!("since       {}\n", words::instant(grant.from_ms));
    let left = (grant.expires_at_ms - now) / 1000;
    text += &match left {
        _ if grant.expires_at_ms == 0 => "expires     -\n".to_owned(),
        left if left > 0 => format!(
            "expires     {} (in {left} s unless renewed)\n",
            words::instant(grant.expires_at_ms)
        ),
        _ => format!(
            "expires     {} (over: the safe capacity applies)\n",
            words::instant(grant.expires_at_ms)
        ),
    };
    for loan in &grant.loans {
        let amount = words::amount(loan.dimension(), loan.amount);
        let until = words::instant(loan.until_ms);
        let dimension = words::dimension(loan.dimension());
        text += &if loan.lender == grant.api {
            format!(
                "lends {amount} {dimension} to {} until {until}\n",
                loan.borrower
            )
        } else {
            format!(
                "borrows {amount} {dimension} from {} until {until}\n",
                loan.lender
            )
        };
    }
    text
}
