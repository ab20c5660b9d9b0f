//! Why a key differs from another: the inputs of a key, and two of them compared in words.
//!
//! [`KeyInputs`] is the very JSON object that a key is the hash of, so it cannot leave anything out, and says itself
//! which key it belongs to. Kept beside an artifact, it tells later why the element would be built again.

use crate::key;
use crate::plan::Plan;
use bourn_project::ElementId;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;

/// All inputs of a strict or strong key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInputs {
    text: String,
    object: Map<String, Value>,
}

/// What an artifact itself tells of the inputs of its key: all that is known where another program built it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Traces {
    /// What it was built upon, in staging order: project, name and key of each.
    pub dependencies: Vec<(String, String, String)>,
    /// The environment, those variables too that do not enter the key.
    pub environment: Vec<(String, String)>,
}

impl Traces {
    /// What differs in a newer key as far as can be told: dependencies, and the environment. If it is neither, then it
    /// is something else of the element itself.
    pub fn differences(&self, newer: &KeyInputs) -> Vec<Difference> {
        let mut found = Vec::new();
        let was: HashMap<&str, &str> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let environment = newer.object.get("environment").and_then(Value::as_object);
        for (name, value) in environment.into_iter().flatten() {
            // That one is gone means nothing: it may be one that never entered the key.
            let old = was.get(name.as_str()).map(|old| Value::from(*old));
            compare(&mut found, &Subject::Environment, &mut vec![name.clone()], old.as_ref(), Some(value));
        }
        let entries = |(project, element, key)| -> (&str, &str, &str) { (project, element, key) };
        let old: Vec<_> = self.dependencies.iter().map(|(p, e, k)| entries((p, e, k))).collect();
        compare_dependencies(&mut found, &old, &newer.dependencies());
        if found.is_empty() {
            found.push(Difference { subject: Subject::Other, path: Vec::new(), old: None, new: None });
        }
        found
    }
}

/// Text that is no inputs of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidInputs(String);

impl fmt::Display for InvalidInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the inputs of a cache key: {}", self.0)
    }
}

impl std::error::Error for InvalidInputs {}

/// A part of a key that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What it is a part of.
    pub subject: Subject,
    /// Where in it: names of mappings and, from 1, numbers of items. Empty for the whole.
    pub path: Vec<String>,
    /// What it was; `None`: it was not there.
    pub old: Option<Value>,
    /// What it is; `None`: it is gone.
    pub new: Option<Value>,
}

/// What a difference is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The scheme of keys itself.
    Scheme,
    /// The kind.
    Kind,
    /// The version of the kind's artifacts.
    KindVersion,
    /// What the kind makes of the configuration.
    Config,
    /// The variable `build-root`.
    BuildRoot,
    /// The environment.
    Environment,
    /// The fatal warnings of the project.
    FatalWarnings,
    /// Public data.
    Public,
    /// The sandbox.
    Sandbox,
    /// A source.
    Source {
        /// Its number, from 1.
        number: usize,
        /// Its kind.
        kind: String,
    },
    /// An element that this one is built upon; the values are its keys.
    Dependency {
        /// Its project.
        project: String,
        /// Its name.
        element: String,
    },
    /// The same dependencies in another order.
    DependencyOrder,
    /// Something of the element itself that its artifact does not tell.
    Other,
}

impl KeyInputs {
    /// The inputs of the strict key of an element; `None` when it has none yet.
    pub fn strict(plan: &Plan, id: ElementId) -> Option<KeyInputs> {
        let strict = |id| plan.element(id).strict_key.as_ref().map(|key| key.0.as_str());
        KeyInputs::of(plan.key_json(id, strict)?)
    }

