//! Project options: declared in project.conf, set by junctions, the user configuration and the command line, asked by
//! conditionals.

use crate::expression::evaluate::evaluate;
use crate::expression::parse::parse;
use crate::expression::value::Value;
use crate::machine;
use crate::name::check_symbol;
use bourn_yaml::{Diagnostic, Files, Mapping, Node, Provenance, Text, nearest};
use foldhash::HashMap;
use indexmap::IndexMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// Where options are declared and values come from that depend on the machine.
pub(crate) struct Surroundings<'a> {
    /// Where looks are noted.
    pub(crate) files: &'a Files,
    /// Directory of the project's elements.
    pub(crate) elements: &'a Path,
    /// `uname -m`
    pub(crate) host_arch: &'a str,
    /// `uname -s`
    pub(crate) host_os: &'a str,
}

/// The options of a project and their values.
#[derive(Debug, Default)]
pub(crate) struct Options {
    declared: IndexMap<Text, Declared>,
    /// Expressions that were asked before.
    answers: RwLock<HashMap<Text, Result<bool, String>>>,
}

#[derive(Debug)]
struct Declared {
    kind: Kind,
    variable: Option<Text>,
    values: Vec<Text>,
    value: Set,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    Enum,
    Flags,
    Mask,
    Arch,
    Os,
}

const KINDS: [(&str, Kind); 6] = [
    ("bool", Kind::Bool),
    ("enum", Kind::Enum),
    ("flags", Kind::Flags),
    ("element-mask", Kind::Mask),
    ("arch", Kind::Arch),
    ("os", Kind::Os),
];

#[derive(Debug)]
enum Set {
    Truth(bool),
    One(Text),
    Several(Vec<Text>),
}

impl Options {
    /// Reads the declarations.
    ///
    /// # Errors
    /// `invalid-data`, `invalid-symbol-name`.
    pub(crate) fn declare(node: Option<&Node>, around: &Surroundings<'_>) -> Result<Options, Diagnostic> {
        let empty = Mapping::new();
        let mut declared = IndexMap::new();
        for (name, definition) in node.and_then(Node::entries).unwrap_or(&empty) {
            check_symbol(name, "option name", definition.at, false)?;
            declared.insert(name.clone(), Declared::new(name, definition, around)?);
        }
        Ok(Options { declared, answers: RwLock::default() })
    }

    /// Takes values from a mapping: of a junction or the user configuration.
    ///
    /// # Errors
    /// `invalid-data`.
    pub(crate) fn set_from(&mut self, values: &Mapping) -> Result<(), Diagnostic> {
        for (name, value) in values {
            let Some(option) = self.declared.get_mut(name) else {
                return Err(self.unknown(name, "specified").at(value.at));
            };
            option.set_from(name, value)?;
        }
        Ok(())
    }

    /// Takes values as the command line gives them.
    ///
    /// # Errors
    /// `invalid-data`.
    pub(crate) fn set(
        &mut self,
        values: &[(String, String)],
        ignore_unknown: bool,
    ) -> Result<(), Diagnostic> {
        for (name, value) in values {
            match self.declared.get_mut(name.as_str()) {
                Some(option) => option.set(name, value)?,
                None if ignore_unknown => {}
                None => return Err(self.unknown(name, "specified on the command line")),
            }
        }
        Ok(())
    }

    fn unknown(&self, name: &str, how: &str) -> Diagnostic {
        let near = nearest::to(name, self.declared.keys().map(Text::as_str));
        Diagnostic::load("invalid-data", format!("Unknown option '{name}' {how}")).did_you_mean(near)
    }

    /// Checks the values that come from the machine, unless they were replaced by then.
    ///
    /// # Errors
    /// `invalid-data`.
    pub(crate) fn resolve(&self) -> Result<(), Diagnostic> {
        self.declared.iter().try_for_each(|(name, option)| match (&option.value, option.kind) {
            (Set::One(value), Kind::Arch | Kind::Os) => option.check_one(name, value, Provenance::SYNTHETIC),
            _ => Ok(()),
        })
    }

    /// Sets the variables that options are declared to set.
    pub(crate) fn export(&self, variables: &mut Mapping) {
        for option in self.declared.values() {
            if let Some(variable) = &option.variable {
                variables.assign(variable.clone(), Node::scalar(option.value.to_text()));
            }
        }
    }

