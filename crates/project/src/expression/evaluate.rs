//! The value of an expression.

use super::filter;
use super::method;
use super::parse::Expression;
use super::value::{Value, lookup};
use std::cmp::Ordering;

/// The longest text that an expression may make, in bytes.
const LONGEST: usize = 1 << 20;

pub(super) type Evaluated = Result<Value, String>;

/// Evaluates an expression; `name` gives the value of a name.
///
/// # Errors
/// Why it has no value, in words.
pub(crate) fn evaluate(expression: &Expression, name: &dyn Fn(&str) -> Option<Value>) -> Evaluated {
    let value = |expression: &Expression| evaluate(expression, name);
    let values = |list: &[Expression]| list.iter().map(value).collect::<Result<Vec<Value>, String>>();
    match expression {
        Expression::Constant(constant) => Ok(constant.clone()),
        Expression::Name(text) => {
            Ok(name(text).unwrap_or_else(|| Value::Undefined(format!("'{text}' is undefined"))))
        }
        Expression::List(items) => Ok(Value::List(values(items)?)),
        Expression::Tuple(items) => Ok(Value::Tuple(values(items)?)),
        Expression::Dict(entries) => {
            let pairs = entries.iter().map(|(key, item)| Ok((value(key)?, value(item)?)));
            Ok(Value::Dict(pairs.collect::<Result<_, String>>()?))
        }
        Expression::Not(inner) => Ok(Value::Bool(!value(inner)?.truth()?)),
        Expression::Sign(sign, inner) => signed(sign, value(inner)?),
        Expression::And(terms) => decided(terms, &value, false),
        Expression::Or(terms) => decided(terms, &value, true),
        Expression::Compare(first, rest) => {
            let mut left = value(first)?;
            for (sign, right) in rest {
                let right = value(right)?;
                if !holds(sign, &left, &right)? {
                    return Ok(Value::Bool(false));
                }
                left = right;
            }
            Ok(Value::Bool(true))
        }
        Expression::Binary(sign, left, right) => binary(sign, value(left)?, value(right)?),
        Expression::Concat(parts) => {
            let mut text = String::new();
            for part in values(parts)? {
                if let Value::Undefined(why) = part {
                    return Err(why);
                }
                text.push_str(&part.to_string());
            }
            bounded(text)
        }
        Expression::If(test, then, otherwise) => match (value(test)?.truth()?, otherwise) {
            (true, _) => value(then),
            (false, Some(otherwise)) => value(otherwise),
            (false, None) => Ok(Value::Undefined("an inline `if` is false and has no `else`".to_owned())),
        },
        Expression::Attribute(of, attribute) => attribute_of(value(of)?, attribute),
        Expression::Item(of, index) => item(value(of)?, value(index)?),
        Expression::Slice(of, bounds) => {
            let bound = |bound: &Option<Box<Expression>>| bound.as_deref().map(value).transpose();
            let [start, stop, step] = bounds;
            method::slice(&value(of)?, [bound(start)?, bound(stop)?, bound(step)?])
        }
        Expression::Call(called, arguments) => match &**called {
            Expression::Attribute(of, method) => method::call(&value(of)?, method, &values(arguments)?),
            Expression::Name(text) => match name(text) {
                Some(found) => Err(format!("a value of type '{}' cannot be called", found.type_name())),
                None => Err(format!("'{text}' is undefined")),
            },
            _ => Err("this cannot be called".to_owned()),
        },
        Expression::Filter(of, filter, arguments) => filter::apply(&value(of)?, filter, &values(arguments)?),
        Expression::Test(of, test, arguments) => {
            Ok(Value::Bool(filter::test(&value(of)?, test, &values(arguments)?)?))
        }
    }
}

/// The first of some terms that has the deciding truth, or the last.
fn decided(terms: &[Expression], value: &dyn Fn(&Expression) -> Evaluated, deciding: bool) -> Evaluated {
    let mut last = Value::None;
    for (at, term) in terms.iter().enumerate() {
        last = value(term)?;
        if at + 1 < terms.len() && last.truth()? == deciding {
            break;
        }
    }
    Ok(last)
}

pub(super) fn bounded(text: String) -> Evaluated {
    if text.len() > LONGEST { Err("the text gets too long".to_owned()) } else { Ok(Value::Text(text)) }
}

