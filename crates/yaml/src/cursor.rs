//! Reading text byte by byte, knowing line and column.

use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Provenance};

/// What reading gives, or why the text is no YAML.
pub(crate) type Scan<T> = Result<T, Diagnostic>;

/// A place in a text that moves forward.
pub(crate) struct Cursor<'a> {
    pub(crate) text: &'a str,
    bytes: &'a [u8],
    file: Option<FileId>,
    /// The byte to read next.
    pub(crate) at: usize,
    /// The byte where its line begins.
    pub(crate) line_start: usize,
    /// Bytes since the start of the line that are not the first of their character.
    skew: usize,
}

/// Kinds of bytes, so that loops over text ask one question per byte.
pub(crate) mod class {
    pub(crate) const PLAIN: u8 = 0;
    pub(crate) const BLANK: u8 = 1;
    pub(crate) const BREAK: u8 = 2;
    pub(crate) const HIGH: u8 = 4;
    pub(crate) const COLON: u8 = 8;
    pub(crate) const FLOW: u8 = 16;

    pub(crate) const OF: [u8; 256] = {
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

pub(crate) const BOM: &[u8] = "\u{feff}".as_bytes();

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

impl<'a> Cursor<'a> {
    /// Begins at the start of the text, after a byte order mark.
    ///
    /// # Errors
    /// The text is too long, or has characters that YAML does not.
    pub(crate) fn new(text: &'a str, file: Option<FileId>) -> Scan<Cursor<'a>> {
        let start = bom_len(text.as_bytes());
        let cursor = Cursor { text, bytes: text.as_bytes(), file, at: start, line_start: start, skew: 0 };
        if i32::try_from(text.len()).is_err() {
            return Err(cursor.fault(0, 0, "A file of 2 GiB or more cannot be read as YAML"));
        }
        match forbidden(text) {
            None => Ok(cursor),
            Some((at, c)) => {
                let message = format!("Control character {} is not allowed", c.escape_unicode());
                Err(cursor.fault(at, at + c.len_utf8(), message))
            }
        }
    }

    pub(crate) fn place(&self, start: usize, end: usize) -> Provenance {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Provenance { file: self.file, start: narrow(start), end: narrow(end) }
    }

    pub(crate) fn fault(&self, start: usize, end: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::load("invalid-yaml", message).at(self.place(start, end))
    }

    /// A fault at the next character.
    pub(crate) fn fault_here(&self, message: impl Into<String>) -> Diagnostic {
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.fault(self.at, self.at + width, message)
    }

    /// Adds to a fault where the thing that it is about begins.
    pub(crate) fn begun(&self, fault: Diagnostic, what: &str, start: usize) -> Diagnostic {
        fault.note(Some(self.place(start, start)), format!("{what} begins here"))
    }

    /// The byte so far ahead; 0 past the end, which no text has.
    pub(crate) fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(crate) fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// What is left to read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn is_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn is_line_start(&self) -> bool {
        self.at == self.line_start
    }

    /// Column in characters.
    pub(crate) fn column(&self) -> i32 {
        (self.at - self.line_start - self.skew) as i32
    }

    pub(crate) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    pub(crate) fn is_break(&self, ahead: usize) -> bool {
        break_len(self.bytes, self.at + ahead) > 0
    }

    pub(crate) fn is_break_or_end(&self, ahead: usize) -> bool {
        self.at + ahead >= self.bytes.len() || self.is_break(ahead)
    }

    pub(crate) fn is_blank_or_end(&self, ahead: usize) -> bool {
        match self.bytes.get(self.at + ahead) {
            None | Some(b' ' | b'\t' | b'\n' | b'\r') => true,
            Some(0x80..) => self.is_break(ahead),
            Some(_) => false,
        }
    }

    /// Whether `---` or `...` stands here at the start of a line.
    pub(crate) fn is_document_indicator(&self) -> bool {
        self.is_line_start()
            && matches!(self.rest(), [b'-', b'-', b'-', ..] | [b'.', b'.', b'.', ..])
            && self.is_blank_or_end(3)
    }

    pub(crate) fn skip_char(&mut self) {
        let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.at += width;
        self.skew += width.saturating_sub(1);
    }

    /// Skips a line break if there is one.
    pub(crate) fn skip_break(&mut self) {
        let len = break_len(self.bytes, self.at);
        if len > 0 {
            self.at += len;
            self.line_start = self.at;
            self.skew = 0;
        }
    }

    /// Skips a line break and says what it means: all are LF, but LS and PS stay what they are.
    pub(crate) fn read_break(&mut self) -> Option<char> {
        let read = match (break_len(self.bytes, self.at), self.byte(2)) {
            (0, _) => return None,
            (3, 0xA8) => '\u{2028}',
            (3, _) => '\u{2029}',
            _ => '\n',
        };
        self.skip_break();
        Some(read)
    }

    pub(crate) fn skip_to_break(&mut self) {
        while let Some(b) = self.next() {
            match class::OF[b as usize] {
                class::BREAK => return,
                class::HIGH => {
                    if self.is_break(0) {
                        return;
                    }
                    self.skip_char();
                }
                class::PLAIN => self.skip_plain(),
                _ => self.at += 1,
            }
        }
    }

    /// Skips bytes that mean nothing to any loop.
    #[inline]
    pub(crate) fn skip_plain(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|&b| class::OF[b as usize] != class::PLAIN).unwrap_or(rest.len());
    }

    pub(crate) fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.at += 1;
        }
    }

    /// Skips letters, digits, `_` and `-`.
    pub(crate) fn skip_word(&mut self) {
        while is_word(self.byte(0)) {
            self.at += 1;
        }
    }

    /// Skips blanks, a comment and the line break; nothing else may be there.
    pub(crate) fn skip_rest_of_line(&mut self, what: &str, start: usize) -> Scan<()> {
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
}

pub(crate) fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

/// The byte where the line around `at` begins.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut start, mut next) = (0, 0);
    while next < at {
        let len = break_len(bytes, next);
        next += len.max(1);
        if len > 0 && next <= at {
            start = next;
        }
    }
    start
}

/// The byte where the line around `at` ends, before its break.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut end = at.min(bytes.len());
    while end < bytes.len() && break_len(bytes, end) == 0 {
        end += 1;
    }
    end
}
