//! Elements: from files to a web of dependencies, with links and overrides followed.

use crate::condition;
use crate::dependency::{self, Declared};
use crate::include::Including;
use crate::name::{check_element, is_normal, neighbour, normalise};
use crate::session::{Attempt, ElementIndex, ProjectIndex, Session, Stop};
use bourn_yaml::{Diagnostic, Node, Provenance, Text};
use foldhash::HashMap;

/// How far to go for a project behind a junction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Open it.
    Open,
    /// Only take those that are open.
    Opened,
}

/// All keys of an element.
const KEYS: [&str; 12] = [
    "kind",
    "depends",
    "sources",
    "sandbox",
    "variables",
    "environment",
    "environment-nocache",
    "config",
    "public",
    "description",
    "build-depends",
    "runtime-depends",
];

/// An element whose file was read.
pub(crate) struct Found {
    pub(crate) project: ProjectIndex,
    pub(crate) name: Text,
    pub(crate) kind: Text,
    pub(crate) description: Option<String>,
    /// Its file without what was taken out of it, conditionals and includes processed.
    pub(crate) node: Node,
    pub(crate) at: Provenance,
    /// Dependencies, in the order they were written until they are sorted.
    pub(crate) dependencies: Vec<Link>,
    /// Whether the dependencies were loaded, or are being loaded.
    pub(crate) complete: bool,
    /// Where a link leads to.
    pub(crate) link: Option<Node>,
}

/// A dependency that leads to its element.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) element: ElementIndex,
    pub(crate) declared: Declared,
}

impl Found {
    /// Whether it is loaded before its project is complete.
    pub(crate) fn is_first_pass(&self) -> bool {
        matches!(self.kind.as_str(), "junction" | "link")
    }

    /// The kinds of its sources, where they are well written.
    pub(crate) fn source_kinds(&self) -> Vec<(Text, Provenance)> {
        let sources = self.node.get("sources").and_then(Node::items).unwrap_or_default();
        sources
            .iter()
            .filter_map(|source| Some((Text::new(source.get("kind")?.text()?), source.at)))
            // That one is for the program alone, using it is an error of another sort.
            .filter(|(kind, _)| kind != "workspace")
            .collect()
    }
}

/// An element whose dependencies are being loaded.
struct Frame {
    element: ElementIndex,
    todo: std::vec::IntoIter<Declared>,
    /// Places of the dependencies loaded so far.
    places: HashMap<ElementIndex, usize>,
}

impl Session<'_, '_> {
    /// Full name of an element.
    pub(crate) fn full_name(&self, element: ElementIndex) -> String {
        let found = &self.elements[element];
        match &self.projects[found.project].junction {
            Some(junction) => format!("{}:{}", junction.full_name, found.name),
            None => found.name.to_string(),
        }
    }

    /// Cuts a name into the project that it leads to and the element's name there.
    pub(crate) fn parse_name(
        &mut self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        reach: Reach,
    ) -> Attempt<Option<(ProjectIndex, String)>> {
        match name.rsplit_once(':') {
            None => Ok(Some((project, normalise(name)))),
            Some((junction, name)) => {
                Ok(self.follow(project, junction, at, reach)?.map(|owner| (owner, normalise(name))))
            }
        }
    }

    /// Loads a target with all that it depends on.
    pub(crate) fn load_target(&mut self, target: &str) -> Attempt<ElementIndex> {
        if target.starts_with('/') {
            let message =
                format!("Target '{target}' was not specified as a relative path to the element directory");
            return Err(Diagnostic::load("invalid-data", message).into());
        }
        let (project, name) = self.parse_name(0, target, None, Reach::Open)?.ok_or(Stop::Known)?;
        let element = self.locate(project, &name, None, Reach::Open)?.ok_or(Stop::Known)?;
        self.load_dependencies(element);
        Ok(element)
    }

    /// Loads all that an element depends on, directly and indirectly. What is wrong is reported, the rest goes on.
    fn load_dependencies(&mut self, top: ElementIndex) {
        let mut stack = Vec::new();
        stack.extend(self.enter(top));
        while let Some(frame) = stack.last_mut() {
            let Some(declared) = frame.todo.next() else {
                stack.pop();
                continue;
            };
            let element = frame.element;
            match self.dependency_target(self.elements[element].project, &declared) {
                Ok(target) => {
                    let dependencies = &mut self.elements[element].dependencies;
                    match frame.places.get(&target) {
                        Some(place) => dependencies[*place].declared.merge(declared),
                        None => {
                            frame.places.insert(target, dependencies.len());
                            dependencies.push(Link { element: target, declared });
                        }
                    }
                    stack.extend(self.enter(target));
                }
                Err(stop) => self.report(stop),
            }
        }
    }

