//! What `show` prints of an element: `%{symbol}` with Python's padding, as `logging.element-format` and
//! `show --format` write it.

use crate::report::style::{PLAIN, Painter, Style};

/// What can be said of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Symbol {
    /// Full name.
    Name,
    /// Kind.
    Kind,
    /// Description, on one line.
    Description,
    /// Shortened key.
    Key,
    /// Whole key.
    FullKey,
    /// State.
    State,
    /// Configuration.
    Config,
    /// Variables.
    Vars,
    /// Environment.
    Env,
    /// Public data.
    Public,
    /// `(workspaced)` or nothing.
    Workspaced,
    /// Directory of its workspace.
    WorkspaceDirs,
    /// Direct dependencies.
    Deps,
    /// Direct build dependencies.
    BuildDeps,
    /// Direct runtime dependencies.
    RuntimeDeps,
    /// Provenance of its sources.
    SourceInfo,
    /// Digest of its files.
    ArtifactCasDigest,
}

/// Every symbol with its name.
pub(crate) const SYMBOLS: [(&str, Symbol); 17] = [
    ("name", Symbol::Name),
    ("kind", Symbol::Kind),
    ("description", Symbol::Description),
    ("key", Symbol::Key),
    ("full-key", Symbol::FullKey),
    ("state", Symbol::State),
    ("config", Symbol::Config),
    ("vars", Symbol::Vars),
    ("env", Symbol::Env),
    ("public", Symbol::Public),
    ("workspaced", Symbol::Workspaced),
    ("workspace-dirs", Symbol::WorkspaceDirs),
    ("deps", Symbol::Deps),
    ("build-deps", Symbol::BuildDeps),
    ("runtime-deps", Symbol::RuntimeDeps),
    ("source-info", Symbol::SourceInfo),
    ("artifact-cas-digest", Symbol::ArtifactCasDigest),
];

/// A format, read.
#[derive(Clone, Debug)]
pub(crate) struct ElementFormat {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Symbol(Symbol, Padding),
}

/// The part of Python's format specification that means something for text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Padding {
    fill: Option<char>,
    align: Option<char>,
    width: usize,
    precision: Option<usize>,
}

/// The widest that a value can be padded to.
const WIDEST: usize = 1 << 20;