    /// The text of the inputs of the strong key of an element, to be kept, given the keys of what it is built upon; `None`
    /// when one of them is not known.
    pub fn strong_text<'k>(
        plan: &Plan,
        id: ElementId,
        strong: impl Fn(ElementId) -> Option<&'k key::CacheKey>,
    ) -> Option<Vec<u8>> {
        plan.key_json(id, |id| strong(id).map(|key| key.0.as_str()))
    }

    fn of(json: Vec<u8>) -> Option<KeyInputs> {
        KeyInputs::parse(&String::from_utf8(json).ok()?).ok()
    }

    /// Reads what [`KeyInputs::text`] wrote.
    ///
    /// # Errors
    /// Text that is no JSON object.
    pub fn parse(text: &str) -> Result<KeyInputs, InvalidInputs> {
        let object = serde_json::from_str(text).map_err(|error| InvalidInputs(error.to_string()))?;
        Ok(KeyInputs { text: text.to_owned(), object })
    }

    /// The text that the key is the hash of.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key that these are the inputs of.
    pub fn key(&self) -> String {
        key::key_of(self.text.as_bytes())
    }

    /// The elements it is built upon, in staging order: project, name and key of each.
    pub fn dependencies(&self) -> Vec<(&str, &str, &str)> {
        let list = self.object.get("dependencies").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(dependency).collect()
    }

    /// What differs in a newer key, the element's own parts first.
    pub fn differences(&self, newer: &KeyInputs) -> Vec<Difference> {
        let mut found = Vec::new();
        for (member, subject) in MEMBERS {
            let (old, new) = (self.object.get(*member), newer.object.get(*member));
            compare(&mut found, subject, &mut Vec::new(), old, new);
        }
        compare_sources(&mut found, self.object.get("sources"), newer.object.get("sources"));
        compare_dependencies(&mut found, &self.dependencies(), &newer.dependencies());
        found
    }
}

/// Members of the object that are compared as values, with their subjects, in the order of what people look at first.
const MEMBERS: &[(&str, Subject)] = &[
    ("element-plugin-name", Subject::Kind),
    ("element-plugin-key", Subject::Config),
    ("environment", Subject::Environment),
    ("public", Subject::Public),
    ("sandbox", Subject::Sandbox),
    ("element-base-key", Subject::BuildRoot),
    ("fatal-warnings", Subject::FatalWarnings),
    ("element-plugin-version", Subject::KindVersion),
    ("core-artifact-version", Subject::Scheme),
];

fn dependency(entry: &Value) -> Option<(&str, &str, &str)> {
    let [project, element, key] = entry.as_array()?.as_slice() else { return None };
    Some((project.as_str()?, element.as_str()?, key.as_str()?))
}

/// Adds the differences between two values: of mappings entry by entry, of lists by what was taken out and put in.
fn compare(
    found: &mut Vec<Difference>,
    subject: &Subject,
    path: &mut Vec<String>,
    old: Option<&Value>,
    new: Option<&Value>,
) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            for name in new.keys().chain(gone) {
                path.push(name.clone());
                compare(found, subject, path, old.get(name), new.get(name));
                path.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => compare_lists(found, subject, path, old, new),
        (old, new) => {
            let (old, new) = (old.cloned(), new.cloned());
            found.push(Difference { subject: subject.clone(), path: path.clone(), old, new });
        }
    }
}

/// Lists that begin and end alike: what is between was replaced, item by item as far as both go.
fn compare_lists(
    found: &mut Vec<Difference>,
    subject: &Subject,
    path: &mut Vec<String>,
    old: &[Value],
    new: &[Value],
) {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let backwards = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = backwards.take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    for at in 0..old.len().max(new.len()) {
        path.push((start + at + 1).to_string());
        compare(found, subject, path, old.get(at), new.get(at));
        path.pop();
    }
}

fn compare_sources(found: &mut Vec<Difference>, old: Option<&Value>, new: Option<&Value>) {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (list(old), list(new));
    for at in 0..old.len().max(new.len()) {
        let (old, new) = (old.get(at), new.get(at));
        let kind = new.or(old).and_then(|source| source.get("name")).and_then(Value::as_str);
        let subject = Subject::Source { number: at + 1, kind: kind.unwrap_or_default().to_owned() };
        let same_kind = |old: &Value, new: &Value| old.get("name") == new.get("name");
        match (old, new) {
            (Some(old), Some(new)) if same_kind(old, new) => {
                compare(found, &subject, &mut Vec::new(), old.get("key"), new.get("key"));
                let mut path = vec!["directory".to_owned()];
                compare(found, &subject, &mut path, old.get("directory"), new.get("directory"));
            }
            (old, new) => compare(found, &subject, &mut Vec::new(), old, new),
        }
    }
}

type Entries<'a> = [(&'a str, &'a str, &'a str)];

