"""Writes odd archives into a directory: zip archives, Debian packages, and tar archives compressed in every way."""

import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import zipfile

directory = sys.argv[1]


def write(name, content):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(content)


def zipped(*members, **options):
    """A zip archive of members `(name, content, mode)`; the mode is left out where it is None."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", options.pop("method", zipfile.ZIP_DEFLATED)) as archive:
        archive.comment = options.pop("comment", b"")
        for name, content, mode in members:
            found = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            found.compress_type = archive.compression
            found.external_attr = 0 if mode is None else mode << 16
            with archive.open(found, "w", **options) as member:
                member.write(content)
    return target.getvalue()


def file(name, content=b"content", mode=0o100644):
    return name, content, mode


TREE = [file("top/a"), file("top/d/run", b"#!", 0o100755), file("top/empty/", b"", 0o40755), file("top/none", b"")]


def swapped(content, old, new, count=-1):
    """The same archive with other bytes of the same length."""
    assert old in content and len(old) == len(new), old
    return content.replace(old, new, count)


def central(content, at, change):
    """Changes the header of the first member in the directory of an archive."""
    start = content.index(b"PK\x01\x02")
    return content[: start + at] + change + content[start + at + len(change) :]


def zips():
    plain = zipped(*TREE)
    yield "plain", plain
    for name in ("STORED", "BZIP2", "LZMA"):
        yield name.lower(), zipped(*TREE, method=getattr(zipfile, "ZIP_" + name))
    yield "zip64", zipped(*TREE, force_zip64=True)
    yield "comment", zipped(*TREE, comment=b"a comment")
    yield "odd-comment", zipped(*TREE, comment=b"PK\x05\x06 is not the end")
    yield "no-members", zipped()
    yield "symlink", zipped(file("top/link", b"a", 0o120777), file("top/out", b"../../../etc/passwd", 0o120777))
    yield "through-symlink", zipped(file("top/out", b"/tmp", 0o120777), file("top/out/x"))
    yield "mode-nothing", zipped(file("top/a", b"1", 0), file("top/b", b"2", None), file("top/c", b"3", 0o100000))
    yield "mode-special", zipped(file("top/a", b"1", 0o106755), file("top/fifo", b"", 0o10644))
    yield "absolute", zipped(file("/top/a"), file("//top//b"), file("/etc/x"))
    yield "dot-dot", zipped(file("top/../../a"), file("top/../b"), file("../c"))
    yield "dots", zipped(file("./top/a"), file("top/./b"), file("top/../top/c"), file("."), file("./"))
    yield "only-dot-dot", zipped(file("top/a"), file(".."))
    yield "backslashes", zipped(file("top\\a"), file("top/b\\c"), file("top/..\\..\\d"), file("C:\\x"), file("C:/y"))
    yield "utf-8", zipped(file("top/caf\u00e9"), file("top/\u65e5\u672c"))
    yield "cp437", swapped(zipped(file("top/cafX")), b"cafX", b"caf\x82")
    yield "latin-1", swapped(zipped(file("top/cafX")), b"cafX", b"caf\xe9")
    yield "utf-8-unsaid", swapped(zipped(file("top/cafXY")), b"cafXY", "caf\u00e9".encode())
    broken = zipped(file("top/caf\u00e9"))
    yield "utf-8-broken", swapped(broken, "caf\u00e9".encode(), b"caf\xff\xff")
    yield "zero-byte", swapped(zipped(file("top/aXb")), b"aXb", b"a\0b")
    yield "line-break", zipped(file("top/a\nb"))
    yield "spaces", zipped(file("top/ a "), file(" /x"), file("top/d./y"))
    yield "empty-name", swapped(zipped(file("top/a"), file("X")), b"X", b"/")
    yield "twice", zipped(file("top/a", b"1"), file("top/a", b"2"))
    yield "twice-otherwise", zipped(file("top/a", b"1"), file("top//a", b"2"), file("top/./a", b"3"))
    yield "file-then-directory", zipped(file("top/a"), file("top/a/"))
    yield "file-then-below", zipped(file("top/a"), file("top/a/b"))
    yield "directory-then-file", zipped(file("top/a/b"), file("top/a"))
    yield "filled-directory", zipped(file("top/a/", b"content"))
    yield "two-tops", zipped(file("top/a"), file("other/b"))
    yield "no-top", zipped(file("a"), file("b"))
    yield "case", zipped(file("top/a", b"1"), file("top/A", b"2"), file("TOP/a", b"3"))
    yield "encrypted", swapped(central(plain, 8, b"\1\0"), b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0", 1)
    yield "encrypted-unsaid", swapped(plain, b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0", 1)
    yield "patched-data", central(plain, 8, b"\x20\0")
    yield "unknown-method", central(plain, 10, b"\x63\0")
    yield "deflate64", central(plain, 10, b"\x09\0")
    yield "new-version", central(plain, 6, b"\xff\0")
    yield "wrong-sum", central(plain, 16, b"\1\2\3\4")
    yield "smaller-than-said", central(plain, 24, struct.pack("<I", 100))
    yield "larger-than-said", central(plain, 24, struct.pack("<I", 3))
    yield "packed-smaller", central(plain, 20, struct.pack("<I", 1))
    yield "packed-larger", central(plain, 20, struct.pack("<I", 1 << 20))
    yield "other-local-name", swapped(plain, b"top/a", b"top/b", 1)
    yield "offset-beyond", central(plain, 42, struct.pack("<I", 1 << 20))
    yield "data-before", b"#!/bin/sh\n" + plain
    yield "garbage-after", plain + b"garbage"
    yield "zeros-after", plain + bytes(100)
    yield "two-archives", zipped(file("first/a")) + plain
    for part in (1, 2, 3):
        yield "cut-%d" % part, plain[: len(plain) * part // 4]
    yield "cut-end", plain[:-1]
    yield "nothing", b""
    yield "no-archive", b"this is no archive at all"
    extra = struct.pack("<HHBI", 0x7075, 10, 1, __import__("zlib").crc32(b"top/a")) + b"top/u"
    named = zipfile.ZipInfo("top/a", (2020, 1, 1, 0, 0, 0))
    named.extra = extra
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(named, b"1")
    yield "unicode-path", target.getvalue()
    named.extra = b"\x99\x99\x10\0short"
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(named, b"1")
    yield "broken-extra", target.getvalue()


def tarred(*members, format=tarfile.GNU_FORMAT):
    """A tar archive of members `(name, type, content or target)`."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format) as archive:
        for name, kind, content in members:
            found = tarfile.TarInfo(name)
            found.type, found.mode = kind, 0o755
            if kind == tarfile.REGTYPE:
                found.size = len(content)
                archive.addfile(found, io.BytesIO(content))
            else:
                found.linkname = content
                archive.addfile(found)
    return target.getvalue()


