//! Trees for people: artifacts with what they need to run, integrated, and sources.

use crate::error::{BuildError, BuildResult, domain};
use crate::integrate::{environment, integrate};
use crate::job::{Activity, Job};
use crate::sandbox::Sandbox;
use crate::session::Session;
use crate::stage::{Piece, Placing, Root};
use crate::state::SourceState;
use bourn_project::{ElementId, SandboxConfig};
use bourn_reapi::tree::Tree;
use std::fmt::Write;
use std::sync::Arc;

/// What a sandbox is made for: its environment and configuration are those of this.
#[derive(Clone, Copy, Debug)]
pub enum About<'p> {
    /// An element of the plan; its own artifact need not be cached.
    Element(ElementId),
    /// An artifact that was asked for by its name, with what it says of itself.
    Artifact(&'p Piece),
}

impl<'p> From<&'p Piece> for About<'p> {
    fn from(piece: &'p Piece) -> About<'p> {
        piece.element.map_or(About::Artifact(piece), About::Element)
    }
}

/// Stages pieces into a sandbox with the environment and configuration of the one that it is about, and integrates
/// them if that is wanted.
///
/// # Errors
/// What staging and integrating find wrong.
pub fn stage_artifacts(
    session: &Session<'_>,
    job: &Job<'_>,
    about: About<'_>,
    pieces: &[Piece],
    integrated: bool,
) -> BuildResult<Sandbox> {
    let mut sandbox =
        Sandbox::new(Root::empty(session), config(session, about)?, environment(session, about)?);
    job.activity(&Activity::new("Staging dependencies").silent(true), || {
        sandbox.root.place(session, job, pieces, &Placing::ROOT)
    })?;
    if integrated {
        job.activity(&Activity::new("Integrating sandbox"), || {
            integrate(session, job, &mut sandbox, pieces, false)
        })?;
    }
    Ok(sandbox)
}

/// What a sandbox asks of the machine.
pub(crate) fn config(session: &Session<'_>, about: About<'_>) -> BuildResult<Arc<SandboxConfig>> {
    Ok(match about {
        About::Element(id) => session.element(id).sandbox.clone(),
        About::Artifact(piece) => {
            Arc::new(crate::cache::metadata::Setting::read(session, &piece.cached)?.sandbox)
        }
    })
}

/// The tree that `artifact checkout` writes.
///
/// # Errors
/// What staging and integrating find wrong, as bst tells it.
pub fn checkout(
    session: &Session<'_>,
    job: &Job<'_>,
    about: About<'_>,
    pieces: &[Piece],
    integrated: bool,
) -> BuildResult<Tree> {
    let staged = stage_artifacts(session, job, about, pieces, integrated);
    Ok(staged
        .map_err(|error| while_staging(error, "Error while staging dependencies into a sandbox"))?
        .root
        .tree)
}

fn while_staging(error: BuildError, doing: &str) -> BuildError {
    if error.cancelled {
        return error;
    }
    let mut told = BuildError::new(domain::STREAM, format!("{doing}: '{}'", error.failure.message));
    told.failure.detail = error.failure.detail;
    told.failure.reason = error.failure.reason;
    told.failure.hint = error.failure.hint;
    told
}

/// The sources of an element as its build finds them (a workspace's last build is not taken into account).
///
/// # Errors
/// They are not staged.
pub fn sources(session: &Session<'_>, id: ElementId) -> BuildResult<Tree> {
    match session.states().get(id).sources {
        SourceState::Staged(digest) => Ok(Tree::open(session.cas(), digest)),
        _ => Err(uncached(session, &[id])),
    }
}

/// Makes sure that the sources of elements are here.
///
/// # Errors
/// `uncached-sources`, with the sources that are not.
pub fn assert_sources_cached(session: &Session<'_>, job: &Job<'_>, ids: &[ElementId]) -> BuildResult<()> {
    let missing: Vec<ElementId> = job.activity(&Activity::new("Checking sources"), || {
        let states = session.states();
        let missing =
            |id: &ElementId| matches!(states.get(*id).sources, SourceState::Missing | SourceState::Unknown);
        Ok(ids.iter().copied().filter(missing).collect())
    })?;
    if missing.is_empty() { Ok(()) } else { Err(uncached(session, &missing)) }
}

fn uncached(session: &Session<'_>, ids: &[ElementId]) -> BuildError {
    let mut detail = String::from("Sources are not cached for the following elements:\n\n");
    for &id in ids {
        // Writing to a string cannot fail.
        let _ = writeln!(
            detail,
            "  Following sources for element: {} are not cached:",
            session.plan.graph.full_name(id)
        );
        for source in &session.planned(id).sources {
            if !source.source.is_fetched(&session.options.source_directory).unwrap_or(false) {
                let _ = writeln!(detail, "    {}", session.source_name(source));
            }
        }
        detail.push('\n');
    }
    let error = BuildError::new(domain::PIPELINE, "Uncached sources").detail(detail);
    error.reason("uncached-sources").hint("fetch them first: `source fetch`")
}

/// Makes sure that all sources of elements have a ref.
///
/// # Errors
/// `inconsistent-pipeline`, with the sources that have none.
pub fn assert_consistent(session: &Session<'_>, ids: &[ElementId]) -> BuildResult<()> {
    let mut detail = String::new();
    let mut workspaces = String::new();
    for &id in ids {
        let missing = session.planned(id).sources.iter().filter(|source| !source.source.is_resolved());
        let mut missing = missing.peekable();
        if missing.peek().is_none() {
            continue;
        }
        let name = session.plan.graph.full_name(id);
        if session.workspace(id).is_some() {
            let _ = writeln!(workspaces, "  {name}");
            continue;
        }
        let _ = writeln!(detail, "  Element: {name} is inconsistent");
        for source in missing {
            let _ = writeln!(detail, "    {} is missing ref", session.source_name(source));
        }
        detail.push('\n');
    }
    let inconsistent =
        |detail: String| BuildError::new(domain::PIPELINE, "Inconsistent pipeline").detail(detail);
    if !detail.is_empty() {
        let detail = format!("These elements have sources without a ref:\n\n{detail}");
        let error = inconsistent(detail).reason("inconsistent-pipeline");
        return Err(error.hint("track them first: `source track`"));
    }
    if !workspaces.is_empty() {
        let detail = format!("These elements have no ref, but an open workspace:\n\n{workspaces}");
        let error = inconsistent(detail).reason("inconsistent-pipeline-workspaced");
        return Err(error.hint("close the workspaces first: `workspace close`"));
    }
    Ok(())
}
