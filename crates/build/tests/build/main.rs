//! Building small projects over a store in memory, with an executor that plays the commands.

mod assembling;
mod entering;
mod failing;
mod project;
mod scheduling;
mod sharing;
mod staging;
