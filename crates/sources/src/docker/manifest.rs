//! Manifests of images, of the Docker image format 2.2 and of the OCI image format 1.

use bourn_plan::SourceError;
use serde_json::Value;

/// What is asked for.
pub(super) const ACCEPTED: &str = "application/vnd.docker.distribution.manifest.v2+json,\
    application/vnd.docker.distribution.manifest.list.v2+json,\
    application/vnd.oci.image.index.v1+json,\
    application/vnd.oci.image.manifest.v1+json";

/// A manifest: which layers an image has.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Debug)]
pub(super) struct Layer {
    /// `sha256:` and the sum.
    pub(super) digest: String,
    media_type: String,
}

/// What a registry answered.
#[derive(Debug)]
pub(super) enum Document {
    /// A manifest.
    Image,
    /// A list of manifests for several platforms.
    Index(Value),
}

/// Checks that a digest is a SHA-256, and so can be a name of a file.
///
/// # Errors
/// It is not.
pub(super) fn check_digest(digest: &str) -> Result<(), SourceError> {
    let sum = digest.strip_prefix("sha256:").unwrap_or_default();
    if sum.len() == 64 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    let message = format!("'{}' is no digest of an image or layer", digest.escape_debug());
    Err(SourceError::new(message).hint("a digest is `sha256:` and 64 hexadecimal digits in lower case"))
}

