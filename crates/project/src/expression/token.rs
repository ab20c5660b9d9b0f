//! Text to tokens.

/// A token of an expression.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Token {
    Int(i64),
    Float(f64),
    Text(String),
    Name(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
}

/// Operators and brackets, longer ones first.
const SIGNS: [&str; 26] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",", ";",
];

/// All tokens of a text.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '0'..='9' => number(rest)?,
            '"' | '\'' => string(rest, first)?,
            c if c == '_' || c.is_alphabetic() => {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                (Token::Name(rest[..end].to_owned()), end)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(format!("unexpected char {first:?} at {}", text.len() - rest.len())),
            },
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let radix = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let end = 2 + digits(&text[2..], radix);
        let value = i64::from_str_radix(&text[2..end].replace('_', ""), radix);
        return value.map(|value| (Token::Int(value), end)).map_err(|_| too_large(&text[..end]));
    }
    let mut end = digits(text, 10);
    let mut whole = true;
    if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end += 1 + digits(&text[end + 1..], 10);
        whole = false;
    }
    if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let length = digits(&exponent[sign..], 10);
        if length > 0 {
            end += 1 + sign + length;
            whole = false;
        }
    }
    let plain = text[..end].replace('_', "");
    let token = if whole { plain.parse().ok().map(Token::Int) } else { plain.parse().ok().map(Token::Float) };
    token.map(|token| (token, end)).ok_or_else(|| too_large(&plain))
}

/// Length of the digits and single underscores that a text starts with.
fn digits(text: &str, radix: u32) -> usize {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if c.is_digit(radix) {
            end = at + 1;
        } else if c != '_' || end != at {
            break;
        }
    }
    end
}

fn too_large(text: &str) -> String {
    format!("the number {text} is too large")
}

fn string(text: &str, quote: char) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((Token::Text(value), at + 1));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let Some((_, escaped)) = chars.next() else { break };
        let code = |length: usize, chars: &mut std::iter::Skip<std::str::CharIndices<'_>>| {
            let digits: String = chars.take(length).map(|(_, c)| c).collect();
            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or("a broken escape in a text")
        };
        match escaped {
            'n' => value.push('\n'),
            't' => value.push('\t'),
            'r' => value.push('\r'),
            'x' => value.push(code(2, &mut chars)?),
            'u' => value.push(code(4, &mut chars)?),
            'U' => value.push(code(8, &mut chars)?),
            '\\' | '\'' | '"' => value.push(escaped),
            _ => value.extend(['\\', escaped]),
        }
    }
    Err("a text without closing quote".to_owned())
}
