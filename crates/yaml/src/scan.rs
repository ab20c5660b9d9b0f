//! From text to tokens.
//!
//! bst reads YAML with libyaml, as kept by ruamel.yaml: YAML 1.1 with most of its rough edges. This scanner
//! accepts and refuses the same texts and finds the same values and places in them, so it follows the same
//! method: one pass, with a list of the places where a key may have begun without saying so (`simple keys`),
//! whose `Key` token is put in afterwards when the `:` shows up.

use crate::cursor::{BOM, Cursor, Scan, line_end};
use crate::diagnostic::Diagnostic;
use crate::parse::MAX_DEPTH;
use crate::scalar::Scanned;
use crate::span::FileId;
use std::borrow::Cow;
use std::collections::VecDeque;

/// A key that does not announce itself with `?` ends within so many characters of its line.
const SIMPLE_KEY_MAX: i32 = 1024;

/// One token and the bytes it stands on.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    StreamEnd,
    Version { major: u32, minor: u32 },
    TagDirective { handle: &'a str, prefix: Vec<u8> },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias,
    Anchor,
    Tag { handle: &'a str, suffix: Vec<u8> },
    Scalar(Cow<'a, str>),
}

/// A place where a key may have begun.
#[derive(Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    /// The indentation leaves no other way to read it.
    required: bool,
    /// Number of its first token, counted from the start of the text.
    token: usize,
    at: u32,
    line_start: usize,
    column: i32,
}

pub(crate) struct Scanner<'a> {
    pub(crate) cursor: Cursor<'a>,
    /// Column of the innermost block collection, -1 outside of all.
    indent: i32,
    indents: Vec<i32>,
    simple_key_allowed: bool,
    /// One for the block context and one for each flow collection around.
    simple_keys: Vec<SimpleKey>,
    tokens: VecDeque<Token<'a>>,
    /// Number of tokens that have left the queue.
    taken: usize,
    ended: bool,
    /// No `Key` can be put in before the head of the queue any more.
    settled: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, file: Option<FileId>) -> Scan<Scanner<'a>> {
        Ok(Scanner {
            cursor: Cursor::new(text, file)?,
            indent: -1,
            indents: Vec::new(),
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
            tokens: VecDeque::with_capacity(16),
            taken: 0,
            ended: false,
            settled: false,
        })
    }

    /// The token that comes next, without taking it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Scan<&Token<'a>> {
        if !self.settled {
            self.fill()?;
        }
        match self.tokens.front() {
            Some(token) => Ok(token),
            None => Err(self.cursor.fault(self.cursor.at, self.cursor.at, "Unexpected end of the text")),
        }
    }

    /// Takes the token that [`Scanner::peek`] showed.
    #[inline]
    pub(crate) fn take(&mut self) -> Scan<Token<'a>> {
        if !self.settled {
            self.fill()?;
        }
        self.settled = false;
        self.taken += 1;
        match self.tokens.pop_front() {
            Some(token) => Ok(token),
            None => Err(self.cursor.fault(self.cursor.at, self.cursor.at, "Unexpected end of the text")),
        }
    }

    /// Reads on until the head of the queue is settled: no `Key` can be put in before it any more.
    fn fill(&mut self) -> Scan<()> {
        loop {
            if !self.tokens.is_empty() {
                self.drop_stale_keys()?;
                let open = self.simple_keys.iter().any(|key| key.possible && key.token == self.taken);
                if !open || self.ended {
                    self.settled = true;
                    return Ok(());
                }
            }
            self.fetch()?;
        }
    }

    fn in_flow(&self) -> bool {
        self.simple_keys.len() > 1
    }

    // Simple keys and indentation

    fn drop_stale_keys(&mut self) -> Scan<()> {
        let (line_start, column) = (self.cursor.line_start, self.cursor.column());
        let stale = |key: &SimpleKey| {
            key.possible && (key.line_start != line_start || key.column + SIMPLE_KEY_MAX < column)
        };
        while let Some(index) = self.simple_keys.iter().position(stale) {
            self.require_no_key(self.simple_keys[index])?;
            self.simple_keys[index].possible = false;
        }
        Ok(())
    }

    fn require_no_key(&self, key: SimpleKey) -> Scan<()> {
        if !key.required {
            return Ok(());
        }
        let start = key.at as usize;
        let end = line_end(self.cursor.text, start);
        Err(self
            .cursor
            .fault(start, end, "Expected `:` after this key")
            .hint("a value that goes on over several lines is indented deeper than its key"))
    }

    fn save_simple_key(&mut self) -> Scan<()> {
        if !self.simple_key_allowed {
            return Ok(());
        }
        let key = SimpleKey {
            possible: true,
            required: !self.in_flow() && self.indent == self.cursor.column(),
            token: self.taken + self.tokens.len(),
            at: self.cursor.at as u32,
            line_start: self.cursor.line_start,
            column: self.cursor.column(),
        };
        self.remove_simple_key()?;
        *self.simple_key() = key;
        Ok(())
    }

    fn simple_key(&mut self) -> &mut SimpleKey {
        // There always is the one of the block context; see `close_flow`.
        let last = self.simple_keys.len() - 1;
        &mut self.simple_keys[last]
    }

    fn remove_simple_key(&mut self) -> Scan<()> {
        let key = *self.simple_key();
        if key.possible {
            self.require_no_key(key)?;
            self.simple_key().possible = false;
        }
        Ok(())
    }

    /// Opens a block collection at `column` if it lies deeper than the one around. Its token goes before token
    /// number `before`, or to the end.
    fn roll_indent(&mut self, column: i32, before: Option<usize>, kind: Kind<'a>, at: usize) -> Scan<()> {
        if self.in_flow() || self.indent >= column {
            return Ok(());
        }
        if self.indents.len() >= MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        self.indents.push(self.indent);
        self.indent = column;
        let token = Token { kind, start: at as u32, end: at as u32 };
        match before {
            Some(number) => self.tokens.insert(number - self.taken, token),
            None => self.tokens.push_back(token),
        }
        Ok(())
    }

    fn too_deep(&self, at: usize) -> Diagnostic {
        let message = format!("Lists and dictionaries lie more than {MAX_DEPTH} deep in each other");
        self.cursor.fault(at, at + 1, message)
    }

    fn unroll_indent(&mut self, column: i32, at: usize) {
        if self.in_flow() {
            return;
        }
        while self.indent > column {
            self.push(Kind::BlockEnd, at, at);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn push(&mut self, kind: Kind<'a>, start: usize, end: usize) {
        self.tokens.push_back(Token { kind, start: start as u32, end: end as u32 });
    }

    /// Takes `len` bytes of ASCII as a token.
    fn push_indicator(&mut self, kind: Kind<'a>, len: usize) {
        let start = self.cursor.at;
        self.cursor.at += len;
        self.push(kind, start, self.cursor.at);
    }

    // Tokens

    fn fetch(&mut self) -> Scan<()> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.unroll_indent(self.cursor.column(), self.cursor.at);
        if self.cursor.is_end() {
            return self.fetch_end();
        }
        let first = self.cursor.byte(0);
        if self.cursor.at == self.cursor.line_start {
            if first == b'%' {
                return self.fetch_directive();
            }
            if self.cursor.is_document_indicator() {
                let starts = first == b'-';
                return self.fetch_document_indicator(if starts {
                    Kind::DocumentStart
                } else {
                    Kind::DocumentEnd
                });
            }
        }
        match first {
            b'[' => self.fetch_flow_start(Kind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Kind::FlowMappingStart),
            b']' => self.fetch_flow_end(Kind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Kind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if self.cursor.is_blank_or_end(1) => self.fetch_block_entry(),
            b'?' if self.in_flow() || self.cursor.is_blank_or_end(1) => self.fetch_key(),
            b':' if self.in_flow() || self.cursor.is_blank_or_end(1) => self.fetch_value(),
            b'*' => self.fetch_anchor(Kind::Alias),
            b'&' => self.fetch_anchor(Kind::Anchor),
            b'!' => self.fetch_tag(),
            b'|' if !self.in_flow() => self.fetch_block_scalar(false),
            b'>' if !self.in_flow() => self.fetch_block_scalar(true),
            b'\'' => self.fetch_quoted(b'\''),
            b'"' => self.fetch_quoted(b'"'),
            b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b'\t' => Err(self.unexpected(first)),
            _ => self.fetch_plain(),
        }
    }

    fn unexpected(&self, first: u8) -> Diagnostic {
        match first {
            b'\t' => self.cursor.fault_here("A tab cannot indent").hint("indent with spaces"),
            b'|' | b'>' => self.cursor.fault_here("Block scalars are not possible within `[]` or `{}`"),
            _ => self
                .cursor
                .fault_here(format!("A value cannot begin with `{}`", first as char))
                .hint("put the value in quotes"),
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.cursor.at == self.cursor.line_start && self.cursor.rest().starts_with(BOM) {
                self.cursor.skip_char();
            }
            let tabs = self.in_flow() || !self.simple_key_allowed;
            while self.cursor.byte(0) == b' ' || tabs && self.cursor.byte(0) == b'\t' {
                self.cursor.at += 1;
            }
            if self.cursor.byte(0) == b'#' {
                self.cursor.skip_to_break();
            }
            if !self.cursor.is_break(0) {
                return;
            }
            self.cursor.skip_break();
            if !self.in_flow() {
                self.simple_key_allowed = true;
            }
        }
    }

    fn fetch_end(&mut self) -> Scan<()> {
        // What is missing at the end counts as standing on a line of its own: one past the last byte.
        let at = self.cursor.at + usize::from(self.cursor.column() > 0);
        self.unroll_indent(-1, at);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.ended = true;
        self.push(Kind::StreamEnd, at, at);
        Ok(())
    }

    fn fetch_document_indicator(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.unroll_indent(-1, self.cursor.at);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push_indicator(kind, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.save_simple_key()?;
        if self.simple_keys.len() > MAX_DEPTH {
            return Err(self.too_deep(self.cursor.at));
        }
        self.simple_keys.push(SimpleKey::default());
        self.simple_key_allowed = true;
        self.push_indicator(kind, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.remove_simple_key()?;
        if self.in_flow() {
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        self.push_indicator(kind, 1);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Scan<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_indicator(Kind::FlowEntry, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Scan<()> {
        if !self.in_flow() {
            if !self.simple_key_allowed {
                return Err(self.cursor.fault_here("A list item cannot begin here"));
            }
            self.roll_indent(self.cursor.column(), None, Kind::BlockSequenceStart, self.cursor.at)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_indicator(Kind::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Scan<()> {
        if !self.in_flow() {
            if !self.simple_key_allowed {
                return Err(self.cursor.fault_here("A key cannot begin here"));
            }
            self.roll_indent(self.cursor.column(), None, Kind::BlockMappingStart, self.cursor.at)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = !self.in_flow();
        self.push_indicator(Kind::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Scan<()> {
        let key = *self.simple_key();
        if key.possible {
            let start = key.at;
            self.tokens.insert(key.token - self.taken, Token { kind: Kind::Key, start, end: start });
            self.roll_indent(key.column, Some(key.token), Kind::BlockMappingStart, start as usize)?;
            self.simple_key().possible = false;
            self.simple_key_allowed = false;
        } else {
            if !self.in_flow() {
                if !self.simple_key_allowed {
                    return Err(self
                        .cursor
                        .fault_here("A second `:` cannot stand in this line")
                        .hint("put the value in quotes if `: ` is part of it"));
                }
                self.roll_indent(self.cursor.column(), None, Kind::BlockMappingStart, self.cursor.at)?;
            }
            self.simple_key_allowed = !self.in_flow();
        }
        self.push_indicator(Kind::Value, 1);
        Ok(())
    }

    fn fetch_anchor(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.at;
        self.cursor.at += 1;
        self.cursor.skip_word();
        let ends = self.cursor.is_blank_or_end(0) || b"?:,]}%@`".contains(&self.cursor.byte(0));
        if self.cursor.at == start + 1 || !ends {
            let what = if matches!(kind, Kind::Alias) { "`*`" } else { "`&`" };
            return Err(self
                .cursor
                .fault(start, self.cursor.at, format!("A value cannot begin with {what}"))
                .hint("put the value in quotes"));
        }
        self.push(kind, start, self.cursor.at);
        Ok(())
    }

    fn fetch_directive(&mut self) -> Scan<()> {
        self.unroll_indent(-1, self.cursor.at);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.at;
        let kind = self.cursor.scan_directive()?;
        let end = self.cursor.at;
        self.cursor.skip_rest_of_line("directive", start)?;
        self.push(kind, start, end);
        Ok(())
    }

    fn fetch_tag(&mut self) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.cursor.at;
        let kind = self.cursor.scan_tag()?;
        self.push(kind, start, self.cursor.at);
        Ok(())
    }

    fn fetch_block_scalar(&mut self, folded: bool) -> Scan<()> {
        self.remove_simple_key()?;
        let start = self.cursor.at;
        let scanned = self.cursor.scan_block(folded, self.indent)?;
        self.push_scalar(start, scanned);
        Ok(())
    }

    fn fetch_quoted(&mut self, quote: u8) -> Scan<()> {
        self.save_simple_key()?;
        let start = self.cursor.at;
        let scanned = self.cursor.scan_quoted(quote)?;
        self.push_scalar(start, scanned);
        Ok(())
    }

    fn fetch_plain(&mut self) -> Scan<()> {
        self.save_simple_key()?;
        let start = self.cursor.at;
        let scanned = self.cursor.scan_plain(self.in_flow(), self.indent)?;
        self.push_scalar(start, scanned);
        Ok(())
    }

    /// A key may follow a scalar on a new line only.
    fn push_scalar(&mut self, start: usize, scanned: Scanned<'a>) {
        self.simple_key_allowed = scanned.broken;
        self.push(Kind::Scalar(scanned.text), start, scanned.end);
    }
}
