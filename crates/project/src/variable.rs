//! Variables: `%{name}` in a text stands for the value of another.
//!
//! Every element of one kind in one project starts from the same variables; few of them differ from element to
//! element. A [`Template`] holds them resolved, an element resolves only what its own variables change and what
//! builds on that, and [`Variables`] is the template with these differences.

use bourn_yaml::{Diagnostic, Mapping, Node, Provenance, Text, Value, trim};
use foldhash::{HashMap, HashMapExt};
use indexmap::IndexMap;
use std::sync::Arc;

/// How much text expanding the variables of an element, or those in a section of it, may give, in bytes. A few nested
/// references can ask for more than any machine has.
const LONGEST: usize = 64 << 20;

/// Resolved variables, in bst's order: those of the project, of the kind, of the element.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    shared: Arc<Table>,
    /// Values that differ from the shared ones, by place in the table, ascending.
    own: Box<[(u32, Text)]>,
    /// Variables that the table lacks.
    more: IndexMap<Text, Text>,
}

#[derive(Debug, Default)]
struct Table {
    names: Vec<Text>,
    values: Vec<Option<Text>>,
    places: HashMap<Text, u32>,
}

impl Variables {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.shared.places.get(name) {
            Some(place) => self.at(*place).map(Text::as_str),
            None => self.more.get(name).map(Text::as_str),
        }
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let shared = (0u32..).zip(&self.shared.names);
        let shared = shared.filter_map(|(place, name)| Some((name.as_str(), self.at(place)?.as_str())));
        shared.chain(self.more.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn at(&self, place: u32) -> Option<&Text> {
        match self.own.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(found) => Some(&self.own[found].1),
            Err(_) => self.shared.values.get(place as usize)?.as_ref(),
        }
    }
}

impl<N: Into<Text>, V: Into<Text>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> Variables {
        let more = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Variables { more, ..Variables::default() }
    }
}

/// A piece of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece<'a> {
    /// Stands for itself.
    Literal(&'a str),
    /// The name of a variable.
    Reference(&'a str),
}

/// Cuts a text at its references. Whatever looks like one but is none stands for itself.
pub(crate) fn pieces(text: &str) -> Pieces<'_> {
    Pieces { rest: text, next: None }
}

pub(crate) struct Pieces<'a> {
    rest: &'a str,
    next: Option<&'a str>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if let Some(name) = self.next.take() {
            return Some(Piece::Reference(name));
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(start) = opening(self.rest, from) {
            if let Some(name) = reference(&self.rest[start + 2..]) {
                let before = &self.rest[..start];
                self.rest = &self.rest[start + name.len() + 3..];
                if before.is_empty() {
                    return Some(Piece::Reference(name));
                }
                self.next = Some(name);
                return Some(Piece::Literal(before));
            }
            from = start + 2;
        }
        Some(Piece::Literal(std::mem::take(&mut self.rest)))
    }
}

/// Where the next `%{` stands.
fn opening(text: &str, mut from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        from += memchr::memchr(b'%', bytes.get(from..)?)?;
        if bytes.get(from + 1) == Some(&b'{') {
            return Some(from);
        }
        from += 1;
    }
}

/// The name at the start of `text`, if a closing brace follows it.
fn reference(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    if !bytes.first()?.is_ascii_alphabetic() {
        return None;
    }
    let end = bytes.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')))?;
    (bytes[end] == b'}').then(|| &text[..end])
}

/// Whether expanding the text could change it.
pub(crate) fn has_references(text: &str) -> bool {
    opening(text, 0).is_some()
}

/// The variables that all elements of a kind in a project begin with.
#[derive(Debug)]
pub(crate) struct Template {
    /// As composed, for messages and for composing where that is not plain.
    pub(crate) node: Node,
    /// Values unresolved, as written.
    texts: Vec<Text>,
    table: Arc<Table>,
    /// For each variable those whose text names it.
    dependents: Vec<Vec<u32>>,
    /// Those without a value: they name something that elements may define, or themselves.
    open: Vec<u32>,
}

