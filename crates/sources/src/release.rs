//! Which release of a plugin package a project uses: keys and checks differ between them.

use bourn_project::KindOrigin;

/// A release of a plugin package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Release(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Release {
    /// Reads the numbers that a version starts with (`2.4.0.dev1`: 2, 4, 0).
    fn parse(text: &str) -> Release {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Release(next(), next(), next())
    }

    /// The release that a project takes its kinds from.
    pub(crate) fn of(origin: &KindOrigin) -> Release {
        match origin {
            KindOrigin::Pip { version, .. } | KindOrigin::File { package: Some((_, version)), .. } => {
                Release::parse(version)
            }
            KindOrigin::Core | KindOrigin::File { package: None, .. } => Release(u32::MAX, 0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expect) in
            [("2.4.0", Release(2, 4, 0)), ("2.3.1.dev5+g12", Release(2, 3, 1)), ("2.5", Release(2, 5, 0))]
        {
            let origin = KindOrigin::File { directory: "x".into(), package: Some(("p".into(), text.into())) };
            assert_eq!(Release::of(&origin), expect, "{text}");
        }
    }
}
