//! Methods of values, as Python has them.

use super::evaluate::{Evaluated, bounded};
use super::value::{Value, lookup};

/// Calls a method.
pub(super) fn call(of: &Value, method: &str, arguments: &[Value]) -> Evaluated {
    match of {
        Value::Undefined(why) => Err(why.clone()),
        Value::Text(text) => text_method(text, method, arguments),
        Value::List(items) | Value::Tuple(items) => match (method, arguments) {
            ("count", [item]) => {
                let mut count = 0;
                for candidate in items {
                    count += i64::from(candidate.equals(item)?);
                }
                Ok(Value::Int(count))
            }
            _ => Err(unknown(of, method)),
        },
        Value::Dict(entries) => match (method, arguments) {
            ("keys", []) => Ok(Value::List(entries.iter().map(|(key, _)| key.clone()).collect())),
            ("values", []) => Ok(Value::List(entries.iter().map(|(_, value)| value.clone()).collect())),
            ("items", []) => Ok(Value::List(
                entries.iter().map(|(key, value)| Value::Tuple(vec![key.clone(), value.clone()])).collect(),
            )),
            ("get", [key]) => Ok(lookup(entries, key)?.cloned().unwrap_or(Value::None)),
            ("get", [key, default]) => Ok(lookup(entries, key)?.unwrap_or(default).clone()),
            _ => Err(unknown(of, method)),
        },
        _ => Err(unknown(of, method)),
    }
}

fn unknown(of: &Value, method: &str) -> String {
    format!("'{} object' has no attribute '{method}'", of.type_name())
}

fn text_method(text: &str, method: &str, arguments: &[Value]) -> Evaluated {
    let of_kind = |test: fn(char) -> bool| Ok(Value::Bool(!text.is_empty() && text.chars().all(test)));
    match (method, arguments) {
        ("lower", []) => bounded(text.to_lowercase()),
        ("upper", []) => bounded(text.to_uppercase()),
        ("capitalize", []) => bounded(capitalize(text)),
        ("title", []) => bounded(title(text)),
        ("strip", []) => bounded(text.trim().to_owned()),
        ("lstrip", []) => bounded(text.trim_start().to_owned()),
        ("rstrip", []) => bounded(text.trim_end().to_owned()),
        ("strip", [chars]) => {
            let chars = chars.text()?;
            bounded(text.trim_matches(|c| chars.contains(c)).to_owned())
        }
        ("lstrip", [chars]) => {
            let chars = chars.text()?;
            bounded(text.trim_start_matches(|c| chars.contains(c)).to_owned())
        }
        ("rstrip", [chars]) => {
            let chars = chars.text()?;
            bounded(text.trim_end_matches(|c| chars.contains(c)).to_owned())
        }
        ("startswith", [part]) => any_of(part, |part| text.starts_with(part)),
        ("endswith", [part]) => any_of(part, |part| text.ends_with(part)),
        ("removeprefix", [part]) => bounded(text.strip_prefix(part.text()?).unwrap_or(text).to_owned()),
        ("removesuffix", [part]) => bounded(text.strip_suffix(part.text()?).unwrap_or(text).to_owned()),
        ("replace", [from, to]) => bounded(text.replace(from.text()?, to.text()?)),
        ("count", [part]) => Ok(Value::Int(text.matches(part.text()?).count() as i64)),
        ("find", [part]) => {
            let found = text.find(part.text()?).map(|at| text[..at].chars().count() as i64);
            Ok(Value::Int(found.unwrap_or(-1)))
        }
        ("split", []) => Ok(texts(text.split_whitespace())),
        ("split", [by]) => match by.text()? {
            "" => Err("empty separator".to_owned()),
            by => Ok(texts(text.split(by))),
        },
        ("splitlines", []) => Ok(texts(text.lines())),
        ("join", [items]) => {
            let items = items.items()?;
            let parts = items.iter().map(Value::text).collect::<Result<Vec<_>, _>>()?;
            bounded(parts.join(text))
        }
        ("isdigit" | "isdecimal" | "isnumeric", []) => of_kind(char::is_numeric),
        ("isalpha", []) => of_kind(char::is_alphabetic),
        ("isalnum", []) => of_kind(char::is_alphanumeric),
        ("isspace", []) => of_kind(char::is_whitespace),
        ("islower", []) => Ok(Value::Bool(text.to_lowercase() == text && text.to_uppercase() != text)),
        ("isupper", []) => Ok(Value::Bool(text.to_uppercase() == text && text.to_lowercase() != text)),
        _ => Err(unknown(&Value::Text(String::new()), method)),
    }
}

/// Whether a text, or one of the texts of a tuple, passes.
fn any_of(part: &Value, test: impl Fn(&str) -> bool) -> Evaluated {
    match part {
        Value::Tuple(parts) => {
            let parts = parts.iter().map(Value::text).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Bool(parts.into_iter().any(test)))
        }
        _ => Ok(Value::Bool(test(part.text()?))),
    }
}

fn texts<'a>(parts: impl Iterator<Item = &'a str>) -> Value {
    Value::List(parts.map(|part| Value::Text(part.to_owned())).collect())
}

/// The first letter large, the others small.
pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

/// The first letter of each word large, the others small.
pub(super) fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            titled.extend(c.to_lowercase());
        } else {
            titled.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    titled
}

/// A part of a text or list: `[start:stop:step]`.
pub(super) fn slice(of: &Value, bounds: [Option<Value>; 3]) -> Evaluated {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(&bounds) {
        *number = match bound {
            None | Some(Value::None) => None,
            Some(value) => Some(value.whole().ok_or("slice indices must be whole numbers")?),
        };
    }
    let [start, stop, step] = numbers;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err("slice step cannot be zero".to_owned());
    }
    let items = of.items()?;
    let length = items.len() as i64;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clip = |bound: Option<i64>, default: i64| match bound {
        None => default,
        Some(at) if at < 0 => at.saturating_add(length).clamp(low, high),
        Some(at) => at.clamp(low, high),
    };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (mut at, stop) = (clip(start, first), clip(stop, last));
    let mut taken = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        taken.extend(usize::try_from(at).ok().and_then(|at| items.get(at).cloned()));
        at = at.saturating_add(step);
    }
    Ok(match of {
        Value::Text(_) => Value::Text(taken.iter().map(Value::to_string).collect()),
        Value::Tuple(_) => Value::Tuple(taken),
        _ => Value::List(taken),
    })
}