impl Template {
    /// The template of a mapping of texts.
    ///
    /// # Errors
    /// `invalid-data` for a value that is no text.
    pub(crate) fn new(node: Node) -> Result<Template, Diagnostic> {
        let entries = node.as_mapping()?;
        let mut table = Table::default();
        let mut texts = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let Value::Scalar(text) = &value.value else { return Err(value.wrong_type(name, "scalar")) };
            table.places.insert(name.clone(), texts.len() as u32);
            table.names.push(name.clone());
            texts.push(text.clone());
        }
        let mut dependents = vec![Vec::new(); texts.len()];
        for (place, text) in (0u32..).zip(&texts) {
            for name in references(text) {
                if let Some(named) = table.places.get(name) {
                    dependents[*named as usize].push(place);
                }
            }
        }
        table.values = vec![None; texts.len()];
        let every: Vec<u32> = (0..texts.len() as u32).collect();
        let mut template = Template { node, texts, table: Arc::default(), dependents, open: every };
        template.table = Arc::new(table);
        template.settle();
        Ok(template)
    }

    /// The template of variables that stand alone, no element's: there `notparallel` decides at once.
    ///
    /// # Errors
    /// As [`Template::new`], and `invalid-data` for a `notparallel` that is no truth value.
    pub(crate) fn alone(mut node: Node) -> Result<Template, Diagnostic> {
        if node.opt_bool("notparallel")? == Some(true)
            && let Some(entries) = node.entries_mut()
        {
            entries.assign("max-jobs", Node::scalar("1"));
        }
        Template::new(node)
    }

    /// The template without variables.
    pub(crate) fn empty() -> Template {
        let (texts, dependents, open) = (Vec::new(), Vec::new(), Vec::new());
        Template { node: Node::mapping(Mapping::new()), texts, table: Arc::default(), dependents, open }
    }

    /// Resolves all that can be resolved without an element.
    fn settle(&mut self) {
        let mut work = Work::new(self, &[]);
        let values: Vec<Option<Text>> =
            (0..self.texts.len() as u32).map(|place| work.resolve(place).cloned()).collect();
        self.open =
            (0u32..).zip(&values).filter(|(_, value)| value.is_none()).map(|(place, _)| place).collect();
        let names = self.table.names.clone();
        let places = self.table.places.clone();
        self.table = Arc::new(Table { names, values, places });
    }

    /// Place of a variable.
    pub(crate) fn place(&self, name: &str) -> Option<u32> {
        self.table.places.get(name).copied()
    }

    /// The value that a variable has for every element that changes nothing below it.
    pub(crate) fn value(&self, place: u32) -> Option<&Text> {
        self.table.values.get(place as usize)?.as_ref()
    }

    /// The template's own variables, without those that have no value.
    pub(crate) fn variables(&self) -> Variables {
        Variables { shared: self.table.clone(), ..Variables::default() }
    }

    /// Resolves the variables of an element: the template with `over` laid on it. All must resolve, unless
    /// `lenient`.
    ///
    /// # Errors
    /// `unresolved-variable`, `circular-reference-variable`, and what composing may say.
    pub(crate) fn resolve(
        &self,
        over: &[(Text, Text, Provenance)],
        lenient: bool,
    ) -> Result<Resolved, Vec<Diagnostic>> {
        let mut work = Work::new(self, over);
        let mut dirty = work.dirty();
        dirty.sort_unstable();
        let mut own = Vec::new();
        let mut more = IndexMap::new();
        let shared = self.texts.len() as u32;
        for place in &dirty {
            match work.resolve(*place).cloned() {
                Some(value) if *place < shared => own.push((*place, value)),
                Some(value) => drop(more.insert(work.more[(*place - shared) as usize].clone(), value)),
                None if lenient => {}
                None => return Err(self.explain(over)),
            }
        }
        let mut bits = vec![false; self.texts.len()];
        dirty.iter().filter(|place| **place < shared).for_each(|place| bits[*place as usize] = true);
        let variables = Variables { shared: self.table.clone(), own: own.into(), more };
        Ok(Resolved { variables, dirty: bits })
    }

    /// All variables of an element as one mapping, unresolved.
    fn composed(&self, over: &[(Text, Text, Provenance)]) -> Mapping {
        let mut all = self.node.entries().cloned().unwrap_or_default();
        for (name, text, at) in over {
            all.insert(name.clone(), Node::from(Value::Scalar(text.clone())).with_place(*at));
        }
        all
    }

    /// Why resolving fails.
    fn explain(&self, over: &[(Text, Text, Provenance)]) -> Vec<Diagnostic> {
        let all = self.composed(over);
        for name in all.keys() {
            if let Err(first) = explain_variable(&all, name) {
                return with_others(&all, first);
            }
        }
        vec![too_long(None)]
    }

    /// Why expanding `node` fails with these variables.
    pub(crate) fn explain_text(&self, over: &[(Text, Text, Provenance)], node: &Node) -> Diagnostic {
        let all = self.composed(over);
        let text = node.text().unwrap_or_default();
        Explain { all: &all, clean: Vec::new() }
            .walk(None, text, node.at)
            .err()
            .unwrap_or_else(|| too_long(Some(node.at)))
    }
}

