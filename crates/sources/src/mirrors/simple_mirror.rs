//! `simple_mirror`: one URL with the alias filled in.

use super::{Mirror, Request};
use crate::template::{TemplateError, fill};
use crate::url::join;
use bourn_plan::{Auth, Candidate};
use bourn_yaml::{Diagnostic, Node};

struct Simple {
    aliases: Vec<String>,
    url: String,
}

pub(super) fn read(node: &Node) -> Result<Box<dyn Mirror>, Diagnostic> {
    node.validate_keys(&["url", "aliases"])?;
    let aliases = read_aliases(node)?;
    Ok(Box::new(Simple { aliases, url: read_template(node, "url")? }))
}

/// The `aliases:` that a mirror serves.
pub(super) fn read_aliases(node: &Node) -> Result<Vec<String>, Diagnostic> {
    Ok(node.get_str_list("aliases")?.into_iter().map(str::to_owned).collect())
}

/// A text in which `{alias}` may stand.
pub(super) fn read_template(node: &Node, key: &str) -> Result<String, Diagnostic> {
    let text = node.get_str(key)?;
    let wrong = match fill(text, |name| (name == "alias").then_some("")) {
        Ok(_) => return Ok(text.to_owned()),
        Err(TemplateError::Unknown(name)) => format!("`{{{name}}}` means nothing here; `{{alias}}` does"),
        Err(TemplateError::Malformed) => "Braces do not match; a brace itself is written twice".to_owned(),
    };
    Err(Diagnostic::new(bourn_yaml::Domain::Source, "", wrong).at(node.get_node(key)?.at))
}

/// Fills in the alias.
pub(super) fn with_alias(template: &str, alias: &str) -> String {
    fill(template, |name| (name == "alias").then_some(alias)).unwrap_or_else(|_| template.to_owned())
}

impl Mirror for Simple {
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate> {
        let url = join(&with_alias(&self.url, request.alias), request.body);
        vec![Candidate { url, auth: Auth::Basic }]
    }

    fn serves(&self, alias: &str) -> bool {
        self.aliases.iter().any(|served| served == alias)
    }
}
