//! What is wrong with the user's files, and where.

use crate::span::Provenance;
use std::fmt;
use std::ops::{Deref, DerefMut};

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

/// One thing that is wrong with the user's files. A pointer wide, as it travels in every `Result`; its
/// [`Parts`] read as fields of it.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    parts: Box<Parts>,
}

/// What a [`Diagnostic`] says.
#[derive(Clone, Debug)]
pub struct Parts {
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

impl Deref for Diagnostic {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DerefMut for Diagnostic {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

impl Diagnostic {
    /// A diagnostic of `domain`.
    pub fn new(domain: Domain, code: &'static str, message: impl Into<String>) -> Diagnostic {
        let message = message.into();
        let parts = Parts { domain, code, message, at: None, notes: Vec::new(), hint: None, detail: None };
        Diagnostic { parts: Box::new(parts) }
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

    /// Hints at the name that was probably meant.
    pub fn did_you_mean(self, name: Option<&str>) -> Diagnostic {
        match name {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Hints at the name that was written and that probably was to be the missing one.
    pub(crate) fn did_you_write(self, name: Option<&str>) -> Diagnostic {
        match name {
            Some(name) => self.hint(format!("is `{name}` a typing error?")),
            None => self,
        }
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
