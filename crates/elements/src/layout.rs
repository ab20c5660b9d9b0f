//! Where dependencies are staged, and what kinds share around it.

use bourn_plan::assembly::{Assembly, Command, CommandGroup, Integrate, Run, Stage, Step};
use bourn_plan::{Description, ElementContext, KeyValue};
use bourn_project::{Dependency, ElementId};
use bourn_yaml::{Diagnostic, Domain, Node, Text};
use std::collections::BTreeMap;
use std::fmt;

/// Which dependencies are staged at which place of the sandbox. Places are sorted, so that parents come before what
/// lies below them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    places: BTreeMap<Text, Vec<(ElementId, Text)>>,
}

impl Layout {
    /// Adds a dependency, under the name that its key shows.
    pub fn add(&mut self, element: ElementId, path: &str, place: &str) {
        self.places.entry(place.into()).or_default().push((element, path.into()));
    }

    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether anything is staged elsewhere than at the root.
    pub fn leaves_root(&self) -> bool {
        self.places.keys().any(|place| !place.is_empty() && place != "/")
    }

    /// Place to names.
    pub fn unique_key(&self) -> KeyValue {
        KeyValue::object(self.places.iter().map(|(place, elements)| {
            (place.as_str(), KeyValue::list(elements.iter().map(|(_, path)| path.as_str())))
        }))
    }

    /// Stages everything, then integrates what was staged at the root. `building` says that the root is only built in.
    pub fn stage(&self, building: bool) -> Vec<Step> {
        let mut steps: Vec<Step> =
            self.places.iter().map(|(place, elements)| stage_at(place, elements)).collect();
        if let Some(elements) = self.places.get("/") {
            let from = elements.iter().map(|(element, _)| *element).collect();
            let integrate = Step::Integrate(Integrate { from, apart: false, building });
            steps.push(Step::silent("Integrating sandbox", vec![integrate]));
        }
        steps
    }
}

fn stage_at(place: &Text, elements: &[(ElementId, Text)]) -> Step {
    let from = elements.iter().map(|(element, _)| *element).collect();
    let stage = Step::Stage(Stage { from, into: place.to_string(), ..Stage::default() });
    Step::silent(format!("Staging dependencies at: {place}"), vec![stage])
}

/// Calls `take` for every direct build dependency with its `config:`, once for each where it has several.
///
/// # Errors
/// The first that `take` answers.
pub fn each_dependency<'a>(
    element: ElementContext<'a>,
    mut take: impl FnMut(&'a Dependency, Option<&'a Node>) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    for dependency in element.build_dependencies() {
        if dependency.config.is_empty() {
            take(dependency, None)?;
        }
        for config in &dependency.config {
            take(dependency, Some(config))?;
        }
    }
    Ok(())
}

/// A layout in which dependencies with `input: true` go to `%{build-root}` and all others to `/`. Also the last of
/// the inputs.
///
/// # Errors
/// Unknown keys, values of another type, or no input at all.
pub fn with_input(element: ElementContext<'_>) -> Result<(Layout, ElementId), Diagnostic> {
    let mut layout = Layout::default();
    let mut input = None;
    let build_root = element.variable("build-root").unwrap_or_default();
    each_dependency(element, |dependency, config| {
        let mut is_input = false;
        if let Some(config) = config {
            config.validate_keys(&["input"])?;
            is_input = config.opt_bool("input")?.unwrap_or(false);
        }
        if is_input {
            input = Some(dependency.element);
        }
        layout.add(dependency.element, &dependency.path, if is_input { build_root } else { "/" });
        Ok(())
    })?;
    let input = input.ok_or_else(|| {
        wrong(element, "", "No `input` dependency specified")
            .hint("give one of `build-depends` a `config:` with `input: true`")
    })?;
    Ok((layout, input))
}

/// An element that runs named lists of commands over a layout of its dependencies, as kind `script` does.
#[derive(Clone, Debug)]
pub struct Script {
    /// Lists of commands with their names, in order. `None`: the kind has none at all.
    pub commands: Vec<(String, Vec<Text>)>,
    /// Directory they run in.
    pub directory: String,
    /// Directory that is collected.
    pub install_root: String,
    /// Whether only marked directories may be written to.
    pub root_read_only: bool,
    /// Where dependencies are staged.
    pub layout: Layout,
    /// Further directories to mark.
    pub marked: Vec<String>,
}

impl Script {
    /// A script of no commands yet that runs in `%{cwd}` and collects `%{install-root}`.
    pub fn new(element: ElementContext<'_>, layout: Layout, root_read_only: bool) -> Script {
        let or_root =
            |name: &str| element.variable(name).filter(|value| !value.is_empty()).unwrap_or("/").to_owned();
        Script {
            commands: Vec::new(),
            directory: or_root("cwd"),
            install_root: or_root("install-root"),
            root_read_only,
            layout,
            marked: Vec::new(),
        }
    }

