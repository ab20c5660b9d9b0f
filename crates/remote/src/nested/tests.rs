use super::*;
use crate::actions::Actions;
use crate::backed::Backed;
use crate::fault::Fault;
use crate::link::{Lane, Link};
use crate::message::*;
use crate::server::{Auth, Connection, Server as Address, ServerKind};
use crate::storage::Storage;
use crate::transfer::{Meter, Transfer};
use bourn_reapi::action::{ActionResult, OutputDirectory, OutputFile};
use bourn_reapi::services::Streams;
use bourn_reapi::tree::{Entry, File as TreeFile};
use bourn_reapi::{Command, Digest, Directory, FileNode, TreeMessage};
use bourn_testkit::memory::{FakeExecutor, MemoryStore};
use prost::Message;

/// A command that finds the services at `/run/apis`, and writes to all of its root.
fn execution(root: Digest, apis: Option<RemoteApis>) -> Execution {
    Execution {
        input_root: root,
        prefixes: Vec::new(),
        command: Command { output_paths: vec!["/".into(), "/run".into()], ..Command::default() },
        writable: Vec::new(),
        root_read_only: false,
        network: false,
        uid: 0,
        gid: 0,
        mounts: Vec::new(),
        streams: Streams::Log,
        hostname: None,
        remote_apis: apis,
    }
}

/// A client as tools in a sandbox are.
struct Tool {
    runtime: Runtime,
    address: Address,
    link: Arc<Link>,
}

impl Tool {
    fn at(socket: &Path) -> Tool {
        let runtime = threads().unwrap();
        let address = Address {
            url: format!("unix:{}", socket.display()),
            instance: String::new(),
            kind: ServerKind::Storage,
            push: true,
            auth: Auth::default(),
            connection: Connection { retry_limit: Some(0), ..Connection::default() },
            route: crate::Route::Direct,
        };
        let link = {
            let _within = runtime.enter();
            Arc::new(Link::new(&address).unwrap())
        };
        Tool { runtime, address, link }
    }

    fn transfer(&self, cas: &Arc<dyn Cas>) -> Transfer {
        let storage = Arc::new(Storage::new(self.link.clone()));
        Transfer { storage, cas: cas.clone(), meter: Arc::new(Meter::default()) }
    }

    fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, ErrorKind>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let answer: Result<A, Fault> = self.runtime.block_on(self.link.unary(Lane::Talk, path, question));
        answer.map_err(|fault| fault.into_error().kind)
    }

    fn action_result(&self, action: Digest) -> Result<ActionResult, ErrorKind> {
        let question = GetActionResultRequest { action_digest: Some(action.into()), ..Default::default() };
        self.ask("/build.bazel.remote.execution.v2.ActionCache/GetActionResult", question)
    }

    fn update(&self, action: Digest, result: &ActionResult) -> Result<ActionResult, ErrorKind> {
        let question = UpdateActionResultRequest {
            action_digest: Some(action.into()),
            action_result: Some(result.clone()),
            ..Default::default()
        };
        self.ask("/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult", question)
    }
}

/// Runs `tool` as the command of an execution. What was captured of `/` and `/run`.
fn run(
    may_update: bool,
    tool: impl Fn(&Tool, &Arc<dyn Cas>) + Send + Sync + 'static,
) -> (Vec<Option<Digest>>, Digest) {
    let store = MemoryStore::new();
    let cas: Arc<dyn Cas> = store.clone();
    let directory = tempfile::tempdir().unwrap();
    // No name of a socket may be as long as this one would be.
    let place = directory.path().join("a".repeat(120));
    let program = move |call: &mut bourn_testkit::memory::Call<'_>| {
        let [mount] = call.execution.mounts.as_slice() else { panic!("one mount") };
        assert_eq!(mount.path, "/run/apis");
        // The place that a sandbox makes for what is mounted.
        let empty = TreeFile { digest: Digest::empty(), executable: false, properties: None };
        call.tree.put("/run/apis", Entry::File(empty)).unwrap();
        // Clients see a short name in their sandbox.
        let opened = File::open(mount.host.parent().unwrap()).unwrap();
        let short = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
        tool(&Tool::at(Path::new(&short)), call.cas);
        0
    };
    let executor = FakeExecutor::new(cas.clone(), program);
    let offer = Offer { cas: cas.clone(), actions: store };
    let nested = Nested::new(Arc::new(executor), cas.clone(), place.clone(), move || Ok(offer.clone()));
    let mut root = Tree::empty(&cas);
    root.create_directory("/run").unwrap();
    let root = root.digest().unwrap();
    let apis = RemoteApis { path: "/run/apis".into(), may_update };
    let executed = nested.execute(&execution(root, Some(apis)), &mut io::sink(), &Cancel::default()).unwrap();
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0, "the socket is gone");
    (executed.outputs, root)
}

