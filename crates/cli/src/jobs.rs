//! What commands that run jobs have in common: checks before, the heading, signals while they run.

use crate::args::command::Remotes;
use crate::exit::Failure;
use crate::expiry;
use crate::invocation::Invocation;
use crate::report::heading::Heading;
use crate::settings::servers::{Contact, Servers};
use crate::signals;
use crate::world::World;
use bourn_build::error::BuildResult;
use bourn_build::session::{Query, Session};
use bourn_project::ElementId;
use bourn_project::selection::{self, Selection as Scope};

/// The servers of every project, as the command line and the configuration want them.
///
/// # Errors
/// Declarations that cannot be read; servers that were asked for by name, as none can be used yet.
pub(crate) fn servers(
    invocation: &Invocation<'_>,
    world: &World,
    remotes: &Remotes,
    contact: Contact,
) -> Result<Servers, Failure> {
    let servers = invocation.reporter.timed("Initializing remote caches", || {
        let settings = invocation.settings;
        Servers::resolve(settings, invocation.files, world.graph(), remotes, contact)
    })?;
    if !remotes.artifacts.is_empty() || !remotes.sources.is_empty() {
        return Err(no_servers_yet());
    }
    if servers.has_artifacts(false) || servers.has_sources(false) {
        invocation.reporter.warn("The configured artifact and source servers cannot be used by this version");
    }
    Ok(servers)
}

/// Checks that every source has a ref.
///
/// # Errors
/// `inconsistent-pipeline` with the sources that have none.
pub(crate) fn assert_refs(session: &Session<'_>, elements: &[ElementId]) -> Result<(), Failure> {
    Ok(bourn_build::checkout::assert_consistent(session, elements)?)
}

/// What is said where a server would be needed.
pub(crate) fn no_servers_yet() -> Failure {
    Failure::new("remote", "Artifact and source servers cannot be used by this version")
        .hint("build from source, or use a cache directory on a shared disk")
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
    servers: &Servers,
) -> Result<(), Failure> {
    let all = selection::select(world.graph(), targets, Scope::All);
    invocation.set_started(all.len());
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
        servers,
    };
    invocation.reporter.print(&heading.render()?);
    Ok(())
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
