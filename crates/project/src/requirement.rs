//! Demands on Python packages as `package-name:` states them (PEP 508), and their versions (PEP 440).

use std::cmp::Ordering;

/// A package and what is demanded of its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Requirement {
    /// Name, normalised: lower case, dashes.
    pub(crate) package: String,
    /// The demands as written.
    pub(crate) specifier: String,
    clauses: Vec<(Operator, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Compatible,
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Below,
    Above,
    Arbitrary,
}

const OPERATORS: [(&str, Operator); 8] = [
    ("===", Operator::Arbitrary),
    ("~=", Operator::Compatible),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
];

impl Requirement {
    /// Reads `name[extras] >=1.0,<2; marker`. Markers are not looked at, as in bst.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn parse(text: &str) -> Result<Requirement, String> {
        let text = text.split(';').next().unwrap_or_default().trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let (name, mut rest) = text.split_at(text.find(|c| !fits(c)).unwrap_or(text.len()));
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err("a package name begins and ends with a letter or digit".to_owned());
        }
        rest = rest.trim();
        if let Some(extras) = rest.strip_prefix('[') {
            rest = extras.split_once(']').ok_or("`[` without `]`")?.1.trim();
        }
        let specifier = match rest.strip_prefix('(') {
            Some(inner) => inner.strip_suffix(')').ok_or("`(` without `)`")?.trim(),
            None if rest.starts_with('@') => "",
            None => rest,
        };
        let mut clauses = Vec::new();
        for clause in specifier.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
            let found =
                OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, clause.strip_prefix(sign)?)));
            let (operator, version) = found.ok_or_else(|| format!("`{clause}` is no demand on a version"))?;
            let version = version.trim();
            let plain = version.strip_suffix(".*").unwrap_or(version);
            if operator != Operator::Arbitrary && Version::parse(plain).is_none() {
                return Err(format!("`{version}` is no version"));
            }
            clauses.push((operator, version.to_owned()));
        }
        Ok(Requirement { package: normalise(name), specifier: specifier.to_owned(), clauses })
    }

    /// Whether a version answers all demands; versions before a release do as well.
    pub(crate) fn admits(&self, version: &str) -> bool {
        let Some(parsed) = Version::parse(version) else { return self.clauses.is_empty() };
        self.clauses.iter().all(|(operator, wanted)| admits(*operator, wanted, version, &parsed))
    }
}

/// The name of a package as the index compares it.
pub(crate) fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            _ => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

fn admits(operator: Operator, wanted: &str, text: &str, version: &Version) -> bool {
    if operator == Operator::Arbitrary {
        return wanted.eq_ignore_ascii_case(text);
    }
    let stem = wanted.strip_suffix(".*");
    let Some(bound) = Version::parse(stem.unwrap_or(wanted)) else { return false };
    let order = version.public().cmp(&bound.public());
    let exact = if bound.local.is_empty() { order.is_eq() } else { *version == bound };
    let equal = if stem.is_some() { version.starts_with(&bound.release, bound.epoch) } else { exact };
    match operator {
        Operator::Equal => equal,
        Operator::NotEqual => !equal,
        Operator::AtMost => order.is_le(),
        Operator::AtLeast => order.is_ge(),
        Operator::Below => {
            order.is_lt() && (bound.is_early() || !version.is_early() || !version.same_release(&bound))
        }
        Operator::Above => {
            order.is_gt() && (bound.post.is_some() || version.post.is_none() || !version.same_release(&bound))
        }
        Operator::Compatible => {
            let prefix = &bound.release[..bound.release.len().saturating_sub(1)];
            order.is_ge() && version.starts_with(prefix, bound.epoch)
        }
        Operator::Arbitrary => false,
    }
}

