//! `bourn manual`: manual pages, made of what `--help` prints.

use crate::args::command::Manual;
use crate::args::parse::{self, Program};
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use std::path::Path;

/// Writes a page for the program and one for each of its commands, and prints their paths.
pub(crate) fn run(options: &Manual, program: Program) -> Outcome {
    let directory = Path::new(&options.directory);
    let fail = |error: std::io::Error| Failure::io(&error, "cannot write manual pages to", directory);
    std::fs::create_dir_all(directory).map_err(fail)?;
    let command = parse::command(program).version(env!("CARGO_PKG_VERSION"));
    clap_mangen::generate_to(command.clone(), directory).map_err(fail)?;
    let mut names = Vec::new();
    pages(&command, program.name(), &mut names);
    let paths: String = names.iter().map(|name| format!("{}\n", directory.join(name).display())).collect();
    print::result(&paths)
}

/// The names of the pages of a command and of those below it.
fn pages(command: &clap::Command, name: &str, names: &mut Vec<String>) {
    names.push(format!("{name}.1"));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages(sub, &format!("{name}-{}", sub.get_name()), names);
    }
}
