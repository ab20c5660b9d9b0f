//! The rules of the house that a machine can check; ARCHITECTURE.md and STYLE.md give their reasons.

use crate::shell::{Outcome, root};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may depend on (ARCHITECTURE.md, "The rooms").
const EDGES: &[(&str, &[&str])] = &[
    ("reapi", &[]),
    ("yaml", &[]),
    ("project", &["yaml"]),
    ("plan", &["project", "yaml", "reapi"]),
    ("elements", &["plan", "project", "yaml"]),
    ("sources", &["plan", "project", "yaml", "reapi"]),
    ("pyhost", &["plan", "project", "yaml", "reapi"]),
    ("build", &["plan", "project", "yaml", "reapi"]),
    ("cas", &["reapi"]),
    ("sandbox", &["reapi", "cas"]),
    ("remote", &["reapi"]),
    (
        "cli",
        &[
            "build", "cas", "elements", "plan", "project", "pyhost", "reapi", "remote", "sandbox", "sources",
            "yaml",
        ],
    ),
];

/// Crates from outside that only one room may name, because it is heavy or because it decides a policy.
const FENCED: &[(&str, &[&str])] = &[
    ("ureq", &["sources"]),
    ("tonic", &["remote"]),
    ("tokio", &["remote"]),
    ("clap", &["cli"]),
    ("rustix", &["cas", "sandbox", "sources", "cli", "pyhost"]),
    ("libc", &["sandbox"]),
];

/// Words that only some rooms may say in their sources, and why.
const WORDS: &[(&[&str], &[&str], &str)] = &[
    (&["unsafe ", "unsafe{"], &["sandbox"], "`unsafe` belongs into the sandbox"),
    (&["async fn", "async move", ".await"], &["remote"], "`async` belongs into remote"),
    (&["println!(", "print!(", "eprintln!(", "eprint!("], &["cli"], "only the cli prints"),
    (&["process::exit("], &["cli", "sandbox"], "only the cli ends the program"),
    (
        &["env::var", "env::args", "env::home_dir", "env::temp_dir", "env::current_dir"],
        &["cli"],
        "only the cli reads the environment",
    ),
];

/// Names of files and modules that say nothing.
const EMPTY_NAMES: &[&str] =
    &["core", "common", "util", "utils", "helper", "helpers", "misc", "manager", "info", "data"];

/// Files that every checkout has.
const STANDING: &[&str] =
    &["README.md", "ARCHITECTURE.md", "STYLE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".ci/run"];

/// Checks every rule and reports all that is broken.
///
/// # Errors
/// A line for each broken rule.
pub(crate) fn run() -> Outcome {
    let mut broken = Vec::new();
    let root = root();
    for file in STANDING {
        if !root.join(file).exists() {
            broken.push(format!("{file}: missing"));
        }
    }
    for crate_directory in directories(&root.join("crates"))? {
        check_crate(&crate_directory, &mut broken)?;
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("the house is not tidy:\n  {}", broken.join("\n  "))) }
}

fn check_crate(directory: &Path, broken: &mut Vec<String>) -> Outcome {
    let name = file_name(directory);
    let Some((_, allowed)) = EDGES.iter().find(|(room, _)| *room == name) else {
        broken.push(format!("crates/{name}: a room that tidy does not know"));
        return Ok(());
    };
    let manifest = read(&directory.join("Cargo.toml"))?;
    for dependency in dependencies(&manifest) {
        if let Some(room) = dependency.strip_prefix("bourn-") {
            if !allowed.contains(&room) {
                broken.push(format!("crates/{name}/Cargo.toml: `{name}` may not depend on `{room}`"));
            }
        } else if let Some((_, rooms)) = FENCED.iter().find(|(fenced, _)| *fenced == dependency)
            && !rooms.contains(&name.as_str())
        {
            broken.push(format!(
                "crates/{name}/Cargo.toml: `{dependency}` is fenced into {}",
                rooms.join(", ")
            ));
        }
    }
    check_forest(name.as_str(), &directory.join("src"), broken)
}

/// The names in `[dependencies]`; those only for tests and examples are free.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && let Some(end) = line.find(['.', ' ', '=']) {
            names.push(&line[..end]);
        }
    }
    names
}

fn check_forest(room: &str, directory: &Path, broken: &mut Vec<String>) -> Outcome {
    for path in files(directory)? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if EMPTY_NAMES.contains(&stem.as_ref()) {
            broken.push(format!("{shown}: `{stem}` says nothing; name what is in it"));
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = read(&path)?;
        for (number, line) in product_lines(&path, &text) {
            for (words, rooms, reason) in WORDS {
                if !rooms.contains(&room) && words.iter().any(|word| line.contains(word)) {
                    broken.push(format!("{shown}:{number}: {reason}"));
                }
            }
        }
    }
    Ok(())
}

/// The lines that are compiled into the product: no comments, no strings of documentation, no tests.
fn product_lines<'a>(path: &Path, text: &'a str) -> Vec<(usize, &'a str)> {
    if path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|c| c.as_os_str() == "tests")
    {
        return Vec::new();
    }
    let product = text.find("#[cfg(test)]\nmod ").map_or(text, |start| &text[..start]);
    product
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_start()))
        .filter(|(_, line)| !line.starts_with("//"))
        .collect()
}

fn directories(path: &Path) -> Outcome<Vec<PathBuf>> {
    Ok(entries(path)?.into_iter().filter(|entry| entry.is_dir()).collect())
}

fn files(path: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![path.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in entries(&directory)? {
            if entry.is_dir() { pending.push(entry) } else { found.push(entry) }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(path: &Path) -> Outcome<Vec<PathBuf>> {
    let read = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let sorted: BTreeMap<_, _> = read.flatten().map(|entry| (entry.file_name(), entry.path())).collect();
    Ok(sorted.into_values().collect())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_their_section_only() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nprost.workspace = true\nlibc = \"1\"\n[dev-dependencies]\nureq = \"1\"\n";
        assert_eq!(dependencies(manifest), ["prost", "libc"]);
    }

    #[test]
    fn comments_and_tests_are_free() {
        let text = "// unsafe {\nfn a() {}\n#[cfg(test)]\nmod tests { println!(); }\n";
        assert_eq!(product_lines(Path::new("a.rs"), text), [(2, "fn a() {}")]);
    }
}