fn compare_dependencies(found: &mut Vec<Difference>, old: &Entries<'_>, new: &Entries<'_>) {
    let before = found.len();
    let index = |entries: &Entries<'_>| -> HashMap<(String, String), String> {
        let owned = |(project, element, key): &(&str, &str, &str)| {
            ((project.to_string(), element.to_string()), key.to_string())
        };
        entries.iter().map(owned).collect()
    };
    let (was, is) = (index(old), index(new));
    let mut add = |project: &str, element: &str, old: Option<&String>, new: Option<&String>| {
        if old != new {
            let text = |key: &String| Value::String(key.clone());
            let (project, element) = (project.to_owned(), element.to_owned());
            let subject = Subject::Dependency { project, element };
            found.push(Difference { subject, path: Vec::new(), old: old.map(text), new: new.map(text) });
        }
    };
    let name = |project: &str, element: &str| (project.to_owned(), element.to_owned());
    for (project, element, _) in new {
        let name = name(project, element);
        add(project, element, was.get(&name), is.get(&name));
    }
    for (project, element, _) in old {
        let name = name(project, element);
        if !is.contains_key(&name) {
            add(project, element, was.get(&name), None);
        }
    }
    if found.len() == before && old != new {
        let subject = Subject::DependencyOrder;
        found.push(Difference { subject, path: Vec::new(), old: None, new: None });
    }
}

impl Difference {
    /// The difference as a JSON value, for programs.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("subject".into(), self.subject.name().into());
        match &self.subject {
            Subject::Source { number, kind } => {
                object.insert("source".into(), (*number).into());
                object.insert("kind".into(), kind.as_str().into());
            }
            Subject::Dependency { project, element } => {
                object.insert("project".into(), project.as_str().into());
                object.insert("element".into(), element.as_str().into());
            }
            _ => {}
        }
        if !self.path.is_empty() {
            object.insert("path".into(), self.path.iter().map(String::as_str).collect());
        }
        for (name, value) in [("old", &self.old), ("new", &self.new)] {
            if let Some(value) = value {
                object.insert(name.into(), value.clone());
            }
        }
        Value::Object(object)
    }
}

impl Subject {
    /// A name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Subject::Scheme => "key-scheme",
            Subject::Kind => "kind",
            Subject::KindVersion => "kind-version",
            Subject::Config => "config",
            Subject::BuildRoot => "build-root",
            Subject::Environment => "environment",
            Subject::FatalWarnings => "fatal-warnings",
            Subject::Public => "public",
            Subject::Sandbox => "sandbox",
            Subject::Source { .. } => "source",
            Subject::Dependency { .. } => "dependency",
            Subject::DependencyOrder => "dependency-order",
            Subject::Other => "other",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Scheme => f.write_str("the scheme of cache keys"),
            Subject::Kind => f.write_str("the kind"),
            Subject::KindVersion => f.write_str("the version of the kind's artifacts"),
            Subject::Config => f.write_str("the configuration"),
            Subject::BuildRoot => f.write_str("the variable"),
            Subject::Environment => f.write_str("the environment"),
            Subject::FatalWarnings => f.write_str("the fatal warnings of the project"),
            Subject::Public => f.write_str("the public data"),
            Subject::Sandbox => f.write_str("the sandbox"),
            Subject::Source { number, kind } => write!(f, "source {number} ({kind})"),
            Subject::Dependency { project, element } => write!(f, "dependency {project}/{element}"),
            Subject::DependencyOrder => f.write_str("the order of dependencies"),
            Subject::Other => f.write_str("something in its configuration, public data or sources"),
        }
    }
}

/// One line: `the environment: CFLAGS was "-O2", is "-O3"`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Subject::Dependency { .. } = self.subject {
            let what = match (&self.old, &self.new) {
                (None, _) => "is new",
                (_, None) => "is gone",
                _ => "is another build",
            };
            return write!(f, "{} {what}", self.subject);
        }
        write!(f, "{}", self.subject)?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path.join(", "))?;
        }
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, " was {}, is {}", short(old), short(new)),
            (None, Some(new)) => write!(f, " is new: {}", short(new)),
            (Some(old), None) => write!(f, " is gone: {}", short(old)),
            (None, None) => f.write_str(" differs"),
        }
    }
}

