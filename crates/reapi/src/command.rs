//! What is to be run.

use prost::Message;

/// One variable of the environment of a [`Command`].
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct EnvironmentVariable {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// One requirement on the machine.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Property {
    /// Name, such as `OSFamily`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value, such as `linux`.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The requirements on the machine, sorted by name.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Platform {
    /// The requirements.
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<Property>,
}

/// A process to be run in an input root.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Command {
    /// Program and arguments.
    #[prost(string, repeated, tag = "1")]
    pub arguments: Vec<String>,
    /// The whole environment.
    #[prost(message, repeated, tag = "2")]
    pub environment_variables: Vec<EnvironmentVariable>,
    /// Files to be collected (API before 2.1).
    #[prost(string, repeated, tag = "3")]
    pub output_files: Vec<String>,
    /// Directories to be collected (API before 2.1).
    #[prost(string, repeated, tag = "4")]
    pub output_directories: Vec<String>,
    /// Requirements on the machine.
    #[prost(message, optional, tag = "5")]
    pub platform: Option<Platform>,
    /// Working directory, relative to the input root.
    #[prost(string, tag = "6")]
    pub working_directory: String,
    /// Paths to be collected, relative to the working directory.
    #[prost(string, repeated, tag = "7")]
    pub output_paths: Vec<String>,
    /// Node properties that outputs should carry.
    #[prost(string, repeated, tag = "8")]
    pub output_node_properties: Vec<String>,
    /// 0: tree only, 1: directory only, 2: both.
    #[prost(int32, tag = "9")]
    pub output_directory_format: i32,
}