pub(super) fn holds(sign: &str, left: &Value, right: &Value) -> Result<bool, String> {
    Ok(match sign {
        "==" => left.equals(right)?,
        "!=" => !left.equals(right)?,
        "in" => right.contains(left)?,
        "not in" => !right.contains(left)?,
        ">" => left.compare(right)? == Ordering::Greater,
        "<" => left.compare(right)? == Ordering::Less,
        ">=" => left.compare(right)? != Ordering::Less,
        _ => left.compare(right)? != Ordering::Greater,
    })
}

fn signed(sign: &str, value: Value) -> Evaluated {
    match (sign, value.whole(), value.number()) {
        (_, _, None) => Err(unfit(sign, &value)),
        ("-", Some(number), _) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
        (_, Some(number), _) => Ok(Value::Int(number)),
        ("-", None, Some(number)) => Ok(Value::Float(-number)),
        (_, None, Some(number)) => Ok(Value::Float(number)),
    }
}

fn unfit(sign: &str, value: &Value) -> String {
    match value {
        Value::Undefined(why) => why.clone(),
        _ => format!("`{sign}` does not work on a value of type '{}'", value.type_name()),
    }
}

fn overflow() -> String {
    "a number gets too large".to_owned()
}

fn binary(sign: &str, left: Value, right: Value) -> Evaluated {
    match (sign, &left, &right) {
        ("+", Value::Text(a), Value::Text(b)) => return bounded(format!("{a}{b}")),
        ("+", Value::List(a), Value::List(b)) => return Ok(Value::List([&a[..], b].concat())),
        ("+", Value::Tuple(a), Value::Tuple(b)) => return Ok(Value::Tuple([&a[..], b].concat())),
        ("*", Value::Text(text), count) | ("*", count, Value::Text(text)) if count.whole().is_some() => {
            let count = usize::try_from(count.whole().unwrap_or(0)).unwrap_or(0);
            if text.len().saturating_mul(count) > LONGEST {
                return Err("the text gets too long".to_owned());
            }
            return Ok(Value::Text(text.repeat(count)));
        }
        _ => {}
    }
    match (left.whole(), right.whole(), left.number(), right.number()) {
        (Some(a), Some(b), _, _) => whole(sign, a, b),
        (_, _, Some(a), Some(b)) => fraction(sign, a, b),
        (_, _, None, _) => Err(unfit(sign, &left)),
        _ => Err(unfit(sign, &right)),
    }
}

fn whole(sign: &str, a: i64, b: i64) -> Evaluated {
    let by_zero = || "division by zero".to_owned();
    let checked = match sign {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "**" if b >= 0 => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        "//" | "%" | "/" if b == 0 => return Err(by_zero()),
        "//" => a.checked_div_euclid(b).map(|q| if b < 0 && a.rem_euclid(b) != 0 { q - 1 } else { q }),
        "%" => a.checked_rem_euclid(b).map(|r| if b < 0 && r != 0 { r + b } else { r }),
        _ => return fraction(sign, a as f64, b as f64),
    };
    checked.map(Value::Int).ok_or_else(overflow)
}

fn fraction(sign: &str, a: f64, b: f64) -> Evaluated {
    Ok(Value::Float(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "**" => a.powf(b),
        _ if b == 0.0 => return Err("division by zero".to_owned()),
        "/" => a / b,
        "//" => (a / b).floor(),
        _ => a - b * (a / b).floor(),
    }))
}

fn attribute_of(of: Value, attribute: &str) -> Evaluated {
    match &of {
        Value::Undefined(why) => Err(why.clone()),
        Value::Dict(entries) => {
            let key = Value::Text(attribute.to_owned());
            Ok(lookup(entries, &key)?.cloned().unwrap_or_else(|| no_attribute(&of, attribute)))
        }
        _ => Ok(no_attribute(&of, attribute)),
    }
}

fn no_attribute(of: &Value, attribute: &str) -> Value {
    Value::Undefined(format!("'{} object' has no attribute '{attribute}'", of.type_name()))
}