/// A version of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Version {
    epoch: u64,
    release: Vec<u64>,
    pre: Option<(u8, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
    local: String,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (text, local) = text.split_once('+').unwrap_or((text, ""));
        let (epoch, text) = match text.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, text),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let release = text[..end].trim_end_matches('.');
        let mut rest = &text[release.len()..];
        let release = release.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let mut version =
            Version { epoch, release, pre: None, post: None, dev: None, local: local.to_owned() };
        while !rest.is_empty() {
            if let Some(number) =
                rest.strip_prefix('-').filter(|r| r.starts_with(|c: char| c.is_ascii_digit()))
            {
                version.post = Some(number.parse().ok()?);
                return Some(version);
            }
            let part = rest.trim_start_matches(['.', '-', '_']);
            let letters = part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
            let (word, after) = part.split_at(letters);
            let after = after.trim_start_matches(['.', '-', '_']);
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let number = if digits == 0 { 0 } else { after[..digits].parse().ok()? };
            match word {
                "a" | "alpha" => version.pre = Some((0, number)),
                "b" | "beta" => version.pre = Some((1, number)),
                "c" | "rc" | "pre" | "preview" => version.pre = Some((2, number)),
                "post" | "rev" | "r" => version.post = Some(number),
                "dev" => version.dev = Some(number),
                _ => return None,
            }
            rest = &after[digits..];
        }
        Some(version)
    }

    /// Without the local part.
    fn public(&self) -> Version {
        Version { local: String::new(), ..self.clone() }
    }

    /// Whether it comes before its release.
    fn is_early(&self) -> bool {
        self.pre.is_some() || self.dev.is_some()
    }

    fn trimmed(&self) -> &[u64] {
        let end = self.release.iter().rposition(|part| *part != 0).map_or(0, |at| at + 1);
        &self.release[..end]
    }

    fn same_release(&self, other: &Version) -> bool {
        self.epoch == other.epoch && self.trimmed() == other.trimmed()
    }

    fn starts_with(&self, prefix: &[u64], epoch: u64) -> bool {
        let part = |at: usize| self.release.get(at).copied().unwrap_or(0);
        self.epoch == epoch && prefix.iter().enumerate().all(|(at, wanted)| part(at) == *wanted)
    }

    /// A development version comes first, then those before the release, the release, those after it.
    fn stage(&self) -> (u8, u8, u64) {
        match (self.pre, self.post, self.dev) {
            (Some((letter, number)), _, _) => (1, letter, number),
            (None, None, Some(_)) => (0, 0, 0),
            _ => (2, 0, 0),
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let last = |version: &Version| (version.dev.is_none(), version.dev.unwrap_or(0));
        (self.epoch.cmp(&other.epoch))
            .then_with(|| self.trimmed().cmp(other.trimmed()))
            .then_with(|| self.stage().cmp(&other.stage()))
            .then_with(|| self.post.cmp(&other.post))
            .then_with(|| last(self).cmp(&last(other)))
            .then_with(|| self.local.cmp(&other.local))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are those of Python's `packaging` 25.
    #[test]
    fn admits_versions() {
        for (text, version, expect) in [
            ("buildstream-plugins", "2.8.0", true),
            ("buildstream_plugins >= 2.3", "2.8.0", true),
            ("x>=2.3,<2.5", "2.5.0", false),
            ("x>=2.3,<2.5", "2.4.9", true),
            ("x ~= 2.3", "2.8.0", true),
            ("x ~= 2.3.1", "2.4.0", false),
            ("x == 2.*", "2.8.0", true),
            ("x != 2.8.*", "2.8.0", false),
            ("x == 2.8", "2.8.0", true),
            ("x (>1)", "1.0.post1", false),
            ("x>1", "1.0.1", true),
            ("x<2", "2.0rc1", false),
            ("x<=2", "2.0rc1", true),
            ("x>=2.0.dev1", "2.0a1", true),
            ("x[extra]==1.0; python_version > '3'", "1.0", true),
            ("x===1.0", "1.0.0", false),
            ("x==1.0", "1.0+local", true),
        ] {
            assert_eq!(Requirement::parse(text).unwrap().admits(version), expect, "{text} {version}");
        }
    }

    #[test]
    fn refuses_what_is_no_requirement() {
        for text in ["", "-x", "x>>1", "x 1", "x[a", "x (1", "x==abc"] {
            assert!(Requirement::parse(text).is_err(), "{text}");
        }
    }
}