    /// Begins with the dependencies of an element, unless that was done.
    fn enter(&mut self, element: ElementIndex) -> Option<Frame> {
        if std::mem::replace(&mut self.elements[element].complete, true) {
            return None;
        }
        let todo = self.take_dependencies(element);
        Some(Frame { element, todo: todo.into_iter(), places: HashMap::default() })
    }

    /// The dependencies that an element declares, taken out of its node.
    pub(crate) fn take_dependencies(&mut self, element: ElementIndex) -> Vec<Declared> {
        let (dependencies, wrong) = dependency::take(&mut self.elements[element].node);
        self.report(wrong.into());
        dependencies
    }

    fn dependency_target(&mut self, project: ProjectIndex, declared: &Declared) -> Attempt<ElementIndex> {
        let at = Some(declared.at);
        // The empty path of junctions, as in `:a.bst`, leads nowhere else.
        let owner = match declared.junction.as_deref() {
            None | Some("") => project,
            Some(junction) => self.child(project, junction, at)?,
        };
        let target = self.locate(owner, &declared.name, at, Reach::Open)?.ok_or(Stop::Known)?;
        if self.elements[target].kind == "junction" {
            return Err(Diagnostic::load("invalid-data", "Cannot depend on junction")
                .at(declared.at)
                .hint("depend on an element behind it: `JUNCTION:ELEMENT`")
                .into());
        }
        Ok(target)
    }

    /// The element that a name stands for: its file is read, links and overrides are followed. With
    /// [`Reach::Opened`] `None` if that leads to a project that is not open.
    pub(crate) fn locate(
        &mut self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        reach: Reach,
    ) -> Attempt<Option<ElementIndex>> {
        let (mut project, mut name, mut at, mut reach) = (project, Text::new(name), at, reach);
        let mut trail: Vec<(ProjectIndex, Text, Option<Provenance>)> = Vec::new();
        loop {
            if !is_normal(&name) {
                name = normalise(&name).into();
            }
            let element = match self.projects[project].elements.get(&name) {
                Some(element) if self.elements[*element].complete => return Ok(Some(*element)),
                Some(element) => *element,
                None => self.read_element(project, &name, at, false)?.ok_or(Stop::Known)?,
            };
            let step = match self.overrides(project, &name).pop() {
                Some((parent, target)) => {
                    reach = Reach::Open;
                    Some((parent, target))
                }
                None => self.elements[element].link.clone().map(|target| (project, target)),
            };
            let Some((from, target)) = step else { return Ok(Some(element)) };
            if trail.iter().any(|(owner, known, _)| *owner == project && *known == name) {
                return Err(going_round(&name, at, &trail).into());
            }
            trail.push((project, name, at));
            let text = target.text().unwrap_or_default();
            let Some((owner, next)) = self.parse_name(from, text, Some(target.at), reach)? else {
                return Ok(None);
            };
            (project, name, at) = (owner, next.into(), Some(target.at));
        }
    }

    /// Reads the file of an element. With `links_only` others than junctions and links are left alone: `None`.
    pub(crate) fn read_element(
        &mut self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        links_only: bool,
    ) -> Attempt<Option<ElementIndex>> {
        check_element(name, at)?;
        if self.projects[project].broken.contains(name) {
            return Err(Stop::Known);
        }
        let read = self.read_new_element(project, name, at, links_only);
        if read.is_err() {
            self.projects[project].broken.insert(name.into());
        }
        read
    }

    fn read_new_element(
        &mut self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        links_only: bool,
    ) -> Attempt<Option<ElementIndex>> {
        let place = self.projects[project].place.clone();
        let mut parsed = match self.ahead.element(self.scope, &place, name) {
            Ok(parsed) => parsed,
            Err(wrong) => return Err(self.unreadable(project, name, at, wrong)),
        };
        let first_pass = matches!(parsed.node.get_str("kind")?, "junction" | "link");
        if !first_pass && links_only {
            self.ahead.give_back(&place, name, parsed);
            return Ok(None);
        }
        if first_pass {
            condition::process(&mut parsed.node, &self.first(project).options, &[])?;
        } else {
            self.complete(project)?;
            if parsed.processed {
                // Another thread did it.
            } else if parsed.includes {
                let how = Including { conf: false, local: false, options: true };
                self.process_includes(project, &mut parsed.node, &how)?;
            } else if parsed.conditions {
                condition::process(&mut parsed.node, &self.second(project).options, &[])?;
            }
        }
        self.add_element(project, name, parsed.node).map(Some)
    }

