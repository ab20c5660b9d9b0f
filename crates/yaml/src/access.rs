//! Typed reading of nodes. Messages and places are those of bst's node accessors.
//!
//! On a mapping there are two of each: `get_…` wants the key to be there, `opt_…` answers `None` when it is not.
//! `as_…` reads the node itself.

use crate::diagnostic::Diagnostic;
use crate::mapping::Mapping;
use crate::nearest;
use crate::node::{Node, Value};

impl Node {
    /// The text of a scalar, or a diagnostic saying what stands here instead.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn as_str(&self) -> Result<&str, Diagnostic> {
        self.text().ok_or_else(|| self.expected("a string"))
    }

    /// The items of a sequence, or a diagnostic.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn as_sequence(&self) -> Result<&[Node], Diagnostic> {
        self.items().ok_or_else(|| self.expected("a list"))
    }

    /// The entries of a mapping, or a diagnostic.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn as_mapping(&self) -> Result<&Mapping, Diagnostic> {
        self.entries().ok_or_else(|| self.expected("a dictionary"))
    }

    /// The truth value of a scalar: `True`, `true` and `1`, or `False`, `false` and `0`. `name` is the key or the
    /// like that the message names.
    ///
    /// # Errors
    /// `invalid-data`, also for YAML's other spellings such as `yes`.
    pub fn as_bool(&self, name: &str) -> Result<bool, Diagnostic> {
        match self.text() {
            Some("True" | "true" | "1") => Ok(true),
            Some("False" | "false" | "0") => Ok(false),
            Some(text) => {
                let wrong = self.wrong_type(name, "boolean");
                Err(match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" => wrong.hint("write `True`"),
                    "false" | "no" | "off" | "n" => wrong.hint("write `False`"),
                    _ => wrong,
                })
            }
            None => Err(self.wrong_type(name, "scalar")),
        }
    }

    /// The number that a scalar says, in the spellings of Python's `int()`. bst keeps 32 bits.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn as_int(&self, name: &str) -> Result<i32, Diagnostic> {
        let Some(text) = self.text() else { return Err(self.wrong_type(name, "scalar")) };
        integer(text).ok_or_else(|| self.wrong_type(name, "int"))
    }

    /// The choice that a scalar names.
    ///
    /// # Errors
    /// `invalid-data` with the names of all choices.
    pub fn as_enum<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, Diagnostic> {
        let Some(text) = self.text() else { return Err(self.wrong_type(name, "scalar")) };
        if let Some((_, choice)) = choices.iter().find(|(spelling, _)| *spelling == text) {
            return Ok(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(spelling, _)| *spelling).collect();
        let message = format!("Value of '{name}' should be one of '{}'", names.join(", "));
        Err(Diagnostic::load("invalid-data", message).at(self.at).did_you_mean(nearest::to(text, names)))
    }

    /// The texts of a sequence of scalars.
    ///
    /// # Errors
    /// `invalid-data` at the first item that is no scalar.
    pub fn as_str_list(&self) -> Result<Vec<&str>, Diagnostic> {
        self.as_sequence()?.iter().map(Node::list_item).collect()
    }

    fn list_item(&self) -> Result<&str, Diagnostic> {
        self.text().ok_or_else(|| {
            Diagnostic::load("invalid-data", "List item is not of the expected type 'scalar'").at(self.at)
        })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// `invalid-data` when this is no mapping or has no such key.
    pub fn get_node(&self, key: &str) -> Result<&Node, Diagnostic> {
        self.as_mapping()?.get(key).ok_or_else(|| self.missing(key))
    }

    /// The value of `key`, `None` when there is none.
    ///
    /// # Errors
    /// `invalid-data` when this is no mapping.
    pub fn opt_node(&self, key: &str) -> Result<Option<&Node>, Diagnostic> {
        Ok(self.as_mapping()?.get(key))
    }

    /// The value of `key`, `None` when there is none or it holds nothing.
    fn opt_value(&self, key: &str) -> Result<Option<&Node>, Diagnostic> {
        Ok(self.opt_node(key)?.filter(|node| !node.is_null()))
    }

    /// The value of `key`, which must be a scalar.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_scalar(&self, key: &str) -> Result<&Node, Diagnostic> {
        self.get_node(key)?.typed(key, "scalar")
    }

    /// The value of `key`, which must be a scalar.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_scalar(&self, key: &str) -> Result<Option<&Node>, Diagnostic> {
        self.opt_value(key)?.map(|node| node.typed(key, "scalar")).transpose()
    }

    /// The text of `key`.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_str(&self, key: &str) -> Result<&str, Diagnostic> {
        let node = self.get_node(key)?;
        node.text().ok_or_else(|| node.wrong_type(key, "scalar"))
    }

    /// The text of `key`.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>, Diagnostic> {
        let Some(node) = self.opt_value(key)? else { return Ok(None) };
        node.text().map(Some).ok_or_else(|| node.wrong_type(key, "scalar"))
    }

    /// The truth value of `key`; spellings as in [`Node::as_bool`].
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_bool(&self, key: &str) -> Result<bool, Diagnostic> {
        self.get_node(key)?.as_bool(key)
    }

    /// The truth value of `key`; spellings as in [`Node::as_bool`].
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>, Diagnostic> {
        self.opt_value(key)?.map(|node| node.as_bool(key)).transpose()
    }

    /// The number that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_int(&self, key: &str) -> Result<i32, Diagnostic> {
        self.get_node(key)?.as_int(key)
    }

    /// The number that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_int(&self, key: &str) -> Result<Option<i32>, Diagnostic> {
        self.opt_value(key)?.map(|node| node.as_int(key)).transpose()
    }

    /// The choice that `key` names.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_enum<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<T, Diagnostic> {
        self.get_node(key)?.as_enum(key, choices)
    }

    /// The choice that `key` names.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_enum<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, Diagnostic> {
        self.opt_value(key)?.map(|node| node.as_enum(key, choices)).transpose()
    }

    /// The mapping that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_mapping(&self, key: &str) -> Result<&Node, Diagnostic> {
        self.get_node(key)?.typed(key, "dict")
    }

    /// The mapping that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_mapping(&self, key: &str) -> Result<Option<&Node>, Diagnostic> {
        self.opt_node(key)?.map(|node| node.typed(key, "dict")).transpose()
    }

    /// The items of the sequence that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_sequence(&self, key: &str) -> Result<&[Node], Diagnostic> {
        let node = self.get_node(key)?;
        node.items().ok_or_else(|| node.wrong_type(key, "list"))
    }

    /// The items of the sequence that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_sequence(&self, key: &str) -> Result<Option<&[Node]>, Diagnostic> {
        let Some(node) = self.opt_node(key)? else { return Ok(None) };
        node.items().map(Some).ok_or_else(|| node.wrong_type(key, "list"))
    }

    /// The texts of the sequence that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_str_list(&self, key: &str) -> Result<Vec<&str>, Diagnostic> {
        self.get_sequence(key)?.iter().map(Node::list_item).collect()
    }

    /// The texts of the sequence that `key` has.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_str_list(&self, key: &str) -> Result<Option<Vec<&str>>, Diagnostic> {
        let Some(items) = self.opt_sequence(key)? else { return Ok(None) };
        items.iter().map(Node::list_item).collect::<Result<_, _>>().map(Some)
    }

    /// Checks that a mapping has no other keys than `valid`.
    ///
    /// # Errors
    /// `invalid-data` at the value of the first key that is not known, with the key that was probably meant;
    /// further unknown keys are notes.
    pub fn validate_keys(&self, valid: &[&str]) -> Result<(), Diagnostic> {
        let mut unknown = self.as_mapping()?.iter().filter(|(key, _)| !valid.contains(&key.as_str()));
        let Some((key, node)) = unknown.next() else { return Ok(()) };
        let mut diagnostic = Diagnostic::load("invalid-data", format!("Unexpected key: {key}"))
            .at(node.at)
            .did_you_mean(nearest::to(key, valid.iter().copied()));
        for (key, node) in unknown {
            diagnostic = diagnostic.note(Some(node.at), format!("also unexpected: {key}"));
        }
        Err(diagnostic)
    }

    /// A diagnostic that something else was expected here.
    pub fn expected(&self, what: &str) -> Diagnostic {
        Diagnostic::load("invalid-data", format!("Expected {what}, found {}", self.describe())).at(self.at)
    }

    /// A diagnostic that this mapping lacks a key.
    pub fn missing(&self, key: &str) -> Diagnostic {
        let message = format!("Dictionary did not contain expected key '{key}'");
        let keys = self.entries().into_iter().flat_map(Mapping::keys).map(|k| k.as_str());
        Diagnostic::load("invalid-data", message).at(self.at).did_you_write(nearest::to(key, keys))
    }

    /// A diagnostic that the value of `name` is not of that type (`scalar`, `list`, `dict`, `boolean`, `int`).
    pub fn wrong_type(&self, name: &str, wanted: &str) -> Diagnostic {
        let message = format!("Value of '{name}' is not of the expected type '{wanted}'");
        Diagnostic::load("invalid-data", message).at(self.at)
    }

    /// What stands here, for people.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a dictionary",
        }
    }

    fn typed(&self, name: &str, wanted: &str) -> Result<&Node, Diagnostic> {
        let fits = match &self.value {
            Value::Null | Value::Scalar(_) => wanted == "scalar",
            Value::Sequence(_) => wanted == "list",
            Value::Mapping(_) => wanted == "dict",
        };
        if fits { Ok(self) } else { Err(self.wrong_type(name, wanted)) }
    }
}

/// As Python's `int()` reads decimal text: a sign, digits, single underscores between digits.
fn integer(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_formed =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if !well_formed {
        return None;
    }
    text.replace('_', "").parse().ok()
}
