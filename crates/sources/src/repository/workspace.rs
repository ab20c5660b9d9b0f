//! Opening a workspace on a repository: a real checkout, with the history that the mirror has.

use super::mirror::git;
use super::{Mirror, Oid};
use bourn_plan::{FetchContext, SourceError};
use std::path::Path;

/// Makes a repository in a directory that is there, and checks a commit out into it.
///
/// # Errors
/// `git` fails.
pub(crate) fn open(
    context: &FetchContext<'_>,
    mirror: &Mirror,
    directory: &Path,
    origin: &str,
    commit: Oid,
    lfs: bool,
) -> Result<(), SourceError> {
    let failed = |what: &str| format!("Failed to {what} in {}", directory.display());
    let here = || git(context).arg("-C").arg(directory);
    std::fs::create_dir_all(directory)
        .map_err(|error| bourn_reapi::ServiceError::io(&error, "Creating", directory))?;
    here().args(["init", "-q"]).run(|| failed("initialise a repository"))?;
    here().args(["remote", "add", "origin", origin]).run(|| failed("add the remote"))?;
    let fetch = here().args(["fetch", "--quiet", "--update-shallow", "--no-write-fetch-head"]).arg("--");
    let fetch =
        fetch.arg(&mirror.path).args(["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]);
    let fetch = fetch.arg(format!("{commit}:refs/bourn/{commit}"));
    fetch.run(|| failed("fetch from the mirror"))?;
    let mut checkout = here().args(["checkout", "--quiet", "--force", "--detach"]).arg(commit.to_string());
    if !lfs {
        checkout = checkout.env("GIT_LFS_SKIP_SMUDGE", "1");
    }
    checkout.run(|| failed("check the commit out"))?;
    here().args(["update-ref", "-d"]).arg(format!("refs/bourn/{commit}")).run(|| failed("tidy up")).map(drop)
}