/// A value on one line, cut where it gets long.
fn short(value: &Value) -> String {
    const LONGEST: usize = 160;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(change: &str) -> KeyInputs {
        let mut base: Value = serde_json::from_str(
            r#"{"core-artifact-version":11,"dependencies":[["p","a.bst","1"],["p","b.bst","2"]],
                "element-plugin-key":{"build-commands":["make","make check"]},"environment":{"CFLAGS":"-O2"},
                "sources":[{"key":["url","ref1"],"name":"git"}]}"#,
        )
        .expect("JSON");
        let change: Value = serde_json::from_str(change).expect("JSON");
        for (name, value) in change.as_object().expect("an object") {
            base[name] = value.clone();
        }
        KeyInputs::parse(&base.to_string()).expect("an object")
    }

    fn check(change: &str, expect: &[&str]) {
        let found = inputs("{}").differences(&inputs(change));
        assert_eq!(found.iter().map(Difference::to_string).collect::<Vec<_>>(), expect, "{change}");
    }

    #[test]
    fn differences_in_words() {
        check("{}", &[]);
        check(
            r#"{"environment":{"CFLAGS":"-O3","LANG":"C"}}"#,
            &[r#"the environment: CFLAGS was "-O2", is "-O3""#, r#"the environment: LANG is new: "C""#],
        );
        check(r#"{"environment":null}"#, &[r#"the environment was {"CFLAGS":"-O2"}, is null"#]);
        check(
            r#"{"element-plugin-key":{"build-commands":["configure","make","make check"]}}"#,
            &[r#"the configuration: build-commands, 1 is new: "configure""#],
        );
        check(
            r#"{"element-plugin-key":{"build-commands":["make","make test"]}}"#,
            &[r#"the configuration: build-commands, 2 was "make check", is "make test""#],
        );
        check(
            r#"{"sources":[{"key":["url","ref2"],"name":"git"}]}"#,
            &[r#"source 1 (git): 2 was "ref1", is "ref2""#],
        );
        check(
            r#"{"sources":[{"directory":"x","key":["url","ref1"],"name":"git"}]}"#,
            &[r#"source 1 (git): directory is new: "x""#],
        );
        check(
            r#"{"dependencies":[["p","a.bst","3"],["q","c.bst","2"]]}"#,
            &[
                "dependency p/a.bst is another build",
                "dependency q/c.bst is new",
                "dependency p/b.bst is gone",
            ],
        );
        check(
            r#"{"dependencies":[["p","b.bst","2"],["p","a.bst","1"]]}"#,
            &["the order of dependencies differs"],
        );
    }

    #[test]
    fn differences_for_programs() {
        let found = inputs("{}").differences(&inputs(r#"{"sources":[{"key":["url","ref2"],"name":"git"}]}"#));
        let json: Vec<String> = found.iter().map(|difference| difference.to_json().to_string()).collect();
        let expect = r#"{"subject":"source","source":1,"kind":"git","path":["2"],"old":"ref1","new":"ref2"}"#;
        assert_eq!(json, [expect]);
    }

    #[test]
    fn what_an_artifact_tells() {
        let text = |text: &str| text.to_owned();
        let mut traces = Traces {
            dependencies: vec![(text("p"), text("a.bst"), text("1")), (text("p"), text("b.bst"), text("2"))],
            environment: vec![(text("CFLAGS"), text("-O2")), (text("MAKEFLAGS"), text("-j8"))],
        };
        let check = |traces: &Traces, change: &str, expect: &[&str]| {
            let found = traces.differences(&inputs(change));
            assert_eq!(found.iter().map(Difference::to_string).collect::<Vec<_>>(), expect, "{change}");
        };
        let other = "something in its configuration, public data or sources differs";
        check(&traces, r#"{"element-plugin-key":{}}"#, &[other]);
        check(
            &traces,
            r#"{"environment":{"CFLAGS":"-O3"}}"#,
            &[r#"the environment: CFLAGS was "-O2", is "-O3""#],
        );
        check(&traces, r#"{"dependencies":[["p","a.bst","1"]]}"#, &["dependency p/b.bst is gone"]);
        traces.dependencies.reverse();
        check(&traces, "{}", &["the order of dependencies differs"]);
    }

    #[test]
    fn only_objects_are_inputs() {
        assert!(KeyInputs::parse("[]").is_err());
        assert!(KeyInputs::parse("{").is_err());
    }
}
