//! `fake_mirror`: the alias's own URL counts as a mirror, so that `fetch.source: mirrors` finds one.

use super::simple_mirror::read_aliases;
use super::{Mirror, Request};
use crate::url::join;
use bourn_plan::{Auth, Candidate};
use bourn_yaml::{Diagnostic, Node};

struct Fake(Vec<String>);

pub(super) fn read(node: &Node) -> Result<Box<dyn Mirror>, Diagnostic> {
    node.validate_keys(&["aliases"])?;
    Ok(Box::new(Fake(read_aliases(node)?)))
}

impl Mirror for Fake {
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate> {
        vec![Candidate { url: join(request.alias_url, request.body), auth: Auth::Basic }]
    }

    fn serves(&self, alias: &str) -> bool {
        self.0.iter().any(|served| served == alias)
    }
}
