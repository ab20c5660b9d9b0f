//! `docker`: the file system of a container image.

mod layers;
mod manifest;
mod registry;

use crate::declared::{Declared, Origin, reference};
use crate::download::activity;
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::url;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use manifest::Manifest;
use registry::Registry;
use std::path::{Path, PathBuf};

/// The kind.
pub(crate) struct Docker;

#[derive(Clone)]
struct DockerSource {
    declared: Declared,
    image: Image,
    /// Where the registry is, no alias left.
    registry: String,
    /// Tag to track.
    tag: Option<String>,
    /// Architecture as registries name it.
    architecture: Option<String>,
    /// Operating system as registries name it.
    os: Option<String>,
    version: Option<String>,
    /// SHA-256 of the manifest.
    reference: Option<String>,
}

/// How the image is named.
#[derive(Clone, Debug)]
enum Image {
    /// `url`: registry and path in one, with its alias.
    Url {
        /// As written.
        original: String,
        /// Path of the URL.
        path: String,
    },
    /// `registry-url` and `image`.
    Parts {
        /// As written.
        registry: String,
        /// Path of the image.
        path: String,
    },
}

impl Image {
    /// What aliases and mirrors apply to: the URL, or that of the registry.
    fn url(&self) -> &str {
        match self {
            Image::Url { original, .. } => original,
            Image::Parts { registry, .. } => registry,
        }
    }

    /// Where the registry is that a translated URL leads to, and the path of the image there.
    fn at<'a>(&'a self, url: &'a str) -> (String, &'a str) {
        match self {
            Image::Url { .. } => {
                let parts = url::split(url);
                (format!("{}://{}", parts.scheme, parts.authority), parts.path.trim_matches('/'))
            }
            Image::Parts { path, .. } => (url.trim_end_matches('/').to_owned(), path.trim_matches('/')),
        }
    }

    /// The same where the URL of the alias is a registry, and the image is named after the alias: so a mirror of plain
    /// files has it, which answers below its own URL only.
    fn below<'a>(&'a self, url: &'a str) -> Option<(String, &'a str)> {
        let Image::Url { original, .. } = self else { return None };
        url::alias(original)?;
        let (_, name) = original.split_once(':')?;
        let registry = url.strip_suffix(name)?.trim_end_matches('/');
        (!registry.is_empty()).then(|| (registry.to_owned(), name.trim_matches('/')))
    }

    /// The URL, with its alias, of a file of the image where the URL of the alias is a registry.
    fn file(&self, what: &str, digest: &str) -> String {
        let (registry, name) = match self {
            Image::Url { original, .. } => original.split_at(original.find(':').map_or(0, |colon| colon + 1)),
            Image::Parts { registry, path } => (registry.trim_end_matches('/'), &**path),
        };
        let slash = if registry.ends_with(':') { "" } else { "/" };
        format!("{registry}{slash}v2/{}/{what}/{digest}", name.trim_matches('/'))
    }

    fn path(&self) -> &str {
        match self {
            Image::Url { path, .. } | Image::Parts { path, .. } => path,
        }
    }
}

