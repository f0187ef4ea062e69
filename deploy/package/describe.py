#!/usr/bin/env python3
"""Writes the programs' manual pages and shell completions from what their own --help says, so that both are true.

    describe.py --out PREFIX [--emulator COMMAND] PROGRAM...

Below PREFIX/share come man/man8/hearthd.8, man/man1/NAME.1 of the others, and for each program completions for bash
(bash-completion/completions), zsh (zsh/vendor-completions) and fish (fish/vendor_completions.d). --emulator: what runs
programs of another architecture, for example qemu-aarch64. Exits with 1 and one line when a program does not run or
its help is not understood.
"""

import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys

SECTIONS = {"hearthd": 8}  # daemons; all others are commands

# What a page says beyond the program's help.
FILES = {
    "hearthd": [
        ("/etc/hearth/hearthd.toml", "Settings of the service hearthd.service."),
        ("/var/lib/hearth", "The service's identity, its home's members, and models for it."),
        ("/var/cache/hearth", "Weights that a worker has fetched."),
        ("/run/hearth/port, /run/hearth/http_port", "The ports that are in use."),
        ("~/.local/state/hearth", "All of these for a daemon that a user starts."),
    ],
    "hearth": [
        ("/var/lib/hearth/models", "Models that root has fetched, where the service is installed."),
        ("~/.local/share/hearth/models", "Models that a user has fetched."),
        ("/usr/share/hearth/catalogue", "The catalogue: of all *.json there the models are known by name."),
    ],
}
SEE_ALSO = {
    "hearthd": "hearth(1), hearth-model(1), systemctl(1)",
    "hearth": "hearth-model(1), hearthd(8)",
    "hearth-model": "hearth(1), hearthd(8)",
}


class NotUnderstood(Exception):
    pass


@dataclasses.dataclass
class Entry:
    """A line of help: an option, an argument or a command."""
    names: list  # ["-n", "--max-tokens"], ["prompt"]
    value: str  # "HOST:PORT", "" for a flag
    text: str

    @property
    def long(self):
        return self.names[-1]


@dataclasses.dataclass
class Page:
    path: tuple  # ("hearth", "key", "create")
    about: str  # the text above the usage
    usage: str
    groups: dict  # title -> entries: options
    arguments: list
    commands: list
    footer: str
    pages: dict = dataclasses.field(default_factory=dict)  # of the commands

    def options(self):
        return [entry for entries in self.groups.values() for entry in entries]


ENTRY = re.compile(r"^ {2,4}(\S.*?)(?:  +(\S.*))?$")  # those of a group within a group are set in further
CONTINUATION = re.compile(r"^ {20,}(\S.*)$")
TITLE = re.compile(r"^(?:  )?([A-Z][\w ]*):$")
REMARK = re.compile(r"^ *\[.*\]$")  # about the options of a group within a group


def parse_entry(head, text):
    names, _, rest = head.partition(" ")
    rest = re.sub(r"\bREQUIRED\b|(Excludes|Needs):( -\S+)+|(Excludes|Needs): \w+|\(Env:\w+\)|\.\.\.", "", rest)
    value, _, default = rest.strip().partition("=")
    if default:
        default, _, begun = default.partition(" ")  # where the first column is full only a blank is between the two
        text = f"{begun} {text}".strip() + f" [{default}]"
    if env := re.search(r"\(Env:(\w+)\)", head):
        text += f" (environment: {env.group(1)})"
    return Entry(names.split(","), value.strip(), text)


def parse_help(path, text):
    """The page that `PROGRAM ... --help` printed."""
    about, usage, rest = text.partition("\nUsage: ")
    if not usage:
        raise NotUnderstood(f"{' '.join(path)} --help: there is no line that begins with Usage:")
    usage, _, rest = rest.partition("\n")
    blocks, footer, title = {}, [], None
    lines = rest.split("\n")
    for line, after in zip(lines, lines[1:] + [""]):
        match = TITLE.match(line)
        if not footer and match and (match.group(1) in ("Positionals", "Subcommands") or after.lstrip().startswith("-")):
            title = match.group(1)
            blocks.setdefault(title, [])
        elif not footer and REMARK.match(line):
            continue
        elif footer or (line and not line.startswith(" ")):
            footer.append(line)
        elif (match := CONTINUATION.match(line)) and title and blocks[title]:
            blocks[title][-1][1] = f"{blocks[title][-1][1]} {match.group(1)}".strip()
        elif (match := ENTRY.match(line)) and title:
            blocks[title].append([match.group(1), match.group(2) or ""])
        elif line.strip():
            raise NotUnderstood(f"{' '.join(path)} --help: what does this line mean? {line}")
    entries = {title: [parse_entry(*block) for block in found] for title, found in blocks.items()}
    page = Page(path, about.strip(), usage, {}, entries.pop("Positionals", []), entries.pop("Subcommands", []),
                "\n".join(footer).strip())
    page.groups = {title: found for title, found in entries.items() if found}
    if not any(entry.long == "--help" for entry in page.options()):
        raise NotUnderstood(f"{' '.join(path)} --help: does not name --help")
    return page


