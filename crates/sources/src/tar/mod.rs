//! `tar`: an archive in tar format, compressed or not.

use crate::archive::source::{Unpack, configure};
use crate::archive::{self, Rules};
use bourn_plan::{Source, SourceContext, SourceKind};
use bourn_project::SourceDeclaration;
use bourn_yaml::Diagnostics;

/// The kind.
pub(crate) struct Tar;

impl SourceKind for Tar {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let unpack = Unpack::Stream(|archive, base_dir, cas| {
            archive::unpack(archive, cas, |members| Ok(Rules::data(archive::base(members, base_dir)?)))
        });
        configure(declaration, context, unpack)
    }
}
