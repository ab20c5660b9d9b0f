//! Split rules: which domain of an artifact claims a path.

use crate::error::{BuildError, BuildResult, domain};
use bourn_plan::assembly::Split;
use bourn_yaml::Node;
use regex::{Regex, RegexSet};

/// The split rules of an artifact, ready to be asked. Compiled once per distinct set of rules.
#[derive(Debug)]
pub struct SplitRules {
    domains: Vec<String>,
    set: RegexSet,
}

impl SplitRules {
    /// Reads the mapping `split-rules` of public data: domain to list of globs.
    ///
    /// # Errors
    /// The mapping is malformed, or a bracket expression of a glob cannot be understood.
    pub fn read(rules: Option<&Node>) -> BuildResult<SplitRules> {
        let mut domains = Vec::new();
        let mut patterns = Vec::new();
        for (name, globs) in rules.map(Node::as_mapping).transpose().map_err(malformed)?.into_iter().flatten()
        {
            domains.push(name.to_string());
            patterns.push(any_of(globs.as_str_list().map_err(malformed)?.into_iter()));
        }
        let set = RegexSet::new(&patterns).map_err(|error| {
            BuildError::new(domain::ELEMENT, "A split rule cannot be understood").detail(error.to_string())
        })?;
        Ok(SplitRules { domains, set })
    }

    /// The domains, in the order they were written.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Makes a filter for paths; `None` when the split takes all files, whatever the rules say.
    pub fn filter(&self, split: &Split) -> Option<SplitFilter<'_>> {
        if split.is_all() {
            return None;
        }
        let listed = |list: &[String]| self.domains.iter().map(|domain| list.contains(domain)).collect();
        let included =
            if split.include.is_empty() { vec![true; self.domains.len()] } else { listed(&split.include) };
        Some(SplitFilter { rules: self, included, excluded: listed(&split.exclude), orphans: split.orphans })
    }
}

fn malformed(diagnostic: bourn_yaml::Diagnostic) -> BuildError {
    BuildError::new(domain::LOAD, format!("Public data is malformed: {}", diagnostic.message))
        .reason(diagnostic.code)
}

/// Says of paths whether a [`Split`] takes them.
pub struct SplitFilter<'a> {
    rules: &'a SplitRules,
    included: Vec<bool>,
    excluded: Vec<bool>,
    orphans: bool,
}

impl SplitFilter<'_> {
    /// Whether the split takes a path below the root of the artifact.
    pub fn takes(&self, path: &str) -> bool {
        let mut absolute = String::with_capacity(path.len() + 1);
        absolute.push('/');
        absolute.push_str(path);
        let claims = self.rules.set.matches(&absolute);
        if claims.iter().any(|at| self.excluded[at]) {
            return false;
        }
        let included = claims.iter().any(|at| self.included[at]);
        included || (self.orphans && !claims.matched_any())
    }
}

/// A set of globs that whole paths are compared to.
#[derive(Debug)]
pub struct Globs(Regex);

impl Globs {
    /// Compiles globs.
    ///
    /// # Errors
    /// A bracket expression that cannot be understood.
    pub fn new<'a>(globs: impl Iterator<Item = &'a str>) -> BuildResult<Globs> {
        let compiled = Regex::new(&any_of(globs));
        compiled.map(Globs).map_err(|error| {
            BuildError::new(domain::ELEMENT, "A glob expression cannot be understood")
                .detail(error.to_string())
        })
    }

    /// Whether one of them matches the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// A regular expression that matches what any of the globs matches, as a whole.
fn any_of<'a>(globs: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::from("(?s)\\A(?:");
    let mut empty = true;
    for glob in globs {
        if !empty {
            out.push('|');
        }
        empty = false;
        glob_to_regex(&mut out, glob);
    }
    out.push_str(")\\z");
    out
}

