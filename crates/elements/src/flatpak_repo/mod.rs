//! Kind `flatpak_repo`: a repository of the images that kind `flatpak_image` makes.

use crate::layout::{self, Layout, Script};
use crate::package::Version;
use bourn_plan::{Description, ElementContext, ElementKind};
use bourn_project::{ElementId, KindTraits};
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Node};

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of kind `script`.
pub fn traits(version: Version) -> KindTraits {
    crate::script::traits(version)
}

/// From this version on, a dependency can say its architecture.
const ARCHITECTURES: Version = Version(2, 3, 2);

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["copy-refs", "repo-mode", "arch", "branch"])?;
        let mut copies = Vec::new();
        for copy in config.get_sequence("copy-refs")? {
            copy.validate_keys(&["src", "dest"])?;
            copies.push((copy.get_str("src")?, copy.get_str("dest")?));
        }
        let defaults = Target { architecture: config.get_str("arch")?, branch: config.get_str("branch")? };
        let mode = config.get_str("repo-mode")?;

        let mut script = Script::new(element, Layout::default(), true);
        script.install_root = "/buildstream/repo".into();
        let init = format!("ostree init --repo=/buildstream/repo --mode={mode}");
        script.add("init repository", vec![init.into()]);
        if add_images(element, &mut script, defaults)? == 0 {
            return Err(layout::wrong(element, "", "No flatpak images specified for this repo").into());
        }
        for (from, to) in copies {
            let command = format!("flatpak build-commit-from --src-ref={from} /buildstream/repo {to}");
            script.add(format!("copy ref {from} -> {to}"), vec![command.into()]);
        }
        let mut description = script.describe(element);
        description.artifact_version = 2;
        Ok(description)
    }
}

/// What an image is published as.
#[derive(Clone, Copy)]
struct Target<'a> {
    architecture: &'a str,
    branch: &'a str,
}

/// Lays out the dependencies and adds a command for each image; answers how many there are.
fn add_images(
    element: ElementContext<'_>,
    script: &mut Script,
    defaults: Target<'_>,
) -> Result<usize, Diagnostic> {
    let mut images = 0;
    layout::each_dependency(element, |dependency, config| {
        let Some(config) = config else {
            script.layout.add(dependency.element, &dependency.path, "/");
            return Ok(());
        };
        let (sort, target) = read(element, config, defaults)?;
        match sort {
            Sort::Image => {
                add_image(element, script, dependency.element, &dependency.path, target);
                images += 1;
            }
            Sort::Stack => {
                let stack = element.graph.element(dependency.element);
                for image in stack.dependencies.iter().filter(|image| image.kind.is_runtime()) {
                    let name = &element.graph.element(image.element).name;
                    let path = format!("{} ({name})", dependency.path);
                    add_image(element, script, image.element, &path, target);
                    images += 1;
                }
            }
        }
        Ok(())
    })?;
    Ok(images)
}

enum Sort {
    Image,
    Stack,
}

/// Reads the `config:` of a dependency.
fn read<'a>(
    element: ElementContext<'_>,
    config: &'a Node,
    defaults: Target<'a>,
) -> Result<(Sort, Target<'a>), Diagnostic> {
    let with_architecture = Version::of(&element.element().origin) >= ARCHITECTURES;
    let keys = ["flatpak-image", "flatpak-stack", "branch", "arch"];
    config.validate_keys(if with_architecture { &keys } else { &keys[..3] })?;
    let image = config.opt_bool("flatpak-image")?.unwrap_or(false);
    let stack = config.opt_bool("flatpak-stack")?.unwrap_or(false);
    let branch = config.opt_str("branch")?.unwrap_or(defaults.branch);
    let architecture = config.opt_str("arch")?.unwrap_or(defaults.architecture);
    let sort = match (image, stack) {
        (true, false) => Sort::Image,
        (false, true) => Sort::Stack,
        (both, _) => {
            let word =
                if both { "both a flatpak image and a stack" } else { "neither a flatpak image nor a stack" };
            let message = format!("Dependency specified as {word}");
            return Err(Diagnostic::new(Domain::Element, "", message).at(config.at));
        }
    };
    Ok((sort, Target { architecture, branch }))
}

fn add_image(
    element: ElementContext<'_>,
    script: &mut Script,
    image: ElementId,
    path: &str,
    Target { architecture, branch }: Target<'_>,
) {
    let name = &element.graph.element(image).name;
    let place = format!("/buildstream/input/{}", layout::normal_name(name));
    script.layout.add(image, path, &place);
    let command = format!(
        "flatpak build-export --files=files --arch={architecture} /buildstream/repo {place} {branch}"
    );
    script.add(format!("export {path}"), vec![command.into()]);
}
