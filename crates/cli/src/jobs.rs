//! What commands that run jobs have in common: checks before, the heading, signals while they run.

use crate::exit::Failure;
use crate::expiry;
use crate::invocation::{Invocation, conclude};
use crate::report::heading::Heading;
use crate::signals;
use crate::world::World;
use bourn_build::error::BuildResult;
use bourn_build::session::{Query, Session};
use bourn_build::{named, run};
use bourn_project::ElementId;
use bourn_project::selection::{self, Selection as Scope};
use bourn_reapi::ArtifactName;

/// Pulls the artifacts of elements that are not here, if there are servers to pull from. The cache was asked.
///
/// # Errors
/// A pull failed.
pub(crate) fn pull_missing(
    invocation: &Invocation<'_>,
    world: &World,
    session: &Session<'_>,
    elements: &[ElementId],
) -> Result<(), Failure> {
    let pending: Vec<ElementId> = {
        let states = session.states();
        elements.iter().copied().filter(|id| states.get(*id).pull_pending).collect()
    };
    match pending.is_empty() {
        true => Ok(()),
        false => conclude(&steered(invocation, world, || run::pull(session, &pending))?),
    }
}

/// Pulls artifacts that are named and not here, if there are servers to pull from.
///
/// # Errors
/// A pull failed.
pub(crate) fn pull_named(
    invocation: &Invocation<'_>,
    world: &World,
    session: &Session<'_>,
    names: &[ArtifactName],
) -> Result<(), Failure> {
    match names.is_empty() || world.services.remotes.is_none() {
        true => Ok(()),
        false => conclude(&steered(invocation, world, || named::pull(session, names))?),
    }
}

/// Checks that every source has a ref.
///
/// # Errors
/// `inconsistent-pipeline` with the sources that have none.
pub(crate) fn assert_refs(session: &Session<'_>, elements: &[ElementId]) -> Result<(), Failure> {
    Ok(bourn_build::checkout::assert_consistent(session, elements)?)
}

/// Asks the cache for the sources of elements.
///
/// # Errors
/// The cache cannot be read.
pub(crate) fn query_sources(
    invocation: &Invocation<'_>,
    session: &Session<'_>,
    elements: &[ElementId],
) -> Result<(), Failure> {
    invocation.reporter.timed("Query cache", || Ok(session.query(elements, Query::Sources)?))
}

/// Prints the heading of a session, and has the summary follow at its end.
///
/// # Errors
/// What the heading shows cannot be found out.
pub(crate) fn announce(
    invocation: &Invocation<'_>,
    world: &World,
    session: &Session<'_>,
    targets: &[ElementId],
) -> Result<(), Failure> {
    let all = selection::select(world.graph(), targets, Scope::All);
    invocation.reporter.summarise(all.len());
    if !invocation.reporter.wants_heading() {
        return Ok(());
    }
    let states = session.states();
    let printer = world.printer(invocation, &states);
    let heading = Heading {
        settings: invocation.settings,
        strict: world.options.strict,
        printer: &printer,
        targets,
        elements: &all,
        servers: &world.connected.servers,
        execution: world.execution.as_ref(),
    };
    invocation.reporter.print(&heading.render()?);
    Ok(())
}

/// Warns that what is going to be brought may not be here afterwards: where a storage is behind the local cache, this
/// takes of what that has only what is needed.
pub(crate) fn warn_of_storage(invocation: &Invocation<'_>, what: &str) {
    if invocation.settings.user.storage_service.is_some() {
        let text =
            format!("{what} may be with the storage service alone: the local cache takes what is read");
        invocation.reporter.warn(&text);
    }
}

/// Runs jobs while signals steer them, and makes room in the cache afterwards.
///
/// # Errors
/// Those of `work`.
pub(crate) fn steered<T>(
    invocation: &Invocation<'_>,
    world: &World,
    work: impl FnOnce() -> BuildResult<T>,
) -> Result<T, Failure> {
    let result = signals::steered(invocation, &world.control, work)?;
    expiry::after_run(invocation);
    Ok(result)
}
