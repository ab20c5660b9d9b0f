//! `bourn source mirror`.

use crate::args::source::Mirror;
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::run;
use bourn_plan::SourceError;
use bourn_project::selection::Selection as Scope;
use bourn_sources::{Copies, Tally};

/// Brings everything that the sources of elements are fetched from into a directory.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Mirror) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let world = World::load(invocation, &named, &options.except)?;
    let elements = world.select(Scope::from(options.deps));
    let copies = Copies::open(&options.directory).map_err(failed)?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    jobs::assert_refs(&session, &elements)?;
    jobs::announce(invocation, &world, &session, &world.graph().targets)?;
    let ran = jobs::steered(invocation, &world, || {
        run::mirror(&session, &elements, &|source, kind, context| copies.take(source, kind, context))
    })?;
    conclude(&ran)?;
    let (tally, configuration) = copies.finish(options.url.as_deref()).map_err(failed)?;
    complete(&tally)?;
    let Tally { brought, kept, .. } = tally;
    print::result(&format!(
        "Mirror of {} files and repositories, {brought} of them new; fetch from it with --config {}\n",
        brought + kept,
        configuration.display()
    ))
}

/// A mirror that lacks something is no mirror: what there is stays, but the run does not succeed.
fn complete(tally: &Tally) -> Result<(), Failure> {
    if tally.left_out.is_empty() {
        return Ok(());
    }
    let lines: Vec<&str> = tally.left_out.iter().map(String::as_str).collect();
    Err(Failure::stream("Not everything can be mirrored")
        .reason("incomplete-mirror")
        .detail(lines.join("\n"))
        .hint("give URLs an alias in project.conf; all that has one was mirrored"))
}

fn failed(error: SourceError) -> Failure {
    let failure = Failure::stream(error.message);
    let failure = match error.detail {
        Some(detail) => failure.detail(detail),
        None => failure,
    };
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