#[test]
fn blobs_and_trees_go_in_and_out() {
    let (outputs, root) = run(false, |tool, _| {
        let ours: Arc<dyn Cas> = MemoryStore::new();
        let large: Vec<u8> = (0..9 << 20).map(|at: u32| (at / 7) as u8).collect();
        let mut tree = Tree::empty(&ours);
        for (path, content) in [("/a/small", b"hello".as_slice()), ("/a/b/large", &large), ("/empty", b"")] {
            let digest = ours.write(content).unwrap();
            tree.put(path, Entry::File(TreeFile { digest, executable: false, properties: None })).unwrap();
        }
        let digest = tree.digest().unwrap();
        let sent = tool.runtime.block_on(tool.transfer(&ours).send_trees(vec![digest], Vec::new()));
        assert!(sent.map_err(Fault::into_error).unwrap());
        let theirs: Arc<dyn Cas> = MemoryStore::new();
        let fetched = tool.runtime.block_on(tool.transfer(&theirs).fetch_trees(vec![digest]));
        fetched.map_err(Fault::into_error).unwrap();
        assert!(theirs.contains_tree(&digest).unwrap());
        assert_eq!(theirs.read(&Digest::of(&large)).unwrap(), large);
    });
    assert_eq!(outputs[0], Some(root), "nothing is left where the socket was");
    assert_eq!(outputs[1], Some(Digest::empty()));
}

#[test]
fn results_are_kept_where_that_is_allowed() {
    run(true, |tool, cas| {
        let action = Digest::of(b"an action");
        assert_eq!(tool.action_result(action), Err(ErrorKind::Missing));
        let content = Digest::of(b"what came of it");
        let output = OutputFile { path: "a.o".into(), digest: Some(content.into()), ..OutputFile::default() };
        let result = ActionResult { output_files: vec![output], ..ActionResult::default() };
        assert!(tool.update(action, &result).is_err(), "its output is not there yet");
        assert_eq!(tool.action_result(action), Err(ErrorKind::Missing));
        cas.write(b"what came of it").unwrap();
        assert_eq!(tool.update(action, &result).as_ref(), Ok(&result));
        assert_eq!(tool.action_result(action), Ok(result));
    });
    run(false, |tool, _| {
        let action = Digest::of(b"an action");
        assert_eq!(tool.update(action, &ActionResult::default()), Err(ErrorKind::Denied));
        assert_eq!(tool.action_result(action), Err(ErrorKind::Missing));
    });
}

#[test]
fn nothing_else_is_offered() {
    run(true, |tool, _| {
        let question = GetActionResultRequest::default();
        let found: Result<ActionResult, _> =
            tool.ask("/build.bazel.remote.execution.v2.Execution/Execute", question.clone());
        assert!(found.is_err());
        let found: Result<ActionResult, _> =
            tool.ask("/build.bazel.remote.execution.v2.ActionCache/GetActionResult", question);
        assert_eq!(found, Err(ErrorKind::Invalid), "there is no digest");
    });
}

#[test]
fn blobs_that_are_not_what_they_say_are_refused() {
    run(true, |tool, cas| {
        let digest = Digest::of(b"one");
        let blob = UpdateBlob { digest: Some(digest.into()), data: "two".into(), compressor: IDENTITY };
        let question = BatchUpdateBlobsRequest { requests: vec![blob], ..Default::default() };
        let path = "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs";
        let answer: BatchUpdateBlobsResponse = tool.ask(path, question).unwrap();
        assert_ne!(answer.responses[0].status.as_ref().map(|status| status.code), Some(0));
        let part = WriteRequest {
            resource_name: format!("uploads/1/blobs/{digest}"),
            write_offset: 0,
            finish_write: true,
            data: "two".into(),
        };
        let parts = tonic::codegen::tokio_stream::iter([part]);
        let written = tool.link.upload::<_, WriteResponse>("/google.bytestream.ByteStream/Write", parts);
        assert!(tool.runtime.block_on(written).is_err());
        assert_eq!(cas.missing_blobs(&[digest]).unwrap(), [digest]);
    });
}

#[test]
fn paths_within_outputs() {
    assert_eq!(within("/run/apis", "/"), Some("run/apis"));
    assert_eq!(within("/run/apis", "/run"), Some("apis"));
    assert_eq!(within("/run/apis", "run/"), Some("apis"));
    assert_eq!(within("/runner", "/run"), None);
    assert_eq!(within("/run", "/run/apis"), None);
}

