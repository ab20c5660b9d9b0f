//! Refs of the git kinds: a commit, or `TAG-COUNT-gCOMMIT` as `git describe` writes it.

/// What a ref says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Described<'a> {
    /// The nearest tag.
    pub(crate) tag: Option<&'a str>,
    /// How many commits lie between the tag and the commit.
    pub(crate) count: Option<&'a str>,
    /// 40 hexadecimal digits.
    pub(crate) commit: &'a str,
}

impl<'a> Described<'a> {
    /// Reads a ref as the community's kinds do: with `TAG-COUNT-g` before the commit or without; what follows the
    /// commit does not count.
    pub(crate) fn parse(reference: &'a str) -> Option<Described<'a>> {
        // The tag is greedy: the last `-COUNT-gCOMMIT` counts.
        for (at, _) in reference.rmatch_indices("-g") {
            let Some((tag, count)) = reference[..at].rsplit_once('-') else { continue };
            if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            if let Some(commit) = commit(&reference[at + 2..]) {
                return Some(Described { tag: Some(tag), count: Some(count), commit });
            }
        }
        Some(Described { tag: None, count: None, commit: commit(reference)? })
    }
}

/// The commit that a text starts with.
fn commit(text: &str) -> Option<&str> {
    text.get(..40).filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "cad743283c43c776d03ae05578f353f728be62e3";

    fn check(reference: &str, expect: Option<(Option<&str>, Option<&str>)>) {
        let found = Described::parse(reference).map(|found| {
            assert_eq!(found.commit, SHA);
            (found.tag, found.count)
        });
        assert_eq!(found, expect, "{reference}");
    }

    #[test]
    fn refs() {
        check(SHA, Some((None, None)));
        check(&format!("v1.0-0-g{SHA}"), Some((Some("v1.0"), Some("0"))));
        check(&format!("release-3-12-g{SHA}"), Some((Some("release-3"), Some("12"))));
        check(&format!("-3-g{SHA}"), Some((Some(""), Some("3"))));
        check(&format!("v1-g2-3-g{SHA}"), Some((Some("v1-g2"), Some("3"))));
        check(&format!("{SHA}rest"), Some((None, None)));
        check(&format!("v1.0-g{SHA}"), None);
        check("main", None);
        check(&SHA.to_uppercase(), None);
    }
}
