//! Values in expressions: they behave as Python's do.

use std::cmp::Ordering;
use std::fmt;

/// A value in an expression.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `none`
    None,
    /// `true` and `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A mapping.
    Dict(Vec<(Value, Value)>),
    /// Nothing stands here; why. Using it is an error.
    Undefined(String),
}

impl Value {
    /// Whether a condition that has this value holds.
    pub(crate) fn truth(&self) -> Result<bool, String> {
        Ok(match self {
            Value::None => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.is_empty(),
            Value::Dict(entries) => !entries.is_empty(),
            Value::Undefined(why) => return Err(why.clone()),
        })
    }

    /// The number that truth values and numbers are.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The whole number that truth values and whole numbers are.
    pub(crate) fn whole(&self) -> Option<i64> {
        match self {
            Value::Bool(truth) => Some(i64::from(*truth)),
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The name of its type, as Python says it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Undefined(_) => "undefined",
        }
    }

    /// Whether two values are equal.
    pub(crate) fn equals(&self, other: &Value) -> Result<bool, String> {
        Ok(match (self, other) {
            (Value::Undefined(why), _) | (_, Value::Undefined(why)) => return Err(why.clone()),
            (Value::None, Value::None) => true,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                a.len() == b.len() && all(a.iter().zip(b).map(|(a, b)| a.equals(b)))?
            }
            (Value::Dict(a), Value::Dict(b)) => {
                let found = |(key, value): &(Value, Value)| match lookup(b, key)? {
                    Some(other) => value.equals(other),
                    None => Ok(false),
                };
                a.len() == b.len() && all(a.iter().map(found))?
            }
            _ => match (self.whole(), other.whole()) {
                (Some(a), Some(b)) => a == b,
                _ => self.number().is_some() && self.number() == other.number(),
            },
        })
    }

    /// Which of two values is the smaller one.
    pub(crate) fn compare(&self, other: &Value) -> Result<Ordering, String> {
        match (self, other) {
            (Value::Undefined(why), _) | (_, Value::Undefined(why)) => Err(why.clone()),
            (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.iter().zip(b) {
                    if !a.equals(b)? {
                        return a.compare(b);
                    }
                }
                Ok(a.len().cmp(&b.len()))
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => Ok(a.partial_cmp(&b).unwrap_or(Ordering::Equal)),
                _ => {
                    let (a, b) = (self.type_name(), other.type_name());
                    Err(format!("'{a}' and '{b}' cannot be compared by size"))
                }
            },
        }
    }

    /// Whether `item` is among the items, keys or characters of this.
    pub(crate) fn contains(&self, item: &Value) -> Result<bool, String> {
        match (self, item) {
            (_, Value::Undefined(why)) | (Value::Undefined(why), _) => Err(why.clone()),
            (Value::Text(text), Value::Text(part)) => Ok(text.contains(part.as_str())),
            (Value::Text(_), _) => Err(format!("only a text can be `in` a text, not {}", item.type_name())),
            (Value::List(items) | Value::Tuple(items), _) => any(items.iter().map(|i| i.equals(item))),
            (Value::Dict(entries), _) => Ok(lookup(entries, item)?.is_some()),
            _ => Err(format!("nothing can be `in` a value of type '{}'", self.type_name())),
        }
    }

    /// What iterating gives.
    pub(crate) fn items(&self) -> Result<Vec<Value>, String> {
        match self {
            Value::List(items) | Value::Tuple(items) => Ok(items.clone()),
            Value::Text(text) => Ok(text.chars().map(|c| Value::Text(c.to_string())).collect()),
            Value::Dict(entries) => Ok(entries.iter().map(|(key, _)| key.clone()).collect()),
            Value::Undefined(why) => Err(why.clone()),
            _ => Err(format!("a value of type '{}' has no items", self.type_name())),
        }
    }

    /// The text, of a text.
    pub(crate) fn text(&self) -> Result<&str, String> {
        match self {
            Value::Text(text) => Ok(text),
            Value::Undefined(why) => Err(why.clone()),
            _ => Err(format!("expected a text, found '{}'", self.type_name())),
        }
    }
}

/// The value of a key.
pub(crate) fn lookup<'a>(entries: &'a [(Value, Value)], key: &Value) -> Result<Option<&'a Value>, String> {
    for (candidate, value) in entries {
        if candidate.equals(key)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn all(mut answers: impl Iterator<Item = Result<bool, String>>) -> Result<bool, String> {
    any(answers.by_ref().map(|answer| answer.map(|truth| !truth))).map(|truth| !truth)
}

fn any(answers: impl Iterator<Item = Result<bool, String>>) -> Result<bool, String> {
    for answer in answers {
        if answer? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// As Python's `str()` writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("None"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Text(text) => f.write_str(text),
            Value::List(items) => write!(f, "[{}]", quoted(items)),
            Value::Tuple(items) if items.len() == 1 => write!(f, "({},)", quoted(items)),
            Value::Tuple(items) => write!(f, "({})", quoted(items)),
            Value::Dict(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{}: {}", quote(key), quote(value))).collect();
                write!(f, "{{{}}}", entries.join(", "))
            }
            Value::Undefined(_) => Ok(()),
        }
    }
}

fn quoted(items: &[Value]) -> String {
    items.iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// As Python's `repr()` writes it.
fn quote(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        _ => value.to_string(),
    }
}
