//! The aliases of one project.

use super::{Mirror, Request, UrlPolicy, UrlSettings, read};
use crate::url;
use bourn_plan::mirror::ForeignMirrors;
use bourn_plan::{AliasedPath, Auth, Candidate, Credentials, Patience, SourceError, UrlError, UrlTable};
use bourn_project::Project;
use bourn_yaml::Diagnostic;
use indexmap::IndexMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The aliases and mirrors of one project.
pub(super) struct Aliases {
    /// Name of the project.
    project: String,
    /// Alias to URL.
    own: IndexMap<String, String>,
    /// By name, in order.
    mirrors: IndexMap<String, Box<dyn Mirror>>,
    /// Name of the mirror to try first.
    default_mirror: Option<String>,
    /// Whether the mirrors come from the user configuration.
    user_mirrors: bool,
    /// `junctions.disallow-subproject-uris`.
    disallow_subproject_uris: bool,
    /// Alias to alias of the parent project.
    mapping: IndexMap<String, String>,
    /// Whether aliases that the mapping does not name mean those of the parent project.
    identity: bool,
    /// The table of the project that holds the junction.
    parent: Option<Arc<Aliases>>,
    settings: Arc<UrlSettings>,
    /// Shared by the tables of all projects.
    answers: Arc<Answers>,
}

/// Answers of servers, by name.
#[derive(Default)]
pub(super) struct Answers(Mutex<HashMap<String, Answer>>);

/// Held while it is being found out.
type Answer = Arc<Mutex<Option<Arc<[u8]>>>>;

impl Answers {
    fn remember(
        &self,
        name: &str,
        find: &mut dyn FnMut() -> Result<Vec<u8>, SourceError>,
    ) -> Result<Arc<[u8]>, SourceError> {
        let answer = {
            let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(name.to_owned()).or_default().clone()
        };
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*answer {
            return Ok(known.clone());
        }
        let found: Arc<[u8]> = find()?.into();
        *answer = Some(found.clone());
        Ok(found)
    }
}

/// What stands behind the alias of a URL.
enum Behind<'a> {
    /// Nothing: the URL is taken as it is.
    Nothing,
    /// An alias of this table's project or one of its ancestors.
    Alias { table: &'a Aliases, alias: String },
}

impl Aliases {
    /// Reads the aliases and mirrors of a project, and what is wrong with them.
    pub(super) fn of(
        project: &Project,
        parent: Option<Arc<Aliases>>,
        settings: Arc<UrlSettings>,
        answers: Arc<Answers>,
        foreign: &dyn ForeignMirrors,
    ) -> (Aliases, Vec<Diagnostic>) {
        let mut wrong = Vec::new();
        let mut own = IndexMap::new();
        for (alias, node) in project.aliases.entries().into_iter().flatten() {
            match node.as_str() {
                Ok(url) => drop(own.insert(alias.to_string(), url.to_owned())),
                Err(_) => wrong.push(node.wrong_type(alias, "scalar")),
            }
        }
        let mut mirrors = IndexMap::new();
        for node in &project.mirrors {
            match read(node, project, foreign) {
                Ok((name, mirror)) => drop(mirrors.insert(name, mirror)),
                Err(error) => wrong.push(error),
            }
        }
        let default_mirror = project.default_mirror.clone().or_else(|| mirrors.keys().next().cloned());
        let aliases = Aliases {
            project: project.name.clone(),
            own,
            mirrors,
            default_mirror,
            user_mirrors: project.user_mirrors,
            disallow_subproject_uris: project.disallow_subproject_uris,
            mapping: project.alias_mapping.clone(),
            identity: project.alias_identity,
            parent,
            settings,
            answers,
        };
        (aliases, wrong)
    }

    /// The alias of the parent project that an alias is mapped to. One that is mapped to nothing is not mapped, not
    /// even where all others are mapped to those of the same name.
    fn parent_alias<'a>(&'a self, alias: &'a str) -> Option<&'a str> {
        let identical = self.identity.then_some(alias);
        let mapped = self.mapping.get(alias).map(String::as_str).or(identical);
        mapped.filter(|mapped| !mapped.is_empty())
    }

    /// Whether an alias may be used in URLs of this project.
    fn exists(&self, alias: &str) -> Result<bool, UrlError> {
        let Some(parent) = &self.parent else { return Ok(self.own.contains_key(alias)) };
        match self.parent_alias(alias) {
            Some(mapped) if parent.exists(mapped)? => Ok(true),
            Some(mapped) => {
                let message = format!(
                    "Mapped alias '{mapped}' for subproject alias '{alias}' is invalid in the parent project"
                );
                Err(UrlError { reason: "invalid-source-alias", message, detail: None })
            }
            None if parent.disallow_subproject_uris => Err(missing_mapping(alias)),
            None => Ok(self.own.contains_key(alias)),
        }
    }

