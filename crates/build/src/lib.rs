//! Turns a [`Plan`](bourn_plan::Plan) into artifacts: the only moving part. Says what it does in [`event::Event`]s.

pub mod assemble;
pub mod bench;
pub mod cache;
pub mod checkout;
pub mod control;
pub mod error;
pub mod event;
pub mod fetch;
pub mod integrate;
pub mod job;
pub mod log;
pub mod options;
pub mod order;
pub mod overlap;
pub mod pull;
pub mod push;
pub mod queue;
pub mod run;
pub mod sandbox;
pub mod script;
pub mod session;
pub mod shell;
pub mod split;
pub mod stage;
pub mod state;
pub mod workspace;
