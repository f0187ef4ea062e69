#!/usr/bin/env python3
"""What ptxas says of the kernels of engine/gpu: registers, and bytes that it spills to memory, for each architecture.

    gpu_registers.py [--nvcc PATH] [--architectures 75,80,...] [--results FILE]

Prints a table, or writes it into FILE. Ends with 1 where a kernel that a single token waits for spills. No card is needed; an
architecture takes a minute or two.
"""

import argparse
import collections
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++17", "-O3", "-DNDEBUG", "-fmad=false"]  # as a release build has them
# What runs for every token of a generation: products with one token and attention of one query.
HOT = re.compile(r"(Fixed)?MatVec<.*, 1u>|AttendChunk<[^,]*, 1,|(HeadProducts|NeuronSum|MergeChunks|FinishHeads|ResidualRow|RoundRows|ActivateRows)\b")
ENTRY = re.compile(r"Function properties for (\S+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads\n.*?Used (\d+) registers")

Kernel = collections.namedtuple("Kernel", "name registers stored loaded")


def short(name):
    """A kernel's name and template arguments, of what it is called in full."""
    name = re.sub(r"hearth::gpu::|cuda::|\(anonymous namespace\)::|^void ", "", name)
    return re.sub(r"\((\w+)\)(\d+)", r"\1 \2", name).split("(")[0]


def output(*command, **options):
    """What a command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def compile_for(nvcc, architecture):
    """The kernels of an architecture."""
    said = ""
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((ROOT / "engine" / "gpu").glob("*.cu")):
            said += subprocess.run([nvcc, *FLAGS, f"-I{ROOT}", "-Xptxas", "-v", "-cubin", f"-arch=sm_{architecture}",
                                    "-o", f"{folder}/kernels", str(source)], check=True, stderr=subprocess.PIPE, text=True).stderr
    found = [(match[1], *map(int, match.groups()[1:])) for match in ENTRY.finditer(said)]
    names = output("c++filt", input="\n".join(entry[0] for entry in found))
    return [Kernel(short(name), registers, stored, loaded)
            for name, (_, stored, loaded, registers) in zip(names.splitlines(), found)]


def table(kernels_of):
    """A line for each kernel: of each architecture the most registers, and how many of its variants spill."""
    families = collections.defaultdict(dict)
    for architecture, kernels in kernels_of.items():
        for kernel in kernels:
            families[kernel.name.split("<")[0]].setdefault(architecture, []).append(kernel)
    yield f"{'registers at most':20} {'variants':>8} " + " ".join(f"{f'sm_{architecture}':>10}" for architecture in kernels_of)
    for family, of in sorted(families.items()):
        cells = []
        for architecture in kernels_of:
            variants = of.get(architecture, [])
            spills = sum(1 for kernel in variants if kernel.stored + kernel.loaded > 0)
            cells.append(f"{max((kernel.registers for kernel in variants), default=0)}" + (f" ({spills} sp.)" if spills else ""))
        yield f"{family:20} {max(map(len, of.values())):8} " + " ".join(f"{cell:>10}" for cell in cells)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nvcc", default="/usr/local/cuda/bin/nvcc")
    parser.add_argument("--architectures", default="75,80,86,89,90,100,120")
    parser.add_argument("--results", type=pathlib.Path)
    arguments = parser.parse_args()
    architectures = arguments.architectures.split(",")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = pool.map(lambda architecture: compile_for(arguments.nvcc, architecture), architectures)
    kernels_of = dict(zip(architectures, found))

    spilling = [(architecture, kernel) for architecture, kernels in kernels_of.items() for kernel in kernels
                if kernel.stored + kernel.loaded > 0]
    hot = [entry for entry in spilling if HOT.match(entry[1].name)]
    commit = output("git", "log", "-1", "--abbrev=12", "--format=%h", "--", "engine/gpu").strip()
    if output("git", "status", "--porcelain", "--", "engine/gpu"):
        commit += "-changed"
    version = re.search(r"V[\d.]+", output(arguments.nvcc, "--version"))[0]
    lines = [f"What ptxas says of the kernels of engine/gpu, last changed in commit {commit}; nvcc {version}, {' '.join(FLAGS)}", "", *table(kernels_of), "",
             f"Spilled: {len(spilling)} of {sum(map(len, kernels_of.values()))}, of kernels that a single token waits for {len(hot)}"]
    lines += [f"  sm_{architecture:4} {kernel.name}: {kernel.stored} bytes stored, {kernel.loaded} loaded, {kernel.registers} registers"
              for architecture, kernel in spilling]
    text = "\n".join(lines) + "\n"
    if arguments.results:
        arguments.results.write_text(text)
    else:
        print(text, end="")
    return 1 if hot else 0


if __name__ == "__main__":
    sys.exit(main())
