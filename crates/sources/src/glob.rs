//! bst's globs: `*` stops at slashes, `**` does not, both sides are taken to start with a slash.

use regex::Regex;

/// A compiled glob.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Option<Regex>);

impl Glob {
    /// Compiles a pattern. One that makes no sense matches nothing.
    pub(crate) fn new(pattern: &str) -> Glob {
        let slash = if pattern.starts_with('/') { "" } else { "/" };
        Glob(Regex::new(&translate(&format!("{slash}{pattern}"))).ok())
    }

    /// Whether a path matches, with or without a leading slash.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(regex) = &self.0 else { return false };
        if path.starts_with('/') { regex.is_match(path) } else { regex.is_match(&format!("/{path}")) }
    }
}

fn translate(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut expression = String::from("(?s)^");
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        i += 1;
        match c {
            '*' if chars.get(i) == Some(&'*') => {
                expression.push_str(".*");
                i += 1;
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => match class_end(&chars, i) {
                Some(end) => {
                    expression.push_str(&class(&chars[i..end]));
                    i = end + 1;
                }
                None => expression.push_str("\\["),
            },
            _ => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression.push_str("\\z");
    expression
}

/// Where the class that starts at `from` ends; a bracket right at its start is part of it.
fn class_end(chars: &[char], from: usize) -> Option<usize> {
    let mut end = from;
    end += usize::from(chars.get(end) == Some(&'!'));
    end += usize::from(chars.get(end) == Some(&']'));
    while *chars.get(end)? != ']' {
        end += 1;
    }
    Some(end)
}

fn class(stuff: &[char]) -> String {
    let (negated, stuff) = match stuff.split_first() {
        Some(('!', rest)) => ("^", rest),
        _ => ("", stuff),
    };
    let mut body = String::new();
    for c in stuff {
        if "\\[]^&~".contains(*c) {
            body.push('\\');
        }
        body.push(*c);
    }
    format!("[{negated}{body}]")
}

/// A glob as Python's `fnmatch` reads it: `*` and `?` match slashes, too.
#[derive(Clone, Debug)]
pub(crate) struct Fnmatch(Option<Regex>);

impl Fnmatch {
    /// Compiles a pattern; `before` is a regular expression for what stands before it.
    pub(crate) fn new(before: &str, pattern: &str) -> Fnmatch {
        let chars: Vec<char> = pattern.chars().collect();
        let mut expression = format!("(?s)^(?:{before})");
        let mut at = 0;
        while at < chars.len() {
            let c = chars[at];
            at += 1;
            match c {
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                '[' => match class_end(&chars, at) {
                    Some(end) => {
                        expression.push_str(&class(&chars[at..end]));
                        at = end + 1;
                    }
                    None => expression.push_str("\\["),
                },
                _ => expression.push_str(&regex::escape(&c.to_string())),
            }
        }
        expression.push_str("\\z");
        Fnmatch(Regex::new(&expression).ok())
    }

    /// Whether a text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, path, expect) in [
            ("*", "foo", true),
            ("*", "foo/bar", false),
            ("**", "foo/bar", true),
            ("foo*", "/foo-1.0", true),
            ("*/bar", "foo/bar", true),
            ("f?o", "foo", true),
            ("f?o", "f/o", false),
            ("[fg]oo", "goo", true),
            ("[!f]oo", "foo", false),
            ("[!f]oo", "goo", true),
            ("[", "[", true),
            ("a.b", "axb", false),
            ("[]]", "]", true),
            ("[^a]", "^", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(path), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn fnmatches() {
        for (pattern, text, expect) in [
            ("v*", "refs/tags/v1/x", true),
            ("v?", "refs/heads/v1", true),
            ("v[0-9]", "refs/tags/v7", true),
            ("v[!0-9]", "refs/tags/v7", false),
            ("v*", "refs/notes/v1", false),
            ("v.1", "refs/tags/vx1", false),
        ] {
            assert_eq!(Fnmatch::new("refs/(heads|tags)/", pattern).matches(text), expect, "{pattern} {text}");
        }
    }
}
