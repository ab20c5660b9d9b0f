//! Many commands as one script, as bst writes it: one start of a sandbox for all of them.
//!
//! Each command is run with `set -ex` in a subshell of its own, so that the log shows it; the first that fails ends
//! the script with a line that names it. Working directory and environment are changed between commands only where
//! they differ. The text enters the action of a remote execution, so it is bst's to the letter.

use std::fmt::Write;

/// A command to be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptCommand {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// What messages call it; its command line when there is none.
    pub label: Option<String>,
    /// The environment, in order; without `PWD`.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute.
    pub directory: String,
}

/// One line of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A command.
    Command(ScriptCommand),
    /// An empty file of that name in the working directory.
    EmptyFile(String),
    /// Removes a directory with all it holds; that this fails does not matter.
    Clean(String),
}

/// A script, with the environment and directory that it starts in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// The text, for `sh -c -e`.
    pub text: String,
    /// The environment, `PWD` last unless it was given.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute.
    pub directory: String,
    /// The labels of all commands that have one, one below the other.
    pub labels: String,
}

impl Script {
    /// Writes the script; `None` when there is no command.
    pub fn compose(items: &[Item]) -> Option<Script> {
        let mut script: Option<Script> = None;
        let mut text = String::new();
        let mut labels: Vec<&str> = Vec::new();
        let mut current: Option<ScriptCommand> = None;
        for item in items {
            match item {
                Item::Command(command) => {
                    let command = with_directory(command);
                    match &current {
                        None => script = Some(Script::starting_with(&command)),
                        Some(before) => switch(&mut text, before, &command),
                    }
                    run(&mut text, &command);
                    current = Some(command);
                }
                // Writing to a string cannot fail.
                Item::EmptyFile(name) => drop(writeln!(text, "touch -- {}", quote(name))),
                Item::Clean(path) => {
                    let _ = writeln!(text, "rm -rf -- {} || true", quote(path));
                    if let Some(script) = &script {
                        let _ = writeln!(text, "mkdir -p {} || true", quote(&script.directory));
                    }
                }
            }
            if let Item::Command(ScriptCommand { label: Some(label), .. }) = item {
                labels.push(label);
            }
        }
        let labels = labels.into_iter().filter(|label| !label.is_empty()).collect::<Vec<_>>().join("\n");
        script.map(|script| Script { text, labels, ..script })
    }

    fn starting_with(command: &ScriptCommand) -> Script {
        Script {
            text: String::new(),
            environment: command.environment.clone(),
            directory: command.directory.clone(),
            labels: String::new(),
        }
    }
}

/// The command with `PWD` in its environment: some shells cannot find out where they are.
fn with_directory(command: &ScriptCommand) -> ScriptCommand {
    let mut command = command.clone();
    match command.environment.iter_mut().find(|(name, _)| name == "PWD") {
        Some((_, value)) => value.clone_from(&command.directory),
        None => command.environment.push(("PWD".into(), command.directory.clone())),
    }
    command
}

fn switch(text: &mut String, before: &ScriptCommand, after: &ScriptCommand) {
    if before.directory != after.directory {
        let _ = write!(text, "mkdir -p {0}\ncd {0}\n", after.directory);
    }
    let value = |command: &ScriptCommand, name: &str| -> Option<String> {
        command.environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    for (name, _) in before.environment.iter().filter(|(name, _)| value(after, name).is_none()) {
        let _ = writeln!(text, "unset {name}");
    }
    for (name, new) in
        after.environment.iter().filter(|(name, new)| value(before, name).as_ref() != Some(new))
    {
        let _ = writeln!(text, "export {name}={}", quote(new));
    }
}

fn run(text: &mut String, command: &ScriptCommand) {
    let line = command.arguments.iter().map(|argument| quote(argument)).collect::<Vec<_>>().join(" ");
    let label = command.label.as_deref().filter(|label| !label.is_empty()).unwrap_or(&line);
    let label = quote(&format!("'{label}'"));
    let _ = write!(text, "(set -ex; {line})");
    let _ = writeln!(text, " || (echo Command {label} failed with exitcode $? >&2 ; exit 1)");
}

/// A text as one word of a shell command, as Python's `shlex.quote` writes it.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str, environment: &[(&str, &str)], directory: &str) -> Item {
        Item::Command(ScriptCommand {
            arguments: vec!["sh".into(), "-c".into(), "-e".into(), format!("{text}\n")],
            label: Some(text.into()),
            environment: environment.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
            directory: directory.into(),
        })
    }

    #[test]
    fn nothing_to_run() {
        assert_eq!(Script::compose(&[]), None);
        assert_eq!(Script::compose(&[Item::Clean("/b".into())]), None);
    }

    /// Taken from the command that bst 2.8.1 sent for such an element.
    #[test]
    fn one_after_the_other() {
        let items = [
            command("echo 'a'", &[("A", "1")], "/b"),
            Item::EmptyFile(".bst-prepared".into()),
            command("true", &[("A", "1")], "/b"),
            Item::Clean("/b".into()),
        ];
        let script = Script::compose(&items).expect("a script");
        let expected = "(set -ex; sh -c -e 'echo '\"'\"'a'\"'\"'\n') || (echo Command ''\"'\"'echo '\"'\"'a'\"'\"''\"'\"'' \
                        failed with exitcode $? >&2 ; exit 1)\n\
                        touch -- .bst-prepared\n\
                        (set -ex; sh -c -e 'true\n') || (echo Command ''\"'\"'true'\"'\"'' failed with exitcode $? >&2 ; \
                        exit 1)\n\
                        rm -rf -- /b || true\nmkdir -p /b || true\n";
        assert_eq!(script.text, expected);
        assert_eq!(script.labels, "echo 'a'\ntrue");
        assert_eq!(
            script.environment,
            [("A".to_owned(), "1".to_owned()), ("PWD".to_owned(), "/b".to_owned())]
        );
    }

    #[test]
    fn environments_change_between_commands() {
        let items = [command("a", &[("A", "1"), ("B", "x")], "/"), command("b", &[("A", "2 3")], "/d")];
        let script = Script::compose(&items).expect("a script");
        let between = "mkdir -p /d\ncd /d\nunset B\nexport A='2 3'\nexport PWD=/d\n";
        assert!(script.text.contains(between), "{}", script.text);
    }

    #[test]
    fn quoting() {
        for (text, quoted) in
            [("", "''"), ("a-b/c", "a-b/c"), ("a b", "'a b'"), ("é", "'é'"), ("a'b", "'a'\"'\"'b'")]
        {
            assert_eq!(quote(text), quoted);
        }
    }
}
