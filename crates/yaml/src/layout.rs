//! Where everything of a text stands: a tree of spans, for edits in place.

use crate::cursor::line_end;
use crate::diagnostic::Diagnostic;
use crate::event::{Event, Events, What};
use crate::mapping::Text;

/// A value and the bytes it stands on.
#[derive(Debug)]
pub(crate) struct Spot {
    /// First byte, tags included.
    pub(crate) start: usize,
    /// First byte of the value itself: its bracket or brace, first `-` or first key if it is a collection.
    pub(crate) head: usize,
    /// One past the last byte of the value. Nothing was written where this is `start`.
    pub(crate) end: usize,
    pub(crate) shape: Shape,
}

#[derive(Debug)]
pub(crate) enum Shape {
    Scalar,
    Sequence { flow: bool, items: Vec<Spot> },
    Mapping { flow: bool, entries: Vec<Entry> },
}

/// One entry of a mapping.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Text,
    /// First byte: that of the key, or of the `?` before it.
    pub(crate) start: usize,
    /// One past the last byte of the key.
    pub(crate) key_end: usize,
    /// One past the `:`, if there is one.
    pub(crate) colon_end: Option<usize>,
    pub(crate) value: Spot,
}

impl Entry {
    /// One past the last byte of what was written.
    pub(crate) fn end(&self) -> usize {
        let written = self.colon_end.unwrap_or(self.key_end);
        if self.value.start == self.value.end { written } else { self.value.end.max(written) }
    }
}

impl Spot {
    /// Whether this is written in brackets or braces.
    pub(crate) fn is_flow(&self) -> bool {
        matches!(self.shape, Shape::Sequence { flow: true, .. } | Shape::Mapping { flow: true, .. })
    }
}

/// The layout of a text that is known to be good; `None` when it holds no document.
///
/// # Errors
/// As [`parse_text`](crate::parse_text).
pub(crate) fn layout(text: &str) -> Result<Option<Spot>, Diagnostic> {
    let mut reader = Reader { text, events: Events::new(text, None)? };
    let event = reader.events.next()?;
    if matches!(event.what, What::StreamEnd) {
        return Ok(None);
    }
    let first = reader.events.next()?;
    reader.spot(first).map(Some)
}

struct Reader<'a> {
    text: &'a str,
    events: Events<'a>,
}

impl Reader<'_> {
    fn spot(&mut self, event: Event<'_>) -> Result<Spot, Diagnostic> {
        let (start, end) = (event.start as usize, event.end as usize);
        match event.what {
            What::SequenceStart { flow, .. } => self.sequence(flow, start, end),
            What::MappingStart { flow, .. } => self.mapping(flow, start, end),
            _ => Ok(Spot { start, head: start, end, shape: Shape::Scalar }),
        }
    }

    fn sequence(&mut self, flow: bool, start: usize, mut end: usize) -> Result<Spot, Diagnostic> {
        // A list without indentation begins with the token of its first `-`, others with one of no width.
        let width = usize::from(self.text.as_bytes().get(end) != Some(&b'-'));
        let head = if flow { end - 1 } else { end - width };
        let mut items = Vec::new();
        loop {
            let event = self.events.next()?;
            if matches!(event.what, What::SequenceEnd) {
                end = if flow { event.end as usize } else { end };
                return Ok(Spot { start, head, end, shape: Shape::Sequence { flow, items } });
            }
            let item = self.spot(event)?;
            end = end.max(item.end);
            items.push(item);
        }
    }

    fn mapping(&mut self, flow: bool, start: usize, mut end: usize) -> Result<Spot, Diagnostic> {
        let braced = flow && self.text[..end].ends_with('{') && end > start;
        let head = if braced {
            end - 1
        } else if flow {
            start
        } else {
            end
        };
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let event = self.events.next()?;
            if matches!(event.what, What::MappingEnd) {
                end = if braced { event.end as usize } else { end };
                return Ok(Spot { start, head, end, shape: Shape::Mapping { flow, entries } });
            }
            let floor = entries.last().map_or(start, Entry::end);
            let entry = self.entry(event, floor)?;
            end = end.max(entry.end());
            entries.push(entry);
        }
    }

    fn entry(&mut self, event: Event<'_>, floor: usize) -> Result<Entry, Diagnostic> {
        let (key_start, key_end) = (event.start as usize, event.end as usize);
        let key = match event.what {
            What::Scalar { text, .. } => Text::new(&text),
            _ => Text::default(),
        };
        let event = self.events.next()?;
        let value = self.spot(event)?;
        let colon_end = self.colon(key_end, value.start);
        Ok(Entry { key, start: self.question(floor, key_start), key_end, colon_end, value })
    }

    /// One past the `:` between key and value.
    fn colon(&self, key_end: usize, limit: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let limit = limit.min(bytes.len());
        let mut at = key_end;
        while at < limit {
            match bytes[at] {
                b':' => return Some(at + 1),
                b'#' => at = line_end(self.text, at),
                _ => at += 1,
            }
        }
        None
    }

    /// The `?` before a key, if only blanks, breaks and comments lie between; else the key itself.
    fn question(&self, floor: usize, key_start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = floor;
        while at < key_start.min(bytes.len()) {
            match bytes[at] {
                b'?' => return at,
                b'#' => at = line_end(self.text, at),
                _ => at += 1,
            }
        }
        key_start
    }
}
