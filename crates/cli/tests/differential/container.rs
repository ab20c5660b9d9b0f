//! Images from a real registry, which wants signed tokens of an issuer of its own: fetched and staged by both.
//!
//! `BOURN_REGISTRY` names the program, Debian's `docker-registry`; `cargo xtask test` unpacks it and sets the variable.

use crate::registry::{Entry, layer};
use crate::server::{Said, Server};
use crate::sources::{project, same_built_in};
use bourn_reapi::Digest;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Makes the issuer's key and certificate.
const ISSUER: &str =
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=issuer";

/// A token that allows to pull from the repository `$1`.
const TOKEN: &str = r#"
code() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
chain=$(openssl x509 -in cert.pem -outform der | openssl base64 -A)
head=$(printf '{"typ":"JWT","alg":"RS256","x5c":["%s"]}' "$chain" | code)
claims=$(printf '{"iss":"issuer","aud":"test","sub":"","nbf":0,"iat":0,"exp":4102444800,"jti":"1","access":[{"type":"repository","name":"%s","actions":["pull"]}]}' "$1" | code)
sum=$(printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 -sign key.pem -binary | code)
printf '%s.%s.%s' "$head" "$claims" "$sum"
"#;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry with a directory of its own; ends when dropped.
struct RealRegistry {
    directory: tempfile::TempDir,
    tokens: Server,
    child: Option<Child>,
    address: std::net::SocketAddr,
}

#[track_caller]
fn shell(directory: &Path, script: &str, argument: &str) -> Vec<u8> {
    let mut sh = Command::new("sh");
    sh.args(["-e", "-c", script, "sh", argument]).current_dir(directory).stderr(Stdio::null());
    let output = sh.output().expect("sh");
    assert!(output.status.success(), "{script}");
    output.stdout
}

impl RealRegistry {
    /// One that does not run yet; its issuer does.
    fn new() -> RealRegistry {
        let directory = tempfile::tempdir().expect("a temporary directory");
        shell(directory.path(), ISSUER, "");
        let place = directory.path().to_owned();
        let tokens = Server::start(move |_, asked| {
            let query = asked.path.replace("%3A", ":").replace("%2F", "/");
            let scope = query.split(['?', '&']).find_map(|part| part.strip_prefix("scope=repository:"));
            let Some(name) = scope.and_then(|scope| scope.strip_suffix(":pull")) else {
                return Said::status(400);
            };
            let token = String::from_utf8(shell(&place, TOKEN, name)).expect("a token");
            Said::ok(format!(r#"{{"token":"{token}"}}"#)).header("Content-Type", "application/json")
        });
        RealRegistry { directory, tokens, child: None, address: bourn_testkit::loopback::address() }
    }

    fn data(&self, path: &str) -> PathBuf {
        self.directory.path().join("data/docker/registry/v2").join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.data(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }

    /// Keeps a blob, and says that the repository `a/b` has it as a `part` of it; its digest.
    fn keep(&self, part: &str, content: &[u8]) -> String {
        let hex = Digest::of(content).hex();
        self.write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), content);
        let digest = format!("sha256:{hex}");
        self.write(&format!("repositories/a/b/{part}/sha256/{hex}/link"), digest.as_bytes());
        digest
    }

    /// Keeps a manifest, under a tag where there is one; its digest.
    fn manifest(&self, tag: Option<&str>, content: &str) -> String {
        let digest = self.keep("_manifests/revisions", content.as_bytes());
        if let Some(tag) = tag {
            self.keep(&format!("_manifests/tags/{tag}/index"), content.as_bytes());
            self.write(&format!("repositories/a/b/_manifests/tags/{tag}/current/link"), digest.as_bytes());
        }
        digest
    }

    /// An image of these layers: a descriptor for lists.
    fn image(&self, tag: Option<&str>, architecture: &str, layers: &[&[u8]]) -> String {
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let describe = |kind: &str, content: &[u8]| {
            let digest = self.keep("_layers", content);
            format!(r#"{{"mediaType":"{kind}","size":{},"digest":"{digest}"}}"#, content.len())
        };
        let config = describe("application/vnd.docker.container.image.v1+json", config.as_bytes());
        let layers: Vec<String> = layers
            .iter()
            .map(|layer| describe("application/vnd.docker.image.rootfs.diff.tar.gzip", layer))
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]}}"#,
            layers.join(",")
        );
        let digest = self.manifest(tag, &manifest);
        format!(
            r#"{{"mediaType":"{MANIFEST}","size":{},"digest":"{digest}","platform":{{"architecture":"{architecture}","os":"linux"}}}}"#,
            manifest.len()
        )
    }

    /// Starts the program.
    fn start(&mut self, program: &Path) {
        let place = self.directory.path().display();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {place}/data}}}}\nhttp: {{addr: '{}'}}\n\
             auth: {{token: {{realm: '{}', service: test, issuer: issuer, rootcertbundle: {place}/cert.pem}}}}\n",
            self.address,
            self.tokens.url("token"),
        );
        std::fs::write(self.directory.path().join("config.yml"), configuration).expect("a file");
        let mut registry = Command::new(program);
        registry.arg("serve").arg("config.yml").current_dir(self.directory.path());
        registry.env("OTEL_TRACES_EXPORTER", "none").stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.child.insert(registry.spawn().expect("the registry"));
        for _ in 0..600 {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return;
            }
            assert_eq!(child.try_wait().expect("a child"), None, "the registry ended");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the registry does not answer");
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn images_of_a_real_registry() {
    let Some(program) = std::env::var_os("BOURN_REGISTRY").map(PathBuf::from) else {
        eprintln!("SKIPPED: BOURN_REGISTRY names no docker-registry (`cargo xtask test` sets it)");
        return;
    };
    let mut registry = RealRegistry::new();
    let below = layer(&[Entry::Directory("etc/"), Entry::File("etc/old", "1"), Entry::File("bin/tool", "2")]);
    let above = layer(&[Entry::File("etc/.wh.old", ""), Entry::Symlink("lib", "usr/lib")]);
    let other = layer(&[Entry::File("etc/arm", "3")]);
    let here = registry.image(Some("old"), "amd64", &[&below, &above]);
    let there = registry.image(None, "arm64", &[&below, &other]);
    registry.manifest(
        Some("latest"),
        &format!(r#"{{"schemaVersion":2,"mediaType":"{LIST}","manifests":[{there},{here}]}}"#),
    );
    registry.start(&program);
    let url = format!("http://{}/", registry.address);
    for (image, expect) in [
        ("registry-url: 'up:'\n  image: a/b\n  track: latest\n  architecture: amd64", "./it/lib l usr/lib"),
        ("registry-url: 'up:'\n  image: a/b\n  track: latest\n  architecture: arm64", "./it/etc/arm f"),
        ("url: up:a/b\n  track: old", "./it/bin/tool f"),
    ] {
        let text = project("buildstream-plugins", "docker", &url, &format!("- kind: docker\n  {image}\n"));
        let Some((tree, element)) = same_built_in(&text, true) else { return };
        assert!(tree.contains(expect) && element.contains("  ref: "), "{tree}{element}");
    }
    assert!(!registry.tokens.asked().is_empty(), "nobody wanted a token");
}
