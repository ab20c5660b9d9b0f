//! Synthetic projects and timed runs against the peers.
