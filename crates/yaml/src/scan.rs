//! From text to tokens.
//!
//! bst reads YAML with libyaml, as kept by ruamel.yaml: YAML 1.1 with most of its rough edges. This scanner
//! accepts and refuses the same texts and finds the same values and places in them, so it follows the same
//! method: one pass, with a list of the places where a key may have begun without saying so (`simple keys`),
//! whose `Key` token is put in afterwards when the `:` shows up.

use crate::diagnostic::Diagnostic;
use crate::parse::MAX_DEPTH;
use crate::span::{FileId, Provenance};
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
    text: &'a str,
    bytes: &'a [u8],
    file: Option<FileId>,
    /// The byte to read next.
    at: usize,
    line_start: usize,
    /// Bytes since the start of the line that are not the first of their character.
    skew: usize,
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
}

/// Kinds of bytes, so that loops over text ask one question per byte.
mod class {
    pub(super) const PLAIN: u8 = 0;
    pub(super) const BLANK: u8 = 1;
    pub(super) const BREAK: u8 = 2;
    pub(super) const HIGH: u8 = 4;
    pub(super) const COLON: u8 = 8;
    pub(super) const FLOW: u8 = 16;

    pub(super) const OF: [u8; 256] = {
        let mut of = [PLAIN; 256];
        of[b' ' as usize] = BLANK;
        of[b'\t' as usize] = BLANK;
        of[b'\n' as usize] = BREAK;
        of[b'\r' as usize] = BREAK;
        of[b':' as usize] = COLON;
        let mut i = 0;
        while i < 6 {
            of[b",?[]{}"[i] as usize] = FLOW;
            i += 1;
        }
        let mut high = 0x80;
        while high < 256 {
            of[high] = HIGH;
            high += 1;
        }
        of
    };
}

/// Length in bytes of the line break at `at`, 0 when there is none. Beside CR, LF and both together, YAML 1.1
/// has NEL, LS and PS.
pub(crate) fn break_len(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'\n') => 1,
        Some(b'\r') => 1 + usize::from(bytes.get(at + 1) == Some(&b'\n')),
        Some(0xC2) if bytes.get(at + 1) == Some(&0x85) => 2,
        Some(0xE2) if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9])) => 3,
        _ => 0,
    }
}

/// Length of a byte order mark at the start of the text: it takes no column.
pub(crate) fn bom_len(bytes: &[u8]) -> usize {
    if bytes.starts_with(BOM) { BOM.len() } else { 0 }
}

const BOM: &[u8] = "\u{feff}".as_bytes();

/// The first character that may not stand in YAML: controls other than tab and line breaks, and noncharacters.
fn forbidden(text: &str) -> Option<(usize, char)> {
    let suspicious = |b: u8| {
        (b < 0x20) & (b != b'\n') & (b != b'\t') & (b != b'\r') | (b == 0x7F) | (b == 0xC2) | (b == 0xEF)
    };
    let bytes = text.as_bytes();
    let mut base = 0;
    for chunk in bytes.chunks(256) {
        // Without a way out in the middle the compiler makes this a handful of wide instructions.
        if chunk.iter().fold(false, |any, &b| any | suspicious(b)) {
            let mut start = base;
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = base + chunk.len();
            while !text.is_char_boundary(end) {
                end += 1;
            }
            let bad = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
            if let Some((at, c)) = text[start..end].char_indices().find(|(_, c)| bad(*c)) {
                return Some((start + at, c));
            }
        }
        base += chunk.len();
    }
    None
}

