//! Kind `tar_element`: dependencies as a tar archive.

use crate::package::Version;
use crate::{layout, tarball};
use bourn_plan::assembly::{Assembly, Stage, Step};
use bourn_plan::{AssemblyError, Compute, Description, ElementContext, ElementKind, KeyValue, Workbench};
use bourn_project::KindTraits;
use bourn_yaml::Diagnostics;
use bzip2::write::BzEncoder;
use flate2::{Compression, GzBuilder};
use liblzma::write::XzEncoder;
use std::io::{self, Write};
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// Its output *is* its dependencies.
pub fn traits(_: Version) -> KindTraits {
    KindTraits { forbids_runtime_dependencies: true, forbids_sources: true, ..KindTraits::default() }
}

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["filename", "compression"])?;
        let name = config.get_str("filename")?;
        let compression = config.get_str("compression")?;
        let Some((_, format)) = FORMATS.iter().find(|(name, _)| *name == compression) else {
            let at = config.get_node("compression")?.at;
            let message = format!("Invalid compression option {compression}");
            return Err(layout::wrong(element, "", message)
                .at(at)
                .hint("it is one of none, gzip, xz and bzip2")
                .into());
        };
        let mut description =
            Description::new(KeyValue::object([("filename", name), ("compression", compression)]));
        description.strict_rebuild = true;
        let stage =
            Stage { from: layout::build_dependencies(element), into: "/input".into(), ..Stage::default() };
        description.assembly = Assembly {
            stage: vec![Step::silent("Staging dependencies", vec![Step::Stage(stage)])],
            assemble: vec![Step::Compute(Arc::new(Archive { name: name.to_owned(), format: *format }))],
            collect: "/output".into(),
            ..Assembly::default()
        };
        Ok(description)
    }
}

/// How an archive is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Plain,
    Gzip,
    Xz,
    Bzip2,
}

const FORMATS: &[(&str, Format)] =
    &[("none", Format::Plain), ("gzip", Format::Gzip), ("xz", Format::Xz), ("bzip2", Format::Bzip2)];

/// Makes the archive.
#[derive(Debug)]
struct Archive {
    name: String,
    format: Format,
}

impl Compute for Archive {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let suffix = match self.format {
            Format::Plain => ".tar",
            Format::Gzip => ".tar.gz",
            Format::Xz => ".tar.xz",
            Format::Bzip2 => ".tar.bz2",
        };
        let path = layout::join("/output", &format!("{}{suffix}", self.name));
        bench.activity("Creating tarball", true, &mut |bench| {
            bench.create_directory("/input")?;
            let mut scratch = bench.scratch()?;
            self.pack(bench, &mut scratch)?;
            let failed = |error: io::Error| AssemblyError::world(format!("Cannot write an archive: {error}"));
            scratch.rewind().map_err(failed)?;
            bench.write(&path, false, &mut |file| io::copy(&mut scratch, file).map(drop))?;
            Ok(())
        })
    }
}

impl Archive {
    fn pack(&self, bench: &dyn Workbench, out: &mut dyn Write) -> Result<(), AssemblyError> {
        let failed = |error: io::Error| AssemblyError::world(format!("Cannot write an archive: {error}"));
        match self.format {
            Format::Plain => tarball::write(bench, "/input", out),
            Format::Gzip => {
                // bst writes the time of day and the name of a temporary file here.
                let time = u32::try_from(tarball::TIME).unwrap_or(0);
                let mut packer = GzBuilder::new().mtime(time).write(out, Compression::best());
                tarball::write(bench, "/input", &mut packer)?;
                packer.finish().map(drop).map_err(failed)
            }
            Format::Xz => {
                let mut packer = XzEncoder::new(out, 6);
                tarball::write(bench, "/input", &mut packer)?;
                packer.finish().map(drop).map_err(failed)
            }
            Format::Bzip2 => {
                let mut packer = BzEncoder::new(out, bzip2::Compression::best());
                tarball::write(bench, "/input", &mut packer)?;
                packer.finish().map(drop).map_err(failed)
            }
        }
    }
}
