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
}
