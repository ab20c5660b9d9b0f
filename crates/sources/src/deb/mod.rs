//! `deb`: the files of a Debian package.

use crate::archive::source::{Unpack, configure};
use crate::archive::{self, ArchiveError, Rules, ar, compression};
use bourn_plan::{Source, SourceContext, SourceKind};
use bourn_project::SourceDeclaration;
use bourn_yaml::Diagnostics;

/// The kind.
pub(crate) struct Deb;

impl SourceKind for Deb {
    fn configure(
        &self,
        declaration: &SourceDeclaration,
        context: &SourceContext<'_>,
    ) -> Result<Box<dyn Source>, Diagnostics> {
        let unpack = Unpack::File(|file, base_dir, cas| {
            let member = ar::find(file, |name| name.windows(8).any(|part| part == b"data.tar"))?;
            let data = member.ok_or_else(|| {
                ArchiveError::malformed("the package has no member `data.tar`, which would hold its files")
            })?;
            archive::unpack_stream(compression::open(data)?, cas, |members| {
                Ok(Rules::trusting(archive::base(members, base_dir)?))
            })
        });
        configure(declaration, context, unpack)
    }
}
