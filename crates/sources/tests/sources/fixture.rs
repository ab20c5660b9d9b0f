//! A project in a directory of its own, and sources declared in it.

use bourn_plan::mirror::NoForeignMirrors;
use bourn_plan::source::{Progress, Tone};
use bourn_plan::{FetchContext, Source, SourceContext, SourceError, Warnings};
use bourn_project::{KindOrigin, Project, RefStorage, SourceDeclaration};
use bourn_reapi::services::Cancel;
use bourn_reapi::{Cas, Digest};
use bourn_sources::{LocalTrees, UrlSettings, find, url_tables};
use bourn_yaml::{Diagnostics, Files, Node};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A project on disk.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) project: Project,
    pub(crate) settings: UrlSettings,
    pub(crate) warnings: Warnings,
    pub(crate) local: LocalTrees,
    pub(crate) progress: Silent,
    pub(crate) cancel: Cancel,
    /// Releases of the two plugin packages.
    pub(crate) releases: (String, String),
    /// Where what is fetched comes from.
    pub(crate) upstream: Option<TempDir>,
    files: Files,
}

impl Fixture {
    /// A project whose project.conf is `text`, as far as sources look at it.
    pub(crate) fn new(text: &str) -> Fixture {
        let directory = TempDir::new().expect("a temporary directory");
        let files = Files::default();
        let conf = parse(&files, "project.conf", text);
        let project = project(directory.path(), &conf);
        Fixture {
            directory,
            project,
            settings: UrlSettings::default(),
            warnings: Warnings::default(),
            local: LocalTrees::new(None, Files::default()),
            progress: Silent::default(),
            cancel: Cancel::default(),
            releases: ("2.8.0".into(), "2.4.0".into()),
            upstream: None,
            files,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Configures a source.
    pub(crate) fn source(&self, text: &str) -> Result<Box<dyn Source>, Diagnostics> {
        let config = parse(&self.files, "element.bst", text);
        let kind = config.get_str("kind").expect("a kind").to_owned();
        let (origin, found) = self.kind(&kind);
        let found = found.unwrap_or_else(|| panic!("no kind {kind}"));
        let declaration = SourceDeclaration {
            kind: Arc::from(kind.as_str()),
            origin,
            index: 1,
            directory: config.opt_str("directory").expect("a text").map(str::to_owned),
            provenance: config.get("provenance").cloned(),
            ref_storage: RefStorage::Inline,
            at: config.at,
            config,
        };
        let urls = url_tables(std::slice::from_ref(&self.project), &self.settings, &NoForeignMirrors)?;
        let context = SourceContext {
            project: &self.project,
            element: "element.bst",
            urls: &urls[0],
            local: &self.local,
            warnings: &self.warnings,
        };
        found.configure(&declaration, &context)
    }

    fn kind(&self, kind: &str) -> (KindOrigin, Option<&'static dyn bourn_plan::SourceKind>) {
        let packages =
            [("buildstream-plugins", &self.releases.0), ("buildstream-plugins-community", &self.releases.1)];
        for (name, release) in packages {
            let package = Some((name.to_owned(), release.clone()));
            let origin = KindOrigin::File { directory: PathBuf::from("plugins"), package };
            if let Some(found) = find(kind, &origin) {
                return (origin, Some(found));
            }
        }
        (KindOrigin::Core, find(kind, &KindOrigin::Core))
    }
}

fn parse(files: &Files, name: &str, text: &str) -> Node {
    let id = files.add(Path::new(name), name, None, Arc::from(text));
    bourn_yaml::parse(files, id).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn project(directory: &Path, conf: &Node) -> Project {
    let empty = || Node::mapping(bourn_yaml::Mapping::new());
    let texts = |key: &str| -> IndexMap<String, String> {
        let entries = conf.get(key).and_then(Node::entries).into_iter().flatten();
        entries.map(|(name, value)| (name.to_string(), value.text().unwrap_or_default().to_owned())).collect()
    };
    Project {
        name: conf.opt_str("name").expect("a text").unwrap_or("test").to_owned(),
        junction: None,
        directory: directory.to_owned(),
        element_path: ".".to_owned(),
        ref_storage: RefStorage::Inline,
        fatal_warnings: conf
            .opt_str_list("fatal-warnings")
            .expect("texts")
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        aliases: conf.get("aliases").cloned().unwrap_or_else(empty),
        mirrors: conf.opt_sequence("mirrors").expect("a list").unwrap_or_default().to_vec(),
        user_mirrors: false,
        default_mirror: None,
        disallow_subproject_uris: false,
        mirror_origins: IndexMap::new(),
        options: IndexMap::new(),
        shell: empty(),
        artifact_caches: None,
        source_caches: None,
        default_targets: Vec::new(),
        provenance_attributes: texts("source-provenance-attributes"),
        variables: bourn_project::Variables::default(),
        first_pass: None,
        alias_mapping: IndexMap::new(),
        alias_identity: false,
        parent: None,
    }
}

/// Says nothing to anybody, and keeps what was said.
#[derive(Default)]
pub(crate) struct Silent {
    pub(crate) said: std::sync::Mutex<Vec<String>>,
}

impl Silent {
    fn keep(&self, text: String) {
        self.said.lock().expect("no panic").push(text);
    }
}

impl Progress for Silent {
    fn say(&self, tone: Tone, text: &str, _: Option<&str>) {
        self.keep(format!("{} {text}", format!("{tone:?}").to_uppercase()));
    }

    fn warn(&self, token: Option<&'static str>, text: &str, _: Option<&str>) -> Result<(), SourceError> {
        self.keep(format!("WARN {token:?} {text}"));
        Ok(())
    }

    fn under(
        &self,
        heading: &str,
        _: Option<&str>,
        _: bool,
        work: &mut dyn FnMut() -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        self.keep(format!("START {heading}"));
        work()
    }

    fn log(&self, output: &str) {
        self.keep(format!("LOG {output}"));
    }

    fn bytes(&self, _: u64, _: Option<u64>) {}
}

impl Fixture {
    /// Does something with all that fetching is given.
    pub(crate) fn with_context<T>(
        &self,
        cas: &dyn Cas,
        previous: Option<Digest>,
        work: impl FnOnce(&FetchContext<'_>) -> T,
    ) -> T {
        let urls = url_tables(std::slice::from_ref(&self.project), &self.settings, &NoForeignMirrors)
            .expect("tables");
        work(&FetchContext {
            source_directory: &self.path("sources"),
            cas,
            previous,
            urls: &*urls[0],
            progress: &self.progress,
            cancel: &self.cancel,
        })
    }
}
