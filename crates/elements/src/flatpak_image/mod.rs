//! Kind `flatpak_image`: dependencies as the tree that flatpak exports.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Command, CommandGroup, Run, Split, Stage, Step};
use bourn_plan::{
    AssemblyError, Compute, Description, ElementContext, ElementKind, Entry, KeyValue, Workbench,
};
use bourn_project::{ElementId, KindTraits};
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Node, Text};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of kind `script`.
pub fn traits(version: Version) -> KindTraits {
    crate::script::traits(version)
}

/// Where dependencies go that name no place.
const INPUT: &str = "/buildstream/allfiles";
/// What is collected.
const OUTPUT: &str = "/buildstream/install";

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["directory", "include", "exclude", "metadata", "component-ids"])?;
        let directory = Text::new(config.get_str("directory")?);
        let include = layout::texts(config.get_str_list("include")?);
        let exclude = layout::texts(config.get_str_list("exclude")?);
        let components = layout::texts(config.get_str_list("component-ids")?);
        let metadata_node = config.get_mapping("metadata")?;
        let metadata = Metadata::read(metadata_node)?;
        let sort = metadata.sort().ok_or_else(|| {
            let message = "Either Application or Runtime section must be present in metadata";
            layout::wrong(element, "", message).at(metadata_node.at)
        })?;
        let mut places: BTreeMap<Text, Vec<ElementId>> = BTreeMap::new();
        layout::each_dependency(element, |dependency, config| {
            let mut place = INPUT;
            if let Some(config) = config {
                config.validate_keys(&["location"])?;
                place = config.get_str("location")?;
            }
            places.entry(place.into()).or_default().push(dependency.element);
            Ok(())
        })?;

        let mut key = vec![
            ("directory", KeyValue::from(directory.as_str())),
            ("include", layout::sorted(&include)),
            ("exclude", layout::sorted(&exclude)),
            ("metadata", KeyValue::from(metadata_node)),
            // What this kind makes changed three times since it was first written.
            ("version", KeyValue::Integer(4)),
        ];
        if !components.is_empty() {
            key.push(("component-ids", layout::list(&components)));
        }
        let mut description = Description::new(KeyValue::object(key));
        description.strict_rebuild = true;
        let split =
            Split { include: layout::strings(&include), exclude: layout::strings(&exclude), orphans: true };
        // bst runs the command for the last of the components only.
        let compose = components.last().map(|component| compose_components(component, &directory));
        let lay_out = Step::Compute(Arc::new(LayOut { directory, metadata, sort }));
        description.assembly = Assembly {
            directory: Some("/".into()),
            marked: vec![INPUT.into(), OUTPUT.into()],
            stage: places.into_iter().map(|(place, elements)| stage(&place, elements, &split)).collect(),
            assemble: compose.into_iter().chain([lay_out]).collect(),
            collect: OUTPUT.into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

fn stage(place: &str, from: Vec<ElementId>, split: &Split) -> Step {
    let split = if place == INPUT { split.clone() } else { Split::ALL };
    let stage = Step::Stage(Stage { from, into: place.to_owned(), split, ..Stage::default() });
    Step::silent(format!("Staging dependencies at: {place}"), vec![stage])
}

/// Collects what software centres show of a component.
fn compose_components(component: &str, directory: &str) -> Step {
    let share = layout::join(&layout::join(INPUT, directory.trim_start_matches('/')), "share");
    let command = format!(
        "appstreamcli compose --components {component} --result-root {OUTPUT} --prefix {directory} --data-dir {share} \
         --origin {component} {INPUT}"
    );
    let group = CommandGroup { commands: vec![Command::Shell(command.into())], once_in_workspace: false };
    Step::Run(Run {
        groups: vec![group],
        root_read_only: true,
        collect_on_failure: Some(OUTPUT.into()),
        clean: None,
    })
}

/// What the image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Application,
    Runtime,
    RuntimeExtension,
}

/// The file `metadata`: sections of keys with values, in the order written.
#[derive(Debug)]
struct Metadata {
    sections: Vec<(Text, Vec<(Text, Text)>)>,
}

