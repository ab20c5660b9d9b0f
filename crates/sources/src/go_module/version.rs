//! Versions of Go modules, and where a site says that a module is. What the forms are is written at
//! <https://go.dev/ref/mod>.

use regex::Regex;

/// A version that names a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Without what follows a plus sign.
    pub(super) tag: String,
    /// `v` and the first number.
    pub(super) major: String,
    /// The first number; more than fits is as good as the largest.
    pub(super) number: u64,
}

/// Reads a version; `None` when it is none.
pub(super) fn parse(text: &str) -> Option<Version> {
    let (tag, metadata) = match text.split_once('+') {
        Some((tag, metadata)) => (tag, Some(metadata)),
        None => (text, None),
    };
    let (numbers, prerelease) = match tag.split_once('-') {
        Some((numbers, prerelease)) => (numbers, Some(prerelease)),
        None => (tag, None),
    };
    let numbers: Vec<&str> = numbers.strip_prefix('v')?.split('.').collect();
    let are_names = |text: &str| text.split('.').all(is_name);
    let fits = numbers.len() == 3
        && numbers.iter().all(|number| is_number(number) && !has_needless_zero(number))
        && prerelease.is_none_or(|text| are_names(text) && !text.split('.').any(has_needless_zero))
        && metadata.is_none_or(are_names);
    fits.then(|| Version {
        tag: tag.to_owned(),
        major: format!("v{}", numbers[0]),
        number: numbers[0].parse().unwrap_or(u64::MAX),
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn has_needless_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && is_number(text)
}

/// The beginning of a commit that a pseudo-version such as `v0.0.0-20191109021931-daa7c04131f5` names.
pub(super) fn pseudo(text: &str) -> Option<&str> {
    let (rest, commit) = text.rsplit_once('-')?;
    let fits = !commit.is_empty() && commit.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let (numbers, time) = rest.strip_prefix('v')?.split_once('-')?;
    let numbers: Vec<&str> = numbers.split('.').collect();
    let mut parts: Vec<&str> = time.split('.').collect();
    // A time, after the name of a prerelease or a zero or both.
    let is_time = parts.pop().is_some_and(is_number);
    if parts.last() == Some(&"0") {
        parts.pop();
    }
    let name = parts.pop();
    let is_prerelease =
        name.is_none_or(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()));
    let fits = fits && numbers.len() == 3 && numbers.iter().all(|number| is_number(number));
    (fits && is_time && is_prerelease && parts.is_empty()).then_some(commit)
}

/// The path that a site gives for the top of a module's repository, in the last `go-import` of a page.
pub(super) fn import_root(page: &str) -> Option<String> {
    let tag = Regex::new(r"(?is)<meta\s([^>]*)>").ok()?;
    let attribute = Regex::new(r#"(?is)([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#).ok()?;
    let value = |tag: &str, wanted: &str| {
        let found = attribute.captures_iter(tag).find(|found| found[1].eq_ignore_ascii_case(wanted))?;
        let text = found.get(2).or(found.get(3)).or(found.get(4))?;
        Some(text.as_str().to_owned())
    };
    let contents = tag.captures_iter(page).filter_map(|found| {
        let is_import = value(&found[1], "name")? == "go-import";
        value(&found[1], "content").filter(|_| is_import)
    });
    Some(contents.last()?.split_whitespace().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expect) in [
            ("v1.2.3", Some(("v1.2.3", "v1", 1))),
            ("v12.0.0-rc.1+incompatible", Some(("v12.0.0-rc.1", "v12", 12))),
            ("v2.0.0+incompatible", Some(("v2.0.0", "v2", 2))),
            ("v0.0.0-20191109021931-daa7c04131f5", Some(("v0.0.0-20191109021931-daa7c04131f5", "v0", 0))),
            ("1.2.3", None),
            ("v1.2", None),
            ("v01.2.3", None),
            ("v1.2.3-01", None),
            ("v1.2.3-", None),
            ("v1.2.3+", None),
            ("v1.2.3-a..b", None),
        ] {
            let found = parse(text);
            let found = found.as_ref().map(|found| (found.tag.as_str(), found.major.as_str(), found.number));
            assert_eq!(found, expect, "{text}");
        }
    }

    #[test]
    fn pseudo_versions() {
        for (text, expect) in [
            ("v0.0.0-20191109021931-daa7c04131f5", Some("daa7c04131f5")),
            ("v1.2.4-0.20191109021931-daa7c04131f5", Some("daa7c04131f5")),
            ("v1.2.3-pre.0.20191109021931-daa7c04131f5", Some("daa7c04131f5")),
            ("v1.2.3", None),
            ("v1.2.3-rc-daa7c04131f5", None),
            ("v1.2-20191109021931-daa7c04131f5", None),
        ] {
            assert_eq!(pseudo(text), expect, "{text}");
        }
    }

    #[test]
    fn pages() {
        for (page, expect) in [
            ("<html><META content='h/x git https://h/x.git' name=\"go-import\"/>", Some("h/x")),
            (
                "<meta name=go-import content=\"h/a git u\"><meta name=\"go-import\" content=\"h/b git u\">",
                Some("h/b"),
            ),
            ("<meta name='go-source' content='h/x a b'>", None),
            ("", None),
        ] {
            assert_eq!(import_root(page).as_deref(), expect, "{page}");
        }
    }
}