/// Variables of an element, and which of the template's they changed.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) variables: Variables,
    dirty: Vec<bool>,
}

impl Resolved {
    /// Whether the value of a variable of the template may be another for this element.
    pub(crate) fn is_dirty(&self, place: u32) -> bool {
        self.dirty.get(place as usize).copied().unwrap_or(true)
    }
}

fn references(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Reference(name) => Some(name),
        Piece::Literal(_) => None,
    })
}

/// Resolving in progress. Places count through the template and go on through the element's further variables.
struct Work<'a> {
    template: &'a Template,
    /// Texts of the element, by place.
    over: HashMap<u32, &'a Text>,
    /// Variables that the template lacks, in order, and their places.
    more: Vec<Text>,
    places: HashMap<&'a str, u32>,
    state: Vec<State>,
    /// Length of all texts so far.
    length: usize,
}

#[derive(Clone)]
enum State {
    /// As the template has it.
    Shared,
    /// Not looked at yet.
    Fresh,
    /// Being resolved: meeting it again is a circle.
    Open,
    Known(Text),
    Failed,
}

impl<'a> Work<'a> {
    fn new(template: &'a Template, over: &'a [(Text, Text, Provenance)]) -> Work<'a> {
        let mut work = Work {
            template,
            over: HashMap::with_capacity(over.len()),
            more: Vec::new(),
            places: HashMap::new(),
            state: Vec::new(),
            length: 0,
        };
        for (name, text, _) in over {
            let place = work.place(name).unwrap_or_else(|| {
                let place = (template.texts.len() + work.more.len()) as u32;
                work.more.push(name.clone());
                work.places.insert(name, place);
                place
            });
            work.over.insert(place, text);
        }
        let shared = |value: &Option<Text>| if value.is_some() { State::Shared } else { State::Fresh };
        work.state = template.table.values.iter().map(shared).collect();
        work.state.resize(template.texts.len() + work.more.len(), State::Fresh);
        work
    }

    fn place(&self, name: &str) -> Option<u32> {
        self.template.place(name).or_else(|| self.places.get(name).copied())
    }

    /// All that the element's variables may change; marks them as not resolved.
    fn dirty(&mut self) -> Vec<u32> {
        let mut queue: Vec<u32> = self.over.keys().chain(&self.template.open).copied().collect();
        let mut seen = vec![false; self.state.len()];
        let mut dirty = Vec::new();
        while let Some(place) = queue.pop() {
            if std::mem::replace(&mut seen[place as usize], true) {
                continue;
            }
            self.state[place as usize] = State::Fresh;
            dirty.push(place);
            queue.extend(self.template.dependents.get(place as usize).into_iter().flatten());
        }
        dirty
    }

    fn text(&self, place: u32) -> &'a Text {
        match self.over.get(&place) {
            Some(text) => text,
            None => &self.template.texts[place as usize],
        }
    }

    /// The value of a variable, resolving what it names first; `None` if that cannot be.
    fn resolve(&mut self, place: u32) -> Option<&Text> {
        let mut stack = vec![place];
        while let Some(place) = stack.last().copied() {
            let state = match &self.state[place as usize] {
                State::Shared | State::Known(_) | State::Failed => None,
                State::Fresh | State::Open => Some(self.step(place)),
            };
            match state {
                Some(Step::After(named)) => {
                    self.state[place as usize] = State::Open;
                    stack.push(named);
                    continue;
                }
                Some(Step::Done(value)) => {
                    self.state[place as usize] = value.map_or(State::Failed, State::Known)
                }
                None => {}
            }
            stack.pop();
        }
        self.known(place)
    }

    /// The value of a variable that is resolved.
    fn known(&self, place: u32) -> Option<&Text> {
        match &self.state[place as usize] {
            State::Known(value) => Some(value),
            State::Shared => self.template.value(place),
            State::Fresh | State::Open | State::Failed => None,
        }
    }

    fn step(&mut self, place: u32) -> Step {
        let text = self.text(place);
        if !has_references(text) {
            return Step::Done(Some(text.clone()));
        }
        let mut value = String::with_capacity(text.len() + 32);
        for piece in pieces(text) {
            match piece {
                Piece::Literal(literal) => value.push_str(literal),
                Piece::Reference(name) => {
                    let Some(named) = self.place(name) else { return Step::Done(None) };
                    match (&self.state[named as usize], self.known(named)) {
                        (_, Some(known)) => value.push_str(known),
                        (State::Fresh, None) => return Step::After(named),
                        (_, None) => return Step::Done(None),
                    }
                }
            }
            if self.length + value.len() > LONGEST {
                return Step::Done(None);
            }
        }
        self.length += value.len();
        Step::Done(Some(value.into()))
    }
}