    /// Adds an element whose file was read; a link is followed as far as its target is named.
    fn add_element(&mut self, project: ProjectIndex, name: &str, node: Node) -> Attempt<ElementIndex> {
        node.validate_keys(&KEYS)?;
        let kind = Text::new(node.get_str("kind")?);
        let description = node.opt_str("description")?.map(str::to_owned);
        let at = node.at;
        let is_link = kind == "link";
        self.announce(project, &kind);
        let element = self.elements.len();
        self.elements.push(Found {
            project,
            name: name.into(),
            kind,
            description,
            node,
            at,
            dependencies: Vec::new(),
            complete: false,
            link: None,
        });
        if is_link {
            let target = self.configure_link(element)?;
            self.add_link(project, name, target.text().unwrap_or_default());
            self.elements[element].link = Some(target);
        }
        self.projects[project].elements.insert(name.into(), element);
        Ok(element)
    }

    /// Where a link leads to.
    fn configure_link(&mut self, element: ElementIndex) -> Attempt<Node> {
        let composed = self.compose_first(element)?;
        composed.config.validate_keys(&["target"])?;
        let target = composed.config.get_scalar("target")?.clone();
        if !composed.sources.is_empty() {
            let message = format!("{}: Sources are forbidden for 'link' elements", self.full_name(element));
            let wrong = Diagnostic::new(bourn_yaml::Domain::Element, "element-forbidden-sources", message);
            return Err(wrong.at(self.elements[element].at).into());
        }
        if let Some(first) = self.take_dependencies(element).first() {
            let message =
                format!("{}: Dependencies are forbidden for 'link' elements", self.full_name(element));
            let wrong = Diagnostic::load("link-forbidden-dependencies", message);
            return Err(wrong.at(self.elements[element].at).note(Some(first.at), "the first of them").into());
        }
        Ok(target)
    }

    /// Remembers a link in its project and in those above, which may name it with the path of junctions.
    fn add_link(&mut self, project: ProjectIndex, name: &str, target: &str) {
        let (mut path, mut target) = (name.to_owned(), target.to_owned());
        let mut current = project;
        loop {
            self.remember_link(current, &path, &target);
            let (Some(parent), Some(junction)) =
                (self.projects[current].parent, &self.projects[current].junction)
            else {
                return;
            };
            path = format!("{}:{path}", junction.name);
            target = format!("{}:{target}", junction.name);
            current = parent;
        }
    }

    fn remember_link(&mut self, project: ProjectIndex, path: &str, target: &str) {
        self.projects[project].followed = None;
        self.projects[project].links.insert(path.to_owned(), target.to_owned());
        // Links that lead to this one lead on to its target.
        let through: Vec<String> = self.projects[project]
            .links
            .iter()
            .filter(|(_, known)| self.expand_link(project, known) == path)
            .map(|(link, _)| link.clone())
            .collect();
        for link in through {
            self.projects[project].links.insert(link, target.to_owned());
        }
    }

    /// A path with the first link that it begins with replaced by its target.
    pub(crate) fn expand_link(&self, project: ProjectIndex, path: &str) -> String {
        let links = &self.projects[project].links;
        let found = links
            .iter()
            .find_map(|(link, target)| Some(format!("{target}{}", path.strip_prefix(link.as_str())?)));
        found.unwrap_or_else(|| path.to_owned())
    }

    /// Says which element cannot be read, and who wants it.
    fn unreadable(
        &self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        wrong: bourn_yaml::Diagnostics,
    ) -> Stop {
        if wrong.0.first().is_none_or(|first| first.code != "missing-file") {
            return wrong.into();
        }
        let open = &self.projects[project];
        let message = match &open.junction {
            Some(junction) => format!(
                "Could not find element '{name}' in project referred to by junction element '{}'",
                junction.name
            ),
            None => {
                format!(
                    "Could not find element '{name}' in elements directory '{}'",
                    open.place.directory.display()
                )
            }
        };
        let missing = Diagnostic::load("missing-file", message).at(at.unwrap_or(Provenance::SYNTHETIC));
        let inside = name.strip_prefix(&format!("{}/", open.element_path));
        let near = match inside.filter(|inside| open.place.directory.join(inside).exists()) {
            Some(inside) => Some(inside.to_owned()),
            None => neighbour(&open.place.directory.join(name)).map(|near| match name.rsplit_once('/') {
                Some((directory, _)) => format!("{directory}/{near}"),
                None => near,
            }),
        };
        missing.did_you_mean(near.as_deref()).into()
    }
}

fn going_round(
    name: &str,
    at: Option<Provenance>,
    trail: &[(ProjectIndex, Text, Option<Provenance>)],
) -> Diagnostic {
    let message = format!("Links and overrides lead from '{name}' back to it");
    let mut wrong = Diagnostic::load("circular-reference", message).at(at.unwrap_or(Provenance::SYNTHETIC));
    for (_, step, at) in trail.iter().filter(|(_, _, at)| at.is_some()) {
        wrong = wrong.note(*at, format!("'{step}' is named here"));
    }
    wrong
}
