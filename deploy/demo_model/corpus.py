"""The training text: the King James Bible as Debian's package `bible-kjv-text` ships it.

`bible.data` is a header and a row of windows of 64 KiB of text, each compressed on its own as by `compress` but
without the three leading bytes that say so. `gzip` reads that format, so nothing else is needed. All integers of the
header are big-endian: at 0x58 the number of windows, from 0x5c the offset of each window and of the end.
"""

import re
import struct
import subprocess

BIBLE = "/usr/lib/bible.data"
_COMPRESS_MAGIC = b"\x1f\x9d\x90"
_VERSE = re.compile(r"(\d?[A-Za-z]+)(\d+):(\d+) (.*)")
HELD_OUT_EVERY = 20  # one chapter in so many is never trained on


def _decompressed(path):
    data = open(path, "rb").read()
    if data[:4] != b"EC02":
        raise ValueError(f"{path}: not the data file of bible-kjv-text")
    (count,) = struct.unpack_from(">I", data, 0x58)
    offsets = struct.unpack_from(f">{count + 1}I", data, 0x5C)
    windows = []
    for begin, end in zip(offsets, offsets[1:]):
        # The last window carries one byte of padding, about which gzip warns (status 2) after writing everything.
        result = subprocess.run(["gzip", "-dc"], input=_COMPRESS_MAGIC + data[begin:end], capture_output=True)
        if result.returncode not in (0, 2):
            raise ValueError(f"{path}: window at {begin}: {result.stderr.decode()}")
        windows.append(result.stdout)
    return b"".join(windows).decode("ascii")


def chapters(path=BIBLE):
    """Returns a list of (name, [verse, ...]), for example ("Ge1", ["In the beginning God ...", ...])."""
    result = []
    for line in _decompressed(path).splitlines()[1:]:  # the first line is a title
        match = _VERSE.fullmatch(line)
        if not match:
            raise ValueError(f"{path}: not a verse: {line!r}")
        name = match.group(1) + match.group(2)
        if not result or result[-1][0] != name:
            result.append((name, []))
        result[-1][1].append(match.group(4))
    return result


def split(all_chapters):
    """Returns (training chapters, held-out chapters)."""
    held_out = all_chapters[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    names = {name for name, _ in held_out}
    return [c for c in all_chapters if c[0] not in names], held_out