impl ElementFormat {
    /// Reads a format. What is no symbol stays as it is.
    ///
    /// # Errors
    /// A symbol with a format specification that Python would refuse for text.
    pub(crate) fn parse(format: &str) -> Result<ElementFormat, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(at) = rest.find("%{") {
            text.push_str(&rest[..at]);
            rest = &rest[at..];
            match symbol(&rest[2..])? {
                Some((symbol, padding, length)) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Symbol(symbol, padding));
                    rest = &rest[2 + length..];
                }
                None => {
                    text.push_str("%{");
                    rest = &rest[2..];
                }
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(ElementFormat { pieces })
    }

    /// The first part that looks like a symbol and is none, with the symbol that it may have meant.
    pub(crate) fn unknown(&self) -> Option<(&str, Option<&'static str>)> {
        let names = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => text.split("%{").nth(1)?.split(['}', ':', '!']).next(),
            Piece::Symbol(..) => None,
        });
        let name = names.into_iter().find(|name| !name.is_empty())?;
        Some((name, bourn_yaml::nearest::to(name, SYMBOLS.iter().map(|(known, _)| *known))))
    }

    /// Whether it needs no other symbols than these.
    pub(crate) fn only(&self, symbols: &[Symbol]) -> bool {
        SYMBOLS.iter().all(|(_, symbol)| symbols.contains(symbol) || !self.uses(&[*symbol]))
    }

    /// Takes the newlines away with which what was printed of several elements, each with a newline behind it, ends: as
    /// with bst those of the format and that one, and not those that a symbol printed.
    pub(crate) fn trim_end(&self, out: &mut String) {
        let newlines = |text: &str| text.len() - text.trim_end_matches('\n').len();
        let most = match self.pieces.last() {
            Some(Piece::Symbol(..)) => 1,
            Some(Piece::Text(text)) if self.pieces.len() > 1 => newlines(text) + 1,
            _ => usize::MAX,
        };
        out.truncate(out.len() - newlines(out).min(most));
    }

    /// Whether it needs one of these symbols.
    pub(crate) fn uses(&self, symbols: &[Symbol]) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Symbol(symbol, _) if symbols.contains(symbol)))
    }

    /// Appends the text for one element; `value` says what stands for a symbol and how it is painted.
    ///
    /// # Errors
    /// Those of `value`.
    pub(crate) fn render<E>(
        &self,
        out: &mut String,
        painter: Painter,
        mut value: impl FnMut(Symbol) -> Result<(String, Style), E>,
    ) -> Result<(), E> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Symbol(symbol, padding) => {
                    let (text, style) = value(*symbol)?;
                    if style == PLAIN || !painter.colors {
                        padding.push(out, &text);
                    } else {
                        let mut padded = String::new();
                        padding.push(&mut padded, &text);
                        painter.push(out, &padded, style);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads what stands behind `%{`: the symbol, its padding, and how many bytes it takes with the closing brace.
/// `None` when it is no symbol.
fn symbol(text: &str) -> Result<Option<(Symbol, Padding, usize)>, String> {
    let Some(end) = text.find('}') else { return Ok(None) };
    let inner = &text[..end];
    if inner.contains('%') {
        return Ok(None);
    }
    let name_end = inner.find([':', '!']).unwrap_or(inner.len());
    let Some((name, symbol)) = SYMBOLS.iter().find(|(name, _)| *name == &inner[..name_end]) else {
        return Ok(None);
    };
    let spec = match &inner[name_end..] {
        "" | "!s" => "",
        spec => match spec.strip_prefix("!s").unwrap_or(spec).strip_prefix(':') {
            Some(spec) => spec,
            None => return Err(format!("%{{{inner}}}: only `!s` can convert `{name}`")),
        },
    };
    let padding =
        Padding::parse(spec).ok_or_else(|| format!("%{{{inner}}}: `{spec}` is no padding for text"))?;
    Ok(Some((*symbol, padding, end + 1)))
}

impl Padding {
    /// Reads `[[fill]align][0][width][.precision][s]`.
    fn parse(spec: &str) -> Option<Padding> {
        let mut padding = Padding::default();
        let mut chars = spec.chars().peekable();
        let mut ahead = spec.chars();
        let (first, second) = (ahead.next(), ahead.next());
        let is_align = |c: Option<char>| c.is_some_and(|c| "<>^".contains(c));
        if is_align(second) {
            padding.fill = first;
            padding.align = second;
            chars.next();
            chars.next();
        } else if is_align(first) {
            padding.align = first;
            chars.next();
        }
        if chars.next_if_eq(&'0').is_some() && padding.fill.is_none() {
            padding.fill = Some('0');
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut text = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                text.push(digit);
            }
            text
        };
        let width = digits(&mut chars);
        if !width.is_empty() {
            padding.width = width.parse().ok().filter(|width| *width <= WIDEST)?;
        }
        if chars.next_if_eq(&'.').is_some() {
            padding.precision = Some(digits(&mut chars).parse().ok()?);
        }
        chars.next_if_eq(&'s');
        if chars.next().is_some() { None } else { Some(padding) }
    }

    fn push(&self, out: &mut String, text: &str) {
        if self.width == 0 && self.precision.is_none() {
            out.push_str(text);
            return;
        }
        let text = match self.precision {
            Some(precision) => {
                let end = text.char_indices().nth(precision).map_or(text.len(), |(at, _)| at);
                &text[..end]
            }
            None => text,
        };
        let missing = self.width.saturating_sub(text.chars().count());
        let left = match self.align {
            Some('>') => missing,
            Some('^') => missing / 2,
            _ => 0,
        };
        let fill = self.fill.unwrap_or(' ');
        out.extend(std::iter::repeat_n(fill, left));
        out.push_str(text);
        out.extend(std::iter::repeat_n(fill, missing - left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: &str) -> Result<String, String> {
        let mut out = String::new();
        ElementFormat::parse(format)?.render(&mut out, Painter { colors: false }, |symbol| {
            let text = match symbol {
                Symbol::Name => "hello.bst",
                Symbol::State => "cached",
                _ => "",
            };
            Ok::<_, String>((text.to_owned(), PLAIN))
        })?;
        Ok(out)
    }

    // What Python's str.format makes of the same specifications.
    #[test]
    fn formats() {
        for (format, expect) in [
            ("%{name}", "hello.bst"),
            ("%{state: >12} %{name}|", "      cached hello.bst|"),
            ("%{name: <12}|", "hello.bst   |"),
            ("%{name:*^13}|", "**hello.bst**|"),
            ("%{name:^12}|", " hello.bst  |"),
            ("%{name:.5}|", "hello|"),
            ("%{name:7.5}|", "hello  |"),
            ("%{name:12}|", "hello.bst   |"),
            ("%{name!s:>10s}|", " hello.bst|"),
            ("%{name:011}|", "hello.bst00|"),
            ("%{workspaced}%{key}|", "|"),
            ("%{pony} %{ % %%{name", "%{pony} %{ % %%{name"),
            ("%{na%{name}", "%{nahello.bst"),
            ("a\\n%{name}", "a\\nhello.bst"),
        ] {
            assert_eq!(render(format).as_deref(), Ok(expect), "{format}");
        }
        for bad in ["%{name:x}", "%{name!r}", "%{name:.}", "%{name:=10}", "%{name:99999999}"] {
            assert!(render(bad).is_err(), "{bad}");
        }
    }
}
