//! What servers say of their refs, and which of them a source tracks.

use super::mirror::git;
use super::refusal::explained;
use crate::glob::Fnmatch;
use crate::http::shown;
use bourn_plan::{FetchContext, SourceError};
use std::cmp::Ordering;

/// A ref of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteRef {
    pub(crate) oid: String,
    pub(crate) name: String,
}

/// What a peeled tag ends with.
const PEELED: &str = "^{}";

/// All refs of a repository, asked for once per run.
///
/// # Errors
/// The server cannot be asked.
pub(crate) fn remote_refs(context: &FetchContext<'_>, url: &str) -> Result<Vec<RemoteRef>, SourceError> {
    let text = context.urls.remember(&format!("git ls-remote {url}"), &mut || {
        let listing = git(context).args(["ls-remote", "--quiet", url]).output()?;
        if listing.status.success() {
            return Ok(listing.stdout);
        }
        let message = format!("Failed to list the refs of {}", shown(url));
        Err(explained(SourceError::new(message).detail(listing.stderr)))
    })?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let refs = text.lines().filter_map(|line| line.split_once('\t'));
    Ok(refs.map(|(oid, name)| RemoteRef { oid: oid.to_owned(), name: name.to_owned() }).collect())
}

/// The names that a glob matches; without `refs/` it matches branches and tags.
pub(crate) fn matching<'a>(refs: &'a [RemoteRef], track: &str, exclude: &[String]) -> Vec<&'a RemoteRef> {
    let (wanted, unwanted) = (pattern(track), exclude.iter().map(|glob| pattern(glob)).collect::<Vec<_>>());
    let named = refs.iter().filter(|one| !one.name.ends_with(PEELED) && wanted.matches(&one.name));
    named.filter(|one| !unwanted.iter().any(|glob| glob.matches(&one.name))).collect()
}

fn pattern(glob: &str) -> Fnmatch {
    if glob.starts_with("refs/") { Fnmatch::new("", glob) } else { Fnmatch::new("refs/(heads|tags)/", glob) }
}

/// The latest of the refs that a glob matches, by version: its name, and the commit that it leads to.
pub(crate) fn latest(refs: &[RemoteRef], track: &str, exclude: &[String]) -> Option<(String, String)> {
    let latest =
        matching(refs, track, exclude).into_iter().max_by(|a, b| compare_versions(&a.name, &b.name))?;
    let peeled = format!("{}{PEELED}", latest.name);
    let commit = refs.iter().find(|one| one.name == peeled).unwrap_or(latest);
    Some((latest.name.clone(), commit.oid.clone()))
}

/// Letters come before digits, numbers are compared as numbers, whatever stands between does not count. What is
/// equal then is ordered by name.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (parts(a), parts(b));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => left.cmp(&right),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// A run of letters or digits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Letters(&'a str),
    /// Digits without leading zeros: the longer number is the larger.
    Number(usize, &'a str),
}

fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| c.is_ascii_alphanumeric())?;
        let digits = rest[start..].starts_with(|c: char| c.is_ascii_digit());
        let same = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let end = rest[start..].find(|c| !same(c)).map_or(rest.len(), |end| start + end);
        let part = &rest[start..end];
        rest = &rest[end..];
        let number = part.trim_start_matches('0');
        Some(if digits { Part::Number(number.len(), number) } else { Part::Letters(part) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(names: &[&str]) -> Vec<RemoteRef> {
        let oid = |at: usize| format!("{at:040}");
        names
            .iter()
            .enumerate()
            .map(|(at, name)| RemoteRef { oid: oid(at), name: (*name).to_owned() })
            .collect()
    }

    fn check(names: &[&str], track: &str, exclude: &[&str], expect: Option<(&str, usize)>) {
        let exclude: Vec<String> = exclude.iter().map(|glob| (*glob).to_owned()).collect();
        let expect = expect.map(|(name, at)| (name.to_owned(), format!("{at:040}")));
        assert_eq!(latest(&refs(names), track, &exclude), expect, "{track} of {names:?}");
    }

    #[test]
    fn latest_refs() {
        let names = ["HEAD", "refs/heads/main", "refs/tags/v1.9", "refs/tags/v1.10", "refs/tags/v1.10^{}"];
        check(&names, "v*", &[], Some(("refs/tags/v1.10", 4)));
        check(&names, "v*", &["v1.1*"], Some(("refs/tags/v1.9", 2)));
        check(&names, "main", &[], Some(("refs/heads/main", 1)));
        check(&names, "refs/heads/*", &[], Some(("refs/heads/main", 1)));
        check(&names, "*", &[], Some(("refs/tags/v1.10", 4)));
        check(&names, "nothing", &[], None);
        check(
            &["refs/tags/1.0", "refs/tags/1.0-beta", "refs/tags/1.beta"],
            "1*",
            &[],
            Some(("refs/tags/1.0-beta", 1)),
        );
        check(&["refs/tags/1.beta", "refs/tags/1.0"], "1*", &[], Some(("refs/tags/1.0", 1)));
        check(&["refs/tags/007", "refs/tags/8"], "*", &[], Some(("refs/tags/8", 1)));
        check(&["refs/tags/a/v1", "refs/tags/a/v2"], "a/v*", &[], Some(("refs/tags/a/v2", 1)));
    }
}
