//! Asking a registry: the HTTP API of the OCI distribution specification, with tokens as Docker's registries want
//! them (`docs.docker.com/registry/spec/auth/token`).

use super::Image;
use super::manifest::{ACCEPTED, Document, Layer, check_digest, choose};
use crate::http::{self, Answer, Request, Transfer, shown};
use crate::url;
use bourn_plan::{Auth, Candidate, Credentials, FetchContext, Patience, SourceError, UrlError, UrlTable};
use bourn_reapi::Digest;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tokens are good for a minute at least, as their specification demands.
const TOKEN_AGE: Duration = Duration::from_secs(50);
/// A list of manifests names manifests, not lists.
const DEEPEST: usize = 2;

/// A registry, and one image of it.
pub(super) struct Registry {
    endpoint: String,
    image: String,
    /// What it wants: how to get a token.
    challenge: Option<Challenge>,
    token: Option<(String, Instant)>,
    /// The manifest that was asked for last.
    pub(super) content: Vec<u8>,
}

/// Where a token is to be had, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: String,
    scope: String,
}

impl Challenge {
    /// Reads the header `WWW-Authenticate`.
    fn parse(header: &str) -> Option<Challenge> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut challenge = Challenge { realm: String::new(), service: String::new(), scope: String::new() };
        while let Some((name, after)) = rest.split_once('=') {
            // A quoted value may hold commas.
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value.to_owned(),
                "service" => challenge.service = value.to_owned(),
                "scope" => challenge.scope = value.to_owned(),
                _ => {}
            }
            rest = after.trim_start_matches([',', ' ']);
        }
        (!challenge.realm.is_empty()).then_some(challenge)
    }

    fn url(&self) -> String {
        let separator = if self.realm.contains('?') { '&' } else { '?' };
        format!(
            "{}{separator}service={}&scope={}",
            self.realm,
            url::quote(&self.service),
            url::quote(&self.scope)
        )
    }
}

impl Registry {
    /// The registries that a translated URL may lead to: the one by the rules, then the one that a mirror of plain
    /// files has. A directory is only the latter.
    pub(super) fn all(translated: &str, image: &Image) -> Vec<Registry> {
        let below = image.below(translated);
        let by_rule = Some(image.at(translated));
        let by_rule = by_rule.filter(|_| below.is_none() || url::split(translated).scheme != "file");
        let below = below.filter(|place| by_rule.as_ref() != Some(place));
        let registry = |(endpoint, image): (String, &str)| {
            let image = image.to_owned();
            Registry { endpoint, image, challenge: None, token: None, content: Vec::new() }
        };
        by_rule.into_iter().chain(below).map(registry).collect()
    }

    /// The registry as people may see it.
    pub(super) fn shown(&self) -> String {
        shown(&self.endpoint)
    }

    fn url(&self, what: &str, name: &str) -> String {
        format!("{}/v2/{}/{what}/{}", self.endpoint, self.image, url::quote(name))
    }

    /// Finds the manifest that a tag or a digest names, on a platform; its digest. Its text is in `content` then.
    ///
    /// # Errors
    /// The network; there is none, or it is not what its digest says.
    pub(super) fn manifest(
        &mut self,
        context: &FetchContext<'_>,
        wanted: &str,
        architecture: &str,
        os: &str,
    ) -> Result<String, SourceError> {
        let mut wanted = wanted.to_owned();
        for _ in 0..DEEPEST {
            let (answer, content) = self.ask(context, &self.url("manifests", &wanted))?;
            let digest = format!("sha256:{}", Digest::of(&content).hex());
            let told = answer.header("docker-content-digest");
            let other = told.filter(|told| *told != digest);
            let other = other
                .or_else(|| Some(wanted.as_str()).filter(|wanted| wanted.contains(':') && *wanted != digest));
            if let Some(other) = other {
                let message =
                    format!("{} returned a manifest whose content is {digest}, not {other}", self.shown());
                return Err(SourceError::new(message));
            }
            match Document::parse(&content, answer.header("content-type"))? {
                Document::Image => {
                    self.content = content;
                    return Ok(digest);
                }
                Document::Index(index) => wanted = choose(&index, architecture, os)?,
            }
        }
        Err(SourceError::new("The registry answers with lists of lists of manifests"))
    }

    /// Brings a layer.
    ///
    /// # Errors
    /// The network, the disk, another content than expected.
    pub(super) fn layer(
        &mut self,
        context: &FetchContext<'_>,
        directory: &Path,
        layer: &Layer,
    ) -> Result<(), SourceError> {
        check_digest(&layer.digest)?;
        let path = directory.join(layer.file_name());
        if path.is_file() {
            return Ok(());
        }
        let token = self.fresh_token(context)?;
        let url = self.url("blobs", &layer.digest);
        let auth = if token.is_some() { Auth::Bearer } else { Auth::Basic };
        let urls = WithToken { urls: context.urls, host: url::host(&url), token };
        let context = FetchContext { urls: &urls, ..*context };
        // Beside the layers, until it has the name that they have.
        let landing = directory.join(".layers");
        let sha256 = Some(layer.sha256());
        let transfer = Transfer { context: &context, directory: &landing, sha256, etag: None, beside: None };
        transfer.run(&[Candidate { url, auth }])?;
        std::fs::rename(landing.join(layer.sha256()), &path)
            .map_err(|error| bourn_reapi::ServiceError::io(&error, "Writing", &path).into())
    }