impl SourceKind for Docker {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

const KEYS: [&str; 8] = ["registry-url", "image", "ref", "track", "url", "architecture", "os", "version"];

fn read(reading: &Reading<'_>) -> Result<DockerSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    let known = match release {
        Release(2, 0, 0) => 5,
        _ if release < Release(2, 5, 0) => 7,
        _ => KEYS.len(),
    };
    reading.keys(&KEYS[..known])?;
    let node = reading.node;
    let (image, registry) = read_image(reading)?;
    let named = |key: &str| -> Result<Option<String>, Diagnostic> {
        Ok(node.opt_str(key)?.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let source = DockerSource {
        declared: reading.declared(),
        image,
        registry,
        tag: named("track")?,
        architecture: named("architecture")?,
        os: named("os")?,
        version: node.opt_str("version")?.map(str::to_owned),
        reference: node.opt_str("ref")?.map(str::to_owned),
    };
    if release < Release(2, 4, 0) && source.reference.is_none() && source.tag.is_none() {
        return Err(reading.error("", "Must specify either 'ref' or 'track' parameters"));
    }
    Ok(source)
}

fn read_image(reading: &Reading<'_>) -> Result<(Image, String), Diagnostic> {
    let node = reading.node;
    let has = |key: &str| node.get(key).is_some();
    let takes_url = Release::of(&reading.declaration.origin) >= Release(2, 2, 0);
    if has("url") && !takes_url {
        let message = "'url' parameter is now deprecated, use 'registry-url' and 'image' instead.";
        return Err(reading.error("", message));
    }
    if has("url") && (has("image") || has("registry-url")) {
        return Err(reading.error("", "May specify either 'url', or 'image' and 'registry-url'"));
    }
    if has("url") {
        let original = node.get_str("url")?.to_owned();
        let translated = reading.translate(&original)?;
        let parts = url::split(&translated);
        let registry = format!("{}://{}", parts.scheme, parts.authority);
        return Ok((Image::Url { original, path: parts.path.to_owned() }, registry));
    }
    if !has("image") && takes_url {
        return Err(reading.error("", "Must define either 'url' or 'image'"));
    }
    let path = node.get_str("image")?.to_owned();
    let registry = node.opt_str("registry-url")?.unwrap_or("https://registry.hub.docker.com").to_owned();
    let translated = reading.translate(&registry)?;
    Ok((Image::Parts { registry, path }, translated))
}

/// The name of the file of a manifest among the downloads.
fn manifest_name(digest: &str) -> String {
    format!("{digest}.manifest.json")
}

impl DockerSource {
    /// Where manifests and layers are kept, all of one place since their names are their sums.
    fn directory(&self, source_directory: &Path) -> PathBuf {
        source_directory.join(&*self.declared.kind)
    }

    /// The manifest, if it is kept.
    fn kept_manifest(&self, source_directory: &Path) -> Result<Option<Manifest>, SourceError> {
        let Some(digest) = self.digest() else { return Ok(None) };
        let path = self.directory(source_directory).join(manifest_name(&digest));
        match std::fs::read(&path) {
            // One that was damaged is fetched again.
            Ok(content) if Digest::of(&content).hex() != digest["sha256:".len()..] => Ok(None),
            Ok(content) => Manifest::parse(&content).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(crate::tree::unreadable(&path, &error)),
        }
    }

    /// The manifest that a tag or digest leads to, from the first registry that has it; with that registry's
    /// address and the token that it wants.
    fn first_manifest(
        &self,
        context: &FetchContext<'_>,
        candidates: Vec<Candidate>,
        wanted: &str,
    ) -> Result<(Registry, String), SourceError> {
        self.first(context, candidates, |registry| self.ask(context, registry, wanted))
    }

    /// Does something with the first registry where that succeeds. The error is of the last place that is the one by
    /// the rules, since the others are guesses.
    fn first<T>(
        &self,
        context: &FetchContext<'_>,
        candidates: Vec<Candidate>,
        work: impl Fn(Registry) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut failure = None;
        for candidate in candidates {
            for (at, registry) in Registry::all(&candidate.url, &self.image).into_iter().enumerate() {
                match work(registry) {
                    Err(error) if !context.cancel.is_cancelled() => {
                        failure = failure.filter(|_| at > 0).or(Some(error));
                    }
                    done => return done,
                }
            }
        }
        Err(failure.unwrap_or_else(|| SourceError::new("There is no registry to ask")))
    }

    fn ask(
        &self,
        context: &FetchContext<'_>,
        mut registry: Registry,
        wanted: &str,
    ) -> Result<(Registry, String), SourceError> {
        context.progress.status(&format!("Asking {} for {wanted}", registry.shown()));
        let (architecture, os) = self.platform();
        let digest = registry.manifest(context, wanted, &architecture, &os)?;
        Ok((registry, digest))
    }

    /// Architecture and operating system, those of this machine where none are declared.
    fn platform(&self) -> (String, String) {
        let system = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let machine = match text(system.machine()).as_str() {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        let name = text(system.sysname()).to_lowercase();
        (self.architecture.clone().unwrap_or(machine), self.os.clone().unwrap_or(name))
    }

    fn fetch_layers(&self, context: &FetchContext<'_>, digest: &str) -> Result<(), SourceError> {
        let directory = self.directory(context.source_directory);
        self.first(context, context.urls.fetch(self.image.url()), |registry| {
            let (mut registry, found) = self.ask(context, registry, digest)?;
            if found != *digest {
                let message = format!("Requested image {digest}, got manifest with digest {found}");
                return Err(SourceError::new(message));
            }
            let content = std::mem::take(&mut registry.content);
            let manifest = Manifest::parse(&content)?;
            manifest.check_layers()?;
            for layer in &manifest.layers {
                registry.layer(context, &directory, layer)?;
            }
            // Last, so that it stands for all of them.
            let path = directory.join(manifest_name(digest));
            std::fs::create_dir_all(&directory)
                .and_then(|()| crate::http::write_whole(&path, &content))
                .map_err(|error| bourn_reapi::ServiceError::io(&error, "Writing", &path).into())
        })
    }

    /// The digest of the manifest as registries write it.
    fn digest(&self) -> Option<String> {
        Some(format!("sha256:{}", self.reference.as_deref()?))
    }
}

impl Source for DockerSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut values = match &self.image {
            Image::Url { original, .. } => vec![KeyValue::from(&**original)],
            Image::Parts { registry, path } => vec![KeyValue::from(&**registry), KeyValue::from(&**path)],
        };
        values.push(key::optional(self.digest().as_deref()));
        values.extend(self.version.as_deref().map(KeyValue::from));
        Ok(KeyValue::List(values))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(DockerSource { reference, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        let Some(manifest) = self.kept_manifest(source_directory)? else { return Ok(false) };
        let directory = self.directory(source_directory);
        Ok(manifest.layers.iter().all(|layer| directory.join(layer.file_name()).is_file()))
    }

    /// What the tag means now, on the architecture and operating system that are wanted.
    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        let Some(tag) = &self.tag else { return Ok(None) };
        let (_, digest) = self.first_manifest(context, context.urls.track(self.image.url()), tag)?;
        let digest = digest.strip_prefix("sha256:").unwrap_or(&digest).to_owned();
        Ok(Some(reference("ref", digest)))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        let digest = self.digest().ok_or_else(|| self.declared.unresolved())?;
        manifest::check_digest(&digest)?;
        if self.is_fetched(context.source_directory)? {
            return Ok(());
        }
        let heading = format!("Fetching image {} with digest {digest}", self.image.path());
        activity(context.progress, &heading, || self.fetch_layers(context, &digest))
    }

    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let manifest = self.kept_manifest(context.source_directory)?;
        let manifest = manifest.ok_or_else(|| {
            SourceError::new("Unable to load the manifest of the image").hint("fetch the source first")
        })?;
        layers::stage(context.cas, &self.directory(context.source_directory), &manifest)
    }

    /// The manifest and the layers, below the URL of the alias as a registry would give them out.
    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        let directory = self.directory(context.source_directory);
        let (Some(digest), Some(manifest)) = (self.digest(), self.kept_manifest(context.source_directory)?)
        else {
            return Err(self.declared.unresolved());
        };
        let file = |url: String, kept: String, digest: &str| {
            let sha256 = digest["sha256:".len()..].to_owned();
            Upstream { url, content: UpstreamContent::File { kept: directory.join(kept), sha256 } }
        };
        if url::alias(self.image.url()).is_none() {
            // There is no place for it, which is said once.
            return Ok(Some(vec![file(self.image.url().to_owned(), manifest_name(&digest), &digest)]));
        }
        let manifests = file(self.image.file("manifests", &digest), manifest_name(&digest), &digest);
        let layers = manifest
            .layers
            .iter()
            .map(|layer| file(self.image.file("blobs", &layer.digest), layer.file_name(), &layer.digest));
        Ok(Some(std::iter::once(manifests).chain(layers).collect()))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.declared.release < Release(2, 5, 0) {
            return Ok(None);
        }
        let digest = self.digest();
        let origin = Origin {
            url: &self.registry,
            medium: "oci-image",
            version_type: "oci-digest",
            version: digest.as_deref(),
            guess: self.version.clone(),
            extra: Vec::new(),
        };
        Ok(Some(vec![
            self.declared.provenance(origin.extra("image-name", self.image.path().trim_start_matches('/'))),
        ]))
    }
}