    /// Names and values as text, by name.
    pub(crate) fn printable(&self) -> IndexMap<String, String> {
        let mut values: IndexMap<String, String> =
            self.declared.iter().map(|(name, option)| (name.to_string(), option.value.to_text())).collect();
        values.sort_unstable_keys();
        values
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// Why it has no answer, in words.
    pub(crate) fn holds(&self, expression: &Text) -> Result<bool, String> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(expression) {
            return answer.clone();
        }
        drop(answers);
        let name = |name: &str| self.declared.get(name).map(|option| option.value.to_value());
        let answer = parse(expression).and_then(|parsed| evaluate(&parsed, &name)?.truth());
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(expression.clone(), answer.clone());
        answer
    }

    /// The option that an undefined name in an expression probably means.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest::to(name, self.declared.keys().map(Text::as_str))
    }
}

impl Set {
    fn to_text(&self) -> String {
        match self {
            Set::Truth(true) => "1".to_owned(),
            Set::Truth(false) => "0".to_owned(),
            Set::One(value) => value.to_string(),
            Set::Several(values) => values.join(","),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Set::Truth(truth) => Value::Bool(*truth),
            Set::One(value) => Value::Text(value.to_string()),
            Set::Several(values) => {
                Value::List(values.iter().map(|value| Value::Text(value.to_string())).collect())
            }
        }
    }
}

fn texts(values: Vec<&str>) -> Vec<Text> {
    values.into_iter().map(Text::new).collect()
}

impl Declared {
    fn new(name: &str, node: &Node, around: &Surroundings<'_>) -> Result<Declared, Diagnostic> {
        let kind = node.get_enum("type", &KINDS)?;
        node.get_str("description")?;
        let variable = node.opt_scalar("variable")?;
        if let Some(variable) = variable {
            check_symbol(variable.text().unwrap_or_default(), "variable name", variable.at, true)?;
        }
        let common = ["type", "description", "variable"];
        let own: &[&str] = match kind {
            Kind::Bool | Kind::Mask => &["default"],
            Kind::Enum | Kind::Flags => &["default", "values"],
            Kind::Arch | Kind::Os => &["values"],
        };
        node.validate_keys(&[&common, own].concat())?;
        let values = match kind {
            Kind::Bool => Vec::new(),
            Kind::Mask => elements_below(around.files, around.elements),
            _ => texts(node.opt_str_list("values")?.unwrap_or_default()),
        };
        let variable = variable.and_then(Node::text).map(Text::new);
        let mut option = Declared { kind, variable, values, value: Set::Truth(false) };
        if option.values.is_empty() && kind != Kind::Bool {
            let message = format!("No values specified for {} option '{name}'", option.type_name());
            return Err(Diagnostic::load("invalid-data", message).at(node.at));
        }
        option.value = option.default(name, node, around)?;
        Ok(option)
    }

    fn default(&self, name: &str, node: &Node, around: &Surroundings<'_>) -> Result<Set, Diagnostic> {
        match self.kind {
            Kind::Bool => node.get_bool("default").map(Set::Truth),
            Kind::Enum => {
                let value = node.get_scalar("default")?;
                let text = value.text().unwrap_or_default();
                self.check_one(name, text, value.at)?;
                Ok(Set::One(text.into()))
            }
            Kind::Flags | Kind::Mask => {
                let Some(value) = node.opt_node("default")? else { return Ok(Set::Several(Vec::new())) };
                let flags = texts(node.get_str_list("default")?);
                self.check_several(name, &flags, value.at)?;
                Ok(Set::Several(flags))
            }
            Kind::Arch => self.default_arch(name, node, around.host_arch),
            Kind::Os => Ok(Set::One(around.host_os.into())),
        }
    }

