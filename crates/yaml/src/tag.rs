//! Directives and tags.

use crate::cursor::{Cursor, Scan, is_word};
use crate::scan::Kind;

impl<'a> Cursor<'a> {
    /// Reads a directive, up to the end of what it says.
    pub(crate) fn scan_directive(&mut self) -> Scan<Kind<'a>> {
        let start = self.at;
        self.at += 1;
        let name_start = self.at;
        self.skip_word();
        let name = &self.text[name_start..self.at];
        if name.is_empty() || !self.is_blank_or_end(0) {
            return Err(self.fault(start, self.at, "Malformed directive"));
        }
        match name {
            "YAML" => self.scan_version(start),
            "TAG" => self.scan_tag_directive(start),
            _ => Err(self.fault(start, self.at, format!("Unknown directive %{name}"))),
        }
    }

    /// Reads a tag.
    pub(crate) fn scan_tag(&mut self) -> Scan<Kind<'a>> {
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
        Ok(kind)
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
        while is_word(self.byte(0)) || b";/?:@&=+$,.!~*'()[]%".contains(&self.byte(0)) && !self.is_end() {
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
}
