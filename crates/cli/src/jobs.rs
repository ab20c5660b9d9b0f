//! What commands that run jobs have in common: checks before, the heading, signals while they run.

use crate::args::command::Remotes;
use crate::exit::Failure;
use crate::expiry;
use crate::invocation::{Invocation, conclude};
use crate::report::heading::Heading;
use crate::settings::servers::{Contact, Servers};
use crate::signals;
use crate::wire;
use crate::world::World;
use bourn_build::error::BuildResult;
use bourn_build::event::MessageKind;
use bourn_build::session::{Query, Session};
use bourn_build::{named, run};
use bourn_project::ElementId;
use bourn_project::selection::{self, Selection as Scope};
use bourn_reapi::ArtifactName;
use bourn_remote::Caches;
use std::sync::Arc;

/// The servers that a command speaks to.
pub(crate) struct Connected {
    /// As they were declared, of every project.
    pub(crate) servers: Servers,
    /// Those that are spoken to, if there are any.
    caches: Option<Arc<Caches>>,
}

/// Begins to connect to the servers of every project, as the command line and the configuration want them. Whoever
/// needs one waits for it.
///
/// # Errors
/// Declarations that cannot be read.
pub(crate) fn connect(
    invocation: &Invocation<'_>,
    world: &mut World,
    remotes: &Remotes,
    contact: Contact,
) -> Result<Connected, Failure> {
    let (servers, caches) = invocation.reporter.timed("Initializing remote caches", || {
        let settings = invocation.settings;
        let servers = Servers::resolve(settings, invocation.files, world.graph(), remotes, contact)?;
        if servers.artifacts.values().chain(servers.sources.values()).all(Vec::is_empty) {
            return Ok((servers, None));
        }
        let caches = wire::caches(settings, &world.services, &servers)?;
        Ok((servers, Some(Arc::new(caches))))
    })?;
    world.services.remotes = caches.clone().map(|caches| caches as Arc<dyn bourn_reapi::Remotes>);
    Ok(Connected { servers, caches })
}

impl Connected {
    /// Waits until all servers have answered. Warns of those that cannot be used.
    ///
    /// # Errors
    /// It was asked to stop.
    pub(crate) fn meet_all(&self, invocation: &Invocation<'_>, world: &World) -> Result<(), Failure> {
        let Some(caches) = &self.caches else { return Ok(()) };
        let wait = || caches.refused(world.control.cancel());
        for refused in signals::steered(invocation, &world.control, wait)? {
            let (text, hint) = (refused.to_string(), refused.error.hint.as_deref());
            invocation.reporter.message(MessageKind::Warn, &text, hint, None);
        }
        Ok(())
    }

    /// Makes sure that artifacts can be pulled, or pushed.
    ///
    /// # Errors
    /// No server can be used for that; it was asked to stop.
    pub(crate) fn assert_artifacts(
        &self,
        invocation: &Invocation<'_>,
        world: &World,
        push: bool,
    ) -> Result<(), Failure> {
        self.meet_all(invocation, world)?;
        let usable = self.caches.as_ref().is_some_and(|caches| caches.has_artifacts(push));
        let doing = if push { "pushing" } else { "pulling" };
        usable.then_some(()).ok_or_else(|| {
            Failure::stream(format!("No artifact caches available for {doing} artifacts"))
                .hint(self.hint(push))
        })
    }

    /// Makes sure that sources can be pushed.
    ///
    /// # Errors
    /// No server can be used for that; it was asked to stop.
    pub(crate) fn assert_source_pushes(
        &self,
        invocation: &Invocation<'_>,
        world: &World,
    ) -> Result<(), Failure> {
        self.meet_all(invocation, world)?;
        let usable = self.caches.as_ref().is_some_and(|caches| caches.has_sources(true));
        usable.then_some(()).ok_or_else(|| {
            Failure::stream("No source caches available for pushing sources").hint(self.hint(true))
        })
    }

    fn hint(&self, push: bool) -> &'static str {
        match push {
            _ if self.caches.is_none() => {
                "no server is named, neither in the configuration nor by the project or on the command line"
            }
            true => {
                "it takes a server that names are kept on and one for blobs (or one for both), with `push: true`; \
                 `doctor --remote` asks those that are configured"
            }
            false => {
                "it takes a server that names are kept on and one for blobs (or one for both); \
                 `doctor --remote` asks those that are configured"
            }
        }
    }
}

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
    servers: &Servers,
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
        servers,
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
