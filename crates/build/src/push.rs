//! Sending artifacts and sources to remote caches.

use crate::cache::Cached;
use crate::error::{BuildError, BuildResult, domain};
use crate::fetch::single_name;
use crate::job::Job;
use crate::session::Session;
use bourn_project::ElementId;
use bourn_reapi::ArtifactName;
use bourn_reapi::services::SourceName;

/// Whether there is nothing to push of an element, without looking at remotes. With `skip_uncached` an element that is
/// not cached, or without the build tree that was kept with it, is no error.
///
/// # Errors
/// The cache cannot be read.
pub(crate) fn skips_artifact(session: &Session<'_>, id: ElementId, skip_uncached: bool) -> BuildResult<bool> {
    let remotes = session.services.remotes.as_ref();
    if !remotes.is_some_and(|remotes| remotes.pushes_artifacts(&session.project(id).name)) {
        return Ok(true);
    }
    if !skip_uncached {
        return Ok(false);
    }
    match session.artifact(id) {
        Some(cached) => Ok(missing_tree(session, &cached)?.is_some()),
        None => Ok(true),
    }
}

/// Which of the trees kept with an artifact is not here.
fn missing_tree(session: &Session<'_>, cached: &Cached) -> BuildResult<Option<&'static str>> {
    for (name, tree) in [("buildtree", cached.build_tree()), ("buildroot", cached.build_root())] {
        if let Some(tree) = tree
            && !session.cas().contains_tree(&tree)?
        {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Pushes the artifact of an element. Whether any remote did not have it.
///
/// # Errors
/// It is not cached; a remote failed.
pub(crate) fn artifact(session: &Session<'_>, job: &Job<'_>, id: ElementId) -> BuildResult<bool> {
    let name = &session.element(id).name;
    let cached = session.artifact(id);
    let key = cached.as_ref().map_or("", |cached| &cached.message.strong_key);
    named(session, job, &session.artifact_name(id, key), name, cached.as_deref())
}

/// Pushes an artifact that is here, under all its names. Whether any remote did not have it.
///
/// # Errors
/// It is not cached; a remote failed.
pub(crate) fn named(
    session: &Session<'_>,
    job: &Job<'_>,
    strong: &ArtifactName,
    name: &str,
    cached: Option<&Cached>,
) -> BuildResult<bool> {
    let failed = |text: String| BuildError::new(domain::ELEMENT, text);
    let cached = cached.ok_or_else(|| failed(format!("Push failed: {name} is not cached")))?;
    if let Some(tree) = missing_tree(session, cached)? {
        return Err(failed(format!("Push failed: {tree} of {name} is not cached")));
    }
    // What it was built upon is not kept in memory.
    let message =
        &session.assets().artifact(strong)?.ok_or_else(|| failed(format!("Push failed: {name} is gone")))?;
    if message.is_tainted().map_err(|error| failed(format!("Push failed: {name}: {error}")))? {
        job.warn(None, "Not pushing tainted artifact.", None)?;
        return Ok(false);
    }
    let Some(remotes) = &session.services.remotes else { return Ok(false) };
    Ok(remotes.push_artifact(&message.names(strong), message, job, job.cancel())?)
}

/// Whether there is nothing to push of the sources of an element.
pub(crate) fn skips_sources(session: &Session<'_>, id: ElementId) -> bool {
    let remotes = session.services.remotes.as_ref();
    let pushes = remotes.is_some_and(|remotes| remotes.pushes_sources(&session.project(id).name));
    let none = session.planned(id).sources.is_empty() || session.workspace(id).is_some();
    none || !pushes || session.states().get(id).sources.staged().is_none()
}

/// Pushes the sources of an element, each alone and all together. Whether any remote did not have them.
///
/// # Errors
/// A remote failed.
pub(crate) fn sources(session: &Session<'_>, job: &Job<'_>, id: ElementId) -> BuildResult<bool> {
    let Some(remotes) = &session.services.remotes else { return Ok(false) };
    let project = &session.project(id).name;
    let mut names = Vec::new();
    for source in &session.planned(id).sources {
        let previous = source.source.previous();
        if !previous.fetch && !previous.stage {
            names.push(single_name(source)?);
        }
    }
    names.extend(session.planned(id).sources_key.clone().map(SourceName::Element));
    let mut pushed = false;
    for name in names {
        if session.staged_source(&name)?.is_none() {
            continue;
        }
        if let Some(source) = session.assets().source(&name)? {
            pushed |= remotes.push_source(project, &name, &source, job, job.cancel())?;
        }
    }
    Ok(pushed)
}
