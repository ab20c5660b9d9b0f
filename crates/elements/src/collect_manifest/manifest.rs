//! The manifest itself: modules in the style of flatpak-builder, the provenance of sources, an SPDX document.

use super::Spdx;
use crate::{layout, pyjson};
use bourn_plan::source::SourceProvenance;
use bourn_plan::{AssemblyError, Compute, KeyValue, Walk, Workbench};
use bourn_project::ElementId;
use bourn_yaml::{Mapping, Node, Text, Value};
use regex::Regex;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Writes the manifest, and puts it into public data for manifests of manifests.
#[derive(Debug)]
pub(super) struct Manifest {
    /// Where to; `None`: public data alone.
    pub(super) path: Option<String>,
    /// An SPDX document is wanted.
    pub(super) spdx: Option<Spdx>,
    /// Whether sources say product and version themselves.
    pub(super) names_sources: bool,
}

type Done<T> = Result<T, AssemblyError>;

/// What is collected: an entry of both lists per element, `null` in the second where an older manifest was taken over.
#[derive(Default)]
struct Collected {
    modules: Vec<Json>,
    infos: Vec<Json>,
}

impl Compute for Manifest {
    fn compute(&self, bench: &mut dyn Workbench) -> Done<()> {
        let mut walk = Walk::default();
        let closure = bench.edges().build(bench.element(), &mut walk).to_vec();
        let mut collected = Collected::default();
        for dependency in closure {
            match bench.public(dependency, "cpe-manifest")? {
                Some(manifest) => take_over(bench, dependency, &manifest, &mut collected)?,
                None => self.describe(bench, dependency, &mut collected)?,
            }
        }
        let note = "This is a generated manifest from buildstream files and not usable by flatpak-builder";
        let manifest = json!({"//NOTE": note, "modules": collected.modules});
        bench.set_public("cpe-manifest", node(&manifest));
        bench.set_public("source-info-manifest", node(&json!({"element-infos": collected.infos})));
        let Some(path) = &self.path else { return Ok(()) };
        let output = match &self.spdx {
            Some(spdx) => document(bench, spdx, &collected)?,
            None => manifest,
        };
        let text = pyjson::indented(&output);
        bench.write(path, false, &mut |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}

/// Takes over what a manifest among the dependencies collected.
fn take_over(
    bench: &dyn Workbench,
    dependency: ElementId,
    manifest: &Node,
    collected: &mut Collected,
) -> Done<()> {
    let list = |node: &Node, key: &str| -> Done<Vec<Json>> {
        let items = node.get_sequence(key).map_err(|wrong| AssemblyError::element(&wrong.message))?;
        Ok(items.iter().map(json_of_node).collect())
    };
    let modules = list(manifest, "modules")?;
    let count = modules.len();
    collected.modules.extend(modules);
    let Some(infos) = bench.public(dependency, "source-info-manifest")? else {
        let element = bench.graph().element(dependency);
        let project = &bench.graph().project(element.project).name;
        let message = format!(
            "Dependency \"{}\" from project \"{project}\" doesn't use the source provenance API",
            element.name
        );
        bench.warn(Some("collect_manifest:legacy-manifest"), &message, None)?;
        collected.infos.extend(std::iter::repeat_n(Json::Null, count));
        return Ok(());
    };
    let infos = list(&infos, "element-infos")?;
    if infos.len() != count {
        let name = &bench.graph().element(dependency).name;
        let message = format!("The manifests of {name} do not match: {count} modules, {} infos", infos.len());
        return Err(AssemblyError::element(message));
    }
    collected.infos.extend(infos);
    Ok(())
}

impl Manifest {
    /// Describes one element.
    fn describe(&self, bench: &dyn Workbench, dependency: ElementId, collected: &mut Collected) -> Done<()> {
        let element = bench.graph().element(dependency);
        let project = &bench.graph().project(element.project).name;
        let infos: Vec<Option<Vec<SourceProvenance>>> = bench.provenance(dependency)?;
        let cpe = cpe(bench, dependency, &infos)?;
        let infos: Vec<Json> = infos.iter().flatten().flatten().map(json_of_provenance).collect();
        let locations: Done<Vec<Json>> = infos.iter().map(|info| self.location(bench, info)).collect();
        collected.modules.push(json!({"name": &*element.name, "x-cpe": cpe, "sources": locations?}));
        collected.infos.push(json!({
            "name": layout::normal_name(&element.name),
            "project-name": project,
            "source-infos": infos,
        }));
        Ok(())
    }

    /// A source in the style of flatpak-builder.
    fn location(&self, bench: &dyn Workbench, info: &Json) -> Done<Json> {
        let (url, version) = (&info["url"], &info["version"]);
        let mut location = match text(&info["medium"]) {
            "git" => json!({"type": "git", "url": url, "commit": commit(info)}),
            "local" if matches!(text(&info["kind"]), "patch" | "patch_queue") => {
                json!({"type": "patch", "path": url})
            }
            "local" => json!({"type": "dir", "path": url}),
            "workspace" => json!({"type": "workspace"}),
            "remote-file" => json!({"type": "archive", "url": url, "sha256": version}),
            medium => {
                let message = format!("Unsupported source info medium {medium}");
                bench.warn(Some("collect_manifest:unsupported-source-info"), &message, None)?;
                return Ok(Json::Null);
            }
        };
        if self.names_sources {
            let mut cpe = Map::new();
            if let Some(product) = package(bench, info)? {
                cpe.insert("product".into(), product.into());
            }
            if let Some(guess) = info.get("version-guess") {
                cpe.insert("version".into(), guess.clone());
            }
            if !cpe.is_empty() {
                location["x-cpe"] = Json::Object(cpe);
            }
        }
        Ok(location)
    }
}

/// A commit as `git describe` writes it, where the source knows the tag.
fn commit(info: &Json) -> String {
    let (version, extra) = (text(&info["version"]), &info["extra-data"]);
    match (extra.get("tag-name"), extra.get("commit-offset")) {
        (Some(tag), Some(offset)) => format!("{}-{}-g{version}", plain(tag), plain(offset)),
        _ => version.to_owned(),
    }
}

/// What the public data of an element say of product and version; what they do not say is guessed.
fn cpe(bench: &dyn Workbench, dependency: ElementId, infos: &[Option<Vec<SourceProvenance>>]) -> Done<Json> {
    let element = bench.graph().element(dependency);
    let mut cpe = match bench.public(dependency, "cpe")?.as_ref().map(json_of_node) {
        Some(Json::Object(entries)) => entries,
        _ => Map::new(),
    };
    if !cpe.contains_key("product") {
        let base = element.name.rsplit('/').next().unwrap_or_default();
        cpe.insert("product".into(), layout::normal_name(base).into());
    }
    let pattern = cpe.shift_remove("version-match");
    if cpe.contains_key("version") || bench.sources(dependency).is_empty() {
        return Ok(Json::Object(cpe));
    }
    let matcher = matcher(pattern.as_ref().map(text))?;
    let names = version_names(bench, dependency, infos);
    match (names.iter().find_map(|name| version_in(&matcher, name)), pattern) {
        (Some(version), _) => {
            if !version.is_empty() {
                cpe.insert("version".into(), version.into());
            }
        }
        (None, None) => bench.warn(None, &format!("Missing version to {}.", element.name), None)?,
        (None, Some(pattern)) => {
            let own = &bench.graph().element(bench.element()).name;
            let message = format!(
                "{own}: {}: version match string \"{}\" did not match anything.",
                element.name,
                text(&pattern)
            );
            return Err(AssemblyError::element(message));
        }
    }
    Ok(Json::Object(cpe))
}

fn matcher(pattern: Option<&str>) -> Done<Regex> {
    let pattern = pattern.unwrap_or(r"\d+\.\d+(?:\.\d+)?");
    Regex::new(pattern).map_err(|error| {
        AssemblyError::element(format!("`version-match` {pattern} cannot be used"))
            .detail(error.to_string())
            .hint("look-around and references to groups are not known here")
    })
}

/// The version in a text: the whole match, or the groups that took part, with dots between.
fn version_in(matcher: &Regex, text: &str) -> Option<String> {
    let found = matcher.captures(text)?;
    if found.len() == 1 {
        return Some(found[0].to_owned());
    }
    let groups: Vec<&str> = found.iter().skip(1).flatten().map(|group| group.as_str()).collect();
    Some(groups.join("."))
}

/// Texts of the sources that may hold a version: refs of git, names of archives.
fn version_names(
    bench: &dyn Workbench,
    dependency: ElementId,
    infos: &[Option<Vec<SourceProvenance>>],
) -> Vec<String> {
    let mut names = Vec::new();
    for (source, infos) in bench.sources(dependency).iter().zip(infos) {
        let kind = &*source.declaration.kind;
        let reference = || source.source.reference();
        if kind == "go_module" {
            let reference = reference();
            let of_git = reference.as_ref().and_then(|it| it.get("ref")).and_then(|it| it.get("git-ref"));
            names.extend(of_git.and_then(Node::text).map(str::to_owned));
        } else if kind.starts_with("git") {
            let reference = reference();
            names.extend(
                reference.as_ref().and_then(|it| it.get("ref")).and_then(Node::text).map(str::to_owned),
            );
        } else if matches!(kind, "tar" | "zip" | "pypi" | "cpan" | "bazel_file" | "cargo2") {
            for info in infos.iter().flatten().map(json_of_provenance) {
                names.push(match text(&info["medium"]) {
                    "git" => text(&info["version"]).to_owned(),
                    _ => base_name(text(&info["url"])).to_owned(),
                });
            }
        }
    }
    names
}

fn base_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// The name of the package that a source is, as its URL tells it.
fn package(bench: &dyn Workbench, info: &Json) -> Done<Option<String>> {
    let base = base_name(text(&info["url"]));
    if let Some(name) = info.get("extra-data").and_then(|extra| extra.get("crate-name")) {
        return Ok(Some(plain(name)));
    }
    Ok(match text(&info["medium"]) {
        "git" => Some(base.strip_suffix(".git").unwrap_or(base).to_owned()),
        "remote-file" | "archive" => Some(stem(base).to_owned()),
        "local" if text(&info["kind"]).starts_with("patch") => None,
        "local" => Some(base.to_owned()),
        _ => {
            let message = format!("Can't extract a package name from source info {info}");
            bench.warn(Some("collect_manifest:unsupported-source-info"), &message, None)?;
            None
        }
    })
}

/// The name of an archive without suffixes and version.
fn stem(base: &str) -> &str {
    let ends = [".tar", ".tgz", ".tbz", ".zip", ".crate"].iter().filter_map(|suffix| base.find(suffix));
    let stem = &base[..ends.min().unwrap_or(base.len())];
    let bytes = stem.as_bytes();
    let version = |at: &usize| matches!(bytes[*at], b'-' | b'_') && bytes[*at + 1].is_ascii_digit();
    let end = (0..bytes.len().saturating_sub(1)).find(version).unwrap_or(stem.len());
    &stem[..end]
}

/// The SPDX document of what was collected.
fn document(bench: &dyn Workbench, spdx: &Spdx, collected: &Collected) -> Done<Json> {
    let mut packages = Vec::new();
    for (module, info) in collected.modules.iter().zip(&collected.infos) {
        match info {
            Json::Null => packages.extend(packages_of_module(bench, module)?),
            info => packages.extend(packages_of_element(bench, info)?),
        }
    }
    packages.sort_by(|a, b| text(&a["SPDXID"]).cmp(text(&b["SPDXID"])));
    let describes = |package: &Json| {
        json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": package["SPDXID"],
        })
    };
    let relationships: Vec<Json> = packages.iter().map(describes).collect();
    let mut creation = Map::new();
    if let Some(creators) = spdx.creators.as_ref().filter(|creators| !creators.is_empty()) {
        creation.insert("creators".into(), json!(creators));
    }
    if let Some(created) = spdx.created.filter(|created| *created != 0) {
        creation.insert("created".into(), time(i64::from(created)).into());
    }
    let mut document = json!({
        "SPDXID": "SPDXRef-DOCUMENT",
        "spdxVersion": "SPDX-2.3",
        "packages": packages,
        "relationships": relationships,
        "creationInfo": creation,
    });
    let members =
        [("documentNamespace", &spdx.namespace), ("dataLicense", &spdx.data_license), ("name", &spdx.name)];
    for (name, value) in members {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            document[name] = value.as_str().into();
        }
    }
    Ok(document)
}

