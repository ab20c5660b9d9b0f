//! `bourn help`: the help of a command.

use crate::args::command::Help;
use crate::args::parse::{self, Program};
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::report::reporter::write_stderr;
use bourn_elements::ELEMENTS;
use bourn_sources::SOURCES;

/// Prints the manual entries of kinds, or the names of all kinds.
fn kind(names: &[String], program: Program) -> Outcome {
    if names.is_empty() {
        let elements: Vec<&str> = ELEMENTS.iter().map(|entry| entry.name).collect();
        let sources: Vec<&str> = SOURCES.iter().map(|entry| entry.name).collect();
        let name = program.name();
        return print::result(&format!(
            "Kinds of elements: {}\n\nKinds of sources: {}\n\nFor one of them: {name} help kind NAME\n",
            elements.join(", "),
            sources.join(", ")
        ));
    }
    let mut out = String::new();
    for name in names {
        let elements = ELEMENTS.iter().filter(|entry| entry.name == name).map(|entry| entry.manual);
        let sources = SOURCES.iter().filter(|entry| entry.name == name).map(|entry| entry.manual);
        let manuals: Vec<&str> = elements.chain(sources).collect();
        if manuals.is_empty() {
            let known = ELEMENTS.iter().map(|entry| entry.name).chain(SOURCES.iter().map(|entry| entry.name));
            let failure = Failure::app(format!("There is no kind of element or source called `{name}`"));
            return Err(match bourn_yaml::nearest::to(name, known) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure,
            });
        }
        out.push_str(&manuals.join("\n"));
    }
    print::result(&out)
}

/// Prints what `--help` of that command prints, on standard error as bst does.
pub(crate) fn run(options: &Help, program: Program) -> Outcome {
    if let [first, names @ ..] = &options.command[..]
        && first == "kind"
    {
        return kind(names, program);
    }
    let mut command = parse::command(program);
    command.build();
    let mut found = &mut command;
    for word in &options.command {
        found = match found.find_subcommand_mut(word) {
            Some(sub) => sub,
            None => {
                let line = format!("{} {}", program.name(), options.command.join(" "));
                write_stderr(&format!("Not a valid command: '{line}'\n"));
                return Ok(crate::exit::ERROR);
            }
        };
    }
    let mut text = found.render_help().to_string();
    if found.has_subcommands() {
        let words: String = options.command.iter().map(|word| format!("{word} ")).collect();
        text.push_str(&format!(
            "\nFor usage on a specific command: {} help {words}COMMAND\n",
            program.name()
        ));
    }
    write_stderr(&text);
    Ok(0)
}
