//! The form of a script: which lines are kept, which are commands, which are output.
//!
//! Prose (`#`) and blank lines are kept as they are, a line that begins with `> ` is a command, and
//! every other line is the output of the command above it. So output never holds a blank line, and
//! never begins with `#` or `>`.

use crate::interpreter::Interpreter;

/// A script that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Output before any command.
    #[error("line {line}: `{text}` is neither prose (#), a command (>) nor under a command")]
    Stray {
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A command that is none. What the gate refuses is no error: it is printed.
    #[error("line {line}: {problem}")]
    Command {
        /// From 1.
        line: usize,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// Runs every command in a new world and gives the script with its output as it is now.
///
/// # Errors
/// When a line is no line of a script or a command is misspelt.
pub fn run(text: &str) -> Result<String, ScriptError> {
    let mut interpreter = Interpreter::default();
    let mut now = String::new();
    let mut under_command = false;
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        if let Some(command) = line.strip_prefix("> ") {
            keep(&mut now, line);
            let output = interpreter
                .execute(command)
                .map_err(|problem| ScriptError::Command {
                    line: number,
                    problem,
                })?;
            output.iter().for_each(|line| keep(&mut now, line));
            under_command = true;
        } else if line.is_empty() || line.starts_with('#') {
            keep(&mut now, line);
            under_command = false;
        } else if !under_command {
            return Err(ScriptError::Stray {
                line: number,
                text: line.into(),
            });
        }
    }
    Ok(now)
}

fn keep(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_stays_and_old_output_goes() {
        let script = "# A story.\n\n> show alerts\nsomething old\nand more of it\n\n# The end.\n";
        let told = "# A story.\n\n> show alerts\nnothing stands\n\n# The end.\n";
        assert_eq!(run(script).unwrap(), told);
    }

    #[test]
    fn a_misspelt_command_is_told_with_its_line() {
        let error = run("# A story.\n> shwo alerts\n").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 2: `shwo` is no command")
        );
    }

    #[test]
    fn output_without_a_command_is_told_with_its_line() {
        let error = run("stray\n").unwrap_err();
        assert!(error.to_string().starts_with("line 1: `stray` is neither"));
    }
}