/// The packages of an element that says where its sources come from.
fn packages_of_element(bench: &dyn Workbench, info: &Json) -> Done<Vec<Json>> {
    let (name, project) = (text(&info["name"]), text(&info["project-name"]));
    let mut packages = Vec::new();
    for (at, source) in items(&info["source-infos"]).iter().enumerate() {
        let package = package(bench, source)?.filter(|package| !package.is_empty());
        packages.push(json!({
            "SPDXID": format!("SPDXRef-{project}-{name}-{at}"),
            "filesAnalyzed": false,
            "name": package.as_deref().unwrap_or(name),
            "downloadLocation": source["url"],
            "versionInfo": source.get("version-guess").unwrap_or(&source["version"]),
            "sourceInfo": source["kind"],
        }));
    }
    Ok(packages)
}

/// The packages of a module that an older manifest held.
fn packages_of_module(bench: &dyn Workbench, module: &Json) -> Done<Vec<Json>> {
    let (name, cpe) = (text(&module["name"]), &module["x-cpe"]);
    let mut packages = Vec::new();
    for (at, source) in items(&module["sources"]).iter().enumerate() {
        let mut known = None;
        if let Some(url) = source.get("url") {
            known = package(bench, &json!({"url": url, "medium": source["type"], "kind": ""}))?;
        }
        let mut package = json!({
            "SPDXID": format!("SPDXRef-{}-{at}", name.replace('/', "-")),
            "comment": format!("Product: {}", plain(&cpe["product"])),
            "filesAnalyzed": false,
            "name": known.as_deref().unwrap_or(name),
        });
        let more = [
            ("downloadLocation", source.get("url")),
            ("versionInfo", cpe.get("version")),
            ("sourceInfo", source.get("type")),
        ];
        for (member, value) in more {
            if let Some(value) = value {
                package[member] = value.clone();
            }
        }
        packages.push(package);
    }
    Ok(packages)
}

