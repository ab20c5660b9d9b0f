//! Projects that are loaded more than once.

use crate::element::Reach;
use crate::session::{Attempt, ProjectIndex, Session};
use bourn_yaml::{Diagnostic, Node};
use foldhash::HashSet;

/// Who says that a project may be loaded more than once.
#[derive(Default)]
struct Marks {
    /// Projects that name it a duplicate.
    duplicates: Vec<ProjectIndex>,
    /// Projects that name it internal.
    internal: Vec<ProjectIndex>,
}

impl Session<'_, '_> {
    /// Checks that no project is loaded in several ways without saying so.
    pub(crate) fn check_conflicts(&mut self) -> Attempt<()> {
        let mut names: Vec<String> = Vec::new();
        for project in &self.projects {
            if !names.contains(&project.name) {
                names.push(project.name.clone());
            }
        }
        for name in names {
            let instances: Vec<ProjectIndex> =
                (0..self.projects.len()).filter(|project| self.projects[*project].name == name).collect();
            let mut marks = Vec::with_capacity(instances.len());
            for instance in &instances {
                marks.push(self.marks(*instance)?);
            }
            let plain = marks.iter().filter(|m| m.duplicates.is_empty() && m.internal.is_empty()).count();
            let duplicated = marks.iter().any(|marks| !marks.duplicates.is_empty());
            if plain > 1 || plain == 1 && duplicated {
                return Err(self.conflict(&name, &instances, &marks).into());
            }
        }
        Ok(())
    }

    fn marks(&mut self, project: ProjectIndex) -> Attempt<Marks> {
        let mut marks = Marks::default();
        let name = self.projects[project].name.clone();
        for above in self.ancestors(project) {
            let duplicates = self.projects[above].duplicates.get(name.as_str()).cloned().unwrap_or_default();
            if self.leads_to(above, &duplicates, project)? {
                marks.duplicates.push(above);
            }
            let internal = self.projects[above].internal.clone();
            if self.leads_to(above, &internal, project)? {
                marks.internal.push(above);
            }
        }
        Ok(marks)
    }

    /// Whether one of some paths of a project leads to another one.
    fn leads_to(&mut self, from: ProjectIndex, paths: &[Node], to: ProjectIndex) -> Attempt<bool> {
        for path in paths {
            let found = self.follow(from, path.text().unwrap_or_default(), Some(path.at), Reach::Opened)?;
            if found == Some(to) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All projects from which a project can be reached, also through junctions that gave way to others.
    fn ancestors(&self, project: ProjectIndex) -> Vec<ProjectIndex> {
        let mut seen = HashSet::default();
        let mut found = Vec::new();
        let starts =
            self.projects[project].parent.into_iter().chain(self.projects[project].other_parents.clone());
        for start in starts {
            let mut next = Some(start);
            while let Some(above) = next.filter(|above| seen.insert(*above)) {
                found.push(above);
                next = self.projects[above].parent;
            }
        }
        found
    }

    fn conflict(&self, name: &str, instances: &[ProjectIndex], marks: &[Marks]) -> Diagnostic {
        let mut detail = String::new();
        let mut wrong = Diagnostic::load(
            "conflicting-junction",
            format!("Project '{name}' was loaded in multiple contexts"),
        );
        for (instance, marks) in instances.iter().zip(marks) {
            detail += &format!("{}\n", self.describe(*instance));
            for above in &marks.duplicates {
                detail += &format!("  Duplicated by: {}\n", self.describe(*above));
            }
            for above in &marks.internal {
                detail += &format!("  Internal to: {}\n", self.describe(*above));
            }
            let open = &self.projects[*instance];
            let text = match &open.junction {
                Some(junction) => format!("'{}' leads to it", junction.full_name),
                None => "it is the toplevel project".to_owned(),
            };
            wrong = wrong.note(open.asked.filter(|at| at.file.is_some()), text);
        }
        wrong.detail(detail.trim_end()).hint(
            "internal projects conflict with nothing; otherwise mark every instance under `junctions.duplicates` of \
             project.conf, or let the junctions be one with `overrides` or a link",
        )
    }

    /// A project, the junction it was loaded by, and what had it loaded.
    fn describe(&self, project: ProjectIndex) -> String {
        let open = &self.projects[project];
        match &open.junction {
            None => format!("{} (toplevel)", open.name),
            Some(junction) => {
                let place = self.place(open.asked);
                let between = if place.is_empty() { "" } else { ": " };
                format!("{} ({}){between}{place}", open.name, junction.full_name)
            }
        }
    }
}
