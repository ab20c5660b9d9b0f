//! The inputs of cache keys, kept beside artifacts that were built, so that it can be told later why an element
//! would be built again.
//!
//! `CACHEDIR/bourn/inputs/PROJECT/ELEMENT/KEY.json.gz` holds the JSON text that the key is the hash of. Losing any of
//! it loses explanations and nothing else.

use crate::settings::resolve::Settings;
use crate::workspaces::write_whole_bytes;
use bourn_build::session::Session;
use bourn_plan::explain::KeyInputs;
use bourn_project::ElementId;
use bourn_reapi::ArtifactName;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rayon::prelude::*;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

/// Keeps the inputs of every element that was built in a session. Failing to is no error.
pub(crate) fn keep(settings: &Settings, session: &Session<'_>) {
    let states = session.states();
    (0..session.plan.elements.len()).into_par_iter().for_each(|at| {
        let id = ElementId(at as u32);
        let state = states.get(id);
        let built = state.done && state.artifact.success().is_some();
        let Some(key) = state.strong_key.as_ref().filter(|_| built) else { return };
        let path = path(settings, &session.artifact_name(id, &key.0));
        if path.exists() {
            return;
        }
        let strong = |id| states.get(id).strong_key.as_ref();
        if let Some(inputs) = KeyInputs::strong_text(session.plan, id, strong)
            && let Ok(packed) = pack(&inputs)
        {
            let _ = write_whole_bytes(&path, &packed);
        }
    });
}

/// The inputs of a key, if they were kept.
pub(crate) fn recall(settings: &Settings, name: &ArtifactName) -> Option<KeyInputs> {
    read(&path(settings, name))
}

/// The inputs kept for any artifact of an element, with the key and when it was built, newest first.
pub(crate) fn of_element(settings: &Settings, name: &ArtifactName) -> Vec<(String, SystemTime)> {
    let directory = path(settings, name).parent().map(PathBuf::from).unwrap_or_default();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut kept: Vec<(String, SystemTime)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let key = name.strip_suffix(".json.gz")?.to_owned();
            Some((key, entry.metadata().ok()?.modified().ok()?))
        })
        .collect();
    kept.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    kept
}

fn path(settings: &Settings, name: &ArtifactName) -> PathBuf {
    let directory = settings.own_directory().join("inputs").join(&name.project).join(&name.element);
    directory.join(format!("{}.json.gz", name.key))
}

fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text)?;
    out.finish()
}

fn read(path: &std::path::Path) -> Option<KeyInputs> {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).ok()?).read_to_string(&mut text).ok()?;
    KeyInputs::parse(&text).ok()
}
