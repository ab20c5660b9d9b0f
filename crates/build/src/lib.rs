//! Turns a [`Plan`](bourn_plan::Plan) into artifacts: the only moving part. Says what it does in [`event::Event`]s.

pub mod event;
