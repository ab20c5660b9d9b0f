//! Kind `ostree`: an OSTree repository with one commit of a system tree.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Command, CommandGroup, Integrate, Run, Stage, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::{ElementId, KindTraits};
use bourn_yaml::{Diagnostics, Text};

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of kind `script`.
pub fn traits(version: Version) -> KindTraits {
    crate::script::traits(version)
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["ostree-branch", "initial-commands"])?;
        let branch = config.get_str("ostree-branch")?;
        let commands = layout::texts(config.get_str_list("initial-commands")?);
        let (mut tools, mut system) = (Vec::new(), Vec::new());
        layout::each_dependency(element, |dependency, config| {
            let mut of_system = false;
            if let Some(config) = config {
                config.validate_keys(&["sysroot"])?;
                of_system = config.opt_bool("sysroot")?.unwrap_or(false);
            }
            if of_system { &mut system } else { &mut tools }.push(dependency.element);
            Ok(())
        })?;
        let key = [("branch", KeyValue::from(branch)), ("initial-commands", layout::list(&commands))];
        let mut description = Description::new(KeyValue::object(key));
        description.strict_rebuild = true;
        description.assembly = match assembly(element, branch, &commands, tools, system) {
            Ok(assembly) => assembly,
            Err(reason) => layout::refused(reason),
        };
        Ok(description)
    }
}

fn assembly(
    element: ElementContext<'_>,
    branch: &str,
    initial: &[Text],
    tools: Vec<ElementId>,
    system: Vec<ElementId>,
) -> Result<Assembly, String> {
    let build_root = layout::directory(element, "build-root")?;
    let install_root = layout::directory(element, "install-root")?;
    let into = element.variable("sysroot").unwrap_or("/").to_owned();
    let stage_system = Step::Stage(Stage { from: system.clone(), into, ..Stage::default() });
    let initial = initial.iter().map(|text| Command::program(&["sh", "-c", "-e", text]));
    let commands = initial.chain(repository(branch, build_root, install_root)).collect();
    Ok(Assembly {
        marked: vec![build_root.to_owned(), install_root.to_owned()],
        stage: vec![
            Step::silent("Staging environment", vec![Step::Stage(layout::root(tools.clone()))]),
            Step::silent(
                "Integrating sandbox",
                vec![Step::Integrate(Integrate { from: tools, apart: true, building: false })],
            ),
            // bst stages all of them once for each of them, so that with several of them all overlap themselves.
            Step::silent("Staging sysroot", vec![stage_system; system.len()]),
        ],
        assemble: vec![Step::Run(Run {
            groups: vec![CommandGroup { commands, once_in_workspace: false }],
            ..Run::default()
        })],
        collect: install_root.to_owned(),
        ..Assembly::default()
    })
}

/// Commits the system to a bare repository and pulls that into one fit for serving.
fn repository(branch: &str, build_root: &str, install_root: &str) -> Vec<Command> {
    let system = layout::join(build_root, "sysroot");
    let bare = layout::join(build_root, "barerepo");
    let time = "2011-11-11 11:11:11+00:00";
    vec![
        Command::program(&["ostree", "init", "--repo", &bare]),
        Command::program(&[
            "ostree",
            "commit",
            "--repo",
            &bare,
            "--consume",
            &system,
            "--branch",
            branch,
            "--timestamp",
            time,
        ]),
        Command::program(&["ostree", "init", "--repo", install_root, "--mode", "archive"]),
        Command::program(&["ostree", "pull-local", "--repo", install_root, &bare]),
    ]
}
