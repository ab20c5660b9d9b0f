//! `bourn build`.

use crate::args::command::Build;
use crate::args::value::Selection;
use crate::commands::shell;
use crate::exit::Outcome;
use crate::inputs;
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::report::estimate::{Estimate, Expected};
use crate::watch::Watch;
use crate::world::{self, World};
use bourn_build::event::{MessageKind, Subject};
use bourn_build::run::{self, BuildScope};
use bourn_build::session::{Query, Session};
use bourn_project::ElementId;

/// Builds elements.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Build) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let mut world = World::load(invocation, &named, &[])?;
    world.options.retry_failed |= options.retry_failed;
    let graph = world.graph();
    // Junctions cannot be built; as the project's own targets they are left out without a word.
    let by_default = options.elements.is_empty();
    let is_target = |id: &ElementId| !by_default || &*graph.element(*id).kind != "junction";
    let targets: Vec<ElementId> = graph.targets.iter().copied().filter(is_target).collect();
    let scope = match options.deps.unwrap_or(invocation.settings.user.dependencies) {
        Selection::None => BuildScope::None,
        Selection::Build => BuildScope::Build,
        Selection::Run => BuildScope::Run,
        Selection::All => BuildScope::All,
    };
    let enter = |subject: &Subject| shell::enter_failed(invocation, &world, subject);
    let watch = Watch::new(invocation).with_shell(&enter);
    let session = world.session(invocation, &watch);
    jobs::assert_refs(&session, &scope.plan(&session, &targets))?;
    let required = scope.required(&session, &targets);
    invocation.query(&session, &required, scope != BuildScope::None, Query::Build)?;
    jobs::announce(invocation, &world, &session, &targets)?;
    if invocation.reporter.is_live() {
        invocation.reporter.expect(estimate(&session));
    }
    if world.execution.as_ref().is_some_and(|remote| remote.execution.is_some()) {
        let text = "There is no remote execution yet: commands are run on this machine";
        invocation.reporter.message(MessageKind::Warn, text, None, None);
    }
    let mut ran = jobs::steered(invocation, &world, || run::build(&session, &targets, scope))?;
    world::remember_durations(invocation, std::mem::take(&mut ran.durations));
    inputs::keep(invocation.settings, &session);
    conclude(&ran)?;
    Ok(0)
}

/// What is to be built, and how long it took before.
fn estimate(session: &Session<'_>) -> Estimate {
    let expected = run::expected(session).into_iter().map(|(id, alone, chain)| {
        let name = session.plan.graph.full_name(id);
        (name, Expected { alone, chain })
    });
    Estimate::new(expected.collect(), session.options.builders)
}
