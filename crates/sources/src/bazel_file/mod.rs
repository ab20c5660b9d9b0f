//! `bazel_file`: a file in the layout of Bazel's repository cache.

use crate::cpan::remote_file;
use crate::declared::{Declared, reference};
use crate::download::RemoteFile;
use crate::key;
use crate::reading::Reading;
use crate::trees;
use crate::version::VersionGuess;
use bourn_plan::*;
use bourn_project::SourceDeclaration;
use bourn_reapi::{Digest, Directory, SymlinkNode};
use bourn_yaml::{Diagnostic, Diagnostics};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The directory that Bazel is told to take for its repository cache.
const CACHE: &str = "_bst_repository_cache";

/// The kind.
pub(crate) struct BazelFile;

#[derive(Clone)]
struct BazelFileSource {
    declared: Declared,
    /// With its alias.
    original_url: String,
    /// By the project's aliases.
    url: String,
    canonical_ids: Vec<String>,
    guess: VersionGuess,
    /// SHA-256 of the file.
    reference: Option<String>,
}

impl SourceKind for BazelFile {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        Ok(Box::new(read(&Reading::new(declaration, context))?))
    }
}

fn read(reading: &Reading<'_>) -> Result<BazelFileSource, Diagnostic> {
    let node = reading.node;
    let canonical_ids = node.opt_str_list("canonical-ids")?.unwrap_or_default();
    let original_url = node.get_str("url")?.to_owned();
    reading.keys(&["canonical-ids", "url", "ref", "version", "version-guess-pattern"])?;
    Ok(BazelFileSource {
        declared: reading.declared(),
        canonical_ids: canonical_ids.into_iter().map(str::to_owned).collect(),
        guess: VersionGuess::read(node)?,
        reference: node.opt_str("ref")?.map(str::to_owned),
        url: reading.translate(&original_url)?,
        original_url,
    })
}

impl BazelFileSource {
    /// What the reference writes beside the file, for people.
    fn manifest(&self, sha256: &str) -> String {
        let quoted = |text: &str| {
            let mut quoted = Vec::new();
            json::text(&mut quoted, text);
            String::from_utf8_lossy(&quoted).into_owned()
        };
        let ids: Vec<String> = self.canonical_ids.iter().map(|id| quoted(id)).collect();
        let mut text = format!(
            "{{\"type\": \"archive\", \"url\": {}, \"canonical-ids\": [{}], \"sha256\": {}",
            quoted(&self.url),
            ids.join(", "),
            quoted(sha256)
        );
        if !self.url.starts_with(&self.original_url) {
            let alias = self.original_url.split(':').next().unwrap_or_default();
            text.push_str(&format!(", \"alias\": {}", quoted(alias)));
        }
        text.push('}');
        text
    }

    fn file(&self) -> RemoteFile {
        let kind = &self.declared.kind;
        RemoteFile::new(kind, &self.original_url, self.original_url.clone(), self.reference.as_deref())
    }
}

impl Source for BazelFileSource {
    fn unique_key(&self, _: &dyn LocalDigests) -> Result<KeyValue, SourceError> {
        let mut entries = vec![
            ("url", (*self.original_url).into()),
            ("canonical-ids", key::texts(&self.canonical_ids)),
            ("plugin_version", "1".into()),
            ("ref", key::optional(self.reference.as_deref())),
        ];
        entries.extend(self.guess.key().map(|(name, value)| (name, value.into())));
        Ok(key::object(entries))
    }

    fn is_resolved(&self) -> bool {
        self.reference.is_some()
    }

    fn reference(&self) -> Option<SourceRef> {
        Some(reference("ref", self.reference.as_deref()?))
    }

    fn with_reference(&self, reference: &SourceRef) -> Result<Box<dyn Source>, Diagnostics> {
        let reference = reference.opt_str("ref")?.map(str::to_owned);
        Ok(Box::new(BazelFileSource { reference, ..self.clone() }))
    }

    fn is_fetched(&self, source_directory: &Path) -> Result<bool, SourceError> {
        Ok(self.file().is_kept(source_directory))
    }

    fn track(&self, context: &TrackContext<'_>) -> Result<Option<SourceRef>, SourceError> {
        Ok(Some(reference("ref", self.file().track(context)?)))
    }

    fn upstreams(&self, context: &FetchContext<'_>) -> Result<Option<Vec<Upstream>>, SourceError> {
        Ok(Some(self.file().remote(context.source_directory).into_iter().collect()))
    }

    fn fetch(&self, context: &FetchContext<'_>) -> Result<(), SourceError> {
        if self.reference.is_none() {
            return Err(self.declared.unresolved());
        }
        self.file().fetch(context)
    }

    /// The file below its SHA-256, with what Bazel finds it by otherwise.
    fn stage(&self, context: &StageContext<'_>) -> Result<Digest, SourceError> {
        let cas = context.cas;
        let sha256 = self.reference.as_deref().ok_or_else(|| self.declared.unresolved())?;
        let mut content = Hashing::new(self.file().open(context)?);
        let digest = cas.write_from(&mut content)?;
        let file = |content: &str| -> Result<trees::Entry, SourceError> {
            Ok(trees::Entry::File { digest: cas.write(content.as_bytes())?, executable: false })
        };
        let mut kept = trees::single(cas, "file", digest, false)?;
        kept = trees::put(cas, &kept, "info.txt", file(&self.manifest(sha256))?)?;
        for id in &self.canonical_ids {
            for (name, sum) in sums(id.as_bytes()) {
                let text = format!("generated by {name} of a canonical id of '{id}'\n");
                kept = trees::put(cas, &kept, &format!("id-{sum}"), file(&text)?)?;
            }
        }
        let mut addressed =
            trees::put(cas, &Digest::empty(), &format!("sha256/{sha256}"), trees::Entry::Directory(kept))?;
        for (name, sum) in content.sums() {
            let target = format!("../sha256/{sha256}");
            let link = SymlinkNode { name: sum, target, node_properties: None };
            let links = cas.write_directory(&Directory { symlinks: vec![link], ..Directory::default() })?;
            addressed = trees::put(cas, &addressed, name, trees::Entry::Directory(links))?;
        }
        let place = format!("{CACHE}/content_addressable");
        trees::put(cas, &Digest::empty(), &place, trees::Entry::Directory(addressed))
    }

    fn provenance(&self, _: &ProvenanceContext<'_>) -> Result<Option<Vec<SourceProvenance>>, SourceError> {
        let (sha256, guess) = (self.reference.as_deref(), Some(&self.guess));
        Ok(Some(vec![remote_file(&self.declared, &self.url, sha256, guess, None)]))
    }
}

/// The sums of a text, by the names of the functions.
fn sums(bytes: &[u8]) -> [(&'static str, String); 3] {
    [
        ("sha256", hex(&Sha256::digest(bytes))),
        ("sha384", hex(&Sha384::digest(bytes))),
        ("sha512", hex(&Sha512::digest(bytes))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is hashed while it is read, by the functions that Bazel may be given sums of.
struct Hashing {
    file: File,
    sha384: Sha384,
    sha512: Sha512,
}

impl Hashing {
    fn new(file: File) -> Hashing {
        Hashing { file, sha384: Sha384::new(), sha512: Sha512::new() }
    }

    fn sums(self) -> [(&'static str, String); 2] {
        [("sha384", hex(&self.sha384.finalize())), ("sha512", hex(&self.sha512.finalize()))]
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.sha384.update(&buffer[..read]);
        self.sha512.update(&buffer[..read]);
        Ok(read)
    }
}