enum Step {
    /// Another variable has to be resolved before.
    After(u32),
    /// The value, if there is one.
    Done(Option<Text>),
}

/// Expands every text below a node; `Err` is the first node whose text names a variable without value, or with which
/// there is too much of it.
pub(crate) fn expand_node(node: &mut Node, variables: &Variables) -> Result<(), Node> {
    if let Some(new) = (Expand { variables, length: 0, trims: false }).node(node)? {
        *node = new;
    }
    Ok(())
}

struct Expand<'v> {
    variables: &'v Variables,
    /// Length of all texts so far.
    length: usize,
    /// Whether what is expanded loses the blanks around it.
    trims: bool,
}

impl Expand<'_> {
    /// The node with its texts expanded; `None` if that changes nothing, so that content stays shared.
    fn node(&mut self, node: &Node) -> Result<Option<Node>, Node> {
        match &node.value {
            Value::Null => Ok(None),
            Value::Scalar(text) if !has_references(text) => Ok(None),
            Value::Scalar(text) => match self.text(text) {
                Some(new) => Ok(Some(Node::from(Value::Scalar(new.into())).with_place(node.at))),
                None => Err(node.clone()),
            },
            Value::Sequence(items) => {
                let mut changed: Option<Vec<Node>> = None;
                for (at, item) in items.iter().enumerate() {
                    if let Some(new) = self.node(item)? {
                        changed.get_or_insert_with(|| items.to_vec())[at] = new;
                    }
                }
                Ok(changed.map(|items| Node::sequence(items).with_place(node.at)))
            }
            Value::Mapping(entries) => {
                let mut changed: Option<Mapping> = None;
                for (key, value) in entries.iter() {
                    if let Some(new) = self.node(value)? {
                        changed.get_or_insert_with(|| (**entries).clone()).insert(key.clone(), new);
                    }
                }
                Ok(changed.map(|entries| Node::mapping(entries).with_place(node.at)))
            }
        }
    }

    fn text(&mut self, text: &str) -> Option<String> {
        let mut expanded = String::with_capacity(text.len() + 16);
        for piece in pieces(text) {
            match piece {
                Piece::Literal(literal) => expanded.push_str(literal),
                Piece::Reference(name) => expanded.push_str(self.variables.get(name)?),
            }
            if self.length + expanded.len() > LONGEST {
                return None;
            }
        }
        self.length += expanded.len();
        Some(if self.trims { trim(&expanded).to_owned() } else { expanded })
    }
}

/// The names of variables that the texts below a node have.
pub(crate) fn references_below(node: &Node, found: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::Null => {}
        Value::Scalar(text) => references(text).for_each(found),
        Value::Sequence(items) => items.iter().for_each(|item| references_below(item, found)),
        Value::Mapping(entries) => entries.values().for_each(|value| references_below(value, found)),
    }
}

/// Expands a node with the variables of a mapping that stands alone.
///
/// # Errors
/// `unresolved-variable` and `circular-reference-variable`.
pub(crate) fn expand_with(node: &mut Node, template: &Template) -> Result<(), Diagnostic> {
    expand_node(node, &template.variables()).map_err(|failed| template.explain_text(&[], &failed))
}

