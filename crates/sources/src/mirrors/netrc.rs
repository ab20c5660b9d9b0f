//! `.netrc`: credentials by host, in the dialect that Python's reader understands.

use bourn_plan::Credentials;
use std::fmt;

/// The credentials of a `.netrc`.
#[derive(Clone, Default)]
pub struct Netrc {
    entries: Vec<(String, Credentials)>,
    default: Option<Credentials>,
}

/// Shows how much there is, never what.
impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netrc({} hosts)", self.entries.len() + usize::from(self.default.is_some()))
    }
}

/// Why a `.netrc` cannot be read. Never quotes what may be a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetrcError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: &'static str,
}

impl fmt::Display for NetrcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for NetrcError {}

impl Netrc {
    /// Reads the text of a `.netrc`.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub fn parse(text: &str) -> Result<Netrc, NetrcError> {
        let mut netrc = Netrc::default();
        let mut words = Words { rest: text, line: 1 };
        while let Some(word) = words.next() {
            match word.as_str() {
                word if word.starts_with('#') => words.skip_line(),
                "machine" => {
                    let host = words.value("a host should follow `machine`")?;
                    let credentials = credentials(&mut words)?;
                    netrc.entries.retain(|(known, _)| *known != host);
                    netrc.entries.push((host, credentials));
                }
                "default" => netrc.default = Some(credentials(&mut words)?),
                "macdef" => {
                    words.value("a name should follow `macdef`")?;
                    words.skip_macro();
                }
                _ => return Err(words.error("expected `machine`, `default` or `macdef`")),
            }
        }
        Ok(netrc)
    }

    /// The credentials of a host, else those of `default`.
    pub fn credentials(&self, host: &str) -> Option<Credentials> {
        let entry = self.entries.iter().find(|(known, _)| known.eq_ignore_ascii_case(host));
        entry.map(|(_, credentials)| credentials).or(self.default.as_ref()).cloned()
    }
}

fn credentials(words: &mut Words<'_>) -> Result<Credentials, NetrcError> {
    let mut credentials = Credentials { user: String::new(), password: String::new() };
    loop {
        let before = words.clone();
        let Some(word) = words.next() else { return Ok(credentials) };
        match word.as_str() {
            word if word.starts_with('#') => words.skip_line(),
            "login" | "user" => credentials.user = words.value("a name should follow `login`")?,
            "account" => drop(words.value("a name should follow `account`")?),
            "password" => credentials.password = words.value("a password should follow `password`")?,
            "machine" | "default" | "macdef" => {
                *words = before;
                return Ok(credentials);
            }
            _ => return Err(words.error("expected `login`, `account` or `password`")),
        }
    }
}

/// Words between white space, quoted ones unquoted.
#[derive(Clone)]
struct Words<'a> {
    rest: &'a str,
    line: usize,
}

impl Words<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn next(&mut self) -> Option<String> {
        while self.rest.starts_with(['\n', '\t', '\r', ' ']) {
            self.take();
        }
        let quoted = self.rest.starts_with('"');
        if quoted {
            self.take();
        }
        let mut word = String::new();
        let mut any = quoted;
        while let Some(c) = self.rest.chars().next() {
            let ends = if quoted { c == '"' } else { "\n\t\r ".contains(c) };
            if ends {
                if quoted {
                    self.take();
                }
                break;
            }
            self.take();
            any = true;
            word.push(if c == '\\' { self.take()? } else { c });
        }
        any.then_some(word)
    }

    fn value(&mut self, wrong: &'static str) -> Result<String, NetrcError> {
        self.next().ok_or_else(|| self.error(wrong))
    }

    fn skip_line(&mut self) {
        // A comment ends with its line; a word that ended with it leaves the newline behind.
        while !self.rest.is_empty() && !self.rest.starts_with('\n') {
            self.take();
        }
    }

    /// A macro ends at an empty line.
    fn skip_macro(&mut self) {
        self.skip_line();
        while !self.rest.is_empty() && !self.rest.starts_with("\n\n") {
            self.take();
        }
    }

    fn error(&self, message: &'static str) -> NetrcError {
        NetrcError { line: self.line, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: &str, expect: Option<(&str, &str)>) {
        let found = Netrc::parse(text).expect(text).credentials(host);
        assert_eq!(found.map(|c| (c.user, c.password)), expect.map(|(u, p)| (u.into(), p.into())), "{text}");
    }

    #[test]
    fn hosts() {
        let text = "machine a login u password p\nmachine b\n  login v\n  account x\n  password \"q r\"\n";
        check(text, "a", Some(("u", "p")));
        check(text, "b", Some(("v", "q r")));
        check(text, "c", None);
        check(
            "# comment\nmachine a password s\\ t # more\ndefault login d password e",
            "a",
            Some(("", "s t")),
        );
        check("default login d password e", "z", Some(("d", "e")));
        check("macdef m\nsome thing\n\nmachine a login u password p", "a", Some(("u", "p")));
        check("machine a login u password p#q", "a", Some(("u", "p#q")));
        check("", "a", None);
    }

    #[test]
    fn malformed() {
        assert_eq!(Netrc::parse("machine a\nlogin u\nsecret p").map(|_| ()).map_err(|e| e.line), Err(3));
        assert!(Netrc::parse("machine").is_err());
        assert!(Netrc::parse("what").is_err());
    }

    #[test]
    fn debugging_tells_no_secret() {
        let netrc = Netrc::parse("machine a login u password hush").expect("well-formed");
        assert!(!format!("{netrc:?} {:?}", netrc.credentials("a")).contains("hush"));
    }
}
