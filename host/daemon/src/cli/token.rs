//! `tidegate token`: a credential, shown once; the daemon keeps its hash alone.

use super::connect::Output;
use anyhow::{Context, Result};
use clap::ValueEnum;
use sha2::{Digest as _, Sha256};

/// For whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the credential, for logs and records
    #[arg(long, default_value = "operator")]
    name: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = RoleArg::Operator)]
    role: RoleArg,
    /// A tenant that it may act for; again for more; all unless told
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    Reader,
    Writer,
    Operator,
    Admin,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The lines for `auth.tokens`.
fn yaml(args: &Args, sha256: &str) -> String {
    let role = args
        .role
        .to_possible_value()
        .map(|v| v.get_name().to_owned())
        .unwrap_or_default();
    // A name in JSON is a name in YAML, whatever it holds.
    let name = serde_json::Value::from(args.name.clone());
    let mut lines = format!(
        "auth:\n  tokens:\n    - name: {name}\n      sha256: \"{sha256}\"\n      role: {role}\n"
    );
    if !args.tenant.is_empty() {
        lines += &format!(
            "      tenants: {}\n",
            serde_json::Value::from(args.tenant.clone())
        );
    }
    lines
}

/// Makes and prints a token.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).context("the operating system gives no random bytes")?;
    let token = hex(&secret);
    let sha256 = hex(&Sha256::digest(token.as_bytes()));
    let lines = yaml(args, &sha256);
    super::say(&match output {
        Output::Json => {
            serde_json::json!({"token": token, "sha256": sha256, "configuration": lines})
                .to_string()
        }
        Output::Human => format!(
            "The token, shown this once (for --token, --token-file or TIDEGATE_TOKEN):\n\n{token}\n\n\
             For the daemon's configuration file:\n\n{lines}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, mistake};

    #[test]
    fn the_lines_are_what_the_daemons_configuration_reads() {
        let args = Args {
            name: "ci: \"x\"".into(),
            role: RoleArg::Writer,
            tenant: vec!["shop".into()],
        };
        let config: Config =
            mistake::read(&yaml(&args, &"ab".repeat(32)), "c.yaml", "c.yaml").unwrap();
        let token = &config.auth.tokens[0];
        assert_eq!(
            (token.name.as_str(), token.role.as_str()),
            ("ci: \"x\"", "writer")
        );
        assert_eq!(token.tenants, Some(vec!["shop".to_owned()]));
    }
}
