//! `bourn help`: the help of a command.

use crate::args::command::Help;
use crate::args::parse::{self, Program};
use crate::exit::Outcome;
use crate::report::reporter::write_stderr;

/// Prints what `--help` of that command prints, on standard error as bst does.
pub(crate) fn run(options: &Help, program: Program) -> Outcome {
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
