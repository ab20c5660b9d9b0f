//! Filters (`value | name`) and tests (`value is name`).

use super::evaluate::{Evaluated, bounded, holds};
use super::method::{call, capitalize, title};
use super::value::Value;

/// Applies a filter.
pub(super) fn apply(of: &Value, filter: &str, arguments: &[Value]) -> Evaluated {
    if matches!(filter, "default" | "d") {
        return default(of, arguments);
    }
    if let Value::Undefined(why) = of {
        return Err(why.clone());
    }
    match (filter, arguments) {
        ("length" | "count", []) => match of {
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Text(_) => {
                Ok(Value::Int(of.items()?.len() as i64))
            }
            _ => Err(format!("a value of type '{}' has no length", of.type_name())),
        },
        ("lower", []) => bounded(of.to_string().to_lowercase()),
        ("upper", []) => bounded(of.to_string().to_uppercase()),
        ("capitalize", []) => bounded(capitalize(&of.to_string())),
        ("title", []) => bounded(title(&of.to_string())),
        ("trim", []) => bounded(of.to_string().trim().to_owned()),
        ("string", []) => bounded(of.to_string()),
        ("replace", [_, _]) => call(&Value::Text(of.to_string()), "replace", arguments),
        ("first", []) => Ok(of.items()?.into_iter().next().unwrap_or_else(|| empty("first"))),
        ("last", []) => Ok(of.items()?.into_iter().next_back().unwrap_or_else(|| empty("last"))),
        ("list", []) => Ok(Value::List(of.items()?)),
        ("reverse", []) => match of {
            Value::Text(text) => Ok(Value::Text(text.chars().rev().collect())),
            _ => Ok(Value::List(of.items()?.into_iter().rev().collect())),
        },
        ("sort", []) => sorted(of.items()?).map(Value::List),
        ("min", []) => Ok(sorted(of.items()?)?.into_iter().next().unwrap_or_else(|| empty("min"))),
        ("max", []) => Ok(sorted(of.items()?)?.into_iter().next_back().unwrap_or_else(|| empty("max"))),
        ("unique", []) => {
            let mut found: Vec<Value> = Vec::new();
            for item in of.items()? {
                if !Value::List(found.clone()).contains(&item)? {
                    found.push(item);
                }
            }
            Ok(Value::List(found))
        }
        ("join", _) => {
            let between = arguments.first().map_or(Ok(""), Value::text)?;
            let parts: Vec<String> = of.items()?.iter().map(Value::to_string).collect();
            bounded(parts.join(between))
        }
        ("int", _) => {
            let fallback = arguments.first().cloned().unwrap_or(Value::Int(0));
            Ok(match of {
                Value::Float(number) => Value::Int(*number as i64),
                Value::Text(text) => text.trim().parse().map_or(fallback, Value::Int),
                _ => of.whole().map_or(fallback, Value::Int),
            })
        }
        ("float", _) => {
            let fallback = arguments.first().cloned().unwrap_or(Value::Float(0.0));
            Ok(match of {
                Value::Text(text) => text.trim().parse().map_or(fallback, Value::Float),
                _ => of.number().map_or(fallback, Value::Float),
            })
        }
        ("abs", []) => match (of.whole(), of.number()) {
            (Some(number), _) => number.checked_abs().map(Value::Int).ok_or("a number gets too large".into()),
            (None, Some(number)) => Ok(Value::Float(number.abs())),
            _ => Err(format!("a value of type '{}' has no size", of.type_name())),
        },
        ("sum", []) => of
            .items()?
            .iter()
            .try_fold(0i64, |sum, item| {
                item.whole().and_then(|n| sum.checked_add(n)).ok_or("only whole numbers add up".to_owned())
            })
            .map(Value::Int),
        _ => Err(format!("No filter named '{filter}'.")),
    }
}

fn default(of: &Value, arguments: &[Value]) -> Evaluated {
    let replacement = arguments.first().cloned().unwrap_or(Value::Text(String::new()));
    let also_false = arguments.get(1).map_or(Ok(false), Value::truth)?;
    match of {
        Value::Undefined(_) => Ok(replacement),
        _ if also_false && !of.truth()? => Ok(replacement),
        _ => Ok(of.clone()),
    }
}

fn empty(filter: &str) -> Value {
    Value::Undefined(format!("No {filter} item, sequence was empty."))
}

fn sorted(mut items: Vec<Value>) -> Result<Vec<Value>, String> {
    let mut fault = None;
    items.sort_by(|a, b| {
        a.compare(b).unwrap_or_else(|why| {
            fault = Some(why);
            std::cmp::Ordering::Equal
        })
    });
    fault.map_or(Ok(items), Err)
}

/// Answers a test.
pub(super) fn test(of: &Value, test: &str, arguments: &[Value]) -> Result<bool, String> {
    match (test, of) {
        ("defined", _) => return Ok(!matches!(of, Value::Undefined(_))),
        ("undefined", _) => return Ok(matches!(of, Value::Undefined(_))),
        (_, Value::Undefined(why)) => return Err(why.clone()),
        _ => {}
    }
    Ok(match (test, arguments) {
        ("none", []) => matches!(of, Value::None),
        ("boolean", []) => matches!(of, Value::Bool(_)),
        ("true", []) => matches!(of, Value::Bool(true)),
        ("false", []) => matches!(of, Value::Bool(false)),
        ("string", []) => matches!(of, Value::Text(_)),
        ("integer", []) => matches!(of, Value::Int(_)),
        ("float", []) => matches!(of, Value::Float(_)),
        ("number", []) => of.number().is_some(),
        ("mapping", []) => matches!(of, Value::Dict(_)),
        ("sequence" | "iterable", []) => of.items().is_ok(),
        ("callable", []) => false,
        ("odd", []) => remainder(of, 2)? == 1,
        ("even", []) => remainder(of, 2)? == 0,
        ("divisibleby", [by]) => remainder(of, by.whole().ok_or("expected a whole number")?)? == 0,
        ("lower", []) => {
            of.to_string().to_lowercase() == of.to_string() && of.to_string().to_uppercase() != of.to_string()
        }
        ("upper", []) => {
            of.to_string().to_uppercase() == of.to_string() && of.to_string().to_lowercase() != of.to_string()
        }
        ("in", [container]) => container.contains(of)?,
        ("eq" | "equalto", [other]) => holds("==", of, other)?,
        ("ne", [other]) => holds("!=", of, other)?,
        ("lt" | "lessthan", [other]) => holds("<", of, other)?,
        ("le", [other]) => holds("<=", of, other)?,
        ("gt" | "greaterthan", [other]) => holds(">", of, other)?,
        ("ge", [other]) => holds(">=", of, other)?,
        ("sameas", [other]) => of.type_name() == other.type_name() && of.equals(other)?,
        _ => return Err(format!("No test named '{test}'.")),
    })
}

fn remainder(of: &Value, by: i64) -> Result<i64, String> {
    let number = of.whole().ok_or("expected a whole number")?;
    number.checked_rem_euclid(by).ok_or("division by zero".to_owned())
}