    /// Appends a list of commands; one that exists is replaced in its place.
    pub fn add(&mut self, name: impl Into<String>, commands: Vec<Text>) {
        let name = name.into();
        match self.commands.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = commands,
            None => self.commands.push((name, commands)),
        }
    }

    /// What enters the key, as a list of members.
    pub fn unique_key(&self) -> Vec<(&'static str, KeyValue)> {
        let commands = self.commands.iter().map(|(name, commands)| (name.as_str(), list(commands)));
        vec![
            ("commands", KeyValue::object(commands)),
            ("cwd", self.directory.as_str().into()),
            ("install-root", self.install_root.as_str().into()),
            ("layout", self.layout.unique_key()),
            ("root-read-only", self.root_read_only.into()),
        ]
    }

    /// The whole description.
    pub fn describe(&self, element: ElementContext<'_>) -> Description {
        let mut description = Description::new(KeyValue::object(self.unique_key()));
        description.strict_rebuild = true;
        description.assembly = match self.assembly(element) {
            Ok(assembly) => assembly,
            Err(reason) => refused(reason),
        };
        description
    }

    /// What is done. The reason when the sandbox cannot be laid out that way.
    pub fn assembly(&self, element: ElementContext<'_>) -> Result<Assembly, String> {
        for path in [&self.directory, &self.install_root] {
            absolute(path)?;
        }
        let mut stage = match self.layout.is_empty() {
            // Only when there is no dependency at all.
            true => vec![Step::silent("Staging dependencies", vec![Step::Stage(root(Vec::new()))])],
            false => self.layout.stage(false),
        };
        stage.push(Step::CreateDirectory { path: self.install_root.clone() });
        Ok(Assembly {
            digest_environment: Vec::new(),
            directory: Some(self.directory.clone()),
            marked: std::iter::once(&self.install_root).chain(&self.marked).cloned().collect(),
            stage,
            assemble: vec![Step::Run(self.run(element))],
            collect: self.install_root.clone(),
            foreign: None,
        })
    }

    /// All commands as one run.
    pub fn run(&self, element: ElementContext<'_>) -> Run {
        let shell = |(_, commands): &(String, Vec<Text>)| CommandGroup {
            commands: commands.iter().cloned().map(Command::Shell).collect(),
            once_in_workspace: false,
        };
        let build_root = element.variable("build-root").unwrap_or_default();
        let install_root = element.variable("install-root").unwrap_or_default();
        Run {
            groups: self.commands.iter().map(shell).collect(),
            root_read_only: self.root_read_only,
            collect_on_failure: Some(self.install_root.clone()),
            clean: cleanable(build_root, install_root),
        }
    }
}

/// Staging at the root.
pub fn root(from: Vec<ElementId>) -> Stage {
    Stage { from, into: "/".into(), ..Stage::default() }
}

/// Direct build dependencies.
pub fn build_dependencies(element: ElementContext<'_>) -> Vec<ElementId> {
    element.build_dependencies().map(|dependency| dependency.element).collect()
}

/// The build directory, if emptying it leaves what was installed alone.
pub fn cleanable(build_root: &str, install_root: &str) -> Option<String> {
    let entangled = build_root.starts_with(install_root) || install_root.starts_with(build_root);
    (!build_root.is_empty() && (install_root.is_empty() || !entangled)).then(|| build_root.to_owned())
}

/// The value of a variable that has to be an absolute directory of the sandbox; otherwise why it is none.
///
/// # Errors
/// One sentence.
pub fn directory<'a>(element: ElementContext<'a>, variable: &str) -> Result<&'a str, String> {
    match element.variable(variable) {
        None => Err(format!("Variable `{variable}` is not defined")),
        Some(path) => {
            absolute(path).map_err(|reason| format!("Variable `{variable}`: {reason}")).map(|()| path)
        }
    }
}

fn absolute(path: &str) -> Result<(), String> {
    match path.starts_with('/') {
        true => Ok(()),
        false => Err(format!("`{path}` is no absolute path of the sandbox")),
    }
}

/// An assembly that fails with a sentence for the user.
pub fn refused(message: impl Into<String>) -> Assembly {
    let refuse = Step::Refuse { message: message.into(), hint: None };
    Assembly { stage: vec![refuse], collect: "/".into(), ..Assembly::default() }
}

/// A step for a kind whose elements cannot be built, with the reason.
pub fn unbuilt(kind: &str, reason: &str) -> Step {
    Step::Refuse {
        message: format!("Elements of kind `{kind}` cannot be built: {reason}"),
        hint: Some("their artifacts can be pulled from a cache".into()),
    }
}

/// Joins paths as Python's `os.path.join` does: an absolute second one stands alone. An empty one adds nothing.
pub fn join(base: &str, path: &str) -> String {
    if path.is_empty() {
        base.to_owned()
    } else if path.starts_with('/') || base.is_empty() {
        path.to_owned()
    } else if base.ends_with('/') {
        format!("{base}{path}")
    } else {
        format!("{base}/{path}")
    }
}

/// A path below the root without `.`, `..` and doubled slashes (Python's `os.path.relpath(path, "/")`); empty for the
/// root itself.
pub fn normalised(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// An element's name without its suffix, directories joined by dashes (bst: `normal_name`).
pub fn normal_name(name: &str) -> String {
    let dashed = name.replace('/', "-");
    match dashed.rfind('.') {
        // A name that only begins with dots has no suffix.
        Some(dot) if !dashed[..dot].trim_start_matches('.').is_empty() => dashed[..dot].to_owned(),
        _ => dashed,
    }
}

/// Ends the `Debug` text of a computation that runs commands.
pub(crate) fn debug_run(f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
    let commands = run.groups.iter().flat_map(|group| &group.commands);
    let texts: Vec<&str> = commands.filter_map(Command::label).collect();
    write!(f, "commands: {texts:?} }}")
}

/// What a kind finds wrong with an element.
pub fn wrong(element: ElementContext<'_>, reason: &'static str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Domain::Element, reason, message).at(element.element().at)
}

/// A list of texts for a key.
pub fn list(texts: &[Text]) -> KeyValue {
    KeyValue::list(texts)
}

/// A sorted list of texts for a key.
pub fn sorted(texts: &[Text]) -> KeyValue {
    let mut texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
    texts.sort_unstable();
    KeyValue::list(texts)
}

/// Texts of their own.
pub fn texts(borrowed: Vec<&str>) -> Vec<Text> {
    borrowed.into_iter().map(Text::from).collect()
}

/// Texts as strings.
pub fn strings(texts: &[Text]) -> Vec<String> {
    texts.iter().map(Text::to_string).collect()
}
