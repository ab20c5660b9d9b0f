//! `gitlab_lfs_mirror`: files in a git-lfs repository, through GitLab's REST API with a bearer token.

use super::simple_mirror::{read_aliases, read_template, with_alias};
use super::{Mirror, Request};
use crate::url::{join, quote};
use bourn_plan::{Auth, Candidate};
use bourn_yaml::{Diagnostic, Node};

struct GitlabLfs {
    aliases: Vec<String>,
    url: String,
    project: String,
    reference: String,
}

pub(super) fn read(node: &Node) -> Result<Box<dyn Mirror>, Diagnostic> {
    node.validate_keys(&["aliases", "url", "project", "ref"])?;
    Ok(Box::new(GitlabLfs {
        aliases: read_aliases(node)?,
        url: node.get_str("url")?.to_owned(),
        project: read_template(node, "project")?,
        reference: node.opt_str("ref")?.unwrap_or("master").to_owned(),
    }))
}

impl Mirror for GitlabLfs {
    fn candidates(&self, request: &Request<'_>) -> Vec<Candidate> {
        let project = quote(&with_alias(&self.project, request.alias));
        let file = quote(request.body);
        let path =
            format!("api/v4/projects/{project}/repository/files/{file}/raw?ref={}&lfs=true", self.reference);
        vec![Candidate { url: join(&self.url, &path), auth: Auth::Bearer }]
    }

    fn serves(&self, alias: &str) -> bool {
        self.aliases.iter().any(|served| served == alias)
    }
}