fn parse(content: &[u8]) -> Result<Value, SourceError> {
    serde_json::from_slice(content).map_err(|error| {
        SourceError::new("The registry did not return a valid manifest").detail(error.to_string())
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Document {
    /// Reads what a registry answered; `content_type` counts where the document does not say itself what it is.
    ///
    /// # Errors
    /// It is malformed, or of a format that is not supported.
    pub(super) fn parse(content: &[u8], content_type: Option<&str>) -> Result<Document, SourceError> {
        let value = parse(content)?;
        match value.get("schemaVersion").and_then(Value::as_u64) {
            Some(2) => {}
            Some(version) => {
                return Err(SourceError::new(format!(
                    "Manifests of schema version {version} are not supported"
                )));
            }
            None => return Err(SourceError::new("The manifest has no `schemaVersion`")),
        }
        let media_type = match text(&value, "mediaType") {
            "" => content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim(),
            media_type => media_type,
        };
        match media_type {
            "application/vnd.docker.distribution.manifest.list.v2+json"
            | "application/vnd.oci.image.index.v1+json" => Ok(Document::Index(value)),
            "application/vnd.docker.distribution.manifest.v2+json"
            | "application/vnd.oci.image.manifest.v1+json" => Ok(Document::Image),
            // Manifests of OCI need not say what they are, and servers of plain files do not know.
            _ if text(&value, "mediaType").is_empty() && value.get("layers").is_some() => Ok(Document::Image),
            _ if text(&value, "mediaType").is_empty() && value.get("manifests").is_some() => {
                Ok(Document::Index(value))
            }
            other => Err(SourceError::new(format!("Manifests of the type '{other}' are not supported"))),
        }
    }
}

/// The manifest for a platform in a list of several: the first of that architecture and operating system. Where none
/// is of the operating system, the first of the architecture, which is what the reference takes.
///
/// # Errors
/// There is none.
pub(super) fn choose(index: &Value, architecture: &str, os: &str) -> Result<String, SourceError> {
    let listed = index.get("manifests").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let platform =
        |one: &Value, key: &str| one.get("platform").map(|one| text(one, key).to_owned()).unwrap_or_default();
    let fitting: Vec<&Value> = listed
        .iter()
        .filter(|one| platform(one, "architecture") == architecture && !platform(one, "os").is_empty())
        .collect();
    let chosen = fitting.iter().find(|one| platform(one, "os") == os).or(fitting.first());
    let chosen = chosen.ok_or_else(|| {
        let known: Vec<String> = listed
            .iter()
            .map(|one| format!("{}/{}", platform(one, "os"), platform(one, "architecture")))
            .collect();
        SourceError::new(format!("No images found for architecture {architecture}, OS {os}"))
            .detail(format!("The image is there for: {}", known.join(", ")))
            .hint("set `architecture` and `os`")
    })?;
    let digest = text(chosen, "digest").to_owned();
    check_digest(&digest)?;
    Ok(digest)
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It is malformed.
    pub(super) fn parse(content: &[u8]) -> Result<Manifest, SourceError> {
        let value = parse(content)?;
        let layers = value.get("layers").and_then(Value::as_array);
        let layers = layers.ok_or_else(|| SourceError::new("The manifest of the image has no `layers`"))?;
        let layer = |one: &Value| {
            let layer = Layer {
                digest: text(one, "digest").to_owned(),
                media_type: text(one, "mediaType").to_owned(),
            };
            check_digest(&layer.digest)?;
            Ok(layer)
        };
        Ok(Manifest { layers: layers.iter().map(layer).collect::<Result<_, SourceError>>()? })
    }

    /// Checks that all layers can be staged.
    ///
    /// # Errors
    /// One cannot.
    pub(super) fn check_layers(&self) -> Result<(), SourceError> {
        let supported = [
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.v1.tar",
        ];
        match self.layers.iter().find(|layer| !supported.contains(&layer.media_type.as_str())) {
            Some(layer) => Err(SourceError::new(format!("Unsupported layer type: {}", layer.media_type))),
            None => Ok(()),
        }
    }
}

impl Layer {
    /// The name of its file among the downloads, whatever it is compressed with.
    pub(super) fn file_name(&self) -> String {
        format!("{}.tar.gz", self.digest)
    }

    /// Its SHA-256.
    pub(super) fn sha256(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or(&self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn documents() {
        let image = "application/vnd.oci.image.manifest.v1+json";
        for (content, content_type, expect) in [
            (r#"{"schemaVersion":2}"#, Some(image), Ok(())),
            (r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#, None, Ok(())),
            (r#"{"schemaVersion":2,"layers":[]}"#, Some("text/plain"), Ok(())),
            (r#"{"schemaVersion":2,"manifests":[]}"#, None, Ok(())),
            (r#"{"schemaVersion":1}"#, Some(image), Err("schema version 1")),
            ("{}", Some(image), Err("no `schemaVersion`")),
            (r#"{"schemaVersion":2,"mediaType":"text/x"}"#, None, Err("the type 'text/x'")),
            ("<html>", None, Err("valid manifest")),
        ] {
            match (Document::parse(content.as_bytes(), content_type), expect) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(expect)) => assert!(error.message.contains(expect), "{error}"),
                (found, expect) => panic!("{content}: {found:?}, not {expect:?}"),
            }
        }
    }

    #[test]
    fn layers() {
        for (content, expect) in [
            ("{}".to_owned(), "no `layers`"),
            (r#"{"layers":[{"digest":"sha256:../../../x"}]}"#.to_owned(), "is no digest"),
            (r#"{"layers":[{"digest":"md5:0"}]}"#.to_owned(), "is no digest"),
            (
                format!(r#"{{"layers":[{{"digest":"{SUM}","mediaType":"a/b"}}]}}"#),
                "Unsupported layer type: a/b",
            ),
        ] {
            let checked = Manifest::parse(content.as_bytes()).and_then(|manifest| manifest.check_layers());
            let error = checked.expect_err(expect);
            assert!(error.message.contains(expect), "{error}");
        }
    }

    #[test]
    fn platforms() {
        let one = |os: &str, architecture: &str, digit: char| {
            let digest = SUM.replace('0', &digit.to_string());
            format!(r#"{{"digest":"{digest}","platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#)
        };
        let list =
            [one("windows", "amd64", '1'), one("linux", "amd64", '2'), one("linux", "arm64", '3')].join(",");
        let index: Value = serde_json::from_str(&format!(r#"{{"manifests":[{{}},{list}]}}"#)).expect("JSON");
        for (os, architecture, expect) in [
            ("linux", "amd64", Some('2')),
            ("linux", "arm64", Some('3')),
            ("plan9", "amd64", Some('1')),
            ("linux", "s390x", None),
        ] {
            let found = choose(&index, architecture, os).ok();
            assert_eq!(found, expect.map(|digit| SUM.replace('0', &digit.to_string())));
        }
    }
}
