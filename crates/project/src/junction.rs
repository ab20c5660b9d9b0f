//! Junctions: from the element to the project behind it, overrides included.

use crate::element::Reach;
use crate::kinds::KindOrigin;
use crate::load::JunctionNeed;
use crate::name::{Leads, check_path, is_normal, normalise};
use crate::plugin::PluginType;
use crate::session::{Attempt, ElementIndex, ProjectIndex, Session, Stop};
use bourn_yaml::{Diagnostic, Domain, Node, Provenance, Text};
use indexmap::IndexMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A junction element, configured.
#[derive(Debug)]
pub(crate) struct Junction {
    /// Name below the element path of its project.
    pub(crate) name: Text,
    /// The same with the junctions that lead there.
    pub(crate) full_name: String,
    /// `path:`
    path: String,
    /// `options:`
    pub(crate) options: Node,
    /// `overrides:`, by path relative to the subproject.
    pub(crate) overrides: IndexMap<String, Node>,
    /// `aliases:`
    pub(crate) aliases: IndexMap<String, String>,
    /// `map-aliases: identity`
    pub(crate) identity: bool,
}

impl Junction {
    /// Reads the configuration of a junction element.
    ///
    /// # Errors
    /// `invalid-data`, `override-junction-with-self`.
    pub(crate) fn configure(name: &Text, full_name: String, config: &Node) -> Result<Junction, Diagnostic> {
        config.validate_keys(&["path", "options", "overrides", "aliases", "map-aliases"])?;
        let path = config.opt_str("path")?.unwrap_or_default().to_owned();
        let options = crate::conf::mapping_or_empty(config, "options")?;
        let mut overrides = IndexMap::new();
        for (key, target) in crate::conf::mapping_or_empty(config, "overrides")?.as_mapping()? {
            let Some(text) = target.text() else { return Err(target.wrong_type(key, "scalar")) };
            if text == name {
                let message = format!(
                    "Attempt to override subproject junction '{key}' with the overriding junction '{text}' itself"
                );
                return Err(
                    Diagnostic::new(Domain::Element, "override-junction-with-self", message).at(target.at)
                );
            }
            overrides.insert(key.to_string(), target.clone());
        }
        let mapping = crate::conf::mapping_or_empty(config, "aliases")?;
        let mut aliases = IndexMap::new();
        for key in mapping.as_mapping()?.keys() {
            aliases.insert(key.to_string(), mapping.get_str(key)?.to_owned());
        }
        let identity =
            config.opt_enum("map-aliases", &[("none", false), ("identity", true)])?.unwrap_or(false);
        Ok(Junction { name: name.clone(), full_name, path, options, overrides, aliases, identity })
    }
}

impl Session<'_, '_> {
    /// The project behind a path of junctions, opened if it is not yet.
    pub(crate) fn child(
        &mut self,
        project: ProjectIndex,
        path: &str,
        at: Option<Provenance>,
    ) -> Attempt<ProjectIndex> {
        self.follow(project, path, at, Reach::Open)?.ok_or(Stop::Known)
    }

    /// The project behind a path of junctions; with [`Reach::Opened`] `None` if it was not opened yet.
    pub(crate) fn follow(
        &mut self,
        project: ProjectIndex,
        path: &str,
        at: Option<Provenance>,
        reach: Reach,
    ) -> Attempt<Option<ProjectIndex>> {
        let searches = reach == Reach::Open;
        if searches && let Some(first) = self.projects[project].searching.get(path) {
            let message = format!("Circular reference while searching for '{path}'");
            let mut wrong =
                Diagnostic::load("circular-reference", message).at(at.unwrap_or(Provenance::SYNTHETIC));
            if Some(*first) != at {
                wrong = wrong.note(first.file.map(|_| *first), "the search began here");
            }
            return Err(wrong.into());
        }
        let marked = searches && at.is_some();
        if let Some(at) = at.filter(|_| marked) {
            self.projects[project].searching.insert(path.into(), at);
        }
        let mut found = Ok(Some(project));
        for name in path.split(':') {
            let Ok(Some(parent)) = found else { break };
            found = self.child_named(parent, name, at, reach);
        }
        if marked {
            self.projects[project].searching.remove(path);
        }
        found
    }

    fn child_named(
        &mut self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        reach: Reach,
    ) -> Attempt<Option<ProjectIndex>> {
        let normal;
        let name = if is_normal(name) {
            name
        } else {
            normal = normalise(name);
            &normal
        };
        if let Some(child) = self.projects[project].children.get(name) {
            return Ok(Some(*child));
        }
        if self.projects[project].closed.contains(name) {
            return Err(Stop::Known);
        }
        let found = self.find_child(project, name, at, reach);
        if found.is_err() && reach == Reach::Open {
            self.projects[project].closed.insert(name.into());
        }
        found
    }