fn item(of: Value, index: Value) -> Evaluated {
    let missing =
        |of: &Value| Value::Undefined(format!("a value of type '{}' has no item {index}", of.type_name()));
    match (&of, index.whole()) {
        (Value::Undefined(why), _) => Err(why.clone()),
        (Value::Dict(entries), _) => Ok(lookup(entries, &index)?.cloned().unwrap_or_else(|| missing(&of))),
        (Value::List(_) | Value::Tuple(_) | Value::Text(_), Some(at)) => {
            let items = of.items()?;
            let at = if at < 0 { at + items.len() as i64 } else { at };
            Ok(usize::try_from(at).ok().and_then(|at| items.get(at).cloned()).unwrap_or_else(|| missing(&of)))
        }
        _ => Ok(missing(&of)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn check(text: &str) -> Result<bool, String> {
        let name = |name: &str| match name {
            "arch" => Some(Value::Text("x86_64".into())),
            "yes" => Some(Value::Bool(true)),
            "no" => Some(Value::Bool(false)),
            "flags" => Some(Value::List(vec![Value::Text("pony".into()), Value::Text("horsy".into())])),
            _ => None,
        };
        evaluate(&parse(text)?, &name)?.truth()
    }

    /// Answers are those of Jinja2 3.1.
    #[test]
    fn answers() {
        for (text, expect) in [
            ("arch == 'x86_64'", true),
            ("arch == \"aarch64\"", false),
            ("arch != 'aarch64' and yes", true),
            ("not yes", false),
            ("not not yes", true),
            ("not not not yes", false),
            ("not no and yes or no", true),
            ("no or yes and no", false),
            ("(no or yes) and not (no)", true),
            ("arch in ['x86_64', 'i686']", true),
            ("arch in ('i686',)", false),
            ("arch not in ['x86_64']", false),
            ("'pony' in flags", true),
            ("'zebra' in flags or 'horsy' in flags", true),
            ("'86' in arch", true),
            ("1 < 2 < 3", true),
            ("1 < 3 < 2", false),
            ("1 + 1 == 2 and 7 // 2 == 3 and -7 // 2 == -4 and -7 % 3 == 2", true),
            ("7 // -2 == -4 and 7 % -3 == -2 and -7 // -2 == 3", true),
            ("2 ** 3 ** 2 == 64", true),
            ("'a' ~ 1 == 'a1'", true),
            ("'a' + 'b' == 'ab' and 'ab' * 2 == 'abab'", true),
            ("1 == 1.0 and true == 1", true),
            ("'1' == 1", false),
            ("arch", true),
            ("''", false),
            ("[]", false),
            ("yes, no", true),
            ("arch is defined and foo is not defined", true),
            ("foo is undefined", true),
            ("flags | length == 2", true),
            ("flags | first == 'pony' and flags[-1] == 'horsy'", true),
            ("arch.startswith('x86') and not arch.endswith('32')", true),
            ("arch[0] == 'x' and arch[1:3] == '86' and arch[::-1] == '46_68x'", true),
            ("arch | upper == 'X86_64'", true),
            ("foo | default('a') == 'a'", true),
            ("arch is in ['x86_64']", true),
            ("arch is eq 'x86_64'", true),
            ("arch is string and 1 is number and yes is boolean", true),
            ("(yes if arch == 'x86_64' else no)", true),
            ("{'a': 1}.a == 1 and {'a': 1}['a'] == 1", true),
            ("'x' 'y' == 'xy'", true),
            ("4 is divisibleby 2 and 3 is odd", true),
            ("none is none", true),
            ("true and True and not false and not False", true),
            ("yes or foo", true),
            ("no and foo", false),
            ("flags | join(',') == 'pony,horsy'", true),
            ("arch.split('_')[1] == '64'", true),
            ("0x10 == 16 and 1_000 == 1000", true),
        ] {
            assert_eq!(check(text), Ok(expect), "{text}");
        }
    }

    #[test]
    fn faults() {
        for (text, expect) in [
            ("foo", "'foo' is undefined"),
            ("foo == 'a'", "'foo' is undefined"),
            ("no or foo", "'foo' is undefined"),
            ("arch ==", "Expected an expression, got end of statement block"),
            ("", "Expected an expression, got end of statement block"),
            ("arch === 'a'", "unexpected '='"),
            ("arch = 'a'", "expected token 'end of statement block', got '='"),
            ("arch &&", "unexpected char '&' at 5"),
            ("arch | nosuch", "No filter named 'nosuch'."),
            ("arch is nosuch", "No test named 'nosuch'."),
            ("'abc", "a text without closing quote"),
            ("(yes", "expected token ')', got end of statement block"),
            ("1 // 0", "division by zero"),
            ("yes < arch", "'bool' and 'str' cannot be compared by size"),
            ("'a' * 9999999999", "the text gets too long"),
        ] {
            assert_eq!(check(text), Err(expect.to_owned()), "{text}");
        }
        assert!(check(&"(".repeat(100_000)).is_err());
        assert!(check(&"-".repeat(100_000)).is_err());
        assert!(check(&format!("1{}", "+1".repeat(100_000))).is_err());
        assert_eq!(check(&format!("{}yes", "not ".repeat(100_000))), Ok(true));
        assert_eq!(check(&format!("{}yes", "no or ".repeat(100_000))), Ok(true));
    }
}