FILES = tarred(
    ("./", tarfile.DIRTYPE, ""),
    ("./usr", tarfile.DIRTYPE, ""),
    ("./usr/run", tarfile.REGTYPE, b"#!"),
    ("./usr/same", tarfile.LNKTYPE, "./usr/run"),
    ("./usr/link", tarfile.SYMTYPE, "run"),
    ("./usr/absolute", tarfile.SYMTYPE, "/etc/passwd"),
    ("./usr/deep/" + "n" * 120, tarfile.REGTYPE, b"long"),
)


def run(*words, content):
    return subprocess.run(words, input=content, stdout=subprocess.PIPE, check=True).stdout


PACKS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    ".zst": lambda content: run("zstd", "-qc", content=content),
    ".lz": lambda content: run("lzip", "-c", content=content),
}


def ar(*members, pad=b"\n"):
    content = b"!<arch>\n"
    for name, data in members:
        content += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(data)) + data
        content += pad * (len(data) % 2)
    return content


def debs():
    version, control = (b"debian-binary", b"2.0\n"), (b"control.tar.gz", gzip.compress(tarred()))
    data = lzma.compress(FILES)
    odd = next(packed for packed in (gzip.compress(FILES + bytes(n)) for n in range(64)) if len(packed) % 2)
    for ending, pack in PACKS.items():
        yield "data" + (ending or ".plain"), ar(version, control, (b"data.tar" + ending.encode(), pack(FILES)))
    zst = (b"control.tar.zst", PACKS[".zst"](tarred()))
    yield "control.zst", ar(version, zst, (b"data.tar.xz", data))
    yield "odd", ar(version, (b"control.tar.gz", b"odd"), (b"data.tar.gz", odd))
    yield "odd-zero", ar(version, (b"control.tar.gz", b"odd"), (b"data.tar.gz", odd), pad=b"\0")
    yield "odd-not-filled", ar(version, (b"control.tar.gz", b"odd"), (b"data.tar.gz", odd), pad=b"")
    yield "odd-end", ar(version, control, (b"data.tar.gz", odd), pad=b"\n")[:-1]
    yield "slash", ar((b"debian-binary/", b"2.0\n"), control, (b"data.tar.xz/", data))
    yield "long-name", ar(version, (b"//", b"a-long-name-with-data.tar.xz-in-it/\n\n"), (b"/0", data))
    yield "bsd-name", ar(version, control, (b"#1/12", b"data.tar.xz\0" + data))
    yield "no-data", ar(version, control)
    yield "no-version", ar((b"data.tar.xz", data))
    yield "data-first", ar((b"data.tar.xz", data), version, control)
    yield "data-twice", ar(version, (b"data.tar.gz", gzip.compress(tarred(("x", tarfile.REGTYPE, b"1")))), (b"data.tar.xz", data))
    yield "other-member", ar(version, (b"_gpgorigin", b"signed"), control, (b"data.tar.xz", data))
    yield "garbage-after", ar(version, control, (b"data.tar.xz", data)) + b"garbage"
    yield "broken-after", ar(version, control, (b"data.tar.xz", data)) + b"g" * 60
    whole = ar(version, control, (b"data.tar.xz", data))
    yield "cut", whole[:-20]
    yield "cut-header", whole[:100]
    yield "empty", b""
    yield "no-members", b"!<arch>\n"
    yield "no-archive", b"this is no package at all"
    yield "data-empty", ar(version, control, (b"data.tar.xz", lzma.compress(tarred())))
    yield "data-no-tar", ar(version, control, (b"data.tar.xz", lzma.compress(b"no archive" * 100)))
    yield "data-nothing", ar(version, control, (b"data.tar", b""))
    # The reference writes what leads out where it leads, and makes devices where it may: no test may have it do so.
    for name, members in {
        "symlink-out": [("usr/out", tarfile.SYMTYPE, "../.."), ("usr/x", tarfile.REGTYPE, b"1")],
        "link-first": [("usr/b", tarfile.LNKTYPE, "usr/a"), ("usr/a", tarfile.REGTYPE, b"1")],
        "link-nowhere": [("usr/b", tarfile.LNKTYPE, "etc/none"), ("usr/a", tarfile.REGTYPE, b"1")],
        "link-out": [("usr/b", tarfile.LNKTYPE, "../../etc/hostname"), ("usr/a", tarfile.REGTYPE, b"1")],
        "twice": [("usr/a", tarfile.REGTYPE, b"1"), ("usr/a", tarfile.REGTYPE, b"2")],
        "through-within": [("usr/d/", tarfile.DIRTYPE, ""), ("usr/l", tarfile.SYMTYPE, "d"), ("usr/l/x", tarfile.REGTYPE, b"1")],
    }.items():
        yield "has-" + name, ar(version, control, (b"data.tar.xz", lzma.compress(tarred(*members))))


def tars():
    for ending, pack in PACKS.items():
        packed = pack(FILES)
        yield "plain" + ending, packed
        if ending:
            yield "half" + ending, packed[: len(packed) // 2]
            yield "almost" + ending, packed[:-1]
            yield "garbage" + ending, packed + b"garbage after the end"
            yield "zeros" + ending, packed + bytes(512)
            half = len(FILES) // 1024 * 512
            yield "parts" + ending, pack(FILES[:half]) + pack(FILES[half:])
            flipped = bytearray(packed)
            flipped[len(packed) // 2] ^= 0x55
            yield "damaged" + ending, bytes(flipped)
            yield "misnamed" + (".gz" if ending != ".gz" else ".xz") + ending.replace(".", "-"), packed
    for name, format in (("pax", tarfile.PAX_FORMAT), ("ustar", tarfile.USTAR_FORMAT)):
        members = [("top/" + "d" * 60 + "/" + "n" * 80, tarfile.REGTYPE, b"long"), ("top/caf\u00e9", tarfile.REGTYPE, b"1")]
        yield name + ".gz", gzip.compress(tarred(*members, format=format))


for kind, found in (("zip", zips()), ("deb", debs()), ("tar", tars())):
    for name, content in found:
        write(kind + "-" + name, content)
