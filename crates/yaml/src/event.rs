//! From tokens to events: what begins, what ends, which scalars stand between.

use crate::diagnostic::Diagnostic;
use crate::scan::{Kind, Scanner, Token};
use crate::span::FileId;
use std::borrow::Cow;

/// One event and the bytes it stands on.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) what: What<'a>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Debug)]
pub(crate) enum What<'a> {
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias,
    Scalar { text: Cow<'a, str>, properties: Properties },
    SequenceStart { flow: bool, properties: Properties },
    SequenceEnd,
    MappingStart { flow: bool, properties: Properties },
    MappingEnd,
}

/// What stands before a value.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Properties {
    /// It has an anchor.
    pub(crate) anchor: bool,
    /// It has a tag: one of YAML's own (`Some(true)`) or another.
    pub(crate) own_tag: Option<bool>,
}

/// Where in the grammar the reader is.
#[derive(Clone, Copy, Debug)]
enum State {
    ImplicitDocumentStart,
    DocumentStart,
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockSequence { first: bool },
    IndentlessSequence,
    BlockMappingKey { first: bool },
    BlockMappingValue,
    FlowSequence { first: bool },
    FlowPairKey,
    FlowPairValue,
    FlowPairEnd,
    FlowMappingKey { first: bool },
    FlowMappingValue,
    FlowMappingEmptyValue,
    End,
}

/// The prefix of YAML's own tags.
const OWN_TAGS: &str = "tag:yaml.org,2002:";

pub(crate) struct Events<'a> {
    pub(crate) scanner: Scanner<'a>,
    state: State,
    /// Where to go on when a node is complete.
    states: Vec<State>,
    /// Where the open collections began.
    starts: Vec<u32>,
    /// Handles and prefixes of `%TAG` directives.
    tags: Vec<(&'a str, Vec<u8>)>,
}

type Step<T> = Result<T, Diagnostic>;

impl<'a> Events<'a> {
    pub(crate) fn new(text: &'a str, file: Option<FileId>) -> Step<Events<'a>> {
        Ok(Events {
            scanner: Scanner::new(text, file)?,
            state: State::ImplicitDocumentStart,
            states: Vec::new(),
            starts: Vec::new(),
            tags: Vec::new(),
        })
    }

    /// The next event; [`What::StreamEnd`] is the last, and is repeated.
    pub(crate) fn next(&mut self) -> Step<Event<'a>> {
        match self.state {
            State::ImplicitDocumentStart => self.document_start(true),
            State::DocumentStart => self.document_start(false),
            State::DocumentContent => self.document_content(),
            State::DocumentEnd => self.document_end(),
            State::BlockNode => self.node(true, false),
            State::BlockSequence { first } => self.block_sequence(first),
            State::IndentlessSequence => self.indentless_sequence(),
            State::BlockMappingKey { first } => self.block_mapping_key(first),
            State::BlockMappingValue => self.block_mapping_value(),
            State::FlowSequence { first } => self.flow_sequence(first),
            State::FlowPairKey => self.flow_pair_key(),
            State::FlowPairValue => self.flow_pair_value(),
            State::FlowPairEnd => {
                let at = self.scanner.peek()?.start;
                self.state = State::FlowSequence { first: false };
                Ok(event(What::MappingEnd, at, at))
            }
            State::FlowMappingKey { first } => self.flow_mapping_key(first),
            State::FlowMappingValue => self.flow_mapping_value(),
            State::FlowMappingEmptyValue => {
                self.state = State::FlowMappingKey { first: false };
                let at = self.scanner.peek()?.start;
                Ok(empty(at))
            }
            State::End => {
                let at = self.scanner.peek()?.start;
                Ok(event(What::StreamEnd, at, at))
            }
        }
    }

    fn fault(&self, at: (u32, u32), message: &str) -> Diagnostic {
        self.scanner.cursor.fault(at.0 as usize, at.1 as usize, message)
    }

    /// A fault at the next token within a collection that began where the innermost one did.
    fn fault_within(&mut self, what: &str, message: &str) -> Diagnostic {
        let at = match self.scanner.peek() {
            Ok(token) => (token.start, token.end),
            Err(diagnostic) => return diagnostic,
        };
        let fault = self.fault(at, message);
        match self.starts.pop() {
            Some(start) => {
                let place = self.scanner.cursor.place(start as usize, start as usize);
                fault.note(Some(place), format!("the {what} begins here"))
            }
            None => fault,
        }
    }

    fn pop_state(&mut self) {
        self.state = self.states.pop().unwrap_or(State::End);
    }

