//! `zip`: an archive in zip format.

use crate::archive::source::{Unpack, configure};
use crate::archive::zipfile::{self, ZipStrip};
use bourn_plan::{Source, SourceContext, SourceKind};
use bourn_project::SourceDeclaration;
use bourn_yaml::Diagnostics;

/// The kind.
pub(crate) struct Zip;

impl SourceKind for Zip {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let unpack = Unpack::File(|file, base_dir, cas| {
            let strip = match base_dir {
                "" => ZipStrip::Nothing,
                pattern => ZipStrip::Base(pattern.to_owned()),
            };
            zipfile::extract(file, &strip, cas)
        });
        configure(declaration, context, unpack)
    }
}
