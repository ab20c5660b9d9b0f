//! Literals of Starlark, the language of Bazel's files: what Bazel writes when it says what it resolved.
//!
//! The file is a list of assignments of literals. The reference runs it as Python, which understands the same; here it is
//! only read, so that no project can run a program while its sources are fetched.

/// How deep lists and mappings may be in each other.
const DEEPEST: usize = 100;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// `None`, `True`, `False`, a number: nothing that is asked for here.
    Other,
    Text(String),
    List(Vec<Literal>),
    Mapping(Vec<(Literal, Literal)>),
}

impl Literal {
    /// The entry of a mapping; the last of that name counts.
    pub(super) fn get(&self, name: &str) -> Option<&Literal> {
        let Literal::Mapping(entries) = self else { return None };
        let mut named = entries.iter().rev().filter(|(key, _)| key.text() == Some(name));
        named.next().map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Literal::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Literal]> {
        match self {
            Literal::List(items) => Some(items),
            _ => None,
        }
    }
}

/// What a file assigns to `name`; the last assignment counts.
///
/// # Errors
/// What cannot be read, with its line.
pub(super) fn assigned(text: &str, name: &str) -> Result<Option<Literal>, String> {
    let mut reader = Reader { text, at: 0 };
    let mut found = None;
    loop {
        reader.blank();
        if reader.rest().is_empty() {
            return Ok(found);
        }
        let assigned = assignment(&mut reader).map_err(|what| {
            let line = 1 + text[..reader.at].matches('\n').count();
            format!("line {line}: {what}")
        })?;
        if assigned.0 == name {
            found = Some(assigned.1);
        }
    }
}

