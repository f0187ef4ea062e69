#!/usr/bin/env python3
"""Checks that every #include (and proto import) follows the arrows between Hearth's folders.

    check_includes.py ROOT

Prints one line per include that does not and exits with 1 if there is any. The rules:

- client -> proto <- daemon -> {engine, placement}; proto, engine and placement do not know one another.
- client knows engine/base and engine/command_line, which the programs share, and nothing else of engine.
- client/library knows engine/base and itself alone.
- engine knows no network (openssl/evp.h, which hashes, is none); within engine arrows go only upwards in ENGINE_ORDER.
- placement knows nothing but the standard library, Abseil and COIN-OR's solvers.
- within daemon arrows go only upwards in DAEMON_ORDER; every room may know the headers in daemon/ itself.
- daemon/capacity, daemon/planning and daemon/model_tool know neither proto nor gRPC.
- No folder depends on itself by way of others, and nothing outside tests/ depends on tests/.
"""

import os
import re
import sys

TOP_FOLDERS = {
    "proto": {"proto"},
    "engine": {"engine"},
    "placement": {"placement"},
    "client": {"client", "proto", "engine"},
    "daemon": {"daemon", "proto", "engine", "placement"},
}

# Of engine, the client knows the folders without mathematics alone.
CLIENT_KNOWS = {"engine/base", "engine/command_line"}

# Folders of one row do not know one another; each may know the rows above it.
ENGINE_ORDER = [
    ["base"],
    ["command_line", "quant"],
    ["file"],
    ["token", "sample", "kernel", "gpu"],
    ["disk"],
    ["spec", "neuron", "jinja", "grammar"],
    ["weights", "chat"],
    ["attention"],
    ["outline"],
    ["device"],
    ["model"],
    ["tools"],
]

# Along the data's way: each room may know those above it.
DAEMON_ORDER = ["identity", "capacity", "weights", "channel", "membership", "planning", "model_tool", "cluster", "steps", "scheduling", "state",
                "etcd", "requests", "serving", "discovery", "joining", "standby", "http", "openai", "dashboard", "web", "program"]

# Rooms that know neither proto nor the network.
DAEMON_PURE = {"capacity", "planning", "model_tool", "steps"}

NETWORK = re.compile(
    r"^(grpc|google/protobuf|boost/asio|asio|sys/socket\.h|sys/epoll\.h|netinet/|arpa/|netdb\.h|openssl/(?!evp\.h))")
