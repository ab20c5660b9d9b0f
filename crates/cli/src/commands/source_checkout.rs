//! `bourn source checkout`.

use crate::args::source::Checkout;
use crate::exit::{Failure, Outcome};
use crate::invocation::{Invocation, conclude};
use crate::jobs;
use crate::report::reporter::write_stderr;
use crate::tarball::{self, Location};
use crate::tree;
use crate::watch::Watch;
use crate::world::World;
use bourn_build::checkout;
use bourn_build::fetch::Fetch;
use bourn_build::run;
use bourn_build::script::quote;
use bourn_build::session::Session;
use bourn_plan::{ElementContext, KindTable};
use bourn_project::selection::Selection as Scope;
use bourn_project::{ElementId, ProjectId};
use bourn_reapi::artifact::normal_name;
use bourn_reapi::services::ExportOptions;
use bourn_reapi::tree::{Entry, File, Tree};
use std::fmt::Write;

/// The directory that is meant where none is named.
const DEFAULT: &str = "source-checkout";

/// Writes sources.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Checkout) -> Outcome {
    let target = match (&options.element, &invocation.location.workspace_element) {
        (Some(target), _) | (None, Some(target)) => target.clone(),
        (None, None) => return Err(Failure::app("Missing argument \"ELEMENT\".")),
    };
    let place = invocation.absolute(options.tar.as_deref().unwrap_or(&options.directory))?;
    match &options.tar {
        Some(_) => tree::assert_file(&place, options.force)?,
        None => tree::assert_writable(&place, options.force)?,
    }
    let Some(named) = invocation.elements(&[target])? else { return Ok(0) };
    let world = World::load(invocation, &named, &options.except)?;
    let elements = world.select(Scope::from(options.deps));
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    jobs::query_sources(invocation, &session, &elements)?;
    jobs::assert_refs(&session, &elements)?;
    conclude(&jobs::steered(invocation, &world, || run::fetch(&session, &elements, Fetch::Staged))?)?;
    checkout::assert_sources_cached(&session, &session.program_job(), &elements)?;
    let tree = collect(&world, &session, &elements, options.include_build_scripts).map_err(while_writing)?;
    match &options.tar {
        Some(_) => {
            tarball::write(&tree, "", &**session.cas(), &Location::File(place.clone()), options.compression)?;
        }
        None => {
            let export = ExportOptions { hardlinks: false, merge: true, ..ExportOptions::default() };
            session
                .cas()
                .export_tree(&tree.digest()?, &place, &export)
                .map_err(|error| while_writing(error.into()))?;
        }
    }
    invocation.reporter.info(&format!("Checked out sources to '{}'", place.display()));
    Ok(0)
}

fn while_writing(failure: Failure) -> Failure {
    let message = format!("Error while writing sources: '{}'", failure.message);
    Failure { message, domain: "stream", ..failure }
}

/// The sources of every element in a directory of its own, and the scripts that build them.
fn collect(
    world: &World,
    session: &Session<'_>,
    elements: &[ElementId],
    scripts: bool,
) -> Result<Tree, Failure> {
    let fail = |error: bourn_reapi::tree::TreeError| Failure::stream(error.to_string());
    let mut tree = Tree::empty(session.cas());
    for &id in elements {
        if !session.planned(id).sources.is_empty() {
            tree.replace(&directory(world, id), &checkout::sources(session, id)?).map_err(fail)?;
        }
    }
    if scripts {
        let mut put = |name: &str, text: &str| -> Result<(), Failure> {
            let digest = session.cas().write(text.as_bytes())?;
            tree.put(name, Entry::File(File { digest, executable: true, properties: None })).map_err(fail)
        };
        for &id in elements {
            if let Some(script) = element_script(world, id) {
                put(&format!("build-{}", plain_name(world, id)), &script)?;
            }
        }
        let modules: Vec<String> = elements.iter().map(|id| quote(&plain_name(world, *id))).collect();
        put("build.sh", &ALL.replace("@modules@", &modules.join(" ")))?;
    }
    Ok(tree)
}

fn plain_name(world: &World, id: ElementId) -> String {
    normal_name(&world.graph().element(id).name)
}

/// The directory of an element: its name, below those of the junctions that lead to its project.
fn directory(world: &World, id: ElementId) -> String {
    let graph = world.graph();
    let mut parts = vec![plain_name(world, id)];
    let project = graph.element(id).project;
    if project != ProjectId(0)
        && let Some(junction) = &graph.project(project).junction
    {
        parts.extend(junction.rsplit(':').map(normal_name));
    }
    parts.reverse();
    parts.join("/")
}

/// The script that builds one element; `None` for kinds that run no commands.
fn element_script(world: &World, id: ElementId) -> Option<String> {
    let graph = world.graph();
    let element = graph.element(id);
    let kind = world.kinds.element(&element.kind, &element.origin)?;
    let commands = kind.build_script(ElementContext { graph, edges: &world.plan.edges, id })?;
    let variable = |name: &str| element.variables.get(name).unwrap_or_default().to_owned();
    let mut environment = String::new();
    for (name, value) in element.environment.iter() {
        // Writing to a string cannot fail.
        let _ = writeln!(environment, "export {name}={}", quote(value));
    }
    let script = ONE
        .replace("@name@", &plain_name(world, id))
        .replace("@build-root@", &quote(&variable("build-root")))
        .replace("@install-root@", &quote(&variable("install-root")))
        .replace("@environment@", &environment);
    Some(script.replace("@commands@", &commands))
}

const ONE: &str = r#"#!/bin/sh
# Builds @name@ as its element says, and installs it into the running system.

set -e
echo 'Building @name@'
rm -rf @build-root@ @install-root@
mkdir -p @build-root@ @install-root@
if [ -d "$SRCDIR/@name@/" ]; then
    cp -a "$SRCDIR/@name@/." @build-root@
fi
cd @build-root@
export PREFIX=@install-root@
@environment@
@commands@

rm -rf @build-root@
echo 'Installing @name@'
(cd @install-root@; find . | cpio -umdp /)
"#;

const ALL: &str = r#"#!/bin/sh
# Builds and installs every element that was checked out, in order.

set -eu
export PATH='/usr/bin:/usr/sbin/:/sbin:/bin:/tools/bin:/tools/sbin'
export SRCDIR="${SRCDIR:-.}"

for module in @modules@; do
    if [ -e "$SRCDIR/build-$module" ]; then
        "$SRCDIR/build-$module" || { echo "Building $module failed" >&2; exit 1; }
        if [ -e /sbin/ldconfig ]; then
            /sbin/ldconfig || true
        fi
    fi
done
"#;

/// Checks the options against each other. The status to end with, if they conflict.
pub(crate) fn check_options(options: &Checkout) -> Option<u8> {
    let wrong = match &options.tar {
        Some(_) if options.directory != DEFAULT => "options --directory and --tar conflict",
        None if options.compression.is_some() => "--compression specified without --tar",
        _ => return None,
    };
    write_stderr(&format!("ERROR: {wrong}\n"));
    Some(crate::exit::ERROR)
}
