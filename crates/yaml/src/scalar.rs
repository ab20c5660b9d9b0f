//! Scalars: what stands in the text, and what it means.

use crate::cursor::{Cursor, Scan, class};
use std::borrow::Cow;

/// A scalar that was read.
pub(crate) struct Scanned<'a> {
    /// What it means.
    pub(crate) text: Cow<'a, str>,
    /// One past its last byte.
    pub(crate) end: usize,
    /// Whether the line ended after it.
    pub(crate) broken: bool,
}

/// Line breaks within a scalar: the first, and those after it.
#[derive(Default)]
struct Breaks {
    first: Option<char>,
    more: String,
}

impl Breaks {
    fn push(&mut self, read: Option<char>) {
        if self.first.is_none() {
            self.first = read;
        } else {
            self.more.extend(read);
        }
    }
}

/// A block scalar while it is read.
struct Block {
    /// Column of its text; open until its first line is seen.
    indent: Option<i32>,
    /// The least that it can be.
    least: i32,
    text: String,
    /// The break after the last line of text.
    leading: Option<char>,
    /// The empty lines after that.
    trailing: String,
    /// Where its last line ends.
    end: usize,
}

impl<'a> Cursor<'a> {
    /// Reads a `|` or `>` scalar in a collection at column `around`, -1 outside of all.
    pub(crate) fn scan_block(&mut self, folded: bool, around: i32) -> Scan<Scanned<'a>> {
        let start = self.at;
        self.at += 1;
        let (keep, increment) = self.scan_block_header(start)?;
        let mut block = Block {
            indent: increment.map(|more| around.max(0) + more),
            least: (around + 1).max(1),
            text: String::new(),
            leading: None,
            trailing: String::new(),
            end: self.at,
        };
        self.skip_rest_of_line("block scalar", start)?;
        self.scan_block_breaks(&mut block, start)?;
        self.scan_block_lines(&mut block, folded, start)?;
        if keep != Some(false) {
            block.text.extend(block.leading);
        }
        if keep == Some(true) {
            block.text.push_str(&block.trailing);
        }
        Ok(Scanned { text: Cow::Owned(block.text), end: block.end, broken: true })
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
            let folds = folded && block.leading == Some('\n') && !leading_blank && !blank;
            if !folds {
                block.text.extend(block.leading);
            } else if block.trailing.is_empty() {
                block.text.push(' ');
            }
            block.text.push_str(&block.trailing);
            block.trailing.clear();
            leading_blank = blank;
            let line = self.at;
            self.skip_to_break();
            block.text.push_str(&self.text[line..self.at]);
            // The end of the text without a line break ends the scalar too.
            block.end = self.at;
            block.leading = self.read_break();
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
            let Some(read) = self.read_break() else { break };
            block.trailing.push(read);
        }
        block.indent.get_or_insert(deepest.max(block.least));
        Ok(())
    }

    /// Reads a scalar in quotes of that kind.
    pub(crate) fn scan_quoted(&mut self, quote: u8) -> Scan<Scanned<'a>> {
        let start = self.at;
        self.at += 1;
        let mut text = Pieces::from(self.at);
        loop {
            if self.is_document_indicator() {
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
        let text = text.finish(self.text, self.at);
        self.at += 1;
        Ok(Scanned { text, end: self.at, broken: false })
    }

    /// Reads up to a blank, a break or the closing quote; says whether an escaped line break was last.
    fn scan_quoted_word(&mut self, text: &mut Pieces, quote: u8) -> Scan<bool> {
        while let Some(b) = self.next() {
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
        loop {
            self.skip_blanks();
            match self.read_break() {
                None => break,
                read if escaped_break => breaks.more.extend(read),
                read => breaks.push(read),
            }
        }
        if escaped_break || breaks.first.is_some() {
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
        let hex = self.rest().get(2..2 + digits).filter(|h| h.iter().all(u8::is_ascii_hexdigit));
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

    /// Reads a scalar without quotes in a collection at column `around`, within `[]` or `{}` if `flow`.
    pub(crate) fn scan_plain(&mut self, flow: bool, around: i32) -> Scan<Scanned<'a>> {
        let start = self.at;
        let mut end = start;
        let mut text = Pieces::from(start);
        let mut breaks = Breaks::default();
        while !self.is_document_indicator() && self.byte(0) != b'#' {
            let word = self.at;
            self.scan_plain_word(flow, start)?;
            if self.at > word {
                if breaks.first.is_some() {
                    text.cut(self.text, end);
                    text.fold(&std::mem::take(&mut breaks));
                    text.resume(word);
                }
                end = self.at;
            }
            if !self.is_blank(0) && !self.is_break(0) {
                break;
            }
            self.scan_plain_blanks(&mut breaks, around, start)?;
            if !flow && self.column() <= around {
                break;
            }
        }
        Ok(Scanned { text: text.finish(self.text, end), end, broken: breaks.first.is_some() })
    }

    /// Reads up to a blank, a break or an indicator that ends the scalar.
    fn scan_plain_word(&mut self, flow: bool, start: usize) -> Scan<()> {
        while let Some(b) = self.next() {
            match class::OF[b as usize] {
                class::PLAIN => self.skip_plain(),
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
    fn scan_plain_blanks(&mut self, breaks: &mut Breaks, around: i32, start: usize) -> Scan<()> {
        loop {
            while self.is_blank(0) {
                if breaks.first.is_some() && self.byte(0) == b'\t' && self.column() <= around {
                    let fault = self.fault_here("A tab cannot indent").hint("indent with spaces");
                    return Err(self.begun(fault, "the value", start));
                }
                self.at += 1;
            }
            match self.read_break() {
                None => return Ok(()),
                read => breaks.push(read),
            }
        }
    }
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
    fn fold(&mut self, breaks: &Breaks) {
        let joined = self.joined.get_or_insert_default();
        if breaks.first != Some('\n') {
            joined.extend(breaks.first);
            joined.push_str(&breaks.more);
        } else if breaks.more.is_empty() {
            joined.push(' ');
        } else {
            joined.push_str(&breaks.more);
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