/// `*` any text without a slash, `**` any text, `?` one character but no slash, `[abc]`, `[a-z]`, `[!abc]` one
/// character (of or not of a set). Nothing can be escaped.
fn glob_to_regex(out: &mut String, glob: &str) {
    let chars: Vec<char> = glob.chars().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '*' if chars.get(at) == Some(&'*') => {
                at += 1;
                out.push_str(".*");
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => match bracket_end(&chars, at) {
                Some(end) => {
                    bracket(out, &chars[at..end]);
                    at = end + 1;
                }
                None => out.push_str("\\["),
            },
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
}

/// Where the `]` is that closes a bracket whose content starts at `start`.
fn bracket_end(chars: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    if chars.get(at) == Some(&'!') {
        at += 1;
    }
    if chars.get(at) == Some(&']') {
        at += 1;
    }
    (at..chars.len()).find(|&at| chars[at] == ']')
}

fn bracket(out: &mut String, content: &[char]) {
    let negated = content.first() == Some(&'!');
    out.push_str(if negated { "[^" } else { "[" });
    for &c in &content[usize::from(negated)..] {
        if matches!(c, '\\' | '[' | ']' | '^' | '&' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_yaml::Mapping;

    #[track_caller]
    fn check(glob: &str, yes: &[&str], no: &[&str]) {
        let globs = Globs::new([glob].into_iter()).expect("a glob");
        for path in yes {
            assert!(globs.matches(path), "{glob} should match {path}");
        }
        for path in no {
            assert!(!globs.matches(path), "{glob} should not match {path}");
        }
    }

    #[test]
    fn globs() {
        check("/usr/bin/*", &["/usr/bin/a", "/usr/bin/"], &["/usr/bin", "/usr/bin/a/b", "x/usr/bin/a"]);
        check("/usr/**", &["/usr/", "/usr/a/b", "/usr/\n"], &["/usr"]);
        check("/lib?.so", &["/libx.so"], &["/lib/.so", "/libxx.so"]);
        check("/[a-c]x", &["/ax", "/cx"], &["/dx", "/-x"]);
        check("/[!a]x", &["/bx"], &["/ax"]);
        check("/[]a]", &["/]", "/a"], &["/b"]);
        check("/[", &["/["], &["/"]);
        check("/[^a]", &["/^", "/a"], &["/b"]);
        check("/a.b+", &["/a.b+"], &["/axb+", "/a.bb"]);
        check("/[&&a]", &["/&", "/a"], &["/b"]);
    }

    fn rules() -> SplitRules {
        let list = |globs: &[&str]| Node::sequence(globs.iter().map(|&glob| Node::scalar(glob)).collect());
        let mut mapping = Mapping::new();
        mapping.insert("runtime", list(&["/bin/*", "/lib/**"]));
        mapping.insert("devel", list(&["/include/**", "/lib/*.a"]));
        mapping.insert("none", list(&[]));
        SplitRules::read(Some(&Node::mapping(mapping))).expect("rules")
    }

    #[track_caller]
    fn check_split(include: &[&str], exclude: &[&str], orphans: bool, taken: &[&str]) {
        let owned = |list: &[&str]| list.iter().map(|&domain| domain.to_owned()).collect();
        let split = Split { include: owned(include), exclude: owned(exclude), orphans };
        let rules = rules();
        let filter = rules.filter(&split);
        let all = ["bin/sh", "lib/x.so", "lib/x.a", "include/x.h", "etc/x", "lib", ""];
        let got: Vec<&str> =
            all.into_iter().filter(|path| filter.as_ref().is_none_or(|f| f.takes(path))).collect();
        assert_eq!(got, taken);
    }

    #[test]
    fn splits() {
        check_split(&[], &[], true, &["bin/sh", "lib/x.so", "lib/x.a", "include/x.h", "etc/x", "lib", ""]);
        check_split(&["runtime"], &[], false, &["bin/sh", "lib/x.so", "lib/x.a"]);
        check_split(&["runtime"], &["devel"], false, &["bin/sh", "lib/x.so"]);
        check_split(&[], &["devel"], true, &["bin/sh", "lib/x.so", "etc/x", "lib", ""]);
        check_split(&[], &[], false, &["bin/sh", "lib/x.so", "lib/x.a", "include/x.h"]);
        check_split(&["unknown"], &[], true, &["etc/x", "lib", ""]);
    }
}
