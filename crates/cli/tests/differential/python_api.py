"""Tries what Python plugins import; run with the `buildstream` of either program, it has to say the same."""

import enum
import inspect
import json
import os
import stat
import sys
import tempfile

import buildstream
from buildstream import utils

NAMES = {
    "buildstream": """BuildElement CoreWarnings DependencyConfiguration Directory DirectoryError DownloadableFileSource
        Element ElementError FastEnum FileStat FileType MappingNode Node OverlapAction Plugin ProgramNotFoundError
        ProvenanceInformation Sandbox SandboxCommandError ScalarNode ScriptElement SequenceNode Source SourceError
        SourceFetcher SourceInfo SourceInfoMedium SourceMirror SourceMirrorError SourceRef SourceVersionType UtilError
        utils __version__""",
    "buildstream.buildelement": "BuildElement",
    "buildstream.downloadablefilesource": "DownloadableFileSource",
    "buildstream.element": "DependencyConfiguration Element ElementError",
    "buildstream.exceptions": "ErrorDomain LoadErrorReason",
    "buildstream._exceptions": "BstError ImplError LoadError PluginError SandboxError",
    "buildstream.node": "MappingNode Node ProvenanceInformation ScalarNode SequenceNode",
    "buildstream.plugin": "CoreWarnings Plugin",
    "buildstream.sandbox": "Sandbox SandboxCommandError",
    "buildstream.sandbox.sandbox": "Sandbox SandboxCommandError",
    "buildstream.scriptelement": "ScriptElement",
    "buildstream.source": "Source SourceError SourceFetcher SourceInfo SourceInfoMedium SourceVersionType",
    "buildstream.sourcemirror": "SourceMirror SourceMirrorError",
    "buildstream.storage": "Directory DirectoryError FileStat FileType",
    "buildstream.storage.directory": "Directory DirectoryError FileStat FileType",
    "buildstream.types": "CoreWarnings FastEnum OverlapAction SourceRef _Scope",
    "buildstream.utils": """BST_ARBITRARY_TIMESTAMP DirectoryExistsError FileListResult ProgramNotFoundError UtilError
        copy_files get_bst_version get_host_tool get_umask glob guess_version link_files list_relative_paths
        move_atomic safe_copy safe_link safe_remove save_file_atomic sha256sum url_directory_name""",
}

CLASSES = """BuildElement DependencyConfiguration Directory DownloadableFileSource Element FastEnum FileStat MappingNode
    Node Plugin ProvenanceInformation Sandbox ScalarNode ScriptElement SequenceNode Source SourceFetcher SourceInfo
    SourceMirror""".split()

# What another program does not show to plugins, and differs without harm.
OPERATORS = "__contains__ __delitem__ __setitem__ __iter__ __len__ __reversed__ __lt__ __bool__".split()


def plain(value):
    """A text for a value without addresses of objects."""
    if isinstance(value, buildstream.Node):
        return "{} {!r}".format(type(value).__name__, value.strip_node_info())
    if isinstance(value, (list, tuple)):
        return "[{}]".format(", ".join(map(plain, value)))
    if isinstance(value, dict):
        return "{{{}}}".format(", ".join("{!r}: {}".format(key, plain(item)) for key, item in value.items()))
    if isinstance(value, (buildstream.FastEnum, enum.Enum)):
        return "{}.{} {!r}".format(type(value).__name__, value.name, value.value)
    if isinstance(value, utils.FileListResult):
        return plain({key: sorted(items) for key, items in sorted(vars(value).items())})
    if isinstance(value, buildstream.FileStat):
        return plain([value.file_type, value.executable, value.size])
    if value is None or isinstance(value, (str, bytes, int, float, set, type({}.keys()), type({}.values()))):
        return repr(value) if not isinstance(value, (type({}.values()))) else plain(list(value))
    return type(value).__name__


def attempt(what, function, *arguments, **more):
    """Prints what a call gives or raises."""
    try:
        result = function(*arguments, **more)
        if inspect.isgenerator(result):
            result = list(result)
        print(what, "->", plain(result))
    except Exception as error:  # Every error is a result here.
        bases = [base.__name__ for base in type(error).__mro__]
        if "BstError" in bases:
            print(what, "!", type(error).__name__, plain(getattr(error, "reason", None)))
        else:
            print(what, "!", type(error).__name__)


def names():
    for module, wanted in NAMES.items():
        found = __import__(module, fromlist=["*"])
        for name in wanted.split():
            attempt("{}.{}".format(module, name), lambda: hasattr(found, name) or 1 / 0)


