//! What the words of a command name: elements, artifacts, and patterns of either.

use crate::exit::Failure;
use bourn_build::split::Globs;
use bourn_reapi::ArtifactName;
use indexmap::IndexSet;
use std::path::Path;

/// Words sorted by what they name, patterns expanded, nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    /// Names of elements.
    pub(crate) elements: Vec<String>,
    /// Names of artifacts.
    pub(crate) artifacts: Vec<ArtifactName>,
    /// Patterns that nothing matched, each as the sentence to warn with.
    pub(crate) unmatched: Vec<String>,
}

/// Where patterns look for matches.
pub(crate) struct Known<'a> {
    /// The directory of elements of the project, if there is a project.
    pub(crate) element_path: Option<&'a Path>,
    /// Names of artifacts in the cache; asked only when a pattern needs them.
    pub(crate) artifacts: &'a dyn Fn() -> Result<Vec<ArtifactName>, Failure>,
    /// Whether artifacts may be named.
    pub(crate) artifacts_allowed: bool,
}

/// Sorts the words. What ends in `.bst` names elements, everything else artifacts.
///
/// # Errors
/// Artifacts where they are not allowed, words that name neither, patterns of elements without a project.
pub(crate) fn classify(words: &[String], known: &Known<'_>) -> Result<Targets, Failure> {
    let is_pattern = |word: &str| word.contains(['*', '?', '[']);
    let is_element = |word: &str| word.ends_with(".bst");
    let foreign: Vec<&str> = words.iter().map(String::as_str).filter(|word| !is_element(word)).collect();
    if !known.artifacts_allowed && !foreign.is_empty() {
        let text =
            format!("Invalid element names or element glob patterns were specified: {}", foreign.join(", "));
        let meant = |word: &&&str| {
            let file = format!("{word}.bst");
            known.element_path.is_some_and(|path| path.join(file).is_file())
        };
        let hint = match foreign.iter().find(meant) {
            Some(word) => format!("did you mean `{word}.bst`?"),
            None => "names of elements, and patterns of them, end in `.bst`".to_owned(),
        };
        return Err(Failure::stream(text).reason("invalid-element-names").hint(hint));
    }
    let mut elements: IndexSet<String> =
        words.iter().filter(|word| is_element(word) && !is_pattern(word)).cloned().collect();
    let mut artifacts = IndexSet::new();
    for word in foreign.iter().filter(|word| !is_pattern(word)) {
        artifacts.insert(artifact_name(word)?);
    }
    let mut unmatched = Vec::new();
    let patterns: IndexSet<&str> = words.iter().map(String::as_str).filter(|word| is_pattern(word)).collect();
    let (element_patterns, artifact_patterns): (Vec<&str>, Vec<&str>) =
        patterns.into_iter().partition(|word| is_element(word));
    if !element_patterns.is_empty() {
        let Some(path) = known.element_path else {
            let list = element_patterns.join(", ");
            let text =
                format!("Element glob expressions were specified without any project directory: {list}");
            return Err(Failure::stream(text).reason("glob-elements-without-project"));
        };
        let all = elements_below(path);
        for pattern in element_patterns {
            let found = matching(pattern, all.iter().map(String::as_str))?;
            if found.is_empty() {
                unmatched.push(format!("No elements matched the glob expression: {pattern}"));
            }
            elements.extend(found.into_iter().map(str::to_owned));
        }
    }
    if !artifact_patterns.is_empty() {
        let mut all: Vec<String> = (known.artifacts)()?.iter().map(ToString::to_string).collect();
        all.sort();
        for pattern in artifact_patterns {
            let found = matching(pattern, all.iter().map(String::as_str))?;
            if found.is_empty() {
                unmatched.push(format!("No artifact names matched the glob expression: {pattern}"));
            }
            artifacts.extend(found.into_iter().filter_map(ArtifactName::parse));
        }
    }
    Ok(Targets {
        elements: elements.into_iter().collect(),
        artifacts: artifacts.into_iter().collect(),
        unmatched,
    })
}

fn artifact_name(word: &str) -> Result<ArtifactName, Failure> {
    let is_key = |key: &str| key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    ArtifactName::parse(word).filter(|name| is_key(&name.key)).ok_or_else(|| {
        Failure::stream(format!("Specified target does not appear to be an artifact or element name: {word}"))
            .reason("unrecognized-target-format")
            .hint("names of elements end in `.bst`; artifacts are named PROJECT/ELEMENT/KEY")
    })
}

fn matching<'a>(pattern: &str, names: impl Iterator<Item = &'a str>) -> Result<Vec<&'a str>, Failure> {
    let relative = pattern.strip_prefix('/').unwrap_or(pattern);
    let globs = Globs::new([relative].into_iter())
        .map_err(|error| Failure::stream(format!("{pattern}: {}", error.failure.message)))?;
    Ok(names.filter(|name| globs.matches(name)).collect())
}

/// Every element below a directory, in the order of a plain walk.
pub(crate) fn elements_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(directory, "", &mut found);
    found
}

fn walk(directory: &Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut below = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && name != ".bst" {
            below.push(name);
        } else if !is_directory && name.ends_with(".bst") {
            found.push(format!("{prefix}{name}"));
        }
    }
    for name in below {
        walk(&directory.join(&name), &format!("{prefix}{name}/"), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "8276376b077eda104c812e6ec2f488c7c9eea211ce572c83d734c10bf241209f";

    fn classify_in(words: &str, artifacts_allowed: bool) -> Result<Targets, Failure> {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["a.bst", "b.bst", "core/c.bst", "core/notes.txt", "core/.bst/x.bst"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            std::fs::write(path, "").expect("written");
        }
        let cached =
            || Ok(vec![ArtifactName::new("demo", "a.bst", KEY), ArtifactName::new("other", "z", KEY)]);
        let known = Known { element_path: Some(directory.path()), artifacts: &cached, artifacts_allowed };
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        classify(&words, &known)
    }

    fn check(words: &str, elements: &str, artifacts: usize, unmatched: usize) {
        let mut found = classify_in(words, true).expect(words);
        found.elements.sort();
        assert_eq!(found.elements.join(" "), elements, "{words}");
        assert_eq!((found.artifacts.len(), found.unmatched.len()), (artifacts, unmatched), "{words}");
    }

    #[test]
    fn words_and_patterns() {
        check("a.bst j.bst:x.bst a.bst", "a.bst j.bst:x.bst", 0, 0);
        check("*.bst", "a.bst b.bst", 0, 0);
        check("**.bst", "a.bst b.bst core/c.bst", 0, 0);
        check("core/*.bst x*.bst", "core/c.bst", 0, 1);
        check(&format!("demo/a/{KEY}"), "", 1, 0);
        check("demo/** **", "", 2, 0);
        check("pony/*", "", 0, 1);
    }

    #[test]
    fn words_that_name_nothing() {
        for (words, allowed, reason) in [
            ("demo/a/short", true, "unrecognized-target-format"),
            ("pony", true, "unrecognized-target-format"),
            ("pony", false, "invalid-element-names"),
            ("demo/*", false, "invalid-element-names"),
        ] {
            let failure = classify_in(words, allowed).expect_err(words);
            assert_eq!(failure.reason.as_deref(), Some(reason), "{words}");
        }
    }
}