    /// The declared spelling of this machine's architecture.
    fn default_arch(&self, name: &str, node: &Node, host: &str) -> Result<Set, Diagnostic> {
        let host = machine::canonical_arch(host).unwrap_or(host);
        let mut found = None;
        for (at, value) in self.values.iter().enumerate() {
            let canonical = machine::canonical_arch(value).ok_or_else(|| {
                let place =
                    node.get("values").and_then(|values| values.items()?.get(at)).map_or(node.at, |v| v.at);
                let message =
                    format!("Invalid value for arch option '{name}': Unknown architecture: {value}");
                let near = machine::nearest_arch(value);
                Diagnostic::load("invalid-data", message).at(place).did_you_mean(near)
            })?;
            if found.is_none() && canonical == host {
                found = Some(value.clone());
            }
        }
        // A machine that the project does not support is only an error when nothing else is said.
        Ok(Set::One(found.unwrap_or_else(|| host.into())))
    }

    fn set_from(&mut self, name: &str, node: &Node) -> Result<(), Diagnostic> {
        self.value = match self.kind {
            Kind::Bool => Set::Truth(node.as_bool(name)?),
            Kind::Flags | Kind::Mask => {
                let Some(items) = node.items() else { return Err(node.wrong_type(name, "list")) };
                let mut flags = Vec::with_capacity(items.len());
                for item in items {
                    let message = "List item is not of the expected type 'scalar'";
                    let text =
                        item.text().ok_or_else(|| Diagnostic::load("invalid-data", message).at(item.at))?;
                    flags.push(Text::new(text));
                }
                flags.sort();
                self.check_several(name, &flags, node.at)?;
                Set::Several(flags)
            }
            Kind::Enum | Kind::Arch | Kind::Os => {
                let Some(text) = node.text() else { return Err(node.wrong_type(name, "scalar")) };
                self.check_one(name, text, node.at)?;
                Set::One(text.into())
            }
        };
        Ok(())
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), Diagnostic> {
        self.value = match self.kind {
            Kind::Bool => Set::Truth(match text {
                "True" | "true" => true,
                "False" | "false" => false,
                _ => {
                    let message = format!("Invalid value for boolean option {name}: {text}");
                    return Err(Diagnostic::load("invalid-data", message).hint("say `true` or `false`"));
                }
            }),
            Kind::Flags | Kind::Mask => {
                let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
                let mut flags: Vec<Text> = bare.split(',').map(Text::new).collect();
                self.check_several(name, &flags, Provenance::SYNTHETIC)?;
                flags.sort();
                Set::Several(flags)
            }
            Kind::Enum | Kind::Arch | Kind::Os => {
                self.check_one(name, text, Provenance::SYNTHETIC)?;
                Set::One(text.into())
            }
        };
        Ok(())
    }

    fn check_one(&self, name: &str, value: &str, at: Provenance) -> Result<(), Diagnostic> {
        if self.values.iter().any(|known| known == value) {
            return Ok(());
        }
        let message = format!("Invalid value for {} option '{name}': {value}", self.type_name());
        Err(self.invalid(message, value, at))
    }

    fn check_several(&self, name: &str, values: &[Text], at: Provenance) -> Result<(), Diagnostic> {
        match values.iter().find(|value| !self.values.contains(value)) {
            None => Ok(()),
            Some(wrong) => {
                Err(self.invalid(format!("Invalid value for flags option '{name}': {wrong}"), wrong, at))
            }
        }
    }

    fn invalid(&self, message: String, value: &str, at: Provenance) -> Diagnostic {
        let valid = self.values.join(", ");
        let near = nearest::to(value, self.values.iter().map(Text::as_str));
        Diagnostic::load("invalid-data", message)
            .at(at)
            .did_you_mean(near)
            .detail(format!("Valid values: {valid}"))
    }

    fn type_name(&self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name)
    }
}

/// All element files below a directory, relative to it. In the order of `os.walk`, which bst goes by: as the system lists
/// them, the files of a directory before what is below it.
pub(crate) fn elements_below(files: &Files, directory: &Path) -> Vec<Text> {
    let mut found = Vec::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(current) = queue.pop() {
        let names = files.listed(&current).unwrap_or_default();
        for (name, is_directory) in &names {
            let path = current.join(name);
            if !is_directory
                && let Some(name) = path.strip_prefix(directory).ok().and_then(Path::to_str)
                && name.ends_with(".bst")
            {
                found.push(Text::new(name));
            }
        }
        // Staged junctions lie in `.bst`.
        let below = names.iter().filter(|(name, is_directory)| *is_directory && name != ".bst");
        queue.extend(below.rev().map(|(name, _)| current.join(name)));
    }
    found
}
