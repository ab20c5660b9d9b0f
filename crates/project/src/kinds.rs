//! What the loader must know of kinds: where they come from, their defaults, and a few traits. What a kind *means*
//! is known to the plan alone.

use bourn_yaml::Node;
use std::path::PathBuf;

/// Where the plugin that defines a kind comes from, after `plugins:` of project.conf was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KindOrigin {
    /// Built into BuildStream itself.
    Core,
    /// A Python package (`origin: pip`), with its version specifier if one was written.
    Pip {
        /// Package name, such as `buildstream-plugins`, normalised (lower case, dashes).
        package: String,
        /// What the project demands of its version (`>=1.2`), verbatim.
        specifier: String,
        /// The version that answers the demand: the first of [`Kinds::package_versions`] that does.
        version: String,
    },
    /// A file of a project: `origin: local`, or `origin: junction` after the junction was followed.
    File {
        /// Directory that holds `KIND.py` and `KIND.yaml`.
        directory: PathBuf,
        /// The package that this directory belongs to and its version, where it can be told (a checkout of
        /// `buildstream-plugins` reached through a junction).
        package: Option<(String, String)>,
    },
}

/// What a kind forbids and changes in loading and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindTraits {
    /// Runtime dependencies are an error.
    pub forbids_runtime_dependencies: bool,
    /// Build dependencies are an error.
    pub forbids_build_dependencies: bool,
    /// Sources are an error.
    pub forbids_sources: bool,
    /// Whether dependencies may have a `config:`.
    pub takes_dependency_config: bool,
    /// Why the kind should not be used any more, if so.
    pub deprecated: Option<String>,
}

/// A Python package that is installed for the user's Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: String,
    /// The file that its entry point for the kind leads to; `None` when it has none.
    pub code: Option<PathBuf>,
}

/// The kinds known to the program, as the loader needs them.
pub trait Kinds: Sync {
    /// The defaults (`variables:`, `environment:`, `config:`, `public:`, `sandbox:` …) of an element kind in the
    /// version that its origin names; text of a YAML document. `None`: the kind is unknown. Kinds with no
    /// defaults answer an empty text. Not asked for [`KindOrigin::File`]: there `KIND.yaml` of the directory is
    /// read.
    fn element_defaults(&self, kind: &str, origin: &KindOrigin) -> Option<String>;

    /// Whether the source kind is known. Not asked for [`KindOrigin::File`].
    fn source_known(&self, kind: &str, origin: &KindOrigin) -> bool;

    /// The keys of a source that make up its ref (most often `ref` alone): where the project keeps refs in
    /// project.refs, those written in the element are dropped and those of project.refs taken.
    fn source_ref_keys(&self, kind: &str, origin: &KindOrigin) -> &'static [&'static str];

    /// Whether the source mirror kind is known. Not asked for [`KindOrigin::File`].
    fn source_mirror_known(&self, kind: &str, origin: &KindOrigin) -> bool;

    /// Which package and version an element plugin of a project's own is, told by the content of `KIND.py`: for the
    /// `package` of [`KindOrigin::File`] where nothing else tells it. `None`: not known, so that the kind has no
    /// meaning to this program.
    fn recognise_element(&self, kind: &str, code: &[u8]) -> Option<(String, String)> {
        let _ = (kind, code);
        None
    }

    /// The same of a source plugin.
    fn recognise_source(&self, kind: &str, code: &[u8]) -> Option<(String, String)> {
        let _ = (kind, code);
        None
    }

    /// Says early that there are elements of a kind that a file of the project may define, so that what takes time to
    /// prepare can be prepared while the rest is loaded. The kind may still turn out to be another.
    fn expect_element(&self, kind: &str) {
        let _ = kind;
    }

    /// Traits of an element kind that the loader checks; `None` when nothing is known of it (a plugin of the
    /// project's own), so that nothing is checked.
    fn element_traits(&self, kind: &str, origin: &KindOrigin) -> Option<KindTraits>;

    /// Why a source kind should not be used any more, if so.
    fn source_deprecated(&self, kind: &str, origin: &KindOrigin) -> Option<String> {
        let _ = (kind, origin);
        None
    }

    /// The versions of a Python package of kinds that the program can act as, the preferred one first; empty for
    /// packages it does not know. The name is normalised.
    fn package_versions(&self, package: &str) -> Vec<String> {
        let _ = package;
        Vec::new()
    }

    /// The installed Python package of a name, with its plugin of a kind; `None` when it is not installed. `group` is
    /// `elements`, `sources` or `source-mirrors`. Asked for what the program cannot act as itself.
    ///
    /// # Errors
    /// Why it cannot be told, in a sentence, and longer text.
    fn installed(
        &self,
        group: &str,
        package: &str,
        kind: &str,
    ) -> Result<Option<Installed>, (String, Option<String>)> {
        let _ = (group, package, kind);
        Ok(None)
    }

    /// For a junction with a single source that is a directory of the junction's own project (kind `local`): its
    /// path relative to the project. The subproject is then read in place.
    fn local_path(&self, source_kind: &str, origin: &KindOrigin, config: &Node) -> Option<String> {
        let core = source_kind == "local" && *origin == KindOrigin::Core;
        core.then(|| config.get("path").and_then(Node::text).map(str::to_owned)).flatten()
    }
}