    // Documents

    fn document_start(&mut self, implicit: bool) -> Step<Event<'a>> {
        if !implicit {
            while matches!(self.scanner.peek()?.kind, Kind::DocumentEnd) {
                self.scanner.take()?;
            }
        }
        let token = self.scanner.peek()?;
        let (start, end) = (token.start, token.end);
        match token.kind {
            Kind::StreamEnd => {
                self.state = State::End;
                return Ok(event(What::StreamEnd, start, end));
            }
            Kind::Version { .. } | Kind::TagDirective { .. } | Kind::DocumentStart => {}
            _ if implicit => {
                self.default_tags();
                self.states.push(State::DocumentEnd);
                self.state = State::BlockNode;
                return Ok(event(What::DocumentStart, start, start));
            }
            _ => {}
        }
        self.directives()?;
        let token = self.scanner.take()?;
        if !matches!(token.kind, Kind::DocumentStart) {
            return Err(self
                .fault((token.start, token.end), "The document has ended before this")
                .hint("is this line indented as it should be?"));
        }
        self.states.push(State::DocumentEnd);
        self.state = State::DocumentContent;
        Ok(event(What::DocumentStart, start, token.end))
    }

    fn directives(&mut self) -> Step<()> {
        let mut versions = 0;
        while matches!(self.scanner.peek()?.kind, Kind::Version { .. } | Kind::TagDirective { .. }) {
            let token = self.scanner.take()?;
            let at = (token.start, token.end);
            match token.kind {
                Kind::Version { .. } if versions > 0 => return Err(self.fault(at, "Second %YAML directive")),
                Kind::Version { major: 1, minor: 1 | 2 } => versions += 1,
                Kind::TagDirective { handle, prefix } => {
                    if self.tags.iter().any(|(known, _)| *known == handle) {
                        return Err(self.fault(at, "Second %TAG directive for the same handle"));
                    }
                    self.tags.push((handle, prefix));
                }
                _ => return Err(self.fault(at, "Only the versions 1.1 and 1.2 of YAML are understood")),
            }
        }
        self.default_tags();
        Ok(())
    }

    fn default_tags(&mut self) {
        for (handle, prefix) in [("!", "!"), ("!!", OWN_TAGS)] {
            if self.tags.iter().all(|(known, _)| *known != handle) {
                self.tags.push((handle, prefix.into()));
            }
        }
    }

    fn document_content(&mut self) -> Step<Event<'a>> {
        let token = self.scanner.peek()?;
        let ends = matches!(
            token.kind,
            Kind::Version { .. }
                | Kind::TagDirective { .. }
                | Kind::DocumentStart
                | Kind::DocumentEnd
                | Kind::StreamEnd
        );
        if ends {
            let at = token.start;
            self.pop_state();
            return Ok(empty(at));
        }
        self.node(true, false)
    }

    fn document_end(&mut self) -> Step<Event<'a>> {
        let token = self.scanner.peek()?;
        let (start, mut end) = (token.start, token.start);
        if matches!(token.kind, Kind::DocumentEnd) {
            end = token.end;
            self.scanner.take()?;
        }
        self.tags.clear();
        self.state = State::DocumentStart;
        Ok(event(What::DocumentEnd, start, end))
    }

    // Nodes

    fn node(&mut self, block: bool, indentless: bool) -> Step<Event<'a>> {
        let token = self.scanner.peek()?;
        let (start, end) = (token.start, token.end);
        if matches!(token.kind, Kind::Alias) {
            self.pop_state();
            self.scanner.take()?;
            return Ok(event(What::Alias, start, end));
        }
        let properties = self.properties()?;
        let token = self.scanner.peek()?;
        let (flow, state) = match token.kind {
            Kind::BlockEntry if indentless => (false, State::IndentlessSequence),
            Kind::Scalar(..) => return self.scalar(start, properties),
            Kind::FlowSequenceStart => (true, State::FlowSequence { first: true }),
            Kind::FlowMappingStart => (true, State::FlowMappingKey { first: true }),
            Kind::BlockSequenceStart if block => (false, State::BlockSequence { first: true }),
            Kind::BlockMappingStart if block => (false, State::BlockMappingKey { first: true }),
            _ if properties.anchor || properties.own_tag.is_some() => {
                self.pop_state();
                return Ok(scalar(Cow::Borrowed(""), properties, start, end));
            }
            _ => {
                let at = (token.start, token.end);
                return Err(self.fault(at, "Expected a value here"));
            }
        };
        let end = token.end;
        self.state = state;
        let mapping = matches!(state, State::FlowMappingKey { .. } | State::BlockMappingKey { .. });
        let what = if mapping {
            What::MappingStart { flow, properties }
        } else {
            What::SequenceStart { flow, properties }
        };
        Ok(event(what, start, end))
    }

    fn scalar(&mut self, start: u32, properties: Properties) -> Step<Event<'a>> {
        self.pop_state();
        let Token { kind, start: own_start, end } = self.scanner.take()?;
        match kind {
            Kind::Scalar(text) => Ok(scalar(text, properties, start, end)),
            _ => Err(self.fault((own_start, end), "Expected a scalar here")),
        }
    }

    fn properties(&mut self) -> Step<Properties> {
        let mut properties = Properties::default();
        loop {
            match self.scanner.peek()?.kind {
                Kind::Anchor if !properties.anchor => {
                    self.scanner.take()?;
                    properties.anchor = true;
                }
                Kind::Tag { .. } if properties.own_tag.is_none() => {
                    let token = self.scanner.take()?;
                    properties.own_tag = Some(self.is_own_tag(&token)?);
                }
                _ => return Ok(properties),
            }
        }
    }

    fn is_own_tag(&self, token: &Token<'_>) -> Step<bool> {
        let Kind::Tag { handle, suffix } = &token.kind else { return Ok(false) };
        let at = (token.start, token.end);
        let mut tag = Vec::new();
        if !handle.is_empty() {
            match self.tags.iter().find(|(known, _)| known == handle) {
                Some((_, prefix)) => tag.extend_from_slice(prefix),
                None => return Err(self.fault(at, "This tag's handle is not defined")),
            }
        }
        tag.extend_from_slice(suffix);
        // libyaml ends its texts with a NUL.
        let tag = tag.split(|&b| b == 0).next().unwrap_or_default();
        match std::str::from_utf8(tag) {
            Ok(tag) => Ok(tag.starts_with(OWN_TAGS)),
            Err(_) => Err(self.fault(at, "This tag is not UTF-8 text")),
        }
    }

    // Block collections

    /// Takes the token that begins a collection.
    fn enter(&mut self) -> Step<()> {
        let token = self.scanner.take()?;
        self.starts.push(token.start);
        Ok(())
    }

    /// Ends a collection with its last token.
    fn leave(&mut self, what: What<'a>) -> Step<Event<'a>> {
        self.pop_state();
        self.starts.pop();
        let token = self.scanner.take()?;
        Ok(event(what, token.start, token.end))
    }

    fn block_sequence(&mut self, first: bool) -> Step<Event<'a>> {
        if first {
            self.enter()?;
        }
        match self.scanner.peek()?.kind {
            Kind::BlockEntry => {
                let at = self.scanner.take()?.end;
                if matches!(self.scanner.peek()?.kind, Kind::BlockEntry | Kind::BlockEnd) {
                    self.state = State::BlockSequence { first: false };
                    return Ok(empty(at));
                }
                self.states.push(State::BlockSequence { first: false });
                self.node(true, false)
            }
            Kind::BlockEnd => self.leave(What::SequenceEnd),
            _ => Err(self
                .fault_within("list", "Expected `-` here")
                .hint("items of a list begin in the same column")),
        }
    }

    fn indentless_sequence(&mut self) -> Step<Event<'a>> {
        let token = self.scanner.peek()?;
        if !matches!(token.kind, Kind::BlockEntry) {
            let at = token.start;
            self.pop_state();
            return Ok(event(What::SequenceEnd, at, at));
        }
        let at = self.scanner.take()?.end;
        let next = &self.scanner.peek()?.kind;
        if matches!(next, Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd) {
            self.state = State::IndentlessSequence;
            return Ok(empty(at));
        }
        self.states.push(State::IndentlessSequence);
        self.node(true, false)
    }

    fn block_mapping_key(&mut self, first: bool) -> Step<Event<'a>> {
        if first {
            self.enter()?;
        }
        match self.scanner.peek()?.kind {
            Kind::Key => {
                let at = self.scanner.take()?.end;
                self.block_node_or_empty(State::BlockMappingValue, at)
            }
            Kind::BlockEnd => self.leave(What::MappingEnd),
            _ => Err(self
                .fault_within("dictionary", "Expected a key here")
                .hint("keys of a dictionary begin in the same column and end with `:`")),
        }
    }

    fn block_mapping_value(&mut self) -> Step<Event<'a>> {
        let token = self.scanner.peek()?;
        if !matches!(token.kind, Kind::Value) {
            let at = token.start;
            self.state = State::BlockMappingKey { first: false };
            return Ok(empty(at));
        }
        let at = self.scanner.take()?.end;
        self.block_node_or_empty(State::BlockMappingKey { first: false }, at)
    }

    fn block_node_or_empty(&mut self, then: State, at: u32) -> Step<Event<'a>> {
        if matches!(self.scanner.peek()?.kind, Kind::Key | Kind::Value | Kind::BlockEnd) {
            self.state = then;
            return Ok(empty(at));
        }
        self.states.push(then);
        self.node(true, true)
    }

    // Flow collections

    fn flow_sequence(&mut self, first: bool) -> Step<Event<'a>> {
        if first {
            self.enter()?;
        } else if !matches!(self.scanner.peek()?.kind, Kind::FlowSequenceEnd) {
            if !matches!(self.scanner.peek()?.kind, Kind::FlowEntry) {
                return Err(self.fault_within("list", "Expected `,` or `]` here"));
            }
            self.scanner.take()?;
        }
        match self.scanner.peek()?.kind {
            Kind::FlowSequenceEnd => self.leave(What::SequenceEnd),
            Kind::Key => {
                self.state = State::FlowPairKey;
                let token = self.scanner.take()?;
                let what = What::MappingStart { flow: true, properties: Properties::default() };
                Ok(event(what, token.start, token.end))
            }
            _ => {
                self.states.push(State::FlowSequence { first: false });
                self.node(false, false)
            }
        }
    }

    fn flow_pair_key(&mut self) -> Step<Event<'a>> {
        if matches!(self.scanner.peek()?.kind, Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd) {
            // libyaml drops the token that ends the empty key, so what follows is refused.
            let at = self.scanner.take()?.end;
            self.state = State::FlowPairValue;
            return Ok(empty(at));
        }
        self.states.push(State::FlowPairValue);
        self.node(false, false)
    }

    fn flow_pair_value(&mut self) -> Step<Event<'a>> {
        if matches!(self.scanner.peek()?.kind, Kind::Value) {
            self.scanner.take()?;
            if !matches!(self.scanner.peek()?.kind, Kind::FlowEntry | Kind::FlowSequenceEnd) {
                self.states.push(State::FlowPairEnd);
                return self.node(false, false);
            }
        }
        self.state = State::FlowPairEnd;
        let at = self.scanner.peek()?.start;
        Ok(empty(at))
    }

    fn flow_mapping_key(&mut self, first: bool) -> Step<Event<'a>> {
        if first {
            self.enter()?;
        } else if !matches!(self.scanner.peek()?.kind, Kind::FlowMappingEnd) {
            if !matches!(self.scanner.peek()?.kind, Kind::FlowEntry) {
                return Err(self.fault_within("dictionary", "Expected `,` or `}` here"));
            }
            self.scanner.take()?;
        }
        match self.scanner.peek()?.kind {
            Kind::FlowMappingEnd => self.leave(What::MappingEnd),
            Kind::Key => {
                self.scanner.take()?;
                self.flow_node_or_empty(State::FlowMappingValue)
            }
            _ => {
                self.states.push(State::FlowMappingEmptyValue);
                self.node(false, false)
            }
        }
    }

    fn flow_mapping_value(&mut self) -> Step<Event<'a>> {
        let then = State::FlowMappingKey { first: false };
        if matches!(self.scanner.peek()?.kind, Kind::Value) {
            self.scanner.take()?;
            if !matches!(self.scanner.peek()?.kind, Kind::FlowEntry | Kind::FlowMappingEnd) {
                self.states.push(then);
                return self.node(false, false);
            }
        }
        self.state = then;
        let at = self.scanner.peek()?.start;
        Ok(empty(at))
    }

    fn flow_node_or_empty(&mut self, then: State) -> Step<Event<'a>> {
        let token = self.scanner.peek()?;
        if matches!(token.kind, Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd) {
            let at = token.start;
            self.state = then;
            return Ok(empty(at));
        }
        self.states.push(then);
        self.node(false, false)
    }
}

fn event(what: What<'_>, start: u32, end: u32) -> Event<'_> {
    Event { what, start, end }
}

fn scalar(text: Cow<'_, str>, properties: Properties, start: u32, end: u32) -> Event<'_> {
    event(What::Scalar { text, properties }, start, end)
}

fn empty<'a>(at: u32) -> Event<'a> {
    scalar(Cow::Borrowed(""), Properties::default(), at, at)
}
