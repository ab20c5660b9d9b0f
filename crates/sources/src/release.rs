//! Which release of a plugin package a project uses: keys and checks differ between them.

use crate::table::Package;
use bourn_project::KindOrigin;

/// A release of a plugin package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Release(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// Releases of buildstream-plugins, oldest first.
const PLUGINS: &[Release] = &[
    Release(2, 0, 0),
    Release(2, 0, 1),
    Release(2, 1, 0),
    Release(2, 2, 0),
    Release(2, 3, 0),
    Release(2, 4, 0),
    Release(2, 5, 0),
    Release(2, 7, 0),
    Release(2, 8, 0),
];

/// Releases of buildstream-plugins-community, oldest first.
const COMMUNITY: &[Release] = &[
    Release(2, 0, 0),
    Release(2, 0, 1),
    Release(2, 0, 2),
    Release(2, 0, 3),
    Release(2, 0, 4),
    Release(2, 1, 0),
    Release(2, 1, 1),
    Release(2, 2, 0),
    Release(2, 3, 0),
    Release(2, 3, 1),
    Release(2, 3, 2),
    Release(2, 3, 3),
    Release(2, 4, 0),
];

impl Release {
    /// Reads the numbers that a version starts with (`2.4.0.dev1`: 2, 4, 0).
    fn parse(text: &str) -> Release {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Release(next(), next(), next())
    }

    /// The release that a project takes its kinds from: the one that its checkout is of, else the newest that its
    /// version specifier allows.
    pub(crate) fn of(origin: &KindOrigin, package: Package) -> Release {
        let known = match package {
            Package::Core => return Release(2, 8, 1),
            Package::Plugins => PLUGINS,
            Package::Community => COMMUNITY,
        };
        let newest = known[known.len() - 1];
        match origin {
            KindOrigin::File { package: Some((_, version)), .. } => Release::parse(version),
            KindOrigin::Pip { specifier, .. } => {
                known.iter().rev().copied().find(|release| release.satisfies(specifier)).unwrap_or(newest)
            }
            _ => newest,
        }
    }

    /// Whether this release is one that a specifier such as `>=2.3,<2.5` allows.
    fn satisfies(self, specifier: &str) -> bool {
        specifier
            .split(',')
            .map(str::trim)
            .filter(|clause| !clause.is_empty())
            .all(|clause| self.satisfies_one(clause))
    }

    fn satisfies_one(self, clause: &str) -> bool {
        let operator = clause.trim_end_matches(|c: char| !"<>=!~".contains(c));
        let wanted = clause[operator.len()..].trim();
        let release = Release::parse(wanted);
        match operator.trim() {
            ">=" => self >= release,
            "<=" => self <= release,
            ">" => self > release,
            "<" => self < release,
            "!=" => !self.matches(wanted),
            "~=" => {
                self >= release && wanted.rsplit_once('.').is_none_or(|(prefix, _)| self.starts_with(prefix))
            }
            _ => self.matches(wanted),
        }
    }

    /// Whether `wanted` (`2.3.0`, `2.3`, `2.3.*`) is this release; numbers that are not written are 0.
    fn matches(self, wanted: &str) -> bool {
        match wanted.strip_suffix(".*") {
            Some(prefix) => self.starts_with(prefix),
            None => self == Release::parse(wanted),
        }
    }

    /// Whether the numbers that are written are the first ones of this release.
    fn starts_with(self, prefix: &str) -> bool {
        let written = prefix.split('.').map(|number| number.parse().unwrap_or(0));
        written.zip([self.0, self.1, self.2]).all(|(written, own): (u32, u32)| written == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(specifier: &str, expect: Release) {
        let origin = KindOrigin::Pip { package: "buildstream-plugins".into(), specifier: specifier.into() };
        assert_eq!(Release::of(&origin, Package::Plugins), expect, "{specifier}");
    }

    #[test]
    fn specifiers() {
        check("", Release(2, 8, 0));
        check(">=2.1", Release(2, 8, 0));
        check("<2.5", Release(2, 4, 0));
        check(">=2.2, <2.4.0", Release(2, 3, 0));
        check("==2.5.0", Release(2, 5, 0));
        check("==2.5", Release(2, 5, 0));
        check("==2.0.*", Release(2, 0, 1));
        check("~=2.3", Release(2, 8, 0));
        check("~=2.0.0", Release(2, 0, 1));
        check("!=2.8.0", Release(2, 7, 0));
    }

    #[test]
    fn checkouts() {
        let origin = KindOrigin::File { directory: "x".into(), package: Some(("p".into(), "2.3.1".into())) };
        assert_eq!(Release::of(&origin, Package::Community), Release(2, 3, 1));
    }
}
