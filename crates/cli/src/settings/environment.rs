//! The environment of the program: read here, once, and nowhere else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variables of the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// Of this process. The XDG directories get their defaults where they are not set, so that configuration
    /// files can refer to them.
    pub(crate) fn of_process() -> Environment {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Environment::with(std::env::vars_os().filter_map(text))
    }

    /// Of the given variables, XDG defaults added.
    pub(crate) fn with(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
        let mut environment = Environment { variables: variables.into_iter().collect() };
        for (name, below_home) in
            [("XDG_CACHE_HOME", ".cache"), ("XDG_CONFIG_HOME", ".config"), ("XDG_DATA_HOME", ".local/share")]
        {
            if environment.get(name).is_none() {
                let path = environment.home().join(below_home);
                environment.variables.insert(name.to_owned(), path.to_string_lossy().into_owned());
            }
        }
        environment
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a variable is set, be it empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The home directory; `/` if there is none.
    pub(crate) fn home(&self) -> PathBuf {
        PathBuf::from(self.get("HOME").unwrap_or("/"))
    }

    /// An XDG directory.
    pub(crate) fn xdg(&self, name: &str) -> PathBuf {
        PathBuf::from(self.get(name).unwrap_or("/"))
    }

    /// Finds a program in `PATH`.
    pub(crate) fn find_program(&self, name: &str) -> Option<PathBuf> {
        let mut paths = std::env::split_paths(self.get("PATH")?).map(|directory| directory.join(name));
        paths.find(|path| is_program(path))
    }

    /// Replaces a leading `~` or `~USER`, as Python's `expanduser` does: the home directory of a user who is not known
    /// stays what was written.
    pub(crate) fn expand_user(&self, text: &str) -> String {
        let Some(rest) = text.strip_prefix('~') else { return text.to_owned() };
        let (user, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let home = match user {
            "" => Some(self.home().to_string_lossy().into_owned()),
            user => home_of(user),
        };
        match home {
            Some(home) if !rest.is_empty() => format!("{}{rest}", home.trim_end_matches('/')),
            Some(home) => home,
            None => text.to_owned(),
        }
    }

    /// Replaces a leading `~` and every `$NAME` and `${NAME}` that is set, as Python's `expanduser` and
    /// `expandvars` do, and takes out `.`, `..` and doubled slashes.
    pub(crate) fn expand_path(&self, text: &str) -> PathBuf {
        let text = self.expand_user(text);
        normalize(Path::new(&self.expand_variables(&text)))
    }

    /// Replaces every `$NAME` and `${NAME}` that is set; others stay as they are.
    pub(crate) fn expand_variables(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let (name, length) = variable_name(&rest[1..]);
            match self.variables.get(name) {
                Some(value) if !name.is_empty() => out.push_str(value),
                _ => out.push_str(&rest[..=length]),
            }
            rest = &rest[length + 1..];
        }
        out.push_str(rest);
        out
    }
}

/// The name of a variable at the start of `text` (which stands behind a `$`), and how many bytes it takes.
fn variable_name(text: &str) -> (&str, usize) {
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.find('}') {
            Some(end) => (&inner[..end], end + 2),
            None => ("", 0),
        };
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (&text[..end], end)
}

/// Takes `.`, `..` and doubled slashes out of a path without looking at the disk.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir) => {}
                _ => out.push(".."),
            },
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}

/// Whether there is a file that somebody may run.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The home directory of a user of this machine (`passwd(5)`).
fn home_of(user: &str) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| (fields.next() == Some(user)).then(|| fields.nth(4).map(str::to_owned))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let variables = [("HOME", "/home/me"), ("CACHE", "/c"), ("EMPTY", "")];
        let environment = Environment::with(variables.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(environment.expand_path(text), PathBuf::from(expect), "{text}");
    }

    #[test]
    fn paths_expand_as_in_python() {
        check("~", "/home/me");
        check("~/x", "/home/me/x");
        check("~other/x", "~other/x");
        check("${CACHE}/x", "/c/x");
        check("$CACHE/x", "/c/x");
        check("${XDG_CACHE_HOME}/buildstream", "/home/me/.cache/buildstream");
        check("/a/$UNSET/b", "/a/$UNSET/b");
        check("/a/${UNSET}/b", "/a/${UNSET}/b");
        check("/a/${b", "/a/${b");
        check("/a//b/./c/../d", "/a/b/d");
        check("/a$EMPTY/b", "/a/b");
        check("/..", "/");
        check(".", ".");
        check("a$", "a$");
    }
}
