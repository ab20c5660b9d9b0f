//! `default`: a mirror that lists the URLs of each alias.

use super::{Mirror, Request};
use bourn_plan::{Auth, Candidate};
use bourn_yaml::{Diagnostic, Node};
use indexmap::IndexMap;

struct Listed(IndexMap<String, Vec<String>>);

pub(super) fn read(node: &Node) -> Result<Box<dyn Mirror>, Diagnostic> {
    node.validate_keys(&["name", "kind", "aliases"])?;
    let aliases = node.get_mapping("aliases")?.as_mapping()?;
    let urls = |node: &Node| Ok(node.as_str_list()?.into_iter().map(str::to_owned).collect());
    let listed = aliases.iter().map(|(alias, node)| Ok((alias.to_string(), urls(node)?)));
    Ok(Box::new(Listed(listed.collect::<Result<_, Diagnostic>>()?)))
}

impl Mirror for Listed {
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate> {
        let urls = self.0.get(request.alias).into_iter().flatten();
        urls.map(|url| Candidate { url: format!("{url}{}", request.body), auth: Auth::Basic }).collect()
    }

    fn serves(&self, alias: &str) -> bool {
        self.0.get(alias).is_some_and(|urls| !urls.is_empty())
    }
}