type Scan<T> = Result<T, Diagnostic>;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, file: Option<FileId>) -> Scan<Scanner<'a>> {
        let start = bom_len(text.as_bytes());
        let scanner = Scanner {
            text,
            bytes: text.as_bytes(),
            file,
            at: start,
            line_start: start,
            skew: 0,
            indent: -1,
            indents: Vec::new(),
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
            tokens: VecDeque::with_capacity(16),
            taken: 0,
            ended: false,
        };
        if u32::try_from(text.len()).is_err() {
            return Err(Diagnostic::load("invalid-yaml", "A file of 4 GiB or more cannot be read as YAML")
                .at(scanner.place(0, 0)));
        }
        match forbidden(text) {
            None => Ok(scanner),
            Some((at, c)) => Err(scanner.fault(
                at,
                at + c.len_utf8(),
                format!("Control character {} is not allowed", c.escape_unicode()),
            )),
        }
    }

    /// The token that comes next, without taking it.
    pub(crate) fn peek(&mut self) -> Scan<&Token<'a>> {
        self.fill()?;
        Ok(&self.tokens[0])
    }

    /// Takes the token that [`Scanner::peek`] showed.
    pub(crate) fn take(&mut self) -> Scan<Token<'a>> {
        self.fill()?;
        self.taken += 1;
        match self.tokens.pop_front() {
            Some(token) => Ok(token),
            None => Err(self.fault(self.at, self.at, "Unexpected end of the text")),
        }
    }

    pub(crate) fn place(&self, start: usize, end: usize) -> Provenance {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Provenance { file: self.file, start: narrow(start), end: narrow(end) }
    }

    pub(crate) fn fault(&self, start: usize, end: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::load("invalid-yaml", message).at(self.place(start, end))
    }

    fn fault_here(&self, message: impl Into<String>) -> Diagnostic {
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.fault(self.at, self.at + width, message)
    }

    fn begun(&self, diagnostic: Diagnostic, what: &str, start: usize) -> Diagnostic {
        diagnostic.note(Some(self.place(start, start)), format!("{what} begins here"))
    }

    /// Reads on until the head of the queue is settled: no `Key` can be put in before it any more.
    fn fill(&mut self) -> Scan<()> {
        loop {
            if !self.tokens.is_empty() {
                self.drop_stale_keys()?;
                let open = self.simple_keys.iter().any(|key| key.possible && key.token == self.taken);
                if !open || self.ended {
                    return Ok(());
                }
            }
            self.fetch()?;
        }
    }

    // Reading bytes

    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn is_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn column(&self) -> i32 {
        (self.at - self.line_start - self.skew) as i32
    }

    fn in_flow(&self) -> bool {
        self.simple_keys.len() > 1
    }

    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    fn is_break(&self, ahead: usize) -> bool {
        break_len(self.bytes, self.at + ahead) > 0
    }

    fn is_break_or_end(&self, ahead: usize) -> bool {
        self.at + ahead >= self.bytes.len() || self.is_break(ahead)
    }

    fn is_blank_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }

    /// Whether `---` or `...` stands here at the start of a line.
    fn is_document_indicator(&self, indicator: u8) -> bool {
        self.at == self.line_start
            && self.byte(0) == indicator
            && self.byte(1) == indicator
            && self.byte(2) == indicator
            && self.is_blank_or_end(3)
    }

    fn skip_char(&mut self) {
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.at += width;
        self.skew += width.saturating_sub(1);
    }

    /// Skips a line break if there is one.
    fn skip_break(&mut self) {
        let len = break_len(self.bytes, self.at);
        if len > 0 {
            self.at += len;
            self.line_start = self.at;
            self.skew = 0;
        }
    }

    /// Skips a line break and appends it as YAML normalizes it: all are LF, but LS and PS stay.
    fn read_break(&mut self, into: &mut String) {
        let len = break_len(self.bytes, self.at);
        if len == 3 {
            into.push_str(&self.text[self.at..self.at + 3]);
        } else if len > 0 {
            into.push('\n');
        }
        self.skip_break();
    }

    fn skip_to_break(&mut self) {
        while let Some(&b) = self.bytes.get(self.at) {
            match class::OF[b as usize] {
                class::BREAK => return,
                class::HIGH => {
                    if self.is_break(0) {
                        return;
                    }
                    self.skip_char();
                }
                _ => self.at += 1,
            }
        }
    }

    fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.at += 1;
        }
    }

    // Simple keys and indentation

    fn drop_stale_keys(&mut self) -> Scan<()> {
        let (line_start, column) = (self.line_start, self.column());
        for index in 0..self.simple_keys.len() {
            let key = self.simple_keys[index];
            if key.possible && (key.line_start != line_start || key.column + SIMPLE_KEY_MAX < column) {
                self.require_no_key(key)?;
                self.simple_keys[index].possible = false;
            }
        }
        Ok(())
    }

    fn require_no_key(&self, key: SimpleKey) -> Scan<()> {
        if !key.required {
            return Ok(());
        }
        let start = key.at as usize;
        let mut end = start;
        while end < self.bytes.len() && break_len(self.bytes, end) == 0 {
            end += 1;
        }
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        Err(self
            .fault(start, end.max(start), "Expected `:` after this key")
            .hint("a value that goes on over several lines is indented deeper than its key"))
    }

    fn save_simple_key(&mut self) -> Scan<()> {
        if !self.simple_key_allowed {
            return Ok(());
        }
        let key = SimpleKey {
            possible: true,
            required: !self.in_flow() && self.indent == self.column(),
            token: self.taken + self.tokens.len(),
            at: self.at as u32,
            line_start: self.line_start,
            column: self.column(),
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
        self.fault(at, at + 1, message)
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
        let start = self.at;
        self.at += len;
        self.push(kind, start, self.at);
    }

    // Tokens

    fn fetch(&mut self) -> Scan<()> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.unroll_indent(self.column(), self.at);
        if self.is_end() {
            return self.fetch_end();
        }
        let first = self.bytes[self.at];
        if self.at == self.line_start {
            if first == b'%' {
                return self.fetch_directive();
            }
            if self.is_document_indicator(b'-') {
                return self.fetch_document_indicator(Kind::DocumentStart);
            }
            if self.is_document_indicator(b'.') {
                return self.fetch_document_indicator(Kind::DocumentEnd);
            }
        }
        match first {
            b'[' => self.fetch_flow_start(Kind::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Kind::FlowMappingStart),
            b']' => self.fetch_flow_end(Kind::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Kind::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if self.is_blank_or_end(1) => self.fetch_block_entry(),
            b'?' if self.in_flow() || self.is_blank_or_end(1) => self.fetch_key(),
            b':' if self.in_flow() || self.is_blank_or_end(1) => self.fetch_value(),
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
            b'\t' => self.fault_here("A tab cannot indent").hint("indent with spaces"),
            b'|' | b'>' => self.fault_here("Block scalars are not possible within `[]` or `{}`"),
            _ => self
                .fault_here(format!("A value cannot begin with `{}`", first as char))
                .hint("put the value in quotes"),
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.at == self.line_start && self.bytes[self.at..].starts_with(BOM) {
                self.skip_char();
            }
            let tabs = self.in_flow() || !self.simple_key_allowed;
            while self.byte(0) == b' ' || tabs && self.byte(0) == b'\t' {
                self.at += 1;
            }
            if self.byte(0) == b'#' {
                self.skip_to_break();
            }
            if !self.is_break(0) {
                return;
            }
            self.skip_break();
            if !self.in_flow() {
                self.simple_key_allowed = true;
            }
        }
    }

    fn fetch_end(&mut self) -> Scan<()> {
        // What is missing at the end counts as standing on a line of its own: one past the last byte.
        let at = self.at + usize::from(self.column() > 0);
        self.unroll_indent(-1, at);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.ended = true;
        self.push(Kind::StreamEnd, at, at);
        Ok(())
    }

    fn fetch_document_indicator(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.unroll_indent(-1, self.at);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push_indicator(kind, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.save_simple_key()?;
        if self.simple_keys.len() > MAX_DEPTH {
            return Err(self.too_deep(self.at));
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
                return Err(self.fault_here("A list item cannot begin here"));
            }
            self.roll_indent(self.column(), None, Kind::BlockSequenceStart, self.at)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_indicator(Kind::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Scan<()> {
        if !self.in_flow() {
            if !self.simple_key_allowed {
                return Err(self.fault_here("A key cannot begin here"));
            }
            self.roll_indent(self.column(), None, Kind::BlockMappingStart, self.at)?;
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
                        .fault_here("A second `:` cannot stand in this line")
                        .hint("put the value in quotes if `: ` is part of it"));
                }
                self.roll_indent(self.column(), None, Kind::BlockMappingStart, self.at)?;
            }
            self.simple_key_allowed = !self.in_flow();
        }
        self.push_indicator(Kind::Value, 1);
        Ok(())
    }

    fn is_word(b: u8) -> bool {
        b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
    }

    fn skip_word(&mut self) {
        while Self::is_word(self.byte(0)) {
            self.at += 1;
        }
    }

    fn fetch_anchor(&mut self, kind: Kind<'a>) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.at;
        self.at += 1;
        self.skip_word();
        let ends = self.is_blank_or_end(0) || b"?:,]}%@`".contains(&self.byte(0));
        if self.at == start + 1 || !ends {
            let what = if matches!(kind, Kind::Alias) { "`*`" } else { "`&`" };
            return Err(self
                .fault(start, self.at, format!("A value cannot begin with {what}"))
                .hint("put the value in quotes"));
        }
        self.push(kind, start, self.at);
        Ok(())
    }

    // Directives and tags

    fn fetch_directive(&mut self) -> Scan<()> {
        self.unroll_indent(-1, self.at);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.at;
        self.at += 1;
        let name_start = self.at;
        self.skip_word();
        let name = &self.text[name_start..self.at];
        if name.is_empty() || !self.is_blank_or_end(0) {
            return Err(self.fault(start, self.at, "Malformed directive"));
        }
        let kind = match name {
            "YAML" => self.scan_version(start)?,
            "TAG" => self.scan_tag_directive(start)?,
            _ => return Err(self.fault(start, self.at, format!("Unknown directive %{name}"))),
        };
        let end = self.at;
        self.skip_rest_of_line("directive", start)?;
        self.push(kind, start, end);
        Ok(())
    }

    /// Skips blanks, a comment and the line break; nothing else may be there.
    fn skip_rest_of_line(&mut self, what: &str, start: usize) -> Scan<()> {
        self.skip_blanks();
        if self.byte(0) == b'#' {
            self.skip_to_break();
        }
        if !self.is_break_or_end(0) {
            let fault = self.fault_here("Expected the end of the line");
            return Err(self.begun(fault, &format!("the {what}"), start));
        }
        self.skip_break();
        Ok(())
    }

    fn scan_version(&mut self, start: usize) -> Scan<Kind<'a>> {
        self.skip_blanks();
        let major = self.scan_number(start)?;
        if self.byte(0) != b'.' {
            return Err(self.fault(start, self.at, "Malformed version of YAML"));
        }
        self.at += 1;
        let minor = self.scan_number(start)?;
        Ok(Kind::Version { major, minor })
    }

    fn scan_number(&mut self, start: usize) -> Scan<u32> {
        let first = self.at;
        while self.byte(0).is_ascii_digit() {
            self.at += 1;
        }
        let digits = &self.text[first..self.at];
        match digits.parse() {
            Ok(number) if digits.len() <= 9 => Ok(number),
            _ => Err(self.fault(start, self.at, "Malformed version of YAML")),
        }
    }

    fn scan_tag_directive(&mut self, start: usize) -> Scan<Kind<'a>> {
        self.skip_blanks();
        let handle = self.scan_tag_handle(true, start)?;
        if !self.is_blank(0) {
            return Err(self.fault(start, self.at, "Malformed %TAG directive"));
        }
        self.skip_blanks();
        let prefix = self.scan_tag_uri("", start)?;
        if !self.is_blank_or_end(0) {
            return Err(self.fault(start, self.at, "Malformed %TAG directive"));
        }
        Ok(Kind::TagDirective { handle, prefix })
    }

    fn scan_tag_handle(&mut self, directive: bool, start: usize) -> Scan<&'a str> {
        let first = self.at;
        if self.byte(0) != b'!' {
            return Err(self.fault(start, self.at, "Malformed tag"));
        }
        self.at += 1;
        self.skip_word();
        if self.byte(0) == b'!' {
            self.at += 1;
        } else if directive && self.at > first + 1 {
            return Err(self.fault(start, self.at, "Malformed %TAG directive"));
        }
        Ok(&self.text[first..self.at])
    }

    /// The rest of a tag, its `%xx` decoded; `head` was read already and goes before it without its `!`.
    fn scan_tag_uri(&mut self, head: &str, start: usize) -> Scan<Vec<u8>> {
        let mut uri = head.as_bytes().get(1..).unwrap_or_default().to_vec();
        let first = self.at;
        while Self::is_word(self.byte(0)) || b";/?:@&=+$,.!~*'()[]%".contains(&self.byte(0)) && !self.is_end()
        {
            if self.byte(0) == b'%' {
                self.scan_uri_escape(&mut uri, start)?;
            } else {
                uri.push(self.byte(0));
                self.at += 1;
            }
        }
        if head.is_empty() && self.at == first {
            return Err(self.fault(start, self.at, "Malformed tag"));
        }
        Ok(uri)
    }

    fn scan_uri_escape(&mut self, uri: &mut Vec<u8>, start: usize) -> Scan<()> {
        let mut left = 0;
        let mut first = true;
        while first || left > 0 {
            let hex = |b: u8| (b as char).to_digit(16);
            let (Some(high), Some(low)) = (hex(self.byte(1)), hex(self.byte(2))) else {
                return Err(self.fault(start, self.at, "Malformed %-escape in a tag"));
            };
            let octet = (high * 16 + low) as u8;
            let continues = octet & 0xC0 == 0x80;
            if self.byte(0) != b'%' || first == continues || octet >= 0xF8 {
                return Err(self.fault(start, self.at, "Malformed %-escape in a tag"));
            }
            left = if first { (octet.leading_ones() as usize).saturating_sub(1) } else { left - 1 };
            first = false;
            uri.push(octet);
            self.at += 3;
        }
        Ok(())
    }

    fn fetch_tag(&mut self) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.at;
        let kind = if self.byte(1) == b'<' {
            self.at += 2;
            let suffix = self.scan_tag_uri("", start)?;
            if self.byte(0) != b'>' {
                return Err(self.fault(start, self.at, "Expected `>` at the end of the tag"));
            }
            self.at += 1;
            Kind::Tag { handle: "", suffix }
        } else {
            self.scan_short_tag(start)?
        };
        if !self.is_blank_or_end(0) {
            return Err(self.fault(start, self.at, "Expected a space after the tag"));
        }
        self.push(kind, start, self.at);
        Ok(())
    }

    /// `!suffix` or `!handle!suffix`; the tag `!` alone has no handle and the suffix `!`.
    fn scan_short_tag(&mut self, start: usize) -> Scan<Kind<'a>> {
        let handle = self.scan_tag_handle(false, start)?;
        if handle.len() > 1 && handle.ends_with('!') {
            let suffix = self.scan_tag_uri("", start)?;
            return Ok(Kind::Tag { handle, suffix });
        }
        let suffix = self.scan_tag_uri(handle, start)?;
        if suffix.first().is_none_or(|&b| b == 0) {
            return Ok(Kind::Tag { handle: "", suffix: b"!".to_vec() });
        }
        Ok(Kind::Tag { handle: "!", suffix })
    }

    // Scalars

    fn fetch_block_scalar(&mut self, folded: bool) -> Scan<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let start = self.at;
        self.at += 1;
        let (keep, increment) = self.scan_block_header(start)?;
        let header_end = self.at;
        self.skip_rest_of_line("block scalar", start)?;
        let mut block = Block {
            indent: increment.map(|more| self.indent.max(0) + more),
            text: String::new(),
            leading: String::new(),
            trailing: String::new(),
            end: header_end,
        };
        self.scan_block_breaks(&mut block, start)?;
        self.scan_block_lines(&mut block, folded, start)?;
        if keep != Some(false) {
            block.text.push_str(&block.leading);
        }
        if keep == Some(true) {
            block.text.push_str(&block.trailing);
        }
        self.push(Kind::Scalar(Cow::Owned(block.text)), start, block.end);
        Ok(())
    }

    /// What follows `|` or `>`: `+` or `-`, and how much deeper the text is indented.
    fn scan_block_header(&mut self, start: usize) -> Scan<(Option<bool>, Option<i32>)> {
        let mut keep = None;
        let mut increment = None;
        for _ in 0..2 {
            match self.byte(0) {
                sign @ (b'+' | b'-') if keep.is_none() => keep = Some(sign == b'+'),
                digit @ b'0'..=b'9' if increment.is_none() => increment = Some(i32::from(digit - b'0')),
                _ => break,
            }
            self.at += 1;
        }
        if increment == Some(0) {
            return Err(self.fault(start, self.at, "The indentation of a block scalar cannot be 0"));
        }
        Ok((keep, increment))
    }

    fn scan_block_lines(&mut self, block: &mut Block, folded: bool, start: usize) -> Scan<()> {
        let indent = block.indent.unwrap_or(1);
        let mut leading_blank = false;
        while self.column() == indent && !self.is_end() {
            let blank = self.is_blank(0);
            let folds = folded && block.leading.starts_with('\n') && !leading_blank && !blank;
            if !folds {
                block.text.push_str(&block.leading);
            } else if block.trailing.is_empty() {
                block.text.push(' ');
            }
            block.leading.clear();
            block.text.push_str(&block.trailing);
            block.trailing.clear();
            leading_blank = blank;
            let line = self.at;
            self.skip_to_break();
            block.text.push_str(&self.text[line..self.at]);
            // The end of the text without a line break ends the scalar too.
            block.end = self.at;
            self.read_break(&mut block.leading);
            self.scan_block_breaks(block, start)?;
        }
        Ok(())
    }

    /// Empty lines and the indentation of the line after them; settles the depth if it is still open.
    fn scan_block_breaks(&mut self, block: &mut Block, start: usize) -> Scan<()> {
        let mut deepest = 0;
        loop {
            let within = |column: i32| block.indent.is_none_or(|indent| column < indent);
            while self.byte(0) == b' ' && within(self.column()) {
                self.at += 1;
            }
            deepest = deepest.max(self.column());
            if self.byte(0) == b'\t' && within(self.column()) {
                let fault = self.fault_here("A tab cannot indent").hint("indent with spaces");
                return Err(self.begun(fault, "the block scalar", start));
            }
            if !self.is_break(0) {
                break;
            }
            self.read_break(&mut block.trailing);
        }
        if block.indent.is_none() {
            block.indent = Some(deepest.max(self.indent + 1).max(1));
        }
        Ok(())
    }

    fn fetch_quoted(&mut self, quote: u8) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.at;
        self.at += 1;
        let mut text = Pieces::from(self.at);
        loop {
            if self.is_document_indicator(b'-') || self.is_document_indicator(b'.') {
                let fault = self.fault(self.at, self.at + 3, "The document ends within quotes");
                return Err(self.begun(fault, "the quoted text", start));
            }
            if self.is_end() {
                let fault = self.fault(self.at, self.at, "The file ends within quotes");
                return Err(self.begun(fault, "the quoted text", start));
            }
            let escaped_break = self.scan_quoted_word(&mut text, quote)?;
            if self.byte(0) == quote {
                break;
            }
            self.scan_quoted_blanks(&mut text, escaped_break);
        }
        let value = text.finish(self.text, self.at);
        self.at += 1;
        self.push(Kind::Scalar(value), start, self.at);
        Ok(())
    }

    /// Reads up to a blank, a break or the closing quote; says whether an escaped line break was last.
    fn scan_quoted_word(&mut self, text: &mut Pieces, quote: u8) -> Scan<bool> {
        while let Some(&b) = self.bytes.get(self.at) {
            match class::OF[b as usize] {
                class::BLANK | class::BREAK => break,
                class::HIGH => {
                    if self.is_break(0) {
                        break;
                    }
                    self.skip_char();
                }
                _ if b == quote => {
                    if quote == b'"' || self.byte(1) != b'\'' {
                        break;
                    }
                    text.push(self.text, self.at, self.at + 2, "'");
                    self.at += 2;
                }
                _ if b == b'\\' && quote == b'"' => {
                    if self.is_break(1) {
                        text.cut(self.text, self.at);
                        self.at += 1;
                        self.skip_break();
                        text.resume(self.at);
                        return Ok(true);
                    }
                    self.scan_escape(text)?;
                }
                _ => self.at += 1,
            }
        }
        Ok(false)
    }

    /// Blanks and breaks within quotes: blanks around breaks vanish, breaks fold.
    fn scan_quoted_blanks(&mut self, text: &mut Pieces, escaped_break: bool) {
        let before = self.at;
        let mut breaks = Breaks::default();
        let mut broken = escaped_break;
        loop {
            if self.is_blank(0) {
                self.at += 1;
            } else if !self.is_break(0) {
                break;
            } else if broken {
                self.read_break(&mut breaks.trailing);
            } else {
                self.read_break(&mut breaks.leading);
                broken = true;
            }
        }
        if broken {
            text.cut(self.text, before);
            text.fold(&breaks);
            text.resume(self.at);
        }
    }

    fn scan_escape(&mut self, text: &mut Pieces) -> Scan<()> {
        let start = self.at;
        let digits = match self.byte(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            other => {
                let Some(means) = escape(other) else {
                    self.at += 1;
                    self.skip_char();
                    return Err(self
                        .fault(start, self.at, "Unknown escape within double quotes")
                        .hint("write `\\\\` for a backslash, or use single quotes"));
                };
                text.push(self.text, start, start + 2, means);
                self.at += 2;
                return Ok(());
            }
        };
        let hex =
            self.bytes.get(start + 2..start + 2 + digits).filter(|h| h.iter().all(u8::is_ascii_hexdigit));
        let Some(hex) = hex else {
            return Err(self.fault(start, start + 2, format!("Expected {digits} hexadecimal digits")));
        };
        let code = hex.iter().fold(0_u32, |code, &h| code << 4 | (h as char).to_digit(16).unwrap_or(0));
        self.at += 2 + digits;
        let Some(c) = char::from_u32(code) else {
            return Err(self.fault(start, self.at, "There is no such character"));
        };
        text.push(self.text, start, self.at, c.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn fetch_plain(&mut self) -> Scan<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.at;
        let mut end = start;
        let mut text = Pieces::from(start);
        let mut broken: Option<Breaks> = None;
        loop {
            let document_ends = self.is_document_indicator(b'-') || self.is_document_indicator(b'.');
            if document_ends || self.byte(0) == b'#' {
                break;
            }
            let word = self.at;
            self.scan_plain_word(start)?;
            if self.at > word {
                if let Some(breaks) = broken.take() {
                    text.cut(self.text, end);
                    text.fold(&breaks);
                    text.resume(word);
                }
                end = self.at;
            }
            if !self.is_blank(0) && !self.is_break(0) {
                break;
            }
            self.scan_plain_blanks(&mut broken, start)?;
            if !self.in_flow() && self.column() < self.indent + 1 {
                break;
            }
        }
        let value = text.finish(self.text, end);
        self.push(Kind::Scalar(value), start, end);
        if broken.is_some() {
            self.simple_key_allowed = true;
        }
        Ok(())
    }

    /// Reads up to a blank, a break or an indicator that ends the scalar.
    fn scan_plain_word(&mut self, start: usize) -> Scan<()> {
        let flow = self.in_flow();
        while let Some(&b) = self.bytes.get(self.at) {
            match class::OF[b as usize] {
                class::PLAIN => self.at += 1,
                class::BLANK | class::BREAK => break,
                class::COLON => {
                    if self.is_blank_or_end(1) {
                        break;
                    }
                    if flow {
                        let fault = self.fault_here("`:` needs a space after it within `[]` and `{}`");
                        return Err(self
                            .begun(fault, "the value", start)
                            .hint("put the value in quotes if `:` is part of it"));
                    }
                    self.at += 1;
                }
                class::FLOW => {
                    if flow {
                        break;
                    }
                    self.at += 1;
                }
                _ => {
                    if self.is_break(0) {
                        break;
                    }
                    self.skip_char();
                }
            }
        }
        Ok(())
    }

    /// Blanks and breaks after a word of a plain scalar; breaks are kept, as they fold if a word follows.
    fn scan_plain_blanks(&mut self, broken: &mut Option<Breaks>, start: usize) -> Scan<()> {
        loop {
            if self.is_blank(0) {
                if broken.is_some() && self.byte(0) == b'\t' && self.column() < self.indent + 1 {
                    let fault = self.fault_here("A tab cannot indent").hint("indent with spaces");
                    return Err(self.begun(fault, "the value", start));
                }
                self.at += 1;
            } else if !self.is_break(0) {
                return Ok(());
            } else if let Some(breaks) = broken {
                self.read_break(&mut breaks.trailing);
            } else {
                self.read_break(&mut broken.insert(Breaks::default()).leading);
            }
        }
    }
}