fn assignment(reader: &mut Reader<'_>) -> Result<(String, Literal), String> {
    let name = reader.name().ok_or("expected an assignment")?.to_owned();
    reader.blank();
    if !reader.take("=") {
        return Err(format!("expected `=` after `{name}`"));
    }
    reader.blank();
    let value = reader.value(0)?;
    reader.line_end()?;
    Ok((name, value))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn while_(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let found = &rest[..rest.find(|next| !wanted(next)).unwrap_or(rest.len())];
        self.at += found.len();
        found
    }

    /// Skips white space, ends of lines and comments.
    fn blank(&mut self) {
        loop {
            self.while_(char::is_whitespace);
            if self.take("\\\n") {
                continue;
            }
            if !self.rest().starts_with('#') {
                return;
            }
            self.while_(|next| next != '\n');
        }
    }

    fn line_end(&mut self) -> Result<(), String> {
        self.while_(|next| next.is_whitespace() && next != '\n');
        match self.rest().chars().next() {
            None | Some('\n' | '#' | ';') => {
                self.take(";");
                Ok(())
            }
            Some(next) => Err(format!("unexpected `{next}` after a value: only literals are understood")),
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let first = self.rest().chars().next().filter(|next| next.is_alphabetic() || *next == '_');
        first.map(|_| self.while_(|next| next.is_alphanumeric() || next == '_'))
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        if depth > DEEPEST {
            return Err("too many lists in each other".to_owned());
        }
        if let Some(text) = self.string()? {
            return Ok(Literal::Text(self.continued(text, depth)?));
        }
        match self.rest().chars().next() {
            Some('[') => self.items("[", "]", depth).map(|(items, _)| Literal::List(items)),
            Some('(') => {
                // One value in parentheses is that value.
                let (mut items, comma) = self.items("(", ")", depth)?;
                Ok(if items.len() == 1 && !comma { items.remove(0) } else { Literal::List(items) })
            }
            Some('{') => self.mapping(depth),
            Some(next) if next.is_ascii_digit() || "+-.".contains(next) => {
                self.while_(|next| next.is_ascii_alphanumeric() || "+-._".contains(next));
                Ok(Literal::Other)
            }
            _ => match self.name() {
                Some("None" | "True" | "False") => Ok(Literal::Other),
                Some(name) => Err(format!("`{name}`: only literals are understood")),
                None => Err("expected a value".to_owned()),
            },
        }
    }

    /// Values in brackets, and whether a comma was after the last.
    fn items(&mut self, open: &str, close: &str, depth: usize) -> Result<(Vec<Literal>, bool), String> {
        self.take(open);
        let (mut items, mut comma) = (Vec::new(), true);
        loop {
            self.blank();
            if self.take(close) {
                return Ok((items, comma));
            }
            if !comma {
                return Err(format!("expected `,` or `{close}`"));
            }
            items.push(self.value(depth + 1)?);
            self.blank();
            comma = self.take(",");
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Literal, String> {
        self.take("{");
        let (mut entries, mut comma) = (Vec::new(), true);
        loop {
            self.blank();
            if self.take("}") {
                return Ok(Literal::Mapping(entries));
            }
            if !comma {
                return Err("expected `,` or `}`".to_owned());
            }
            let key = self.value(depth + 1)?;
            self.blank();
            if !self.take(":") {
                return Err("expected `:`".to_owned());
            }
            self.blank();
            entries.push((key, self.value(depth + 1)?));
            self.blank();
            comma = self.take(",");
        }
    }

    /// Strings that follow each other are one.
    fn continued(&mut self, mut text: String, depth: usize) -> Result<String, String> {
        loop {
            let before = self.at;
            match depth {
                0 => {
                    self.while_(|next| next == ' ' || next == '\t');
                }
                _ => self.blank(),
            }
            match self.string()? {
                Some(more) => text.push_str(&more),
                None => {
                    self.at = before;
                    return Ok(text);
                }
            }
        }
    }

    /// A string, if one begins here.
    fn string(&mut self) -> Result<Option<String>, String> {
        let rest = self.rest();
        let prefix = rest.find(['"', '\'']).filter(|length| *length <= 1);
        let Some(prefix) = prefix.map(|length| &rest[..length]) else { return Ok(None) };
        if !matches!(prefix, "" | "r" | "R" | "u" | "U") {
            return Ok(None);
        }
        self.at += prefix.len();
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| self.take(quote)).unwrap_or("\"");
        let mut text = String::new();
        loop {
            if self.take(quote) {
                return Ok(Some(text));
            }
            match self.next() {
                None => return Err("a string that does not end".to_owned()),
                Some('\n') if quote.len() == 1 => return Err("a string that does not end".to_owned()),
                Some('\\') if prefix.eq_ignore_ascii_case("r") => {
                    text.push('\\');
                    text.extend(self.next());
                }
                Some('\\') => self.escape(&mut text)?,
                Some(next) => text.push(next),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let Some(next) = self.next() else { return Ok(()) };
        let plain = match next {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => next,
            '\n' => return Ok(()),
            'x' => return self.code(2, 16, text),
            'u' => return self.code(4, 16, text),
            'U' => return self.code(8, 16, text),
            '0'..='7' => {
                self.at -= 1;
                let length =
                    self.rest().bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                return self.code(length, 8, text);
            }
            _ => {
                text.push('\\');
                next
            }
        };
        text.push(plain);
        Ok(())
    }

    /// A character by its number.
    fn code(&mut self, digits: usize, radix: u32, text: &mut String) -> Result<(), String> {
        let number = self.rest().get(..digits).and_then(|number| u32::from_str_radix(number, radix).ok());
        let character = number.and_then(char::from_u32).ok_or("a malformed escape in a string")?;
        self.at += digits;
        text.push(character);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let found = match assigned(text, "resolved") {
            Ok(Some(found)) => shown(&found),
            Ok(None) => "nothing".to_owned(),
            Err(error) => error,
        };
        assert_eq!(found, expect, "{text}");
    }

    fn shown(literal: &Literal) -> String {
        let all = |items: &[Literal]| items.iter().map(shown).collect::<Vec<_>>().join(" ");
        match literal {
            Literal::Other => "-".to_owned(),
            Literal::Text(text) => format!("{text:?}"),
            Literal::List(items) => format!("[{}]", all(items)),
            Literal::Mapping(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{}:{}", shown(key), shown(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn literals() {
        check("resolved = []", "[]");
        check("# x\nother = 1\nresolved = [ # y\n  {'a': \"b\", },\n]\n", r#"[{"a":"b"}]"#);
        check("resolved = ('a', [True, None, -1.5e3, 0x1f],)", r#"["a" [- - - -]]"#);
        check("resolved = ('a' # x\n \"b\"\n)", r#""ab""#);
        check(r#"resolved = "\x41é\u00e9\101\q\"""#, r#""AééA\\q\"""#);
        check(r"resolved = r'\n'", r#""\\n""#);
        check("resolved = '''a\nb'''", r#""a\nb""#);
        check("resolved = 'a' 'b'; x = 1", r#""ab""#);
        check("", "nothing");
        check("resolved = 'a'\nresolved = 'b'", r#""b""#);
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        check("\nresolved = open('x')", "line 2: `open`: only literals are understood");
        check("resolved = [1, 2", "line 1: expected `,` or `]`");
        check("resolved = [1\n2]", "line 2: expected `,` or `]`");
        check("resolved = {'a' 1}", "line 1: expected `:`");
        check("resolved = 'a", "line 1: a string that does not end");
        check("import os", "line 1: expected `=` after `import`");
        check("resolved = 'a' + 'b'", "line 1: unexpected `+` after a value: only literals are understood");
        check("resolved = '\\xzz'", "line 1: a malformed escape in a string");
        check("resolved = b''", "line 1: `b`: only literals are understood");
        let deep = format!("resolved = {}", "[".repeat(1000));
        check(&deep, "line 1: too many lists in each other");
    }
}