    fn find_child(
        &mut self,
        project: ProjectIndex,
        name: &str,
        at: Option<Provenance>,
        reach: Reach,
    ) -> Attempt<Option<ProjectIndex>> {
        if let Some(child) = self.overriding_child(project, name)? {
            self.projects[project].children.insert(name.into(), child);
            return Ok(Some(child));
        }
        if self.locate(project, name, at, reach)?.is_none() {
            return Ok(None);
        }
        let Some(element) = self.projects[project].elements.get(name).copied() else { return Ok(None) };
        if let Some(target) = self.elements[element].link.clone() {
            let text = target.text().unwrap_or_default();
            let Some((owner, name)) = self.parse_name(project, text, Some(target.at), reach)? else {
                return Ok(None);
            };
            return self.follow(owner, &name, Some(target.at), reach);
        }
        if reach == Reach::Opened {
            return Ok(None);
        }
        let kind = &self.elements[element].kind;
        if kind != "junction" {
            let message = format!("{name}: Expected junction but element kind is {kind}");
            let wrong = Diagnostic::load("invalid-data", message).at(at.unwrap_or(Provenance::SYNTHETIC));
            return Err(wrong.note(Some(self.elements[element].at), "the element is here").into());
        }
        let child = self.open_junction(project, element, at)?;
        self.projects[project].children.insert(name.into(), child);
        // Links that overrides name have to be known before overrides are searched.
        let mut above = Some(child);
        while let Some(open) = above.filter(|open| self.projects[*open].parent.is_some()) {
            self.follow_override_links(open)?;
            above = self.projects[open].parent;
        }
        Ok(Some(child))
    }

    /// Opens the project behind a junction element.
    fn open_junction(
        &mut self,
        project: ProjectIndex,
        element: ElementIndex,
        at: Option<Provenance>,
    ) -> Attempt<ProjectIndex> {
        if let Some(dependency) = self.take_dependencies(element).first() {
            let message = "Dependencies are forbidden for 'junction' elements";
            return Err(Diagnostic::load("invalid-junction", message).at(dependency.at).into());
        }
        let (junction, tree) = self.configure_junction(project, element, at)?;
        let missing = Diagnostic::load("invalid-junction", self.no_conf(&junction));
        let directory = if junction.path.is_empty() { tree } else { tree.join(&junction.path) };
        match self.open_project(directory, Some(Arc::new(junction)), Some(project), at) {
            Err(Stop::Wrong(wrong))
                if wrong.first().is_some_and(|first| first.code == "missing-project-conf") =>
            {
                Err(missing.at(at.unwrap_or(self.elements[element].at)).into())
            }
            other => other,
        }
    }

    fn no_conf(&self, junction: &Junction) -> String {
        let name = &junction.name;
        let mut message = format!(
            "Could not find the project.conf file in the project referred to by junction element '{name}'."
        );
        if !junction.path.is_empty() {
            let path = &junction.path;
            message += &format!(" Was expecting it at path '{path}' in the junction's source.");
        }
        message
    }

    /// The configuration of a junction, and where its sources lie.
    fn configure_junction(
        &mut self,
        project: ProjectIndex,
        element: ElementIndex,
        at: Option<Provenance>,
    ) -> Attempt<(Junction, PathBuf)> {
        let composed = self.compose_first(element)?;
        let name = self.elements[element].name.clone();
        let full_name = self.full_name(element);
        let junction = Junction::configure(&name, full_name.clone(), &composed.config)?;
        let kinds = self.options.kinds;
        if let [source] = &composed.sources[..] {
            if source.kind.as_ref() == "workspace" {
                let path = source.config.get("path").and_then(Node::text).unwrap_or_default();
                return Ok((junction, PathBuf::from(path)));
            }
            if let Some(path) = kinds.local_path(&source.kind, &source.origin, &source.config) {
                let place = source.config.get("path").map_or(source.at, |path| path.at);
                check_path(self.files, &path, place, &self.projects[project].root, Leads::Anywhere)?;
                return Ok((junction, self.projects[project].directory.join(path)));
            }
        }
        let need = JunctionNeed {
            key: full_name.clone(),
            name: full_name,
            element: name.to_string(),
            at,
            sources: composed.sources,
            project: crate::graph::ProjectId(project as u32),
            projects: (0..self.projects.len()).map(|project| self.view(project, true)).collect(),
        };
        let known = self.options.junctions.get(&need.key).cloned();
        match known.or_else(|| self.options.locate.and_then(|locate| locate(&need))) {
            Some(tree) => Ok((junction, tree)),
            None => {
                self.needs.push(need);
                Err(Stop::Known)
            }
        }
    }

