//! `docker`: the file system of a container image.

use crate::declared::{Declared, Origin, reference};
use crate::key;
use crate::reading::Reading;
use crate::release::Release;
use crate::url;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::Digest;
use bourn_yaml::{Diagnostic, Diagnostics};
use std::path::Path;

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
    release: Release,
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

const KEYS: [&str; 8] = ["architecture", "registry-url", "image", "os", "ref", "track", "url", "version"];

fn read(reading: &Reading<'_>) -> Result<DockerSource, Diagnostic> {
    let release = Release::of(&reading.declaration.origin);
    let versions = release >= Release(2, 5, 0);
    reading.keys(if versions { &KEYS } else { &KEYS[..7] })?;
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
        release,
    };
    if release < Release(2, 4, 0) && source.reference.is_none() && source.tag.is_none() {
        return Err(reading.error("", "Must specify either 'ref' or 'track' parameters"));
    }
    Ok(source)
}

fn read_image(reading: &Reading<'_>) -> Result<(Image, String), Diagnostic> {
    let node = reading.node;
    let has = |key: &str| node.get(key).is_some();
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
    if !has("image") {
        return Err(reading.error("", "Must define either 'url' or 'image'"));
    }
    let path = node.get_str("image")?.to_owned();
    let registry = node.opt_str("registry-url")?.unwrap_or("https://registry.hub.docker.com").to_owned();
    let translated = reading.translate(&registry)?;
    Ok((Image::Parts { registry, path }, translated))
}

impl DockerSource {
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

    fn is_fetched(&self, _: &Path) -> Result<bool, SourceError> {
        Err(self.declared.later("looked up"))
    }

    fn track(&self, _: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Err(self.declared.later("tracked"))
    }

    fn fetch(&self, _: &FetchContext<'_>) -> Result<(), SourceError> {
        Err(self.declared.later("fetched"))
    }

    fn stage(&self, _: &StageContext<'_>) -> Result<Digest, SourceError> {
        Err(self.declared.later("staged"))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        if self.release < Release(2, 5, 0) {
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
