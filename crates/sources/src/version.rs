//! Guessing the version that people would call a source by, for provenance.

use bourn_plan::KeyValue;
use bourn_yaml::{Diagnostic, Node};
use fancy_regex::Regex;
use std::sync::LazyLock;

/// bst's own pattern: two or three numbers between dots.
static DEFAULT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\d+)\.(\d+)(?:\.(\d+))?").ok());

/// The keys `version` and `version-guess-pattern` of a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct VersionGuess {
    pattern: Option<String>,
    version: Option<String>,
}

impl VersionGuess {
    /// The keys it reads.
    pub(crate) const KEYS: [&'static str; 2] = ["version", "version-guess-pattern"];

    /// Reads the two keys.
    pub(crate) fn read(node: &Node) -> Result<VersionGuess, Diagnostic> {
        let pattern = node.opt_str("version-guess-pattern")?.map(str::to_owned);
        if let Some(Err(error)) = pattern.as_deref().map(compile) {
            let at = node.get("version-guess-pattern").map_or(node.at, |value| value.at);
            let message = "The version-guess-pattern is no regular expression";
            return Err(Diagnostic::new(bourn_yaml::Domain::Source, "", message)
                .at(at)
                .detail(error.to_string()));
        }
        Ok(VersionGuess { pattern, version: node.opt_str("version")?.map(str::to_owned) })
    }

    /// What of it enters a key that is a list: the version, else the pattern.
    pub(crate) fn key(&self) -> Option<(&'static str, &str)> {
        match (&self.version, &self.pattern) {
            (Some(version), _) => Some(("version", version)),
            (None, Some(pattern)) => Some(("version-guess-pattern", pattern)),
            (None, None) => None,
        }
    }

    /// Appends it to a key that is a list.
    pub(crate) fn extend(&self, key: &mut Vec<KeyValue>) {
        key.extend(self.key().map(|(_, value)| KeyValue::from(value)));
    }

    /// The version as configured, else guessed from `text`.
    pub(crate) fn guess(&self, text: Option<&str>) -> Option<String> {
        if let Some(version) = &self.version {
            return Some(version.clone());
        }
        match &self.pattern {
            Some(pattern) => guess(text?, &compile(pattern).ok()?),
            None => guess(text?, DEFAULT.as_ref()?),
        }
    }
}

/// Python's syntax for named groups is understood by the engine; its `\Z` is the other's `\z`.
fn compile(pattern: &str) -> Result<Regex, Box<fancy_regex::Error>> {
    Regex::new(&pattern.replace(r"\Z", r"\z")).map_err(Box::new)
}

/// Among all matches the one with most groups set wins, the first of equals; its groups joined by dots.
fn guess(text: &str, pattern: &Regex) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for found in pattern.captures_iter(text) {
        let found = found.ok()?;
        let (count, version) = match found.len() {
            1 => (1, found.get(0)?.as_str().to_owned()),
            _ => {
                let groups: Vec<&str> = found.iter().skip(1).flatten().map(|group| group.as_str()).collect();
                (groups.len(), groups.join("."))
            }
        };
        if best.as_ref().is_none_or(|(most, _)| count > *most) {
            best = Some((count, version));
        }
    }
    best.map(|(_, version)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: Option<&str>, text: &str, expect: Option<&str>) {
        let guess = VersionGuess { pattern: pattern.map(str::to_owned), version: None };
        assert_eq!(guess.guess(Some(text)).as_deref(), expect, "{pattern:?} in {text}");
    }

    #[test]
    fn guesses() {
        check(None, "https://example.com/releases/1.2/release-1.2.3.tgz", Some("1.2.3"));
        check(None, "https://example.com/1.2/x-3.4.tgz", Some("1.2"));
        check(None, "nothing", None);
        check(Some(r"(\d+)_(\d+)(?:_(\d+))?(?:\-(r\d+))?"), "release-1_2_3-r2", Some("1.2.3.r2"));
        check(Some(r"\d+"), "a1b22", Some("1"));
        check(Some(r"(?<=v)(\d+)"), "1v2", Some("2"));
    }

    #[test]
    fn configured_version_wins() {
        let guess = VersionGuess { pattern: Some("x".into()), version: Some("9".into()) };
        assert_eq!(guess.guess(None).as_deref(), Some("9"));
        assert_eq!(guess.key(), Some(("version", "9")));
    }
}
