//! Kind `import`: the sources, or a part of them, as they are.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::{Assembly, Step};
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Nothing is forbidden.
pub fn traits(_: Version) -> KindTraits {
    KindTraits::default()
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["source", "target"])?;
        let (source, target) = (config.get_str("source")?, config.get_str("target")?);
        if element.element().sources.is_empty() {
            let message = "An import element must have at least one source.";
            return Err(layout::wrong(element, "", message).into());
        }
        let mut description = Description::new(KeyValue::object([("source", source), ("target", target)]));
        description.runs_commands = false;
        let import = Step::Import {
            from: layout::join("/input", source.trim_matches('/')),
            into: layout::join("/output", target.trim_matches('/')),
            empty: format!("No files were found inside directory '{source}'"),
        };
        description.assembly = Assembly {
            assemble: vec![Step::StageSources { into: "/input".into() }, import],
            collect: "/output".into(),
            ..Assembly::default()
        };
        Ok(description)
    }

    fn build_script(&self, element: ElementContext<'_>) -> Option<String> {
        let config = &element.element().config;
        let (source, target) = (config.get_str("source").ok()?, config.get_str("target").ok()?);
        let under = |root: &str, path: &str| {
            let joined = layout::join(root, path.trim_start_matches('/'));
            joined.trim_end_matches('/').to_owned()
        };
        let build_root =
            layout::join(element.variable("build-root")?, &layout::normal_name(&element.element().name));
        let input = under(&build_root, source);
        let output = under(element.variable("install-root")?, target);
        let parent =
            output.rsplit_once('/').map_or("", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        let commands = [
            format!("mkdir -p {parent}"),
            format!("[ ! -e {output} ] || rmdir {output}"),
            format!("mv {input} {output}"),
        ];
        Some(commands.iter().map(|command| format!("(set -ex; {command}\n) || exit 1\n")).collect())
    }
}