/// Seconds since 1970 as a date and time of UTC.
fn time(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Years are counted from March, so that leap days come last; 400 of them repeat.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as Python's `str()` shows it.
fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn json_of_provenance(provenance: &SourceProvenance) -> Json {
    provenance.entries.iter().map(|(name, value)| (name.to_string(), json_of_key(value))).collect()
}

fn json_of_key(value: &KeyValue) -> Json {
    match value {
        KeyValue::Null => Json::Null,
        KeyValue::Bool(truth) => (*truth).into(),
        KeyValue::Integer(number) => (*number).into(),
        KeyValue::Text(text) => text.as_str().into(),
        KeyValue::Node(node) => json_of_node(node),
        KeyValue::List(items) => items.iter().map(json_of_key).collect(),
        KeyValue::Object(entries) => {
            entries.iter().map(|(name, value)| (name.to_string(), json_of_key(value))).collect()
        }
    }
}

fn json_of_node(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar(text) => text.as_str().into(),
        Value::Sequence(items) => items.iter().map(json_of_node).collect(),
        Value::Mapping(entries) => {
            entries.iter().map(|(name, value)| (name.to_string(), json_of_node(value))).collect()
        }
    }
}

/// A value as public data keep it: everything is text.
fn node(value: &Json) -> Node {
    match value {
        Json::Null => Node::null(),
        Json::Bool(truth) => Node::from(*truth),
        Json::Number(number) => Node::scalar(number.to_string()),
        Json::String(text) => Node::scalar(text.as_str()),
        Json::Array(items) => Node::from(Value::Sequence(Arc::new(items.iter().map(node).collect()))),
        Json::Object(entries) => {
            let entries: Mapping =
                entries.iter().map(|(name, value)| (Text::new(name), node(value))).collect();
            Node::mapping(entries)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_archives() {
        let check = |base: &str, expect: &str| assert_eq!(stem(base), expect, "{base}");
        check("gnutls-3.8.1.tar.xz", "gnutls");
        check("openssl1_1_1d.tar.gz", "openssl1");
        check("serde_json-1.0.1.crate", "serde_json");
        check("noversion.zip", "noversion");
        check("a.tar.b.zip", "a");
        check("-1", "");
        check("", "");
    }

    #[test]
    fn versions_in_names() {
        let check = |pattern: Option<&str>, text: &str, expect: Option<&str>| {
            let matcher = matcher(pattern).expect("a pattern");
            assert_eq!(version_in(&matcher, text).as_deref(), expect, "{text}");
        };
        check(None, "gnutls-3.8.1.tar.xz", Some("3.8.1"));
        check(None, "v2.0-14-gabcdef", Some("2.0"));
        check(None, "abcdef0123456789", None);
        check(Some(r"(\d+)_(\d+)_(\d+[a-z]?)"), "openssl1_1_1d.tar.gz", Some("1.1.1d"));
        check(Some(r"(\d+)(x)?"), "7", Some("7"));
        assert!(matcher(Some("(?<=a)b")).is_err());
    }

    /// What Python's `datetime` printed.
    #[test]
    fn times() {
        let check = |seconds: i64, expect: &str| assert_eq!(time(seconds), expect);
        check(0, "1970-01-01T00:00:00Z");
        check(1_320_937_200, "2011-11-10T15:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_868_799, "2000-02-29T23:59:59Z");
        check(1_709_251_200, "2024-03-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(2_147_483_647, "2038-01-19T03:14:07Z");
    }
}
