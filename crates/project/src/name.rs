//! Rules for names: of elements, of symbols, of paths inside a project.

use bourn_yaml::look::PlaceKind;
use bourn_yaml::{Diagnostic, Files, Provenance};
use std::path::{Component, Path, PathBuf};

/// Checks the name of an element as it is referred to.
///
/// # Errors
/// `bad-element-suffix` and `bad-characters-in-name`.
pub(crate) fn check_element(name: &str, at: Option<Provenance>) -> Result<(), Diagnostic> {
    let at = at.unwrap_or(Provenance::SYNTHETIC);
    if !name.ends_with(".bst") {
        let message = format!("Element '{name}' does not have expected file extension `.bst`");
        return Err(Diagnostic::load("bad-element-suffix", message)
            .at(at)
            .hint(format!("did you mean `{name}.bst`?")));
    }
    // What Windows forbids in file names is forbidden, but for the separators of paths and junctions.
    let bad = name.chars().find(|c| !matches!(c, ' '..='~') || "<>\"|?*".contains(*c));
    let Some(bad) = bad else { return Ok(()) };
    let message = format!("Element '{name}' has invalid characters.");
    Err(Diagnostic::load("bad-characters-in-name", message)
        .at(at)
        .hint(format!("{bad:?} may not stand in the name of an element")))
}

/// Checks a name that stands for something in expressions or file names: of a project, an option, a variable.
///
/// # Errors
/// `invalid-symbol-name`.
pub(crate) fn check_symbol(
    name: &str,
    purpose: &str,
    at: Provenance,
    dashes: bool,
) -> Result<(), Diagnostic> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (dashes && c == '-');
    if !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    let also = if dashes { "underscores and dashes" } else { "underscores" };
    Err(Diagnostic::load("invalid-symbol-name", format!("Invalid symbol name for {purpose}: '{name}'"))
        .at(at)
        .hint(format!("use letters and digits of ASCII, {also}, and no digit in front")))
}

/// A path without `.`, doubled slashes and `..` that can be resolved by looking at the text alone.
pub(crate) fn normalise(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (path.starts_with('/'), joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Whether a path is normal already, the common case.
pub(crate) fn is_normal(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// What a path in a project may lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To a directory.
    Directory,
    /// To anything that can be read: a file, a directory.
    Anywhere,
}

/// Checks a path that the user's files give relative to the directory of their project.
///
/// # Errors
/// `proj-path-invalid`, `proj-path-invalid-kind`, `missing-file`.
pub(crate) fn check_path(
    files: &Files,
    text: &str,
    at: Provenance,
    root: &Path,
    leads: Leads,
) -> Result<PathBuf, Diagnostic> {
    let wrong = |code, message: String| Err(Diagnostic::load(code, message).at(at));
    let path = Path::new(text);
    let full = root.join(path);
    if full.is_symlink() {
        let message = format!("Specified path '{text}' must not point to symbolic links");
        return wrong("proj-path-invalid-kind", message);
    }
    if path.components().next() == Some(Component::ParentDir) {
        return wrong(
            "proj-path-invalid",
            format!("Specified path '{text}' first component must not be '..'"),
        );
    }
    let Ok((resolved, kind)) = files.place(&full) else {
        let missing =
            Diagnostic::load("missing-file", format!("Specified path '{text}' does not exist")).at(at);
        return Err(missing.did_you_mean(neighbour(&full).as_deref()));
    };
    if !resolved.starts_with(root) {
        let message = format!("Specified path '{text}' must not lead outside of the project directory");
        return wrong("proj-path-invalid", message);
    }
    if path.is_absolute() {
        return wrong("proj-path-invalid", format!("Absolute path: '{text}' invalid."))
            .map_err(|d: Diagnostic| d.hint("write it relative to the directory of project.conf"));
    }
    match (kind, leads) {
        (PlaceKind::Directory, _) | (PlaceKind::File, Leads::Anywhere) => Ok(resolved),
        (_, Leads::Directory) => {
            wrong("proj-path-invalid-kind", format!("Specified path '{text}' is not a directory"))
        }
        (PlaceKind::Other, Leads::Anywhere) => wrong(
            "proj-path-invalid-kind",
            format!("Specified path '{text}' points to an unsupported file kind"),
        ),
    }
}

/// The file beside a missing one that was probably meant.
pub(crate) fn neighbour(missing: &Path) -> Option<String> {
    let wanted = missing.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(missing.parent()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    bourn_yaml::nearest::to(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_names() {
        for (name, expect) in [
            ("a.bst", None),
            ("dir/sp ace.bst", None),
            ("a", Some("bad-element-suffix")),
            ("a.bs", Some("bad-element-suffix")),
            ("ä.bst", Some("bad-characters-in-name")),
            ("a?.bst", Some("bad-characters-in-name")),
            ("a\u{7f}.bst", Some("bad-characters-in-name")),
        ] {
            assert_eq!(check_element(name, None).err().map(|d| d.code), expect, "{name}");
        }
    }

    #[test]
    fn paths_become_normal() {
        for (path, expect) in [
            ("a.bst", "a.bst"),
            ("./a.bst", "a.bst"),
            ("a//b/./c.bst", "a/b/c.bst"),
            ("a/../b.bst", "b.bst"),
            ("../a.bst", "../a.bst"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("", "."),
            ("a/..", "."),
        ] {
            assert_eq!(normalise(path), expect, "{path}");
            assert_eq!(is_normal(path), path == expect && !path.contains("..") && path != ".", "{path}");
        }
    }

    #[test]
    fn symbols() {
        for (name, dashes, good) in [
            ("a_b", false, true),
            ("a-b", true, true),
            ("a-b", false, false),
            ("1a", true, false),
            ("", true, false),
            ("a+b", true, false),
        ] {
            assert_eq!(check_symbol(name, "x", Provenance::SYNTHETIC, dashes).is_ok(), good, "{name}");
        }
    }
}