def run(command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotUnderstood(f"{command[-2]}: {error}") from error
    if result.returncode != 0:
        raise NotUnderstood(f"{' '.join(command)}: exit code {result.returncode}: {result.stderr.strip()}")
    return result.stdout


def read_page(program, path):
    """The page of a program, or of its command, with those of its commands."""
    page = parse_help(path, run([*program, *path[1:], "--help"]))
    for command in page.commands:
        page.pages[command.long] = read_page(program, (*path, command.long))
    return page


def walk(page):
    yield page
    for below in page.pages.values():
        yield from walk(below)


# --- Manual pages ---


def roff(text):
    """`text` with nothing in it that troff would take for a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def man_entries(entries):
    lines = []
    for entry in entries:
        names = ", ".join(f"\\fB{roff(name)}\\fR" for name in entry.names)
        lines += [".TP", names + (f" \\fI{roff(entry.value)}\\fR" if entry.value else ""), roff(entry.text) or "\\&"]
    return lines


def man_text(text):
    """Paragraphs; lines that are set in stay as they are."""
    lines, literal = [], False
    for line in text.split("\n"):
        indented = line.startswith("  ")
        if indented != literal:
            lines.append(".nf" if indented else ".fi")
            literal = indented
        lines.append(roff(line) if line.strip() else ".PP")
    return lines + ([".fi"] if literal else [])


def man_page(page, version):
    name = page.path[0]
    about, _, examples = page.about.partition("\n\nExamples:\n")
    first = about.split("\n")[0].removeprefix(name + " ").rstrip(".")
    section = SECTIONS.get(name, 1)
    lines = [f'.TH {name.upper()} {section} "" "Hearth {version}" "Hearth"', ".SH NAME",
             f"{roff(name)} \\- {roff(first[0].lower() + first[1:])}", ".SH SYNOPSIS", roff(page.usage),
             ".SH DESCRIPTION", *man_text(about)]
    if page.footer:
        lines += [".PP", *man_text(page.footer)]
    lines.append(".SH OPTIONS")
    for title, entries in page.groups.items():
        if title != "Options":
            lines.append(f'.SS "{roff(title)}"')
        lines += man_entries(entries)
    commands = [below for below in walk(page) if below is not page]
    if commands:
        lines.append(".SH COMMANDS")
    for below in commands:
        lines += [f'.SS "{roff(" ".join(below.path[1:]))}"', *man_text(below.about), ".PP", f"{roff(below.usage)}",
                  *man_entries(below.arguments)]
        lines += man_entries([entry for entry in below.options() if entry.long != "--help"])
        lines += [".PP", *man_text(below.footer)] if below.footer else []
    if examples:
        lines += [".SH EXAMPLES", *man_text(examples)]
    if name in FILES:
        lines.append(".SH FILES")
        for file, text in FILES[name]:
            lines += [".TP", f"\\fI{roff(file)}\\fR", roff(text)]
    if name in SEE_ALSO:
        lines += [".SH SEE ALSO", roff(SEE_ALSO[name])]
    return "\n".join(lines) + "\n"


# --- Completions ---


def offered(page, chain):
    """Options at `page`: its own, and those of the pages above it, which are taken there as well."""
    found = {entry.long: entry for above in chain[:-1] for entry in above.options()
             if entry.long not in ("--help", "--version")}
    found.update({entry.long: entry for entry in page.options()})
    return list(found.values())


def chains(page, above=()):
    """(key, pages from the program's down to this one) of each page; the key is "/key/create"."""
    chain = (*above, page)
    yield "".join(f"/{name}" for name in page.path[1:]), chain
    for below in page.pages.values():
        yield from chains(below, chain)


def choices(value):
    """The words of a value such as TEXT:{fast,float32}."""
    match = re.search(r"\{([\w,-]+)\}", value)
    return match.group(1).split(",") if match else []


def kind(value):
    return {"FILE": "file", "TEXT": "file", "DIR": "dir"}.get(value.split(" ")[0].strip("[]"), "other" if value else "")


def function_name(name):
    return "_" + name.replace("-", "_")


def descent(page):
    """Lines of a case statement that follow the commands on the line."""
    return [f'      "{key}") at={key} ;;' for key, _ in chains(page) if key]


def bash(page):
    name, function = page.path[0], function_name(page.path[0])
    lines = [f"# Completions of {name} for bash, made from its --help.", "", f"{function}() {{",
             '  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} at="" words="" word',
             '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do', '    case "$at/$word" in', *descent(page),
             "    esac", "  done", '  case "$at:$prev" in']
    for key, chain in chains(page):
        for entry in offered(chain[-1], chain):
            if words := choices(entry.value):
                patterns = "|".join(f'"{key}:{name}"' for name in entry.names)
                lines.append(f'    {patterns}) mapfile -t COMPREPLY < <(compgen -W "{" ".join(words)}" -- "$cur"); return ;;')
        for wanted, action in (("file", "compgen -f -- \"$cur\""), ("dir", "compgen -d -- \"$cur\""), ("other", "")):
            names = [name for entry in offered(chain[-1], chain) if kind(entry.value) == wanted
                     for name in entry.names]
            if names:
                patterns = "|".join(f'"{key}:{name}"' for name in names)
                fill = f'mapfile -t COMPREPLY < <({action})' if action else "COMPREPLY=()"
                lines.append(f"    {patterns}) {fill}; return ;;")
    lines += ["  esac", '  case "$at" in']
    for key, chain in chains(page):
        words = [name for entry in offered(chain[-1], chain) for name in entry.names]
        words += [entry.long for entry in chain[-1].commands]
        lines.append(f'    "{key}") words="{" ".join(words)}" ;;')
    files = "|".join(f'"{key}"' for key, chain in chains(page) if not chain[-1].commands)
    lines += ["  esac", '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")', '  case "$at" in',
              f'    {files}) [[ $cur == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;', "  esac", "}",
              "", f"complete -o filenames -F {function} {name}"]
    return "\n".join(lines) + "\n"


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def zsh_text(text):
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def zsh(page):
    name, function = page.path[0], function_name(page.path[0])
    actions = {"file": "_files", "dir": "_files -/", "other": " "}
    lines = [f"#compdef {name}", f"# Completions of {name} for zsh, made from its --help.", "", f"{function}() {{",
             '  local at="" word', "  for word in ${words[2,CURRENT-1]}; do", '    case "$at/$word" in',
             *descent(page), "    esac", "  done", "  case $at in"]
    for key, chain in chains(page):
        specs = []
        for entry in offered(chain[-1], chain):
            words = choices(entry.value)
            action = f"({' '.join(words)})" if words else actions.get(kind(entry.value))
            value = f":{zsh_text(entry.value)}:{action}" if entry.value else ""
            specs += [quote(f"*{option}[{zsh_text(entry.text)}]{value}") for option in entry.names]
        commands = " ".join(f'{entry.long}\\:"{zsh_text(entry.text)}"'.replace("`", "") for entry in chain[-1].commands)
        specs.append(quote(f"*:command:(({commands}))") if commands else quote("*:file:_files"))
        lines.append(f'    "{key}")\n      _arguments \\\n        ' + " \\\n        ".join(specs) + " ;;")
    lines += ["  esac", "}", "", f'{function} "$@"']
    return "\n".join(lines) + "\n"


def fish(page):
    name = page.path[0]
    lines = [f"# Completions of {name} for fish, made from its --help."]
    for key, chain in chains(page):
        at = chain[-1]
        seen = [f"__fish_seen_subcommand_from {command}" for command in at.path[1:]]
        if at.commands:
            names = " ".join(entry.long for entry in at.commands)
            here = "; and ".join([*seen, f"not __fish_seen_subcommand_from {names}"])
            lines += [f"complete -c {name} -f -n {quote(here)} -a {entry.long} -d {quote(entry.text)}"
                      for entry in at.commands]
        where = f" -n {quote('; and '.join(seen))}" if seen else ""
        for entry in at.options():
            names = " ".join(f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
                             for option in entry.names)
            value = {"": "", "file": " -r -F", "dir": " -r -F", "other": " -x"}[kind(entry.value)]
            if words := choices(entry.value):
                value = f" -x -a {quote(' '.join(words))}"
            lines.append(f"complete -c {name}{where} {names}{value} -d {quote(entry.text)}")
    return "\n".join(lines) + "\n"


def describe(program, emulator, out):
    """Writes all files of one program below `out`/share."""
    name = pathlib.Path(program).name
    command = [*emulator, program]
    page = read_page(command, (name,))
    version = run([*command, "--version"]).split()[-1]
    section = SECTIONS.get(name, 1)
    for path, text in ((f"man/man{section}/{name}.{section}", man_page(page, version)),
                       (f"bash-completion/completions/{name}", bash(page)),
                       (f"zsh/vendor-completions/_{name}", zsh(page)),
                       (f"fish/vendor_completions.d/{name}.fish", fish(page))):
        file = pathlib.Path(out) / "share" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--emulator", default="")
    parser.add_argument("program", nargs="+")
    arguments = parser.parse_args()
    try:
        for program in arguments.program:
            describe(program, arguments.emulator.split(), arguments.out)
    except (NotUnderstood, OSError) as error:
        sys.exit(f"describe.py: {error}")


if __name__ == "__main__":
    main()
