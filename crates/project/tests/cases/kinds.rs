//! Kinds for tests and for the fuzz driver.

use bourn_project::{KindOrigin, KindTraits, Kinds};

/// The kinds of the core, as far as loading knows them.
pub(crate) struct Core;

impl Kinds for Core {
    fn element_defaults(&self, kind: &str, _: &KindOrigin) -> Option<String> {
        let text = match kind {
            "stack" => "",
            "manual" => {
                "config:\n  configure-commands: []\n  build-commands: []\n  install-commands: []\n  strip-commands:\n  \
                 - \"%{strip-binaries}\"\n"
            }
            "script" => "variables:\n  cwd: /\nconfig:\n  root-read-only: False\n  commands: []\n",
            "import" => "config:\n  source: /\n  target: /\n",
            "compose" => {
                "config:\n  integrate: True\n  include: []\n  exclude: []\n  include-orphans: True\n"
            }
            "filter" => {
                "config:\n  include: []\n  exclude: []\n  include-orphans: False\n  pass-integration: False\n"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn source_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        *origin == KindOrigin::Core && matches!(kind, "local" | "remote" | "tar")
    }

    fn source_ref_keys(&self, kind: &str, _: &KindOrigin) -> &'static [&'static str] {
        if kind == "local" { &[] } else { &["ref"] }
    }

    fn source_mirror_known(&self, kind: &str, origin: &KindOrigin) -> bool {
        *origin == KindOrigin::Core && kind == "default"
    }

    fn element_traits(&self, kind: &str, _: &KindOrigin) -> Option<KindTraits> {
        Some(KindTraits {
            forbids_runtime_dependencies: matches!(kind, "compose" | "script"),
            forbids_build_dependencies: false,
            forbids_sources: matches!(kind, "compose" | "filter" | "script" | "stack"),
            takes_dependency_config: matches!(kind, "manual" | "script"),
            deprecated: None,
        })
    }

    fn package_versions(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}