    /// Asks for a document, with a token if the registry wants one.
    fn ask(&mut self, context: &FetchContext<'_>, url: &str) -> Result<(Answer, Vec<u8>), SourceError> {
        let (answer, content) = self.get(context, url)?;
        if answer.status != 401 {
            return Ok((answer, content));
        }
        let challenge = answer.header("www-authenticate").and_then(Challenge::parse);
        let challenge = challenge.ok_or_else(|| refused(url, "it does not say how to authenticate"))?;
        self.challenge = Some(challenge);
        self.token = None;
        let (answer, content) = self.get(context, url)?;
        if answer.status == 401 {
            return Err(refused(url, "HTTP Error 401: Unauthorized"));
        }
        Ok((answer, content))
    }

    fn get(&mut self, context: &FetchContext<'_>, url: &str) -> Result<(Answer, Vec<u8>), SourceError> {
        let mut headers = vec![("Accept", ACCEPTED.to_owned())];
        if let Some(token) = self.fresh_token(context)? {
            headers.push(("Authorization", format!("Bearer {token}")));
        }
        let request = Request { url, headers, ..Request::default() };
        http::get(&request, context.urls, context.cancel).map_err(|failure| {
            let message = format!("Cannot read {}: {}", shown(url), failure.message);
            let hint = match failure.status {
                Some(404) => Some("the registry has no such image, tag or digest"),
                Some(403) => Some("give the credentials for this registry's tokens in ~/.netrc"),
                _ => None,
            };
            let error = SourceError { temporary: failure.passing, ..SourceError::new(message) };
            hint.map_or(error.clone(), |hint| error.hint(hint))
        })
    }

    /// A token that is good for another request; `None` where none is wanted.
    fn fresh_token(&mut self, context: &FetchContext<'_>) -> Result<Option<String>, SourceError> {
        let Some(challenge) = &self.challenge else { return Ok(None) };
        if let Some((token, since)) = &self.token
            && since.elapsed() < TOKEN_AGE
        {
            return Ok(Some(token.clone()));
        }
        let token = token(context, challenge)?;
        self.token = Some((token.clone(), Instant::now()));
        Ok(Some(token))
    }
}

fn refused(url: &str, why: &str) -> SourceError {
    SourceError::new(format!("Cannot read {}: {why}", shown(url)))
        .hint("give the credentials for the host that issues the registry's tokens in ~/.netrc")
}

/// Gets a token; with the credentials for the host that issues it, if there are any.
fn token(context: &FetchContext<'_>, challenge: &Challenge) -> Result<String, SourceError> {
    let url = challenge.url();
    let mut headers = Vec::new();
    if let Some(Credentials { user, password }) = context.urls.credentials(&challenge.realm) {
        let text = format!("{user}:{password}");
        headers.push(("Authorization", format!("Basic {}", crate::base64::encode(text.as_bytes()))));
    }
    let request = Request { url: &url, headers, ..Request::default() };
    let failed =
        |message: &str| SourceError::new(format!("No token from {}: {message}", shown(&challenge.realm)));
    let (answer, content) = http::get(&request, context.urls, context.cancel)
        .map_err(|failure| SourceError { temporary: failure.passing, ..failed(&failure.message) })?;
    if answer.status == 401 {
        return Err(
            failed("HTTP Error 401: Unauthorized").hint("give the credentials for this host in ~/.netrc")
        );
    }
    let value: Value = serde_json::from_slice(&content).map_err(|_| failed("the answer is no JSON"))?;
    let found = ["token", "access_token"].iter().find_map(|key| value.get(key)?.as_str());
    found.map(str::to_owned).ok_or_else(|| failed("the answer has no `token`"))
}

/// A table of URLs that has a token for one host, and no other credentials.
struct WithToken<'a> {
    urls: &'a dyn UrlTable,
    host: Option<String>,
    token: Option<String>,
}

impl UrlTable for WithToken<'_> {
    fn translate(&self, url: &str) -> Result<String, UrlError> {
        self.urls.translate(url)
    }

    fn check(&self, url: &str) -> Result<Option<String>, UrlError> {
        self.urls.check(url)
    }

    fn fetch(&self, url: &str) -> Vec<Candidate> {
        self.urls.fetch(url)
    }

    fn track(&self, url: &str) -> Vec<Candidate> {
        self.urls.track(url)
    }

    fn credentials(&self, url: &str) -> Option<Credentials> {
        match &self.token {
            Some(token) if url::host(url) == self.host => {
                Some(Credentials { user: String::new(), password: token.clone() })
            }
            _ => self.urls.credentials(url),
        }
    }

    fn proxy(&self, url: &str) -> Option<String> {
        self.urls.proxy(url)
    }

    fn patience(&self) -> Patience {
        self.urls.patience()
    }

    fn remember(
        &self,
        name: &str,
        find: &mut dyn FnMut() -> Result<Vec<u8>, SourceError>,
    ) -> Result<Arc<[u8]>, SourceError> {
        self.urls.remember(name, find)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let found = Challenge::parse(
            "Bearer realm=\"https://auth.example/token\",service=\"r.example\",scope=\"repository:a/b:pull,push\"",
        );
        let found = found.expect("a challenge");
        assert_eq!(found.scope, "repository:a/b:pull,push");
        assert_eq!(
            found.url(),
            "https://auth.example/token?service=r.example&scope=repository%3Aa%2Fb%3Apull%2Cpush"
        );
        assert!(Challenge::parse("bearer realm=x").is_some());
        assert_eq!(Challenge::parse("Basic realm=\"x\""), None);
        assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
        assert_eq!(Challenge::parse("Bearer realm=\"x"), None);
    }
}
