//! Repositories with all of their history, to be fetched from by others.

use super::Mirror;
use super::mirror::git;
use super::refusal::explained;
use crate::http::shown;
use bourn_plan::{Candidate, FetchContext, SourceError, Upstream, UpstreamContent};

/// What a mirror has to have of a repository.
pub(crate) fn upstream(url: &str, commit: &str) -> Upstream {
    Upstream { url: url.to_owned(), content: UpstreamContent::Repository { commit: commit.to_owned() } }
}

/// Brings all branches and tags, and a commit wherever it is. What is served as plain files cannot be cut off
/// somewhere, so all of the history comes. A repository that has the commit is left alone. Whether anything came.
///
/// # Errors
/// No server has it, the disk.
pub(crate) fn bring_whole(
    context: &FetchContext<'_>,
    mirror: &Mirror,
    candidates: &[Candidate],
    commit: &str,
) -> Result<bool, SourceError> {
    let kept = format!("refs/bourn/{commit}");
    let mut lock = mirror.lock(context)?;
    if !lock.interrupted && mirror.contains(commit) && mirror.reference(&kept).is_some() {
        return Ok(false);
    }
    let mut failure = SourceError::new("There is no URL to fetch from");
    for candidate in candidates {
        match from(context, mirror, &candidate.url, commit) {
            Ok(()) => {
                let keep = mirror.git(context).args(["update-ref", &kept, commit]);
                keep.run(|| format!("Failed to keep {commit}"))?;
                // Lists of what is there, for whoever reads files and cannot ask.
                let told = mirror.git(context).arg("update-server-info");
                told.run(|| format!("Failed to list what is in {}", mirror.path.display()))?;
                lock.settle();
                return Ok(true);
            }
            Err(error) if context.cancel.is_cancelled() => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn from(context: &FetchContext<'_>, mirror: &Mirror, url: &str, commit: &str) -> Result<(), SourceError> {
    let failed = || format!("Failed to fetch from remote git repository: {}", shown(url));
    let fetch = |specs: &[&str]| {
        let fetch = mirror.git(context).args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]);
        fetch.args(["--no-recurse-submodules", "--", url]).args(specs).run(failed)
    };
    fetch(&["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]).map_err(explained)?;
    if !mirror.contains(commit) {
        // It was in a branch once that is elsewhere now.
        fetch(&[&format!("{commit}:refs/bourn/{commit}")])?;
    }
    let head = git(context)
        .args(["ls-remote", "--symref", "--", url, "HEAD"])
        .run(failed)
        .map_err(explained)?
        .text();
    let branch = head.lines().find_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
    if let Some(branch) = branch {
        mirror.git(context).args(["symbolic-ref", "HEAD", branch]).run(failed)?;
    }
    Ok(())
}
