//! A run of one command.
