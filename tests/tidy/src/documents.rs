//! Rules on the documents that lead a reader in: they name what is there, and keep their promise
//! of two commands.

use crate::Finding;

/// The two commands for a fresh machine: set up and show, set up and test.
pub const COMMANDS: [&str; 2] = ["./demo", "./check"];

/// Every room (a module or a crate, by name) stands in the architecture page, in backquotes:
/// `` `tier` ``, `` `flow::tier` `` or `` `host/flow` ``.
#[must_use]
pub fn unnamed_rooms(path: &str, text: &str, rooms: &[String]) -> Vec<Finding> {
    // Code blocks have names too: every word between backquotes or in a fenced block counts.
    let quoted: Vec<&str> = quoted(text).collect();
    let is_named = |room: &str| {
        quoted.iter().any(|span| {
            span.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'))
                .any(|w| w == room)
        })
    };
    let missing = rooms.iter().filter(|room| !is_named(room));
    missing
        .map(|room| Finding::new(path, format!("does not name `{room}`: say what it is for")))
        .collect()
}

/// The first shell blocks of the README are the two commands, and nothing else.
#[must_use]
pub fn not_two_commands(path: &str, text: &str) -> Vec<Finding> {
    let blocks = shell_blocks(text);
    let of_first = |n: usize| -> Vec<&str> { blocks.iter().take(n).flatten().copied().collect() };
    if of_first(1) == COMMANDS || of_first(2) == COMMANDS {
        return Vec::new();
    }
    let what = format!(
        "its first shell block(s) must be exactly `{}`; they are {:?}",
        COMMANDS.join("` and `"),
        of_first(2)
    );
    vec![Finding::new(path, what)]
}

/// The commands of each `sh` block, without comments and prompts.
fn shell_blocks(text: &str) -> Vec<Vec<&str>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(tag) = line.trim().strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .collect();
        if matches!(tag, "sh" | "bash" | "console" | "shell") {
            let command = |line: &&'_ str| !line.is_empty();
            let bare = block.iter().map(|line| {
                let line = line.split(" #").next().unwrap_or(line).trim();
                if line.starts_with('#') {
                    ""
                } else {
                    line.strip_prefix("$ ").unwrap_or(line)
                }
            });
            blocks.push(bare.filter(command).collect());
        }
    }
    blocks
}

/// What stands between backquotes, and the lines of fenced blocks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mut in_fence = false;
    text.lines().flat_map(move |line| {
        if line.trim().starts_with("```") {
            in_fence = !in_fence;
            return Vec::new();
        }
        if in_fence {
            return vec![line];
        }
        line.split('`').skip(1).step_by(2).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_the_page_only_mentions_in_passing_is_found() {
        let rooms = ["history".to_owned(), "tier".to_owned(), "judge".to_owned()];
        let page = "A judge is a person.\n- `history` keeps.\n```\nflow::tier  asks\n```\n";
        let found = unnamed_rooms("A.md", page, &rooms);
        assert_eq!(
            found,
            [Finding::new(
                "A.md",
                "does not name `judge`: say what it is for"
            )]
        );
        assert_eq!(unnamed_rooms("A.md", "`flow::judge`", &rooms[2..]), []);
        assert_eq!(unnamed_rooms("A.md", "`judges`", &rooms[2..]).len(), 1);
    }

    #[test]
    fn a_readme_with_the_two_commands_in_one_block_or_two_is_fine() {
        let picture = "# T\n```text\na -> b\n```\n";
        let one = format!("{picture}```sh\n./demo    # sets up\n./check\n```\n```sh\nmore\n```\n");
        let two = format!("{picture}```sh\n$ ./demo\n```\nor\n```sh\n# tests\n./check\n```\n");
        assert_eq!(not_two_commands("R", &one), []);
        assert_eq!(not_two_commands("R", &two), []);
    }

    #[test]
    fn a_readme_that_asks_for_more_or_less_is_found() {
        for bad in [
            "no block",
            "```sh\n./demo\n```\n",
            "```sh\napt-get install x\n./demo\n./check\n```\n",
            "```sh\n./demo\n./check\ncargo test\n```\n",
            "```sh\n./check\n./demo\n```\n",
        ] {
            assert_eq!(not_two_commands("R", bad).len(), 1, "{bad}");
        }
    }
}
