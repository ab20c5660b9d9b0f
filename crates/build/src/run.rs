//! Runs: what elements are put through for each thing a user can ask, and what is asked of the cache before.

use crate::error::BuildResult;
use crate::fetch::{Fetch, Tracked, Visit};
use crate::order;
use crate::outcome::Outcome;
use crate::queue::Work;
use crate::schedule::Scheduler;
use crate::session::{Query, Session};
use bourn_project::ElementId;
use std::time::Duration;

/// What `build` is asked to build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuildScope {
    /// The targets alone, with whatever they are built upon (`--deps none`).
    None,
    /// The targets and what they need to run (`--deps run`).
    Run,
    /// What the targets are built upon (`--deps build`).
    Build,
    /// Everything (`--deps all`).
    All,
}

impl BuildScope {
    /// The elements that may be processed, in the order of their rank.
    pub fn plan(self, session: &Session<'_>, targets: &[ElementId]) -> Vec<ElementId> {
        match self {
            BuildScope::Build => order::dependencies_first(session.plan, targets),
            _ => order::deepest_first(session.plan, targets),
        }
    }

    /// The elements that the run cannot do without from the start; what they lead to becomes required on the way.
    pub fn required(self, session: &Session<'_>, targets: &[ElementId]) -> Vec<ElementId> {
        match self {
            BuildScope::None | BuildScope::Run => targets.to_vec(),
            BuildScope::Build => order::direct_build(session.plan, targets),
            BuildScope::All => self.plan(session, targets),
        }
    }
}

/// Builds elements: whatever is required is pulled, or fetched and built.
///
/// # Errors
/// The cache cannot be asked. Failures of jobs are no errors but part of the outcome.
pub fn build(session: &Session<'_>, targets: &[ElementId], scope: BuildScope) -> BuildResult<Outcome> {
    let elements = scope.plan(session, targets);
    let pushes_sources = session.remotes(|remotes, project| remotes.pushes_sources(project)).is_some();
    let pulls = session.remotes(|remotes, project| remotes.pulls_artifacts(project)).is_some();
    if pulls || pushes_sources {
        // What is not here may be pulled, so that it is not known yet which elements will be required.
        session.query(&elements, Query::Build)?;
    }
    if pushes_sources {
        session.query(&elements, Query::Sources)?;
    }
    session.require(&scope.required(session, targets), scope != BuildScope::None, Query::Build)?;
    let mut queues = vec![Work::Fetch { skip_cached: true, what: Fetch::Staged }, Work::Build];
    if pulls {
        queues.insert(0, Work::Pull { building: true });
    }
    if session.remotes(|remotes, project| remotes.pushes_artifacts(project)).is_some() {
        queues.push(Work::Push { skip_uncached: true });
    }
    if pushes_sources {
        queues.push(Work::PushSources);
    }
    let ranked = order::longest_first(session.plan, elements.clone(), &|id| session.took(id));
    Ok(Scheduler::new(session, &queues, &ranked, true).run(elements, &mut |_, _| Ok(())))
}

/// How long each of the elements that are to be built will take, and each with the longest chain of builds that waits
/// for it, as far as earlier runs tell. Empty when they tell nothing. The cache has been asked for what is required.
pub fn expected(session: &Session<'_>) -> Vec<(ElementId, Duration, Duration)> {
    let states = session.states();
    let is_pending = |id: &ElementId| {
        let state = states.get(*id);
        state.required && state.artifact.cached().is_none() && !state.done
    };
    let pending: Vec<ElementId> =
        (0..session.plan.elements.len()).map(|at| ElementId(at as u32)).filter(is_pending).collect();
    let known: Vec<Duration> = pending.iter().filter_map(|&id| session.took(id)).collect();
    let Some(average) = known.iter().sum::<Duration>().checked_div(known.len() as u32) else {
        return Vec::new();
    };
    let takes = |id| if is_pending(&id) { session.took(id).unwrap_or(average) } else { Duration::ZERO };
    let chains = order::chains(session.plan, &takes);
    pending.into_iter().map(|id| (id, takes(id), chains[id.0 as usize])).collect()
}

/// Pulls the artifacts of elements that are not here.
///
/// # Errors
/// The cache cannot be asked.
pub fn pull(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<Outcome> {
    session.query(elements, Query::Artifacts)?;
    let queues = [Work::Pull { building: false }];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Pushes the artifacts of elements; those that are not here are pulled first.
///
/// # Errors
/// The cache cannot be asked.
pub fn push(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<Outcome> {
    session.query(elements, Query::Artifacts)?;
    let queues = [Work::Pull { building: false }, Work::Push { skip_uncached: false }];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Pushes the sources of elements; those that are not here are fetched first.
///
/// # Errors
/// The cache cannot be asked.
pub fn push_sources(session: &Session<'_>, elements: &[ElementId]) -> BuildResult<Outcome> {
    session.query(elements, Query::Sources)?;
    let queues = [Work::Fetch { skip_cached: false, what: Fetch::Staged }, Work::PushSources];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Fetches the sources of elements.
///
/// # Errors
/// The cache cannot be asked.
pub fn fetch(session: &Session<'_>, elements: &[ElementId], what: Fetch) -> BuildResult<Outcome> {
    session.query(elements, Query::Sources)?;
    let queues = [Work::Fetch { skip_cached: false, what }];
    Ok(Scheduler::new(session, &queues, &[], false).run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Fetches the sources of elements and shows each to `visit`, with what fetching is given.
///
/// # Errors
/// The cache cannot be asked. Failures of jobs, and of `visit`, are part of the outcome.
pub fn mirror(session: &Session<'_>, elements: &[ElementId], visit: &Visit<'_>) -> BuildResult<Outcome> {
    session.query(elements, Query::Sources)?;
    let mut scheduler = Scheduler::new(session, &[Work::Mirror], &[], false);
    scheduler.visit = Some(visit);
    Ok(scheduler.run(elements.to_vec(), &mut |_, _| Ok(())))
}

/// Looks for newer refs of the sources of elements. `save` is given what was found for each element as soon as it is
/// known.
///
/// # Errors
/// None of its own; failures of jobs, and of `save`, are part of the outcome.
pub fn track(
    session: &Session<'_>,
    elements: &[ElementId],
    save: &mut dyn FnMut(ElementId, Vec<Tracked>) -> BuildResult<()>,
) -> BuildResult<Outcome> {
    Ok(Scheduler::new(session, &[Work::Track], &[], false).run(elements.to_vec(), save))
}
