//! The messages of the services that are spoken to, as far as they are used.
//!
//! Field numbers come from the public protocol definitions: `build.bazel.remote.execution.v2` (storage,
//! capabilities), `google.bytestream`, `build.bazel.remote.asset.v1`, and `google.rpc`.

use bourn_reapi::digest::DigestMessage;
use bourn_reapi::{ActionResult, Directory};
use prost::Message;
use prost::bytes::Bytes;

/// `DigestFunction.Value.SHA256`.
pub(crate) const SHA256: i32 = 1;

/// `Compressor.Value.IDENTITY`.
pub(crate) const IDENTITY: i32 = 0;

/// `Compressor.Value.ZSTD`.
pub(crate) const ZSTD: i32 = 1;

/// The details of a `google.rpc.Status`, as they come in its header.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusDetails {
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct RetryDelay {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// `google.rpc.Status`, without its details.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusMessage {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetCapabilitiesRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
}

/// `ActionCacheUpdateCapabilities`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct UpdateCapabilities {
    #[prost(bool, tag = "1")]
    pub(crate) update_enabled: bool,
}

/// `build.bazel.semver.SemVer`, as far as it is a number.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ApiVersion {
    #[prost(int32, tag = "1")]
    pub(crate) major: i32,
    #[prost(int32, tag = "2")]
    pub(crate) minor: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CacheCapabilities {
    #[prost(int32, repeated, tag = "1")]
    pub(crate) digest_functions: Vec<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) action_cache_update_capabilities: Option<UpdateCapabilities>,
    #[prost(int64, tag = "4")]
    pub(crate) max_batch_total_size_bytes: i64,
    #[prost(int32, tag = "5")]
    pub(crate) symlink_absolute_path_strategy: i32,
    #[prost(int32, repeated, tag = "6")]
    pub(crate) supported_compressors: Vec<i32>,
    #[prost(int32, repeated, tag = "7")]
    pub(crate) supported_batch_update_compressors: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerCapabilities {
    #[prost(message, optional, tag = "1")]
    pub(crate) cache_capabilities: Option<CacheCapabilities>,
    #[prost(message, optional, tag = "4")]
    pub(crate) low_api_version: Option<ApiVersion>,
    #[prost(message, optional, tag = "5")]
    pub(crate) high_api_version: Option<ApiVersion>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FindMissingBlobsRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) blob_digests: Vec<DigestMessage>,
    #[prost(int32, tag = "3")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FindMissingBlobsResponse {
    #[prost(message, repeated, tag = "2")]
    pub(crate) missing_blob_digests: Vec<DigestMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UpdateBlob {
    #[prost(message, optional, tag = "1")]
    pub(crate) digest: Option<DigestMessage>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
    #[prost(int32, tag = "3")]
    pub(crate) compressor: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchUpdateBlobsRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) requests: Vec<UpdateBlob>,
    #[prost(int32, tag = "5")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UpdatedBlob {
    #[prost(message, optional, tag = "1")]
    pub(crate) digest: Option<DigestMessage>,
    #[prost(message, optional, tag = "2")]
    pub(crate) status: Option<StatusMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchUpdateBlobsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) responses: Vec<UpdatedBlob>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchReadBlobsRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) digests: Vec<DigestMessage>,
    #[prost(int32, repeated, tag = "3")]
    pub(crate) acceptable_compressors: Vec<i32>,
    #[prost(int32, tag = "4")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadBlob {
    #[prost(message, optional, tag = "1")]
    pub(crate) digest: Option<DigestMessage>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) data: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub(crate) status: Option<StatusMessage>,
    #[prost(int32, tag = "4")]
    pub(crate) compressor: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchReadBlobsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) responses: Vec<ReadBlob>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetTreeRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) root_digest: Option<DigestMessage>,
    #[prost(int32, tag = "3")]
    pub(crate) page_size: i32,
    #[prost(string, tag = "4")]
    pub(crate) page_token: String,
    #[prost(int32, tag = "5")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetTreeResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) directories: Vec<Directory>,
    #[prost(string, tag = "2")]
    pub(crate) next_page_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetActionResultRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) action_digest: Option<DigestMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UpdateActionResultRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) action_digest: Option<DigestMessage>,
    #[prost(message, optional, tag = "3")]
    pub(crate) action_result: Option<ActionResult>,
}

/// `google.bytestream.ReadRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
    #[prost(int64, tag = "2")]
    pub(crate) read_offset: i64,
    #[prost(int64, tag = "3")]
    pub(crate) read_limit: i64,
}

/// `google.bytestream.ReadResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadResponse {
    #[prost(bytes = "bytes", tag = "10")]
    pub(crate) data: Bytes,
}

/// `google.bytestream.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
    #[prost(int64, tag = "2")]
    pub(crate) write_offset: i64,
    #[prost(bool, tag = "3")]
    pub(crate) finish_write: bool,
    #[prost(bytes = "bytes", tag = "10")]
    pub(crate) data: Bytes,
}

/// `google.bytestream.WriteResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteResponse {
    #[prost(int64, tag = "1")]
    pub(crate) committed_size: i64,
}

/// `google.bytestream.QueryWriteStatusRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct QueryWriteStatusRequest {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
}

/// `google.bytestream.QueryWriteStatusResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct QueryWriteStatusResponse {
    #[prost(int64, tag = "1")]
    pub(crate) committed_size: i64,
    #[prost(bool, tag = "2")]
    pub(crate) complete: bool,
}

/// `FetchBlobRequest` and `FetchDirectoryRequest`, which have the same fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FetchRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(string, repeated, tag = "4")]
    pub(crate) uris: Vec<String>,
    #[prost(int32, tag = "6")]
    pub(crate) digest_function: i32,
}

/// `FetchBlobResponse` and `FetchDirectoryResponse`, which have the same fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FetchResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<StatusMessage>,
    #[prost(message, optional, tag = "5")]
    pub(crate) digest: Option<DigestMessage>,
}

/// `PushBlobRequest` and `PushDirectoryRequest`, which have the same fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PushRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) uris: Vec<String>,
    #[prost(message, optional, tag = "5")]
    pub(crate) digest: Option<DigestMessage>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) references_blobs: Vec<DigestMessage>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) references_directories: Vec<DigestMessage>,
    #[prost(int32, tag = "8")]
    pub(crate) digest_function: i32,
}

/// An answer without fields.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Nothing {}