impl Metadata {
    fn read(node: &Node) -> Result<Metadata, Diagnostic> {
        let mut sections = Vec::new();
        for (section, pairs) in node.as_mapping()? {
            let mut read = Vec::new();
            for (key, value) in pairs.as_mapping()? {
                let text = value.as_str()?;
                if has_loose_percent(text) {
                    let message = format!("invalid interpolation syntax in '{text}'");
                    return Err(Diagnostic::new(Domain::Element, "", message)
                        .at(value.at)
                        .hint("in metadata, a percent sign is written `%%`"));
                }
                read.push((key.clone(), Text::new(text)));
            }
            sections.push((section.clone(), read));
        }
        // What stands under DEFAULT holds for all sections and is written first.
        sections.sort_by_key(|(section, _)| section != "DEFAULT");
        Ok(Metadata { sections })
    }

    fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|(name, _)| name == section)
    }

    fn sort(&self) -> Option<Sort> {
        match (self.has("Application"), self.has("Runtime"), self.has("ExtensionOf")) {
            (true, _, _) => Some(Sort::Application),
            (false, true, true) => Some(Sort::RuntimeExtension),
            (false, true, false) => Some(Sort::Runtime),
            (false, false, _) => None,
        }
    }

    /// The value of a key in a section, references to other keys resolved.
    fn get(&self, section: &str, key: &str, depth: usize) -> Option<String> {
        let raw = [section, "DEFAULT"].into_iter().find_map(|name| {
            let (_, pairs) = self.sections.iter().find(|(known, _)| known == name)?;
            pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value)
        })?;
        let mut value = String::new();
        let mut rest = raw.as_str();
        while let Some(percent) = rest.find('%') {
            value.push_str(&rest[..percent]);
            rest = &rest[percent + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                value.push('%');
                rest = after;
            } else {
                // Python's parser gives up after ten levels.
                let (name, after) = rest.strip_prefix('(')?.split_once(")s")?;
                value.push_str(&self.get(section, name, depth.checked_sub(1)?)?);
                rest = after;
            }
        }
        value.push_str(rest);
        Some(value)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (section, pairs) in &self.sections {
            if section == "DEFAULT" && pairs.is_empty() {
                continue;
            }
            let _ = writeln!(text, "[{section}]");
            for (key, value) in pairs {
                let _ = writeln!(text, "{key} = {}", value.replace('\n', "\n\t"));
            }
            text.push('\n');
        }
        text
    }
}

/// Whether a text has a percent sign that is neither doubled nor the start of `%(name)s`.
fn has_loose_percent(text: &str) -> bool {
    let text = text.replace("%%", "");
    let mut rest = text.as_str();
    while let Some(percent) = rest.find('%') {
        rest = &rest[percent + 1..];
        let reference = rest.strip_prefix('(').and_then(|name| name.split_once(')'));
        match reference.filter(|(name, after)| !name.is_empty() && after.starts_with('s')) {
            Some((_, after)) => rest = &after[1..],
            None => return true,
        }
    }
    false
}

/// Moves what was staged to where flatpak looks for it.
#[derive(Debug)]
struct LayOut {
    directory: Text,
    metadata: Metadata,
    sort: Sort,
}

impl Compute for LayOut {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let files = format!("{OUTPUT}/files");
        bench.create_directory(INPUT)?;
        bench.create_directory(&files)?;
        if self.sort == Sort::Application {
            bench.create_directory(&format!("{OUTPUT}/export"))?;
        }
        for (section, _) in self.metadata.sections.iter().filter(|(name, _)| name.starts_with("Extension ")) {
            let directory = self.metadata.get(section, "directory", 10).ok_or_else(|| {
                AssemblyError::element(format!("Section `{section}` of the metadata has no `directory`"))
            })?;
            bench.create_directory(&layout::join(&files, &directory))?;
        }
        let below = layout::join(INPUT, &layout::normalised(&self.directory));
        if bench.entry(&below)?.is_some() {
            bench.import(&below, &files, None)?;
        }
        let etc = format!("{INPUT}/etc");
        if self.sort == Sort::Runtime && bench.entry(&etc)? == Some(Entry::Directory) {
            let into = format!("{files}/etc");
            bench.create_directory(&into)?;
            bench.import(&etc, &into, None)?;
        }
        let text = self.metadata.text();
        bench.write(&format!("{OUTPUT}/metadata"), false, &mut |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}
