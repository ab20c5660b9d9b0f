//! `bourn init`: a new project.

use crate::args::command::Init;
use crate::args::general::General;
use crate::commands::prompt;
use crate::exit::{Failure, Outcome};
use crate::report::reporter::write_stderr;
use crate::report::style::{CONTENT, DETAIL, FORMAT, Painter};
use crate::settings::resolve::Terminal;
use std::path::{Component, Path, PathBuf};

/// What a project.conf needs.
struct Answers {
    name: String,
    min_version: String,
    element_path: String,
}

/// Writes a project.conf, with answers from the command line or from the user.
pub(crate) fn run(options: &Init, general: &General, terminal: Terminal) -> Outcome {
    let directory = directory(options)?;
    if general.directory.is_some() {
        return Err(Failure::app("Attempted to use -C or --directory with init.")
            .reason("init-with-set-directory")
            .hint(format!("name the directory after the command: init {}", directory.display())));
    }
    let conf = directory.join("project.conf");
    if !options.force && conf.exists() {
        return Err(Failure::app(format!("A project.conf already exists at: {}", conf.display()))
            .reason("project-exists")
            .hint("use --force to overwrite it"));
    }
    let answers = answers(options, terminal)?;
    write(&directory, &conf, &answers)?;
    write_stderr(&format!("\nCreated project.conf at: {}\n", conf.display()));
    Ok(0)
}

fn directory(options: &Init) -> Result<PathBuf, Failure> {
    let named = options.target_directory.as_deref().unwrap_or(".");
    let absolute = std::path::absolute(named)
        .map_err(|error| Failure::io(&error, "finding the directory", Path::new(named)))?;
    Ok(crate::settings::environment::normalize(&absolute))
}

fn answers(options: &Init, terminal: Terminal) -> Result<Answers, Failure> {
    let Some(name) = &options.project_name else {
        if !terminal.interactive {
            let text = "Cannot initialize a new project without specifying the project name";
            return Err(Failure::app(text).reason("unspecified-project-name").hint("use --project-name"));
        }
        let painter = Painter { colors: terminal.colors };
        return ask(options, painter).ok_or_else(|| Failure::app("The questions were not answered"));
    };
    check_name(name)?;
    check_version(&options.min_version)?;
    check_element_path(&options.element_path)?;
    let (min_version, element_path) = (options.min_version.clone(), options.element_path.clone());
    Ok(Answers { name: name.clone(), min_version, element_path })
}

fn write(directory: &Path, conf: &Path, answers: &Answers) -> Result<(), Failure> {
    let elements = directory.join(&answers.element_path);
    std::fs::create_dir_all(&elements)
        .map_err(|error| Failure::app(format!("Error creating {}: {error}", elements.display())))?;
    let text = format!(
        "# Name of the project, to tell its artifacts from those of others\nname: {}\n\n\
         # Oldest version of BuildStream that it can be built with\nmin-version: {}\n\n\
         # Where its elements are\nelement-path: {}\n",
        answers.name, answers.min_version, answers.element_path
    );
    std::fs::write(conf, text)
        .map_err(|error| Failure::app(format!("Error writing {}: {error}", conf.display())))
}

/// A name of a project: letters, digits, dashes and underscores, no digit first.
fn check_name(name: &str) -> Result<(), Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(Failure::new("load", format!("Invalid symbol name for project name: '{name}'"))
        .reason("invalid-symbol-name")
        .hint("use letters, digits, dashes and underscores, and begin with none of the digits"))
}

fn check_version(version: &str) -> Result<(), Failure> {
    let bad = |text: String| Failure::app(text).reason("invalid-min-version");
    let mut parts = version.split('.').map(|part| part.parse::<u32>());
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(bad(format!("Malformed version string: {version}")));
    };
    let mut known = crate::COMPATIBLE_VERSION.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (known_major, known_minor) = (known.next().unwrap_or(0), known.next().unwrap_or(0));
    if major != known_major || minor > known_minor {
        return Err(bad(format!(
            "The minimum version must lie between {known_major}.0 and {known_major}.{known_minor}"
        )));
    }
    Ok(())
}

fn check_element_path(path: &str) -> Result<(), Failure> {
    let leads_out = |part: Component<'_>| matches!(part, Component::ParentDir | Component::RootDir);
    if !Path::new(path).components().any(leads_out) {
        return Ok(());
    }
    Err(Failure::app("The element path cannot be absolute or lead out of the project with '..'")
        .reason("invalid-element-path"))
}

fn ask(options: &Init, painter: Painter) -> Option<Answers> {
    let checked = |check: fn(&str) -> Result<(), Failure>| {
        move |answer: &str| match check(answer) {
            Ok(()) => Ok(answer.to_owned()),
            Err(failure) => Err(match failure.hint {
                Some(hint) => format!("{}: {hint}", failure.message),
                None => failure.message,
            }),
        }
    };
    explain(painter, "How is the project called?", NAME_HELP);
    let name = prompt::ask(&painter.paint("Project name", CONTENT), None, checked(check_name))?;
    explain(painter, "Which version of BuildStream does it need at least?", VERSION_HELP);
    let question = painter.paint("Minimum version", CONTENT);
    let min_version = prompt::ask(&question, Some(&options.min_version), checked(check_version))?;
    explain(painter, "Where are its elements?", PATH_HELP);
    let question = painter.paint("Element path", CONTENT);
    let element_path = prompt::ask(&question, Some(&options.element_path), checked(check_element_path))?;
    Some(Answers { name, min_version, element_path })
}

const NAME_HELP: &str = "\
  The name tells the artifacts of this project from those of others, in caches
  that are shared and in your configuration. It consists of letters, digits,
  dashes and underscores, and does not begin with a digit.";

const VERSION_HELP: &str = "\
  Whoever builds the project with something older is told so at once. This
  program does what BuildStream 2.8 does; the oldest version possible is 2.0.";

const PATH_HELP: &str = "\
  A directory of the project. Elements are named by their path below it.";

fn explain(painter: Painter, title: &str, text: &str) {
    let title = painter.paint(title, CONTENT.bold());
    let rule = painter.paint(&"-".repeat(60), FORMAT);
    write_stderr(&format!("\n{title}\n{rule}\n\n{}\n\n", painter.paint(text, DETAIL)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        for good in ["foo", "foo-bar_2", "_x"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "1x", "Micheal Jackson", "one+one", "/tmp/x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in ["2.0", "2.8", "2.6.1"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["-1", "1.4", "2.900", "abc", "2", ""] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
        for good in ["elements", "a/b", "."] {
            assert!(check_element_path(good).is_ok(), "{good}");
        }
        for bad in ["/a", "../a", "a/../.."] {
            assert!(check_element_path(bad).is_err(), "{bad}");
        }
    }
}
