//! The picture of a resolved project: what `show` said of its elements, kept for as long as everything that was looked
//! at to find it out would show the same.
//!
//! A picture is one file, `CACHEDIR/bourn/pictures/REQUEST`, where REQUEST sums up everything that was asked: the
//! program, the project, the targets, options, the user's configuration, open workspaces. It holds every look at the
//! disk ([`Look`](bourn_yaml::Look)) with what it showed, the digests of local sources, and per element what can be said of it without
//! asking the cache. Whoever finds a picture looks at everything again, on all cores, before a word of it is believed.
//!
//! Nothing is kept of a load that saw more than files (a plugin that ran a program, say), or during which a file
//! changed. A picture of another program or format, one that was cut off or damaged, is none.

pub(crate) mod answer;
pub(crate) mod keep;
pub(crate) mod request;
pub(crate) mod stored;