#[test]
fn results_travel_to_another_cache_with_what_they_refer_to() {
    run(true, |tool, there| {
        let store = MemoryStore::new();
        let here: Arc<dyn Cas> = store.clone();
        let executor: Arc<dyn Executor> = Arc::new(FakeExecutor::new(here.clone(), |_| 0));
        let server = tool.address.clone();
        let backed = || {
            let (cas, assets) = (here.clone(), store.clone());
            Arc::new(
                Backed::connect(&server, cas, assets, executor.clone(), Cancel::default(), |_| ()).unwrap(),
            )
        };
        let action = Digest::of(b"an action");
        let actions = Actions::new(&server, backed()).unwrap();
        assert_eq!(actions.action_result(&action).unwrap(), None);
        let mut tree = Tree::empty(&here);
        let digest = here.write(b"in a directory").unwrap();
        tree.put("/a/b", Entry::File(TreeFile { digest, executable: false, properties: None })).unwrap();
        let content = here.write(b"what came of it").unwrap();
        let listed = [here.write(b"in the root").unwrap(), here.write(b"below").unwrap()];
        let serialized = here.write(&serialized(&listed)).unwrap();
        let result = ActionResult {
            output_files: vec![OutputFile { digest: Some(content.into()), ..OutputFile::default() }],
            output_directories: vec![
                OutputDirectory {
                    root_directory_digest: Some(tree.digest().unwrap().into()),
                    ..OutputDirectory::default()
                },
                OutputDirectory { tree_digest: Some(serialized.into()), ..OutputDirectory::default() },
            ],
            ..ActionResult::default()
        };
        actions.update_action_result(&action, &result).unwrap();
        assert!(there.contains_tree(&tree.digest().unwrap()).unwrap());
        let blobs = [content, serialized, listed[0], listed[1]];
        assert!(there.missing_blobs(&blobs).unwrap().is_empty());
        assert_eq!(actions.action_result(&action).unwrap(), Some(result.clone()));
        let reader = Address { push: false, ..server.clone() };
        let actions = Actions::new(&reader, backed()).unwrap();
        let refused = actions.update_action_result(&action, &result).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied);
    });
}

/// A serialized tree with a file in its root and one in the directory below.
fn serialized(files: &[Digest; 2]) -> Vec<u8> {
    let [root, child] = files.map(|digest| Directory {
        files: vec![FileNode { name: "file".into(), digest: Some(digest.into()), ..FileNode::default() }],
        ..Directory::default()
    });
    TreeMessage { root: Some(root), children: vec![child] }.encode_to_vec()
}

/// The client was told that these blobs are there, and sent them nowhere.
#[test]
fn results_may_refer_to_what_only_the_other_cache_has() {
    run(true, |tool, there| {
        let store = MemoryStore::new();
        let here: Arc<dyn Cas> = store.clone();
        let executor: Arc<dyn Executor> = Arc::new(FakeExecutor::new(here.clone(), |_| 0));
        let server = tool.address.clone();
        let backed =
            Backed::connect(&server, here.clone(), store, executor, Cancel::default(), |_| ()).unwrap();
        let actions = Actions::new(&server, Arc::new(backed)).unwrap();
        let mut tree = Tree::empty(there);
        let digest = there.write(b"in a directory").unwrap();
        tree.put("/a/b", Entry::File(TreeFile { digest, executable: false, properties: None })).unwrap();
        let root = OutputDirectory {
            root_directory_digest: Some(tree.digest().unwrap().into()),
            ..OutputDirectory::default()
        };
        let listed = [there.write(b"in the root").unwrap(), here.write(b"below").unwrap()];
        let serialized = there.write(&serialized(&listed)).unwrap();
        let listing = OutputDirectory { tree_digest: Some(serialized.into()), ..OutputDirectory::default() };
        let output_directories = vec![root, listing];
        let result = ActionResult { output_directories, ..ActionResult::default() };
        let action = Digest::of(b"an action");
        actions.update_action_result(&action, &result).unwrap();
        assert!(there.missing_blobs(&listed).unwrap().is_empty(), "the one that was here was sent");
        assert_eq!(actions.action_result(&action).unwrap(), Some(result));

        let nowhere = Digest::of(b"nobody has this");
        let output = OutputFile { digest: Some(nowhere.into()), ..OutputFile::default() };
        let result = ActionResult { output_files: vec![output], ..ActionResult::default() };
        let action = Digest::of(b"another action");
        let refused = actions.update_action_result(&action, &result).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Missing, "{refused:?}");
        assert_eq!(actions.action_result(&action).unwrap(), None);
    });
}