    /// The origins of the kinds of an element's sources.
    pub(crate) fn source_origins(&mut self, element: ElementIndex) -> Attempt<()> {
        let project = self.elements[element].project;
        let mut wrong = Vec::new();
        let mut known = false;
        for (kind, at) in self.elements[element].source_kinds() {
            match self.origin(project, PluginType::Source, &kind, at) {
                Ok(origin) => self.note_deprecated_source(project, &kind, &origin, at),
                Err(Stop::Wrong(more)) => wrong.extend(more),
                Err(Stop::Known) => known = true,
            }
        }
        match (wrong.is_empty(), known) {
            (true, false) => Ok(()),
            (true, true) => Err(Stop::Known),
            (false, _) => Err(Stop::Wrong(wrong)),
        }
    }

    fn note_deprecated_source(
        &mut self,
        project: ProjectIndex,
        kind: &str,
        origin: &KindOrigin,
        at: Provenance,
    ) {
        if let Some(why) = self.options.kinds.source_deprecated(kind, origin)
            && !self.projects[project].origins.allows_deprecated(PluginType::Source, kind)
        {
            self.warnings.push(deprecated(kind, why, at));
        }
    }

    /// The override of a path relative to a project, by its own junction or one further up, which goes before.
    pub(crate) fn overrides(&mut self, project: ProjectIndex, name: &str) -> Vec<(ProjectIndex, Node)> {
        let mut found = Vec::new();
        let mut path = name.to_owned();
        let mut current = project;
        while let (Some(parent), Some(junction)) =
            (self.projects[current].parent, self.projects[current].junction.clone())
        {
            if let Some(target) = self.local_override(current, &junction, &path) {
                found.push((parent, target));
            }
            path = format!("{}:{path}", junction.name);
            current = parent;
        }
        found
    }

    fn local_override(&mut self, project: ProjectIndex, junction: &Junction, path: &str) -> Option<Node> {
        if let Some(target) = junction.overrides.get(path) {
            return Some(target.clone());
        }
        if junction.overrides.is_empty() || self.projects[project].links.is_empty() {
            return None;
        }
        if self.projects[project].followed.is_none() {
            let mut followed = foldhash::HashMap::default();
            for (key, target) in &junction.overrides {
                followed.entry(self.expand_link(project, key)).or_insert_with(|| target.clone());
            }
            self.projects[project].followed = Some(followed);
        }
        self.projects[project].followed.as_ref()?.get(path).cloned()
    }

    /// The project that goes in place of that of a junction.
    fn overriding_child(&mut self, project: ProjectIndex, name: &str) -> Attempt<Option<ProjectIndex>> {
        let mut overrides = self.overrides(project, name);
        let Some((parent, target)) = overrides.pop() else { return Ok(None) };
        let child = self.child(parent, target.text().unwrap_or_default(), Some(target.at))?;
        if child != project {
            self.projects[child].other_parents.push(project);
        }
        let others = overrides.into_iter().map(|(parent, _)| parent);
        self.projects[child].other_parents.extend(others);
        Ok(Some(child))
    }

    /// Reads the links that the overrides of a project's junction name, and the links these name.
    fn follow_override_links(&mut self, project: ProjectIndex) -> Attempt<()> {
        let Some(junction) = self.projects[project].junction.clone() else { return Ok(()) };
        for (path, target) in &junction.overrides {
            let mut next = Some((path.clone(), target.at));
            let mut steps = 0;
            while let Some((path, at)) = next {
                next = self.follow_link(project, &path, at)?;
                steps += 1;
                if steps > self.projects[project].links.len() + 1 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// If a path leads to a link in a project that is open, the path that the link leads to.
    fn follow_link(
        &mut self,
        project: ProjectIndex,
        path: &str,
        at: Provenance,
    ) -> Attempt<Option<(String, Provenance)>> {
        let (owner, junction, name) = match path.rsplit_once(':') {
            None => (project, None, path),
            Some((junction, name)) => match self.follow(project, junction, Some(at), Reach::Opened)? {
                Some(owner) => (owner, Some(junction), name),
                None => return Ok(None),
            },
        };
        let known = self.projects[owner].elements.get(name).copied();
        let element = match known {
            Some(element) => Some(element),
            None => self.read_element(owner, name, Some(at), true)?,
        };
        let Some(target) = element.and_then(|element| self.elements[element].link.clone()) else {
            return Ok(None);
        };
        let text = target.text().unwrap_or_default();
        let next = junction.map_or_else(|| text.to_owned(), |junction| format!("{junction}:{text}"));
        Ok(Some((next, target.at)))
    }
}

/// The word about a kind that should not be used any more.
pub(crate) fn deprecated(kind: &str, why: String, at: Provenance) -> Diagnostic {
    Diagnostic::new(Domain::Plugin, "deprecated-plugin", format!("Using deprecated plugin '{kind}'"))
        .at(at)
        .detail(why)
}