CUDA = re.compile(r"^(cuda|cublas|nv|cooperative_groups|mma\.h)")
SOLVER = re.compile(r"(Cbc|Cgl|Clp|Coin|Osi)\w+\.hpp$")
STANDARD_LIBRARY = re.compile(r"^[a-z_0-9]+$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
IMPORT = re.compile(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"')
SOURCES = (".h", ".hpp", ".cc", ".cpp", ".cu", ".cuh")


def engine_row(folder):
    for row, folders in enumerate(ENGINE_ORDER):
        if folder in folders:
            return row
    return None


def folder_of(path):
    """The folder that takes part in the rules: 'engine/quant' of 'engine/quant/types.h'."""
    return "/".join(os.path.dirname(path).split("/")[:2])


def check_engine(path, included):
    own, other = path.split("/")[1], included.split("/")[1]
    if own == other:
        return None
    own_row, other_row = engine_row(own), engine_row(other)
    if own_row is None:
        return f"engine/{own} has no place in the order of engine's folders"
    if other_row is None or other_row >= own_row:
        return f"engine/{own} must not know engine/{other}"
    return None


def check_daemon(path, included):
    """What is wrong with a room's including `included`, or None. Files in daemon/ itself join the rooms."""
    parts = path.split("/")
    if len(parts) == 2:
        return None
    own = parts[1]
    if own not in DAEMON_ORDER:
        return f"daemon/{own} has no place in the order of daemon's rooms"
    if own in DAEMON_PURE and included.startswith("proto/"):
        return f"daemon/{own} must not know proto"
    if not included.startswith("daemon/") or included.count("/") == 1:
        return None
    other = included.split("/")[1]
    if other not in DAEMON_ORDER or DAEMON_ORDER.index(other) > DAEMON_ORDER.index(own):
        return f"daemon/{own} must not know daemon/{other}"
    return None


def check_project_include(path, included):
    """What is wrong with including one of the project's files, or None."""
    own, other = path.split("/")[0], included.split("/")[0]
    if other == "tests":
        return f"{own} must not know tests"
    if other not in TOP_FOLDERS[own]:
        return f"{own} must not know {other}"
    if own == "engine":
        return check_engine(path, included)
    if folder_of(path) == "client/library" and folder_of(included) not in ("client/library", "engine/base"):
        return f"client/library must not know {folder_of(included)}"
    if own == "client" and other == "engine" and folder_of(included) not in CLIENT_KNOWS:
        return f"{own} must not know {folder_of(included)}"
    return check_daemon(path, included) if own == "daemon" else None


def check_foreign_include(path, included):
    """What is wrong with including a file from outside the project, or None."""
    own = path.split("/")[0]
    if own == "placement" and not (STANDARD_LIBRARY.match(included) or included.startswith("absl/") or SOLVER.match(included)):
        return "placement knows nothing but the standard library, Abseil and COIN-OR's solvers"
    if own == "engine" and NETWORK.match(included):
        return "engine knows no network"
    if own == "engine" and CUDA.match(included) and path != "engine/gpu/gpu.h":
        return "CUDA is known through engine/gpu/gpu.h alone"
    if own == "daemon" and path.split("/")[1] in DAEMON_PURE and NETWORK.match(included):
        return f"daemon/{path.split('/')[1]} knows no network"
    return None


def includes(root, path):
    """Yields (line number, included path, quoted) of one file."""
    pattern_is_proto = path.endswith(".proto")
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if pattern_is_proto:
                if match := IMPORT.match(line):
                    yield number, match.group(1), True
            elif match := INCLUDE.match(line):
                yield number, match.group(2), match.group(1) == '"'


def product_files(root):
    for top in sorted(TOP_FOLDERS):
        for directory, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(SOURCES + (".proto",)):
                    yield os.path.relpath(os.path.join(directory, name), root).replace(os.sep, "/")


def find_cycle(graph):
    """A list of folders that depend on one another in a ring, or None."""
    done, path = set(), []

    def visit(folder):
        if folder in path:
            return path[path.index(folder):] + [folder]
        if folder in done:
            return None
        path.append(folder)
        for other in sorted(graph.get(folder, ())):
            if cycle := visit(other):
                return cycle
        path.pop()
        done.add(folder)
        return None

    for folder in sorted(graph):
        if cycle := visit(folder):
            return cycle
    return None


def check_tree(root):
    """All findings, as lines of text."""
    findings, graph = [], {}
    for path in product_files(root):
        for number, included, quoted in includes(root, path):
            if included.startswith("google/") and path.endswith(".proto"):
                continue
            if included.split("/")[0] in TOP_FOLDERS or included.startswith("tests/"):
                problem = check_project_include(path, included)
                # A program's main file joins the parts; nothing can depend on it.
                if folder_of(path) != folder_of(included) and os.path.basename(path) != "main.cc":
                    graph.setdefault(folder_of(path), set()).add(folder_of(included))
            elif quoted and os.path.exists(os.path.join(root, os.path.dirname(path), included)):
                problem = "include files of the project by their path from its root"
            else:
                problem = check_foreign_include(path, included)
            if problem:
                findings.append(f"{path}:{number}: {included}: {problem}")
    if cycle := find_cycle(graph):
        findings.append("folders depend on one another in a ring: " + " -> ".join(cycle))
    return findings


def main():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    if not any(True for _ in product_files(sys.argv[1])):
        sys.exit(f"{sys.argv[1]}: no sources found")
    findings = check_tree(sys.argv[1])
    print("\n".join(findings) if findings else "every include follows the arrows between the folders")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