    /// What stands behind an alias for fetching and tracking.
    fn behind(&self, alias: &str) -> Behind<'_> {
        if !self.own.contains_key(alias) {
            return Behind::Nothing;
        }
        let Some(parent) = &self.parent else {
            return Behind::Alias { table: self, alias: alias.to_owned() };
        };
        match self.parent_alias(alias) {
            Some(mapped) => parent.behind(mapped),
            None if parent.disallow_subproject_uris => Behind::Nothing,
            None => Behind::Alias { table: self, alias: alias.to_owned() },
        }
    }

    /// Mirrors that are to be asked, the default one first.
    fn mirrors(&self, policy: UrlPolicy) -> impl Iterator<Item = &dyn Mirror> {
        let asked = match policy {
            UrlPolicy::All | UrlPolicy::Mirrors => true,
            UrlPolicy::User => self.user_mirrors,
            UrlPolicy::Aliases => false,
        };
        let is_default = |name: &str| self.default_mirror.as_deref() == Some(name);
        let first = self.mirrors.iter().filter(move |(name, _)| is_default(name));
        let others = self.mirrors.iter().filter(move |(name, _)| !is_default(name));
        first.chain(others).filter(move |_| asked).map(|(_, mirror)| mirror.as_ref())
    }

    /// Everything to try for a URL, mirrors first.
    fn candidates(&self, url: &str, policy: UrlPolicy) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        if let Some((written, body)) = url::alias(url).and_then(|_| url.split_once(':'))
            && let Behind::Alias { table, alias } = self.behind(written)
        {
            let alias_url = self.own.get(written).map_or("", String::as_str);
            let request = Request { alias: &alias, alias_url, body };
            for mirror in table.mirrors(policy).filter(|mirror| mirror.serves(&alias)) {
                candidates.extend(mirror.candidates(&request));
            }
            if matches!(policy, UrlPolicy::All | UrlPolicy::Aliases) {
                let url = format!("{}{body}", table.own.get(&alias).map_or("", String::as_str));
                candidates.push(Candidate { url, auth: Auth::Basic });
            }
        }
        if candidates.is_empty() {
            let url = self.translate(url).unwrap_or_else(|_| url.to_owned());
            candidates.push(Candidate { url, auth: Auth::Basic });
        }
        candidates
    }

    /// Whether there is anything to try for an alias.
    fn has_target(&self, alias: &str, policy: UrlPolicy) -> bool {
        match self.behind(alias) {
            Behind::Nothing => true,
            Behind::Alias { table, alias } => {
                matches!(policy, UrlPolicy::All | UrlPolicy::Aliases)
                    || table.mirrors(policy).any(|mirror| mirror.serves(&alias))
            }
        }
    }
}

fn missing_mapping(alias: &str) -> UrlError {
    let message = format!(
        "Parent project did not provide a mapping for alias '{alias}' and disallowed usage of unmapped aliases"
    );
    UrlError { reason: "missing-alias-mapping", message, detail: None }
}

impl UrlTable for Aliases {
    fn translate(&self, url: &str) -> Result<String, UrlError> {
        let Some((alias, body)) = url.split_once(':') else { return Ok(url.to_owned()) };
        let Some(alias_url) = self.own.get(alias).filter(|alias_url| !alias_url.is_empty()) else {
            return Ok(url.to_owned());
        };
        if let Some(parent) = &self.parent {
            match self.parent_alias(alias) {
                Some(mapped) => return parent.translate(&format!("{mapped}:{body}")),
                None if parent.disallow_subproject_uris => return Err(missing_mapping(alias)),
                None => {}
            }
        }
        Ok(format!("{alias_url}{body}"))
    }

    fn check(&self, url: &str) -> Result<Option<String>, UrlError> {
        let Some(alias) = url::alias(url) else { return Ok(None) };
        if !self.exists(alias)? {
            let message = format!("Invalid alias '{alias}' specified in URL: {url}");
            return Err(UrlError { reason: "invalid-source-alias", message, detail: None });
        }
        for (policy, what, key) in
            [(self.settings.fetch, "fetch", "fetch"), (self.settings.track, "tracking", "track")]
        {
            if !self.has_target(alias, policy) {
                let message = format!("No {what} URI found for alias '{alias}'");
                let detail = Some(format!("Check {key} controls in your user configuration"));
                return Err(UrlError { reason: "missing-source-alias-target", message, detail });
            }
        }
        Ok(Some(alias.to_owned()))
    }

    fn fetch(&self, url: &str) -> Vec<Candidate> {
        self.candidates(url, self.settings.fetch)
    }

    fn track(&self, url: &str) -> Vec<Candidate> {
        let mut candidates = self.candidates(url, self.settings.track);
        candidates.reverse();
        candidates
    }

    fn home(&self, url: &str) -> Option<AliasedPath> {
        url::alias(url)?;
        let (written, path) = url.split_once(':')?;
        match self.behind(written) {
            Behind::Nothing => None,
            Behind::Alias { table, alias } => {
                Some(AliasedPath { project: table.project.clone(), alias, path: path.to_owned() })
            }
        }
    }

    fn credentials(&self, url: &str) -> Option<Credentials> {
        self.settings.netrc.credentials(&url::host(url)?)
    }

    fn proxy(&self, url: &str) -> Option<String> {
        self.settings.proxies.of_url(url).map(str::to_owned)
    }

    fn patience(&self) -> Patience {
        self.settings.patience
    }

    fn remember(
        &self,
        name: &str,
        find: &mut dyn FnMut() -> Result<Vec<u8>, SourceError>,
    ) -> Result<Arc<[u8]>, SourceError> {
        self.answers.remember(name, find)
    }
}
