//! Dependencies as elements declare them, in all their spellings.

use crate::graph::DependencyKind;
use bourn_yaml::{Diagnostic, Mapping, Node, Provenance, Text};
use foldhash::{HashMap, HashMapExt};

/// A dependency as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// Path of junctions that leads to it.
    pub(crate) junction: Option<Text>,
    /// Name of the element in its project.
    pub(crate) name: Text,
    pub(crate) kind: DependencyKind,
    pub(crate) strict: bool,
    /// `config:` of each place it was written at.
    pub(crate) config: Vec<Node>,
    /// Where it was written first.
    pub(crate) at: Provenance,
}

impl Declared {
    /// Adds what another declaration of the same dependency says.
    pub(crate) fn merge(&mut self, other: Declared) {
        if self.kind != other.kind {
            self.kind = DependencyKind::All;
        }
        self.strict |= other.strict;
        self.config.extend(other.config);
    }

    /// The name as the user writes it.
    pub(crate) fn path(&self) -> String {
        match &self.junction {
            Some(junction) => format!("{junction}:{}", self.name),
            None => self.name.to_string(),
        }
    }
}

const LISTS: [(&str, Option<DependencyKind>); 3] = [
    ("build-depends", Some(DependencyKind::Build)),
    ("runtime-depends", Some(DependencyKind::Runtime)),
    ("depends", None),
];

/// Takes the dependencies out of an element: in the order of the lists, those written twice once.
///
/// # Errors
/// `invalid-data`, for each that is wrong.
pub(crate) fn take(node: &mut Node) -> (Vec<Declared>, Vec<Diagnostic>) {
    let mut found: Vec<Declared> = Vec::new();
    let mut known: HashMap<(Option<Text>, Text), usize> = HashMap::new();
    let mut wrong = Vec::new();
    for (key, kind) in LISTS {
        match node.opt_sequence(key) {
            Err(diagnostic) => wrong.push(diagnostic),
            Ok(None) => {}
            Ok(Some(items)) => {
                for item in items {
                    match declared(item, kind) {
                        Err(diagnostic) => wrong.push(diagnostic),
                        Ok(several) => {
                            for one in several {
                                match known.get(&(one.junction.clone(), one.name.clone())) {
                                    Some(at) => found[*at].merge(one),
                                    None => {
                                        known.insert((one.junction.clone(), one.name.clone()), found.len());
                                        found.push(one);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    if let Some(entries) = node.entries()
        && LISTS.iter().any(|(key, _)| entries.contains_key(key))
        && let Some(entries) = node.entries_mut()
    {
        LISTS.iter().for_each(|(key, _)| drop(entries.remove(key)));
    }
    (found, wrong)
}

/// The dependencies that one item of a list stands for.
fn declared(item: &Node, list: Option<DependencyKind>) -> Result<Vec<Declared>, Diagnostic> {
    if let Some(name) = item.text() {
        let (junction, name) = split(name, None, item.at)?;
        let kind = list.unwrap_or(DependencyKind::All);
        return Ok(vec![Declared { junction, name, kind, strict: false, config: Vec::new(), at: item.at }]);
    }
    let Some(entries) = item.entries() else {
        let message = "Dependency is not specified as a string or a dictionary";
        return Err(Diagnostic::load("invalid-data", message).at(item.at));
    };
    let names = names(item)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (kind, strict, config) = attributes(item, entries, list)?;
    let mut several = Vec::with_capacity(names.len());
    for (junction, name) in names {
        if strict && kind == DependencyKind::Runtime {
            let message = format!("Runtime dependency {name} specified as `strict`.");
            return Err(Diagnostic::load("invalid-data", message)
                .at(item.at)
                .hint("only what is needed while building can be `strict`"));
        }
        several.push(Declared { junction, name, kind, strict, config: config.clone(), at: item.at });
    }
    Ok(several)
}

fn names(item: &Node) -> Result<Vec<(Option<Text>, Text)>, Diagnostic> {
    let junction = item.opt_str("junction")?;
    let filename = item.get_node("filename")?;
    if let Some(name) = filename.text() {
        return Ok(vec![split(name, junction, filename.at)?]);
    }
    let Some(names) = filename.items() else {
        let message = "Value of 'filename' is not one of the following: list, scalar.";
        return Err(Diagnostic::load("invalid-data", message).at(filename.at));
    };
    names
        .iter()
        .map(|name| match name.text() {
            Some(text) => split(text, junction, name.at),
            None => {
                let message = "Expected string while parsing the filename list";
                Err(Diagnostic::load("invalid-data", message).at(name.at))
            }
        })
        .collect()
}

/// Cuts a name into junction and element.
fn split(name: &str, junction: Option<&str>, at: Provenance) -> Result<(Option<Text>, Text), Diagnostic> {
    match (junction, name.rsplit_once(':')) {
        (Some(junction), None) => Ok((Some(junction.into()), name.into())),
        (Some(_), Some(_)) => {
            let message = format!(
                "Dependency {name} contains `:` in its name. `:` characters are not allowed in filename when \
                 junction attribute is specified."
            );
            Err(Diagnostic::load("invalid-data", message).at(at))
        }
        (None, Some((junction, name))) => Ok((Some(junction.into()), name.into())),
        (None, None) => Ok((None, name.into())),
    }
}

type Attributes = (DependencyKind, bool, Vec<Node>);

fn attributes(
    item: &Node,
    entries: &Mapping,
    list: Option<DependencyKind>,
) -> Result<Attributes, Diagnostic> {
    let kind = match list {
        Some(kind) => {
            item.validate_keys(&["filename", "junction", "strict", "config"])?;
            kind
        }
        None => {
            item.validate_keys(&["filename", "type", "junction", "strict", "config"])?;
            match item.opt_str("type")? {
                None | Some("all") => DependencyKind::All,
                Some("build") => DependencyKind::Build,
                Some("runtime") => DependencyKind::Runtime,
                Some(other) => {
                    let message = format!("Dependency type '{other}' is not 'build', 'runtime' or 'all'");
                    let at = entries.get("type").map_or(item.at, |node| node.at);
                    let near = bourn_yaml::nearest::to(other, ["build", "runtime", "all"]);
                    return Err(Diagnostic::load("invalid-data", message).at(at).did_you_mean(near));
                }
            }
        }
    };
    let strict = item.opt_bool("strict")?;
    let config = item.opt_mapping("config")?;
    if let Some(config) = config
        && kind == DependencyKind::Runtime
    {
        let message = "Specifying 'config' for a runtime dependency is not allowed";
        return Err(Diagnostic::load("invalid-data", message).at(config.at));
    }
    if strict == Some(false) {
        let at = entries.get("strict").map_or(item.at, |node| node.at);
        return Err(Diagnostic::load("invalid-data", "Setting 'strict' to False is unsupported")
            .at(at)
            .hint("leave `strict` out"));
    }
    Ok((kind, strict.unwrap_or(false), config.cloned().into_iter().collect()))
}