/// A block scalar while it is read.
struct Block {
    /// Column of its text; open until its first line is seen.
    indent: Option<i32>,
    text: String,
    /// The break after the last line of text.
    leading: String,
    /// The empty lines after that.
    trailing: String,
    /// Where its last line ends.
    end: usize,
}

/// Line breaks within a scalar, normalized: the first, and those after it.
#[derive(Default)]
struct Breaks {
    leading: String,
    trailing: String,
}

/// A scalar that mostly is a piece of the text as it stands, but may be put together from several.
struct Pieces {
    joined: Option<String>,
    from: usize,
}

impl Pieces {
    fn from(start: usize) -> Pieces {
        Pieces { joined: None, from: start }
    }

    /// Ends the current piece at `end`.
    fn cut(&mut self, text: &str, end: usize) {
        self.joined.get_or_insert_default().push_str(&text[self.from.min(end)..end]);
        self.from = end;
    }

    /// Goes on at `start`.
    fn resume(&mut self, start: usize) {
        self.from = start;
    }

    /// Takes `means` for what stands from `start` to `end`.
    fn push(&mut self, text: &str, start: usize, end: usize, means: &str) {
        self.cut(text, start);
        self.joined.get_or_insert_default().push_str(means);
        self.from = end;
    }

    /// A single break is a space, more are one less.
    fn fold(&mut self, Breaks { leading, trailing }: &Breaks) {
        let joined = self.joined.get_or_insert_default();
        if !leading.starts_with('\n') {
            joined.push_str(leading);
            joined.push_str(trailing);
        } else if trailing.is_empty() {
            joined.push(' ');
        } else {
            joined.push_str(trailing);
        }
    }

    fn finish(mut self, text: &str, end: usize) -> Cow<'_, str> {
        if self.joined.is_none() {
            return Cow::Borrowed(&text[self.from..end]);
        }
        self.cut(text, end.max(self.from));
        Cow::Owned(self.joined.unwrap_or_default())
    }
}

/// What a letter after `\` stands for in double quotes.
fn escape(letter: u8) -> Option<&'static str> {
    Some(match letter {
        b'0' => "\0",
        b'a' => "\x07",
        b'b' => "\x08",
        b't' | b'\t' => "\t",
        b'n' => "\n",
        b'v' => "\x0B",
        b'f' => "\x0C",
        b'r' => "\r",
        b'e' => "\x1B",
        b' ' => " ",
        b'"' => "\"",
        b'/' => "/",
        b'\\' => "\\",
        b'N' => "\u{85}",
        b'_' => "\u{a0}",
        b'L' => "\u{2028}",
        b'P' => "\u{2029}",
        _ => return None,
    })
}
