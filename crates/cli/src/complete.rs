//! Completions for shells, in bst's protocol: `_BST_COMPLETION` is set, `COMP_WORDS` holds the line, `COMP_CWORD` the
//! index of the word to complete. Answers stand on lines of their own; one that is finished ends in a space.

use crate::args::parse::{self, Program};
use crate::location::PROJECT_FILE;
use crate::settings::environment::Environment;
use crate::settings::user::UserConfig;
use bourn_yaml::Files;
use clap::builder::ValueHint;
use clap::{Arg, Command};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The answers, if completions are what is asked for.
pub(crate) fn answers(program: Program, argv: &[OsString], environment: &Environment) -> Option<Vec<String>> {
    if !environment.has("_BST_COMPLETION") {
        return None;
    }
    let words = split(environment.get("COMP_WORDS").unwrap_or_default());
    let index: usize = environment.get("COMP_CWORD").and_then(|index| index.parse().ok()).unwrap_or(0);
    let mut command = parse::command(program);
    command.build();
    let before = words.get(1..index.min(words.len())).unwrap_or_default().to_vec();
    let incomplete = words.get(index).cloned().unwrap_or_default();
    let Some(place) = Place::of(&command, &before) else { return Some(Vec::new()) };
    let (before, incomplete) = part_at_equals(before, incomplete);
    let line = Line { command: &command, before, incomplete, argv, environment };
    Some(line.answers(&place))
}

/// A line with the word that is to be completed.
struct Line<'a> {
    command: &'a Command,
    before: Vec<String>,
    incomplete: String,
    argv: &'a [OsString],
    environment: &'a Environment,
}

/// Where in the tree of commands a line has come to.
struct Place<'a> {
    command: &'a Command,
    /// Words after the name of the command that are no options.
    positionals: Vec<String>,
}

impl<'a> Place<'a> {
    /// Follows the words to the command they end in; `None` when one of them names none.
    fn of(command: &'a Command, before: &[String]) -> Option<Place<'a>> {
        let mut command = command;
        let mut positionals = Vec::new();
        let mut only_positionals = false;
        let mut words = before.iter().filter(|word| *word != "=");
        while let Some(word) = words.next() {
            if !only_positionals && word == "--" {
                only_positionals = true;
            } else if !only_positionals && word.starts_with('-') && word.len() > 1 {
                let option = command.get_opts().find(|option| spellings(option).any(|known| known == *word));
                for _ in 0..option.map_or(0, value_count) {
                    words.next();
                }
            } else if command.has_subcommands() {
                command = command.find_subcommand(word)?;
            } else {
                positionals.push(word.clone());
            }
        }
        Some(Place { command, positionals })
    }
}

/// Parts `--option=value` into the option, which stands before, and the value to complete.
fn part_at_equals(mut before: Vec<String>, incomplete: String) -> (Vec<String>, String) {
    if incomplete == "=" {
        return (before, String::new());
    }
    match incomplete.split_once('=') {
        Some((option, value)) if option.starts_with('-') => {
            before.push(option.to_owned());
            (before, value.to_owned())
        }
        _ => (before, incomplete),
    }
}

impl Line<'_> {
    fn answers(&self, place: &Place<'_>) -> Vec<String> {
        let choices = self.choices(place);
        choices.into_iter().filter(|choice| choice.starts_with(&self.incomplete)).collect()
    }

    fn choices(&self, place: &Place<'_>) -> Vec<String> {
        if self.incomplete.starts_with('-') {
            return self.options(place.command);
        }
        if let Some(option) = place.command.get_opts().find(|option| self.is_pending(option)) {
            return self.values(option);
        }
        if place.command.get_name() == "help" {
            return self.help_words(&place.positionals);
        }
        let positional = place.command.get_positionals().enumerate().find(|(at, positional)| {
            *at == place.positionals.len()
                || positional.get_num_args().is_some_and(|range| range.max_values() > 1)
        });
        match positional {
            Some((_, positional)) => self.values(positional),
            None => subcommands(place.command),
        }
    }

    fn options(&self, command: &Command) -> Vec<String> {
        let visible = command
            .get_arguments()
            .filter(|arg| !arg.is_positional() && !arg.is_hide_set() && arg.get_id() != "help");
        let fresh = |arg: &Arg, spelling: &String| {
            matches!(arg.get_action(), clap::ArgAction::Append) || !self.before.contains(spelling)
        };
        visible
            .flat_map(|arg| spellings(arg).filter(|spelling| fresh(arg, spelling)).collect::<Vec<_>>())
            .map(|spelling| format!("{spelling} "))
            .collect()
    }

    /// Whether the last words are this option, with values yet to come.
    fn is_pending(&self, option: &Arg) -> bool {
        let last = self.before.iter().rev().filter(|word| *word != "=").take(value_count(option));
        let last_option = last.filter(|word| word.starts_with('-')).last();
        last_option.is_some_and(|word| spellings(option).any(|known| known == *word))
    }

    fn values(&self, arg: &Arg) -> Vec<String> {
        match arg.get_id().as_str() {
            "elements" | "element" | "except" => return self.elements(),
            "artifacts" | "target" | "words" => return self.artifacts(),
            _ => {}
        }
        let known = arg.get_possible_values();
        if !known.is_empty() && arg.get_num_args().is_none_or(|range| range.takes_values()) {
            return known.iter().map(|value| format!("{} ", value.get_name())).collect();
        }
        match arg.get_value_hint() {
            ValueHint::FilePath | ValueHint::AnyPath => paths(&self.incomplete, Path::new("."), false),
            ValueHint::DirPath => paths(&self.incomplete, Path::new("."), true),
            _ => Vec::new(),
        }
    }

