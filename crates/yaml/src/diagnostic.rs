//! What is wrong with the user's files, and where.

use crate::span::Provenance;
use std::fmt;

/// Whose rule was broken; the names are bst's error domains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// Loading of projects and elements.
    Load,
    /// Loading of plugins.
    Plugin,
    /// An element kind refused its configuration.
    Element,
    /// A source kind refused its configuration.
    Source,
}

/// One thing that is wrong with the user's files.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Whose rule was broken.
    pub domain: Domain,
    /// Stable code; bst's reason in lower case with dashes where there is one. Empty where bst gives none.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// The place.
    pub at: Option<Provenance>,
    /// Further places and sentences.
    pub notes: Vec<(Option<Provenance>, String)>,
    /// What the user can do.
    pub hint: Option<String>,
    /// Longer text.
    pub detail: Option<String>,
}

impl Diagnostic {
    /// A diagnostic of `domain`.
    pub fn new(domain: Domain, code: &'static str, message: impl Into<String>) -> Diagnostic {
        let message = message.into();
        Diagnostic { domain, code, message, at: None, notes: Vec::new(), hint: None, detail: None }
    }

    /// A diagnostic of the loader.
    pub fn load(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Domain::Load, code, message)
    }

    /// Sets the place.
    pub fn at(mut self, at: Provenance) -> Diagnostic {
        self.at = at.file.map(|_| at);
        self
    }

    /// Adds a note.
    pub fn note(mut self, at: Option<Provenance>, text: impl Into<String>) -> Diagnostic {
        self.notes.push((at, text.into()));
        self
    }

    /// Sets the hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the longer text.
    pub fn detail(mut self, detail: impl Into<String>) -> Diagnostic {
        self.detail = Some(detail.into());
        self
    }
}

/// All that a phase found wrong; the first is the one bst would have stopped at.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Diagnostics {
        Diagnostics(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "\n" }, diagnostic.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
