//! Typed reading of nodes. Messages and places are those of bst's node accessors.
//!
//! On a mapping there are two of each: `get_…` wants the key to be there, `opt_…` answers `None` when it is not.
//! `as_…` reads the node itself.

use crate::diagnostic::Diagnostic;
use crate::mapping::{Mapping, Text};
use crate::nearest;
use crate::node::{Node, Value};

/// So many unknown keys are named beside the first.
const MORE_KEYS: usize = 8;

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

    /// The text of `key`, of which clones are cheap.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn get_text(&self, key: &str) -> Result<&Text, Diagnostic> {
        let node = self.get_node(key)?;
        node.shared_text().ok_or_else(|| node.wrong_type(key, "scalar"))
    }

    /// The same, if there is one.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_text(&self, key: &str) -> Result<Option<&Text>, Diagnostic> {
        let Some(node) = self.opt_value(key)? else { return Ok(None) };
        node.shared_text().map(Some).ok_or_else(|| node.wrong_type(key, "scalar"))
    }

    fn shared_text(&self) -> Option<&Text> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
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

    /// The texts of the list of `key`, shared with it.
    ///
    /// # Errors
    /// `invalid-data`.
    pub fn opt_text_list(&self, key: &str) -> Result<Option<Vec<Text>>, Diagnostic> {
        let Some(items) = self.opt_sequence(key)? else { return Ok(None) };
        let text = |item: &Node| match item.shared_text() {
            Some(text) => Ok(text.clone()),
            None => item.list_item().map(Text::from),
        };
        items.iter().map(text).collect::<Result<_, _>>().map(Some)
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
        for (key, node) in unknown.by_ref().take(MORE_KEYS) {
            diagnostic = diagnostic.note(Some(node.at), format!("also unexpected: {key}"));
        }
        let rest = unknown.count();
        if rest > 0 {
            diagnostic = diagnostic.note(None, format!("{rest} more keys are unexpected"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Files, parse};
    use std::fmt::Debug;
    use std::path::Path;

    const TEXT: &str = "\
t: true
n: 12
s: text
l: [a, b]
m: {x: y, z: [w]}
bad: [a, [b]]
e: ''
";

    /// What a getter says of `text`: its value, or the first place and message.
    #[track_caller]
    fn check<T: Debug>(text: &str, get: impl Fn(&Node) -> Result<T, Diagnostic>, expected: &str) {
        let files = Files::default();
        let node = parse(&files, files.add(Path::new("x"), "x", None, text.into())).unwrap();
        let found = match get(&node) {
            Ok(value) => format!("{value:?}"),
            Err(diagnostic) => {
                assert_eq!(diagnostic.code, "invalid-data");
                let place = diagnostic.at.and_then(|at| files.position(at)).unwrap();
                let hint = diagnostic.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{}:{} {}{hint}", place.line, place.column, diagnostic.message)
            }
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn reads_truth_values() {
        for (text, expected) in
            [("True", true), ("true", true), ("1", true), ("False", false), ("false", false), ("0", false)]
        {
            check(&format!("k: {text}"), |node| node.get_bool("k"), &format!("{expected}"));
        }
        let wrong = "1:3 Value of 'k' is not of the expected type 'boolean'";
        check("k: TRUE", |node| node.get_bool("k"), &format!("{wrong} (write `True`)"));
        check("k: off", |node| node.get_bool("k"), &format!("{wrong} (write `False`)"));
        check("k: ''", |node| node.get_bool("k"), wrong);
        check("k: maybe", |node| node.opt_bool("k"), wrong);
    }

    /// Which texts are numbers is what bst 2.8.1 says.
    #[test]
    fn reads_numbers() {
        let good = [
            ("5", 5),
            ("-7", -7),
            ("+3", 3),
            ("1_000", 1000),
            ("007", 7),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ];
        for (text, expected) in good {
            check(&format!("k: {text}"), |node| node.get_int("k"), &expected.to_string());
        }
        for text in ["0x10", "5.0", "''", "1__0", "_1", "1_", "+-1", "2147483648", "five"] {
            let wrong = "1:3 Value of 'k' is not of the expected type 'int'";
            check(&format!("k: {text}"), |node| node.get_int("k"), wrong);
        }
    }

    #[test]
    fn reads_choices() {
        let choices = [("none", 0), ("gzip", 1)];
        check("k: gzip", |node| node.get_enum("k", &choices), "1");
        check("j: gzip", |node| node.opt_enum("k", &choices), "None");
        check(
            "k: gzp",
            |node| node.get_enum("k", &choices),
            "1:3 Value of 'k' should be one of 'none, gzip' (did you mean `gzip`?)",
        );
        check(
            "k: [gzip]",
            |node| node.get_enum("k", &choices),
            "1:3 Value of 'k' is not of the expected type 'scalar'",
        );
    }

    #[test]
    fn reads_collections() {
        check(TEXT, |node| node.get_str_list("l").map(|l| l.join(" ")), "\"a b\"");
        check(TEXT, |node| node.opt_str_list("q").map(|list| list.is_none()), "true");
        check(TEXT, |node| node.get_sequence("l").map(<[Node]>::len), "2");
        check(TEXT, |node| node.get_mapping("m")?.get_str("x").map(str::to_owned), "\"y\"");
        check(
            TEXT,
            |node| node.get_str_list("bad").map(|l| l.len()),
            "6:9 List item is not of the expected type 'scalar'",
        );
        for key in ["t", "m"] {
            let place = if key == "t" { "1:3" } else { "5:3" };
            let wrong = format!("{place} Value of '{key}' is not of the expected type 'list'");
            check(TEXT, |node| node.get_str_list(key).map(|l| l.len()), &wrong);
            check(TEXT, |node| node.opt_sequence(key).map(|l| l.is_some()), &wrong);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        check(
            TEXT,
            |node| node.get_str("l").map(str::to_owned),
            "4:3 Value of 'l' is not of the expected type 'scalar'",
        );
        check(
            TEXT,
            |node| node.opt_str("m").map(|s| s.is_some()),
            "5:3 Value of 'm' is not of the expected type 'scalar'",
        );
        check(
            TEXT,
            |node| node.get_scalar("l").map(|_| ()),
            "4:3 Value of 'l' is not of the expected type 'scalar'",
        );
        check(
            TEXT,
            |node| node.get_mapping("l").map(|_| ()),
            "4:3 Value of 'l' is not of the expected type 'dict'",
        );
        check(
            TEXT,
            |node| node.get_node("kind").map(|_| ()),
            "1:0 Dictionary did not contain expected key 'kind'",
        );
        check(
            "knid: x",
            |node| node.get_str("kind").map(|_| ()),
            "1:0 Dictionary did not contain expected key 'kind' (is `knid` a typing error?)",
        );
        check(
            TEXT,
            |node| node.get_node("l")?.get_str("x").map(|_| ()),
            "4:3 Expected a dictionary, found a list",
        );
        check(TEXT, |node| node.get_str("e").map(str::to_owned), "\"\"");
    }

    /// Keys whose value a program took away count as not there.
    #[test]
    fn nothing_is_nothing() {
        let node = Node::mapping([("ref", Node::null())].into_iter().collect());
        assert_eq!(node.opt_str("ref").unwrap(), None);
        assert_eq!(node.opt_bool("ref").unwrap(), None);
        assert_eq!(node.get_str("ref").unwrap_err().code, "invalid-data");
    }

    #[test]
    fn names_unknown_keys() {
        let valid = ["kind", "depends", "sources"];
        check("kind: x\nsources: []", |node| node.validate_keys(&valid), "()");
        check(
            "kind: x\nsource:\n- a",
            |node| node.validate_keys(&valid),
            "3:0 Unexpected key: source (did you mean `sources`?)",
        );
        let many: String = (0..20).map(|i| format!("k{i}: v\n")).collect();
        let node = crate::parse_text(&many, None).unwrap();
        let notes = &node.validate_keys(&valid).unwrap_err().notes;
        assert_eq!(notes.len(), 9);
        assert_eq!(notes[0].1, "also unexpected: k1");
        assert_eq!(notes[8].1, "11 more keys are unexpected");
    }
}
