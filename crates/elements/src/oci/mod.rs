//! Kind `oci`: container images.

use crate::layout;
use crate::package::Version;
use bourn_plan::assembly::Assembly;
use bourn_plan::{Description, ElementContext, ElementKind, KeyValue};
use bourn_project::KindTraits;
use bourn_yaml::{Diagnostic, Diagnostics, Domain, Node};

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Nothing is forbidden.
pub fn traits(_: Version) -> KindTraits {
    KindTraits::default()
}

/// From this version on, images for Docker are made; before, bst breaks off.
const DOCKER: Version = Version(2, 3, 1);

/// What format images have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Docker,
    Oci,
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["mode", "gzip", "images", "annotations"])?;
        let mode =
            config.opt_enum("mode", &[("docker", Mode::Docker), ("oci", Mode::Oci)])?.unwrap_or(Mode::Oci);
        let gzip = config.opt_bool("gzip")?.unwrap_or(mode == Mode::Oci);
        if let Some(annotations) = config.get("annotations") {
            // bst reads `images` in its place, which is a list.
            let message = "`annotations` of all images together cannot be given";
            return Err(Diagnostic::load("invalid-data", message)
                .at(annotations.at)
                .hint("give each image its own `annotations`")
                .into());
        }
        let old = Version::of(&element.element().origin) < DOCKER;
        let keys_of = if old { Mode::Oci } else { mode };
        let images: Result<Vec<KeyValue>, Diagnostic> =
            config.get_sequence("images")?.iter().map(|image| image_key(image, keys_of)).collect();
        let mut description = Description::new(KeyValue::object([
            ("annotations", KeyValue::Null),
            ("images", KeyValue::List(images?)),
            ("gzip", gzip.into()),
        ]));
        description.assembly = Assembly {
            assemble: vec![layout::unbuilt("oci", "BuildStream 2.8 breaks off when it builds one")],
            collect: "/output".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

fn refused(message: &str, node: &Node) -> Diagnostic {
    Diagnostic::new(Domain::Element, "", message).at(node.at)
}

/// One image, read and checked, as it enters the key.
fn image_key(image: &Node, mode: Mode) -> Result<KeyValue, Diagnostic> {
    let mut keys = vec![
        "parent",
        "layer",
        "architecture",
        "variant",
        "os",
        "os.version",
        "os.features",
        "author",
        "comment",
        "config",
        "annotations",
    ];
    if mode == Mode::Docker {
        keys.push("tags");
    }
    image.validate_keys(&keys)?;
    let mut key: Vec<(&str, KeyValue)> = Vec::new();
    if let Some(parent) = image.opt_mapping("parent")? {
        parent.validate_keys(&["element", "image"])?;
        let number = i64::from(parent.opt_int("image")?.unwrap_or(0));
        let element = KeyValue::from(parent.get_str("element")?);
        key.push(("parent", KeyValue::object([("element", element), ("image", number.into())])));
    }
    for name in ["layer", "tags"] {
        text_list(image, name, &mut key)?;
    }
    for name in ["architecture", "os"] {
        key.push((name, image.get_str(name)?.into()));
    }
    for name in ["os.version", "author", "comment"] {
        text(image, name, &mut key)?;
    }
    text_list(image, "os.features", &mut key)?;
    // bst asks for the variant when there are features, and forgets it otherwise.
    if image.get("os.features").is_some() {
        key.push(("variant", image.get_str("variant")?.into()));
    }
    if image.get("config").is_some() {
        key.push(("config", config_key(image.get_mapping("config")?, mode)?));
    }
    if image.get("annotations").is_some() {
        let annotations = image.get_mapping("annotations")?;
        for (_, value) in annotations.as_mapping()? {
            value.as_str()?;
        }
        key.push(("annotations", annotations.into()));
    }
    Ok(KeyValue::object(key))
}

/// The configuration of containers made from an image.
fn config_key(config: &Node, mode: Mode) -> Result<KeyValue, Diagnostic> {
    let mut keys = vec!["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir"];
    keys.extend_from_slice(match mode {
        Mode::Docker => &["Memory", "MemorySwap", "CpuShares", "Healthcheck"],
        Mode::Oci => &["Labels", "StopSignal"],
    });
    config.validate_keys(&keys)?;
    let mut key: Vec<(&str, KeyValue)> = Vec::new();
    for name in ["User", "WorkingDir", "StopSignal"] {
        text(config, name, &mut key)?;
    }
    for name in ["Memory", "MemorySwap", "CpuShares"] {
        number(config, name, &mut key)?;
    }
    for name in ["ExposedPorts", "Volumes", "Env", "Entrypoint", "Cmd"] {
        text_list(config, name, &mut key)?;
    }
    if let Some(labels) = config.get("Labels") {
        // bst cannot make a key of them.
        return Err(refused("`Labels` cannot be given: BuildStream has no key for them", labels)
            .hint("use `annotations` of the image"));
    }
    if let Some(check) = config.opt_mapping("Healthcheck")? {
        check.validate_keys(&["Test", "Interval", "Timeout", "Retries"])?;
        let mut inner: Vec<(&str, KeyValue)> = Vec::new();
        text_list(check, "Test", &mut inner)?;
        for name in ["Interval", "Timeout", "Retries"] {
            number(check, name, &mut inner)?;
        }
        key.push(("Healthcheck", KeyValue::object(inner)));
    }
    Ok(KeyValue::object(key))
}

type Key<'a> = Vec<(&'a str, KeyValue)>;

fn text<'a>(node: &Node, name: &'a str, key: &mut Key<'a>) -> Result<(), Diagnostic> {
    if let Some(value) = node.opt_str(name)? {
        key.push((name, value.into()));
    }
    Ok(())
}

fn text_list<'a>(node: &Node, name: &'a str, key: &mut Key<'a>) -> Result<(), Diagnostic> {
    if let Some(values) = node.opt_str_list(name)? {
        key.push((name, KeyValue::list(values)));
    }
    Ok(())
}

/// A number, which may be larger than those of other kinds (nanoseconds).
fn number<'a>(node: &Node, name: &'a str, key: &mut Key<'a>) -> Result<(), Diagnostic> {
    if let Some(value) = node.opt_scalar(name)? {
        let number: Option<i64> = value.as_str()?.replace('_', "").parse().ok();
        key.push((name, number.ok_or_else(|| value.wrong_type(name, "int"))?.into()));
    }
    Ok(())
}