    fn help_words(&self, words: &[String]) -> Vec<String> {
        let mut command = self.command;
        for word in words {
            match command.find_subcommand(word) {
                Some(sub) => command = sub,
                None => return Vec::new(),
            }
        }
        subcommands(command)
    }

    /// Elements of the project, by their path below its element path.
    fn elements(&self) -> Vec<String> {
        let Some(directory) = self.element_directory() else { return Vec::new() };
        let found = paths(&self.incomplete, &directory, false);
        found.into_iter().filter(|path| path.ends_with(".bst ") || path.ends_with('/')).collect()
    }

    fn element_directory(&self) -> Option<PathBuf> {
        let named = self.before.iter().position(|word| word == "-C" || word == "--directory");
        let directory = match named.and_then(|at| self.before.get(at + 1)) {
            Some(directory) => PathBuf::from(directory),
            None => {
                let here = std::path::absolute(".").ok()?;
                here.ancestors().find(|above| above.join(PROJECT_FILE).is_file())?.to_path_buf()
            }
        };
        let files = Files::default();
        let file = files.read(&directory.join(PROJECT_FILE), PROJECT_FILE, None).ok()?;
        let conf = bourn_yaml::parse(&files, file).ok()?;
        let element_path = conf.opt_str("element-path").ok()?.unwrap_or_default().to_owned();
        Some(if element_path.is_empty() { directory } else { directory.join(element_path) })
    }

    /// Elements, and artifacts of the cache.
    fn artifacts(&self) -> Vec<String> {
        let mut found = self.elements();
        let argv = self.argv.iter().map(|word| word.to_string_lossy().into_owned());
        let words: Vec<String> = argv.chain(self.before.iter().cloned()).collect();
        let named = words.iter().rposition(|word| word == "-c" || word == "--config");
        let config = named.and_then(|at| words.get(at + 1)).map(String::as_str);
        let files = Files::default();
        if let Ok(user) = UserConfig::load(&files, config, self.environment) {
            found.extend(artifact_names(&user.cachedir.join("artifacts").join("refs")));
        }
        found
    }
}

fn subcommands(command: &Command) -> Vec<String> {
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    visible.map(|sub| format!("{} ", sub.get_name())).collect()
}

/// How an option is written: `--long`, `-s`.
fn spellings(arg: &Arg) -> impl Iterator<Item = String> {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    long.into_iter().chain(short)
}

fn value_count(option: &Arg) -> usize {
    option.get_num_args().map_or(1, |range| range.max_values()).min(2)
}

/// Names of all artifacts below the directory of refs.
fn artifact_names(refs: &Path) -> Vec<String> {
    let below = |directory: &Path| -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
    };
    let mut names = Vec::new();
    for (project, directory) in below(refs) {
        for (element, directory) in below(&directory) {
            for (key, _) in below(&directory) {
                names.push(format!("{project}/{element}/{key}"));
            }
        }
    }
    names
}

/// Paths that may continue `incomplete`, which is relative to `base`: directories with a slash, files with a space.
fn paths(incomplete: &str, base: &Path, only_directories: bool) -> Vec<String> {
    let (directory, shown) = match incomplete.rsplit_once('/') {
        Some((above, _)) => (base.join(format!("{above}/")), format!("{above}/")),
        None if !incomplete.is_empty() && base.join(incomplete).is_dir() => {
            (base.join(incomplete), format!("{incomplete}/"))
        }
        None => (base.to_path_buf(), String::new()),
    };
    let mut found: Vec<String> = std::fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            match entry.path().is_dir() {
                true => Some(format!("{shown}{name}/")),
                false if only_directories => None,
                false => Some(format!("{shown}{name} ")),
            }
        })
        .collect();
    found.sort();
    found
}

/// Splits a line as a shell would; an open quote ends with the line.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, index: usize, expect: &str) {
        let variables =
            [("_BST_COMPLETION", "complete"), ("COMP_WORDS", line), ("COMP_CWORD", &index.to_string())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Environment::with(variables);
        let mut found = answers(Program::Bst, &[], &environment).expect("asked for");
        found.sort();
        assert_eq!(found.join("|"), expect, "{line}");
    }

    // What bst 2.8.1 answers.
    #[test]
    fn commands_and_options() {
        check("bst", 0, "");
        check("bst ", 1, "artifact |build |help |init |shell |show |source |workspace ");
        check("bst w", 1, "workspace ");
        check("bst source ", 2, "checkout |fetch |push |track ");
        check("bst help artifact l", 3, "list-contents |log ");
        check("bst --l", 1, "--log-file ");
        check("bst --on-error ", 2, "continue |quit |terminate ");
        check("bst --fetchers ", 2, "");
        check("bst show --deps=", 2, "all |build |none |run ");
        check("bst show --deps r", 3, "run ");
        check("bst pony ", 2, "");
        check("bst show --order ", 3, "alpha |stage ");
        check("bst --no-colors workspace close -", 4, "--all |--remove-dir |-a ");
    }

    #[test]
    fn lines_split_as_in_a_shell() {
        for (line, expect) in
            [("a  b", "a|b"), ("a 'b c' d", "a|b c|d"), ("a \"b 'c", "a|b 'c"), ("a\\ b", "a b")]
        {
            assert_eq!(split(line).join("|"), expect);
        }
    }
}