def parameters(function):
    """How a function can be called, without annotations."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return "unknown"
    said = []
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is inspect.Parameter.empty:
            default = ""
        elif isinstance(default, (str, int, bool, type(None), buildstream.FastEnum)):
            default = "=" + plain(default)
        else:
            default = "=..."
        said.append("{}{}{}".format("*" if parameter.kind is parameter.KEYWORD_ONLY else "", parameter.name, default))
    return ", ".join(said)


def classes():
    for name in CLASSES:
        found = getattr(buildstream, name)
        print(name, [base.__name__ for base in found.__mro__])
        for member in sorted(set(dir(found))):
            if member.startswith("_") and member not in OPERATORS:
                continue
            value = inspect.getattr_static(found, member)
            if member in OPERATORS:
                if name not in ("MappingNode", "SequenceNode", "Directory", "Element"):
                    continue
                # Only that it is there: mappings and lists of ours can do a little more.
                continue
            if callable(getattr(found, member)) and name != "FastEnum":
                print(" ", name, member, parameters(getattr(found, member)))
            elif isinstance(value, (str, bool, int, list, type(None))):
                print(" ", name, member, plain(value))
            else:
                print(" ", name, member)
    for name in NAMES["buildstream.utils"].split():
        value = getattr(utils, name)
        if inspect.isfunction(value) and name not in ("safe_link", "url_directory_name"):
            print("utils", name, parameters(value))
    for name, wanted in (("SourceError", "temporary"), ("ElementError", "collect"), ("SourceMirrorError", "reason")):
        error = getattr(buildstream, name)("text", detail="more", reason="why")
        print(name, str(error), error.detail, error.reason, plain(error.domain), getattr(error, wanted))
    error = buildstream.SandboxCommandError("text", detail="more", collect="/out")
    print(str(error), error.detail, error.reason, error.collect, [base.__name__ for base in type(error).__mro__])
    error = buildstream.DirectoryError("text", reason="why")
    print(str(error), error.reason, plain(error.domain))
    for error in (utils.UtilError("text", reason="why"), utils.ProgramNotFoundError("text", "why")):
        print(str(error), error.reason, plain(error.domain), error.detail)


class Colour(buildstream.FastEnum):
    RED = "red"
    BLUE = "blue"

    def __str__(self):
        return "the colour " + self.value


class Number(buildstream.FastEnum):
    ONE = 1
    TWO = 2


class Plain(enum.Enum):
    RED = "red"


def enums():
    for what, function in (
        ("by value", lambda: Colour("red")),
        ("by member", lambda: Colour(Colour.BLUE)),
        ("unknown", lambda: Colour("green")),
        ("values", lambda: list(Colour.values())),
        ("iterated", lambda: list(Colour)),
        ("str", lambda: [str(Colour.RED), str(Number.ONE), "{}".format(Number.TWO)]),
        ("repr", lambda: [repr(Colour.RED), repr(Number.ONE)]),
        ("equal", lambda: [Colour.RED == Colour("red"), Colour.RED == Colour.BLUE, Colour.RED != Colour.BLUE]),
        ("equal to others", lambda: [Colour.RED == "red", Colour.RED != "red", Colour.RED == Number.ONE]),
        ("equal to nothing", lambda: [Colour.RED == None, Colour.RED != None]),  # noqa: E711
        ("identical", lambda: Colour("red") is Colour.RED),
        ("in a set", lambda: len({Colour.RED, Colour("red"), Colour.BLUE})),
        ("in a list", lambda: Colour.RED in [Colour.BLUE, "red", Colour.RED]),
        ("name", lambda: [Colour.RED.name, Colour.name, Colour.value]),
        ("assigned", lambda: setattr(Colour, "GREEN", "green")),
        ("copied", lambda: __import__("copy").deepcopy(Colour.RED) is Colour.RED),
        ("pickled", lambda: __import__("pickle").loads(__import__("pickle").dumps(Number.ONE)) is Number.ONE),
    ):
        attempt("enum " + what, function)
    for found in (
        buildstream.FileType,
        buildstream.OverlapAction,
        buildstream.SourceInfoMedium,
        buildstream.SourceVersionType,
    ):
        for member in found:
            print(plain(member), str(member), repr(member))
    told = {key: value for key, value in vars(buildstream.CoreWarnings).items() if not key.startswith("_")}
    print(sorted(told.items()))


GIVEN = {
    "text": "words",
    "yes": "True",
    "no": "false",
    "one": "1",
    "number": "-7",
    "colour": "red",
    "list": ["a", "b"],
    "mixed": ["a", {"b": "c"}, ["d"]],
    "mapping": {"inner": {"deep": "x"}, "k": "v"},
    "empty": {},
    "none": [],
    "true": True,
    "seven": 7,
}


def node():
    """What both make of a file. Nothing in a file is None; plugins make that themselves."""
    made = from_file()
    made["nothing"] = None
    return made


def from_file():
    try:
        from buildstream import _yaml
    except ImportError:
        return buildstream.Node._from_wire(wire(GIVEN))
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(GIVEN, file)
        file.flush()
        return _yaml.load(file.name, shortname="given.yml")


def wire(value):
    """A value as it goes over the pipe."""
    place = ["given.yml", 1, 0]
    if isinstance(value, dict):
        return ["m", [[key, wire(item)] for key, item in value.items()], place]
    if isinstance(value, list):
        return ["l", [wire(item) for item in value], place]
    return ["s", value if isinstance(value, str) else json.dumps(value), place]


def nodes():
    keys = list(GIVEN) + ["nothing", "missing"]
    defaults = ((), ("words",), ("red",), (None,), (True,), (5,), ([],), ({},))
    for method in ("get_str", "get_bool", "get_int", "get_scalar", "get_str_list", "get_sequence", "get_mapping"):
        for key in keys:
            for default in defaults:
                if default and key not in ("missing", "nothing", "text"):
                    continue
                if default and not fits(method, default[0]) or (method, key) == ("get_int", "nothing"):
                    continue
                attempt("{}({}{})".format(method, key, ", %r" % default if default else ""), getattr(node(), method), key, *default)
    for key in keys:
        attempt("get_node({})".format(key), node().get_node, key)
        attempt("get_node({}, none)".format(key), node().get_node, key, allow_none=True)
        attempt("get_node({}, scalars)".format(key), node().get_node, key, [buildstream.ScalarNode])
        for constraint in (Colour, Plain, Number):
            attempt("get_enum({}, {})".format(key, constraint.__name__), node().get_enum, key, constraint)
        attempt("get_enum({}, None)".format(key), node().get_enum, key, Colour, None)
    attempt("get_enum(missing, blue)", node().get_enum, "missing", Colour, Colour.BLUE)
    attempt("get_enum(missing, 'blue')", node().get_enum, "missing", Colour, "blue")
    for kinds in ([buildstream.ScalarNode], [buildstream.MappingNode, buildstream.ScalarNode]):
        for key in ("list", "mixed", "none", "missing", "text"):
            attempt("get_sequence({}, typed)".format(key), node().get_sequence, key, allowed_types=kinds)
            attempt("get_sequence({}, [], typed)".format(key), node().get_sequence, key, [], kinds)
    for key in ("get_int", "get_bool", "get_str"):
        attempt(key + " by name", getattr(node(), key), key="missing", default=0)
    given = node()
    for what, function in (
        ("keys", given.keys),
        ("values", given.values),
        ("items", lambda: list(given.items())),
        ("has", lambda: ["text" in given, "missing" in given]),
        ("valid", lambda: given.validate_keys(list(GIVEN) + ["nothing"])),
        ("invalid", lambda: given.validate_keys(["text"])),
        ("clone", given.clone),
        ("clone is another", lambda: given.clone() is given),
        ("strip", given.strip_node_info),
        ("safe_del", lambda: [given.safe_del("yes"), given.safe_del("missing"), "yes" in given]),
        ("del", lambda: given.__delitem__("missing")),
        ("no boolean", lambda: given.get_scalar("text").as_bool()),
        ("is_none", lambda: [given.get_scalar("text").is_none(), given.get_scalar("missing", None).is_none()]),
        ("as_str", lambda: [given.get_scalar("missing", 3).as_str(), given.get_scalar("missing", None).as_str()]),
        ("as_int", lambda: given.get_scalar("number").as_int()),
        ("as_enum", lambda: given.get_scalar("colour").as_enum(Colour)),
    ):
        attempt("node " + what, function)
    changed = node()
    for what, value in (
        ("text", "other"),
        ("new", "text"),
        ("whole", 3),
        ("bool", True),
        ("null", None),
        ("list", ["x", ["y"], {"z": None}]),
        ("mapping", {"a": {"b": [1, True, None]}}),
        ("node", node().get_mapping("mapping")),
    ):
        attempt("set {}".format(what), changed.__setitem__, what, value)
        attempt("then", lambda: changed.get_node(what))
    attempt("changed", changed.strip_node_info)
    for value in (1.5, {1, 2}, b"bytes", object()):
        attempt("set a {}".format(type(value).__name__), changed.__setitem__, "odd", value)
    attempt("made for a missing key", lambda: [changed.get_mapping("fresh", {}), "fresh" in changed])
    attempt("made list for a missing key", lambda: [changed.get_sequence("row", []), "row" in changed])
    sequence = node().get_sequence("mixed")
    for what, function in (
        ("len", lambda: len(sequence)),
        ("iterated", lambda: list(sequence)),
        ("reversed", lambda: list(reversed(sequence))),
        ("strings", lambda: sequence.as_str_list()),
        ("scalar_at", lambda: sequence.scalar_at(0)),
        ("scalar_at mapping", lambda: sequence.scalar_at(1)),
        ("mapping_at", lambda: sequence.mapping_at(1)),
        ("mapping_at scalar", lambda: sequence.mapping_at(0)),
        ("sequence_at", lambda: sequence.sequence_at(2)),
        ("node_at", lambda: sequence.node_at(1)),
        ("node_at typed", lambda: sequence.node_at(1, [buildstream.ScalarNode])),
        ("node_at beyond", lambda: sequence.node_at(9)),
        ("append", lambda: [sequence.append("z"), sequence.append({"y": 1}), sequence.append(["x"]), sequence]),
        ("append nothing", lambda: [sequence.append(None), sequence]),
        ("set", lambda: [sequence.__setitem__(0, "changed"), sequence]),
        ("clone", sequence.clone),
        ("strip", sequence.strip_node_info),
    ):
        attempt("sequence " + what, function)
    attempt("from a list", buildstream.Node.from_dict, ["a"])
    attempt("from nothing", buildstream.Node.from_dict, {})
    attempt("from numbers", buildstream.Node.from_dict, {"a": 1.5})
    attempt("provenance", lambda: node().get_provenance())
    attempt("an empty provenance", lambda: bool(str(node().get_provenance())) in (True, False))


def fits(method, default):
    """Whether a default is of the type that a method is documented to take."""
    kinds = {
        "get_str": (str, type(None)),
        "get_bool": (bool,),
        "get_int": (int, type(None)),
        "get_scalar": (str, int, bool, type(None)),
        "get_str_list": (list, type(None)),
        "get_sequence": (list, type(None)),
        "get_mapping": (dict, type(None)),
    }
    return isinstance(default, kinds[method]) and (method, default) != ("get_int", True)


def tree(root):
    os.makedirs(os.path.join(root, "a/b"))
    os.makedirs(os.path.join(root, "empty"))
    for name, text, mode in (("a/one", "1\n", 0o644), ("a/b/two", "22\n", 0o755), ("top", "", 0o600)):
        with open(os.path.join(root, name), "w") as file:
            file.write(text)
        os.chmod(os.path.join(root, name), mode)
    os.symlink("one", os.path.join(root, "a/link"))
    os.symlink("a", os.path.join(root, "aside"))
    os.symlink("nowhere", os.path.join(root, "broken"))


def shape(root):
    """What a directory holds: paths with their sort, mode and content."""
    found = []
    for place, directories, files in os.walk(root):
        directories.sort()
        for name in sorted(directories + files):
            path = os.path.join(place, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                about = "-> " + os.readlink(path)
            elif stat.S_ISDIR(mode):
                about = "/"
            else:
                with open(path) as file:
                    about = "{:o} {!r}".format(stat.S_IMODE(mode), file.read())
            found.append("{} {}".format(os.path.relpath(path, root), about))
    return sorted(found)


def tools(root):
    source = os.path.join(root, "source")
    tree(source)
    attempt("relative paths", utils.list_relative_paths, source)
    paths = ["/usr/bin/a", "/usr/lib/liba.so", "/usr/lib/sub/libb.so.1", "/etc/a[b]c", "/.hidden", "/a/b/c.py"]
    for pattern in (
        "/usr/**",
        "/usr/*",
        "/usr/lib/*.so",
        "/usr/lib/**.so*",
        "*",
        "**",
        "/**/*.py",
        "usr/bin/?",
        "/etc/a[[]b]c",
        "/usr/lib/lib[ab].so",
        "/usr/lib/lib[!a].so",
        "/usr/lib/**/lib*",
        "",
    ):
        attempt("glob {}".format(pattern), utils.glob, paths, pattern)
        attempt("glob {} relative".format(pattern), utils.glob, [path[1:] for path in paths], pattern)
    for url in ("https://a.b/c?d=e&f", "alias:path/to.git", "ü", ""):
        attempt("directory name of {}".format(url), utils.url_directory_name, url)
    attempt("sha256", utils.sha256sum, os.path.join(source, "a/one"))
    attempt("sha256 of nothing", utils.sha256sum, os.path.join(source, "none"))
    attempt("version", utils.get_bst_version)
    attempt("tool", lambda: os.path.basename(utils.get_host_tool("sh")))
    attempt("no tool", utils.get_host_tool, "no-such-program")
    attempt("umask", lambda: utils.get_umask() == utils.get_umask())
    import re

    for text in ("1.2", "v1.2.3", "a-10.20.30.tar.gz", "5", "x_1_2", "1.2.3.4", "gtk-4.10-1.2.3", ""):
        attempt("version of {}".format(text), utils.guess_version, text)
        for pattern in (r"(\d+)_(\d+)", r"(\d+)", r"\d+\.\d+", r"v?(\d+)\.(\d+)(?:\.(\d+))?"):
            attempt(
                "version of {} by {}".format(text, pattern), utils.guess_version, text, pattern=re.compile(pattern)
            )
    for name, function in (("copy", utils.copy_files), ("link", utils.link_files)):
        target = os.path.join(root, name, "made")
        attempt(name + " nothing", function, os.path.join(source, "empty"), target)
        print(os.path.exists(target))
        attempt(name, function, source, target, report_written=True)
        print(shape(target))
        attempt(name + " again", function, source, target)
        attempt(name + " filtered", function, source, target, filter_callback=lambda path: path.startswith("a"))
        odd = os.path.join(root, name + "-odd")
        os.makedirs(os.path.join(odd, "a/one/full"))
        attempt(name + " over a directory", function, source, odd, report_written=True)
        print(shape(odd))
    other = os.path.join(root, "other")
    os.mkdir(other)
    file = os.path.join(other, "file")
    attempt("safe_copy", utils.safe_copy, os.path.join(source, "a/b/two"), file)
    attempt("safe_copy over", utils.safe_copy, os.path.join(source, "a/one"), file, copystat=False)
    attempt("safe_copy of nothing", utils.safe_copy, os.path.join(source, "none"), file)
    attempt("safe_link", utils.safe_link, os.path.join(source, "a/b/two"), os.path.join(other, "linked"))
    attempt("safe_link of nothing", utils.safe_link, os.path.join(source, "none"), os.path.join(other, "linked2"))
    attempt("safe_remove", utils.safe_remove, os.path.join(other, "linked"))
    attempt("safe_remove of nothing", utils.safe_remove, os.path.join(other, "linked"))
    attempt("safe_remove of a directory", utils.safe_remove, os.path.join(root, "copy"))
    print(shape(other))
    with utils.save_file_atomic(os.path.join(other, "saved"), "w") as saved:
        saved.write("text")
    with utils.save_file_atomic(os.path.join(other, "bytes"), mode="wb", tempdir=root) as saved:
        saved.write(b"text")
    with utils.save_file_atomic(os.path.join(other, "run"), "w") as saved:
        saved.write("text")
        os.fchmod(saved.fileno(), 0o711)

    def broken():
        with utils.save_file_atomic(os.path.join(other, "broken"), "w") as saved:
            saved.write("half")
            raise KeyError("on purpose")

    attempt("save and fail", broken)
    print(shape(other))
    for name in ("from", "to", "full"):
        os.mkdir(os.path.join(root, name))
    with open(os.path.join(root, "full/x"), "w"):
        pass
    attempt("move", utils.move_atomic, os.path.join(root, "from"), os.path.join(root, "deep/er/place"))
    attempt("move over", utils.move_atomic, os.path.join(root, "to"), os.path.join(root, "full"))
    attempt("move nothing", utils.move_atomic, os.path.join(root, "none"), os.path.join(root, "fresh"))
    attempt(
        "move without parents",
        utils.move_atomic,
        os.path.join(root, "to"),
        os.path.join(root, "no/parent"),
        ensure_parents=False,
    )


def main():
    names()
    classes()
    enums()
    nodes()
    with tempfile.TemporaryDirectory() as root:
        tools(root)


if __name__ == "__main__":
    os.umask(0o022)
    sys.dont_write_bytecode = True
    main()