/// The same for what is included from another project. There bst works on a copy of what it expanded, and its texts
/// lose the blanks around them when they are copied: `%{flags} %{more}` ends in no blank where `more` is empty.
///
/// # Errors
/// `unresolved-variable` and `circular-reference-variable`.
pub(crate) fn expand_included(node: &mut Node, template: &Template) -> Result<(), Diagnostic> {
    let variables = &template.variables();
    let expanded = (Expand { variables, length: 0, trims: true }).node(node);
    if let Some(new) = expanded.map_err(|failed| template.explain_text(&[], &failed))? {
        *node = new;
    }
    Ok(())
}

fn explain_variable(all: &Mapping, name: &str) -> Result<(), Diagnostic> {
    let Some(node) = all.get(name) else { return Ok(()) };
    Explain { all, clean: Vec::new() }.walk(Some(name), node.text().unwrap_or_default(), node.at)
}

/// Finds what bst would complain about first: it looks at the names in a text from left to right for those that are
/// not defined, then goes into them from right to left.
struct Explain<'a> {
    all: &'a Mapping,
    /// Variables below which all is well.
    clean: Vec<&'a str>,
}

/// A variable on the way down, with those of its names that are still to be looked into.
struct Visit<'a> {
    name: Option<&'a str>,
    at: Provenance,
    todo: Vec<&'a str>,
}

impl<'a> Explain<'a> {
    fn walk(&mut self, name: Option<&'a str>, text: &'a str, at: Provenance) -> Result<(), Diagnostic> {
        let mut path = vec![self.enter(name, text, at)?];
        while let Some(top) = path.last_mut() {
            let Some(next) = top.todo.pop() else {
                self.clean.extend(top.name);
                path.pop();
                continue;
            };
            if self.clean.contains(&next) {
                continue;
            }
            if let Some(start) = path.iter().position(|visit| visit.name == Some(next)) {
                return Err(circular(self.all, next, &path[start..]));
            }
            let Some(node) = self.all.get(next) else { continue };
            path.push(self.enter(Some(next), node.text().unwrap_or_default(), node.at)?);
        }
        Ok(())
    }

    fn enter(&self, name: Option<&'a str>, text: &'a str, at: Provenance) -> Result<Visit<'a>, Diagnostic> {
        let todo: Vec<&str> = references(text).collect();
        match todo.iter().find(|name| !self.all.contains_key(name)) {
            Some(missing) => Err(undefined(self.all, missing, at)),
            None => Ok(Visit { name, at, todo }),
        }
    }
}

fn circular(all: &Mapping, name: &str, circle: &[Visit<'_>]) -> Diagnostic {
    let message = format!("Circular dependency detected on variable '{name}'");
    let next = |i: usize| circle.get(i + 1).and_then(|visit| visit.name).unwrap_or(name);
    let at = all.get(name).map_or(Provenance::SYNTHETIC, |node| node.at);
    let mut diagnostic = Diagnostic::load("circular-reference-variable", message).at(at);
    for (i, visit) in circle.iter().enumerate() {
        let from = visit.name.unwrap_or_default();
        let text = format!("Variable '{from}' refers to variable '{}'", next(i));
        diagnostic = diagnostic.note(visit.at.file.map(|_| visit.at), text);
    }
    diagnostic
}

fn undefined(all: &Mapping, name: &str, at: Provenance) -> Diagnostic {
    let near = bourn_yaml::nearest::to(name, all.keys().map(Text::as_str));
    Diagnostic::load("unresolved-variable", format!("Reference to undefined variable '{name}'"))
        .at(at)
        .did_you_mean(near)
}

fn too_long(at: Option<Provenance>) -> Diagnostic {
    let message = format!("Expanding variables gives a text of more than {} MiB", LONGEST >> 20);
    Diagnostic::load("invalid-data", message).at(at.unwrap_or(Provenance::SYNTHETIC))
}

/// The first error with the further undefined names of the same variables.
fn with_others(all: &Mapping, first: Diagnostic) -> Vec<Diagnostic> {
    let mut found = vec![first];
    for value in all.values() {
        for name in references(value.text().unwrap_or_default()) {
            let new = undefined(all, name, value.at);
            let known = |d: &Diagnostic| d.message == new.message && d.at == new.at;
            if !all.contains_key(name) && !found.iter().any(known) {
                found.push(new);
            }
        }
    }
    found
}
