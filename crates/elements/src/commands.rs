//! What all kinds share that run `configure-commands`, `build-commands`, `install-commands` and `strip-commands`.
//!
//! Dependencies are staged at `/` or wherever the `location` of their `config` says, those at `/` are integrated, the
//! sources are staged in `%{build-root}`, all commands run as one script in `%{build-root}/%{command-subdir}` with
//! the root read-only, and `%{install-root}` is collected.

use crate::layout::{self, Layout};
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Command, CommandGroup, Run, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::{ElementId, KindTraits};
use bourn_yaml::{Diagnostic, Diagnostics, Text};
use std::collections::BTreeMap;

/// The lists of commands, in the order in which they run.
pub const STEPS: [&str; 4] = ["configure-commands", "build-commands", "install-commands", "strip-commands"];

/// A kind that is nothing but its commands.
#[derive(Debug)]
pub struct Commands;

impl ElementKind for Commands {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        Ok(Build::read(element)?.describe(element))
    }

    fn build_script(&self, element: ElementContext<'_>) -> Option<String> {
        Build::read(element).ok().map(|build| build.script())
    }
}

/// The configuration of an element that runs commands.
#[derive(Debug)]
pub struct Build {
    /// The commands of each of [`STEPS`].
    pub commands: [Vec<Text>; 4],
    /// Where dependencies are staged.
    pub layout: Layout,
    /// Variables that are to hold the digest of dependencies: name to elements and paths.
    digests: BTreeMap<Text, Vec<(ElementId, Text)>>,
}

impl Build {
    /// Reads `config:` of an element and of its dependencies.
    ///
    /// # Errors
    /// Unknown keys, and values of another type.
    pub fn read(element: ElementContext<'_>) -> Result<Build, Diagnostic> {
        let config = &element.element().config;
        config.validate_keys(&STEPS)?;
        let mut commands: [Vec<Text>; 4] = Default::default();
        for (step, commands) in STEPS.iter().zip(&mut commands) {
            *commands = config.opt_text_list(step)?.unwrap_or_default();
        }
        let mut layout = Layout::default();
        let mut digests: BTreeMap<Text, Vec<(ElementId, Text)>> = BTreeMap::new();
        layout::each_dependency(element, |dependency, config| {
            let mut location = "/";
            if let Some(config) = config {
                config.validate_keys(&["digest-environment", "location"])?;
                location = config.opt_str("location")?.unwrap_or(location);
                if let Some(variable) = config.opt_str("digest-environment")? {
                    let elements = digests.entry(variable.into()).or_default();
                    elements.push((dependency.element, Text::new(&dependency.path)));
                }
            }
            layout.add(dependency.element, &dependency.path, location);
            Ok(())
        })?;
        Ok(Build { commands, layout, digests })
    }

    /// What enters the key.
    pub fn unique_key(&self, element: ElementContext<'_>) -> KeyValue {
        let mut key: Vec<(&str, KeyValue)> = Vec::new();
        for (step, commands) in STEPS.into_iter().zip(&self.commands) {
            key.push((step, layout::list(commands)));
        }
        if let Some(directory) = element.variable("command-subdir").filter(|directory| !directory.is_empty())
        {
            key.push(("command-subdir", directory.into()));
        }
        // `max-jobs` is no part of the key, but that it was forced to one is.
        if element.variable("notparallel").is_some_and(|value| !value.is_empty()) {
            key.push(("notparallel", true.into()));
        }
        if self.layout.leaves_root() {
            key.push(("layout", self.layout.unique_key()));
        }
        if !self.digests.is_empty() {
            let digests = self.digests.iter().map(|(variable, elements)| {
                (variable.as_str(), KeyValue::list(elements.iter().map(|(_, path)| path.as_str())))
            });
            // Spelled this way in every key that bst ever made.
            key.push(("digest-enviornment", KeyValue::object(digests)));
        }
        KeyValue::object(key)
    }

    /// The whole description.
    pub fn describe(&self, element: ElementContext<'_>) -> Description {
        let mut description = Description::new(self.unique_key(element));
        description.assembly = match self.assembly(element) {
            Ok(assembly) => assembly,
            Err(reason) => layout::refused(reason),
        };
        description
    }

    /// What is done. The reason when the sandbox cannot be laid out that way.
    fn assembly(&self, element: ElementContext<'_>) -> Result<Assembly, String> {
        let build_root = layout::directory(element, "build-root")?;
        let install_root = layout::directory(element, "install-root")?;
        let directory = match element.variable("command-subdir").filter(|directory| !directory.is_empty()) {
            Some(directory) => layout::join(build_root, directory),
            None => build_root.to_owned(),
        };
        let digest = |(variable, elements): (&Text, &Vec<(ElementId, Text)>)| {
            (variable.to_string(), elements.iter().map(|(element, _)| *element).collect())
        };
        let mut stage = self.layout.stage(true);
        stage.push(Step::StageSources { into: build_root.to_owned() });
        Ok(Assembly {
            digest_environment: self.digests.iter().map(digest).collect(),
            directory: Some(directory),
            marked: vec![build_root.to_owned(), install_root.to_owned()],
            stage,
            assemble: vec![Step::Run(Run {
                groups: self.groups(),
                root_read_only: true,
                collect_on_failure: None,
                clean: layout::cleanable(build_root, install_root),
            })],
            collect: install_root.to_owned(),
            foreign: None,
        })
    }

    /// The commands as groups of a run.
    pub fn groups(&self) -> Vec<CommandGroup> {
        let group = |(at, commands): (usize, &Vec<Text>)| CommandGroup {
            commands: commands.iter().cloned().map(Command::Shell).collect(),
            once_in_workspace: at == 0,
        };
        self.commands.iter().enumerate().map(group).collect()
    }

    /// The commands as a shell script, each in a subshell that stops at the first failure.
    fn script(&self) -> String {
        let command = |command: &Text| format!("(set -ex; {command}\n) || exit 1\n");
        self.commands.iter().flatten().map(command).collect()
    }
}

/// Dependencies may say where they are staged.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { takes_dependency_config: true, ..KindTraits::default() }
}
