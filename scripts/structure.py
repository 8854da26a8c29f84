#!/usr/bin/env python3
"""Checks that no lint makes in this repository: dependencies of crates, locks, length of files, circles of imports, the
first words of doc comments.

Run by scripts/check.sh from anywhere; prints each breach and exits with 1 if there is one.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys

from rust_files import CRATES, Crate, circles

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNTIME = {"glommio-ng", "flume"}
FILE_LINES_MAX = 600
DOC_LINES_MAX = 300
# Modules of src/, from the ground up; a module uses those before it and none behind.
LAYERS = ["limits ids printable slack error config transport telemetry", "wire", "zmtp", "topic", "auth fanout", "control registry", "carrier", "shard", "broker", "client", "cli"]
LAYER_OF = {module: layer for layer, modules in enumerate(LAYERS) for module in modules.split()}
# A doc comment begins with a noun or a verb, and with none of these.
QUESTION = re.compile(r"\s*//[/!] (What|Whether|Who|Of|So|How)\b")
# A connection is a `Stream` of src/transport to everything else in src/.
SOCKETS = re.compile(r"\b((Tcp|Unix)(Stream|Listener)|U(dp|nix)(Socket|Datagram)|(Owned|Borrowed|Raw)Fd|SockRef|ReadySocket|socket2)\b")
NAMES_NOT_USED = re.compile(r"\b(worker|manager|handler|helper|util|utils|common|misc)\b")

# Circles of imports, each by one of its files: how many files it has at most, and why it is there. None grows, and none is
# added but with a reason that would convince a stranger.
CIRCLES = {
    # To be cut: what one of these files does cannot be understood without all of the others.
    "executors/src/link.rs": (2, "links do not block executors, and a plain thread has links to wait on"),
    # To stay: a parent that lists its children by what they give, and children that use the parent's types.
    "src/cli/mod.rs": (3, "man pages and completions are subcommands, and show the whole command"),
    "src/cli/exit.rs": (2, "a failure names the variables that are to blame, and a wrong variable has an exit code"),
    "src/transport/endpoint.rs": (2, "an endpoint, and how it is read from text"),
    "src/fanout/batch.rs": (2, "a batch has an encoding, and an encoding cuts batches"),
    "src/telemetry/counters.rs": (2, "a row of the list, and its way to the recorder"),
    "bench/src/cli/mod.rs": (2, "man pages and completions are subcommands, and show the whole command"),
    "executors/src/host_check.rs": (3, "findings, by subject"),
    "executors/src/pool.rs": (2, "a pool, and how its executors start"),
}
# Assertions in debug builds alone, which are too dear for a release: one for each frame, one for each measured message.
DEBUG_ASSERTIONS = ("src/wire/checked.rs", "bench/src/measure/oracle.rs")


def breaches():
    yield from crates()
    for folder in CRATES:
        crate = Crate(ROOT / folder)
        yield from imports(crate)
        yield from names(crate)
    for path in files():
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        yield from lengths(name, text)
        if path.suffix == ".rs":
            yield from source(name, text)
            yield from doc_questions(name, text)
        if path.suffix == ".py":
            try:
                ast.parse(text, name)
            except SyntaxError as error:
                yield f"{name}: {error}"


def crates():
    """Which package depends on which."""
    command = ["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    uses = {package["name"]: {d["name"] for d in package["dependencies"]} for package in metadata["packages"]}
    for package, dependencies in sorted(uses.items()):
        if package != "corecast-executors":
            for runtime in sorted(RUNTIME & dependencies):
                yield f"{package} depends on {runtime}: only corecast-executors may name the runtime"
    above = {"corecast-executors": {"corecast", "corecast-bench"}, "corecast": {"corecast-bench"}}
    for package, forbidden in above.items():
        for upward in sorted(forbidden & uses.get(package, set())):
            yield f"{package} depends on {upward}: the direction is bench -> corecast -> executors"
    for package in metadata["packages"]:
        manifest = pathlib.Path(package["manifest_path"])
        if not re.search(r"^\[lints\]\nworkspace = true$", manifest.read_text(), re.MULTILINE):
            yield f"{manifest.relative_to(ROOT)}: it does not take the workspace's lints"


def imports(crate):
    """Circles of imports that are new, or larger than they were."""
    for circle in circles(crate.imports()):
        inside = [file.relative_to(ROOT).as_posix() for file in circle]
        listed = [file for file in inside if file in CIRCLES]
        if not listed:
            yield f"{len(inside)} files import each other: {' '.join(inside)}"
        for file in listed[:1]:
            allowed, why = CIRCLES[file]
            if len(inside) > allowed:
                yield f"{file}: its circle of imports has {len(inside)} files, and had {allowed} ({why}): {' '.join(inside)}"
            if len(inside) < allowed:
                print(f"note: the circle of {file} has {len(inside)} files now: lower its bound in {__file__}")


def names(crate):
    """Public types that share a name: in a discussion a name is to mean one thing."""
    for name, written in sorted(crate.public_types().items()):
        if len(written) > 1:
            places = " and ".join(file.relative_to(ROOT).as_posix() for file in written)
            yield f"{places}: {name} is the name of two types"


def files():
    """Every file of the repository that people write, new ones too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in sorted(set(listed.splitlines())):
        path = ROOT / line
        if path.suffix in {".rs", ".py", ".sh", ".md"} and path.is_file():
            yield path


def lengths(name, text):
    # Unit tests stand at the end of what they test, and count for nobody's reading of it.
    lines = text.split("\n#[cfg(test)]\n")[0].count("\n")
    if name.startswith("docs/") and lines >= DOC_LINES_MAX:
        yield f"{name}: {lines} lines; a page has under {DOC_LINES_MAX}"
    if lines > FILE_LINES_MAX:
        yield f"{name}: {lines} lines; a file has at most {FILE_LINES_MAX}"


def source(name, text):
    """Rust: what is named outside comments."""
    if NAMES_NOT_USED.search(pathlib.PurePosixPath(name).stem.replace("_", " ")):
        yield f"{name}: say what it owns instead"
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        if "to_socket_addrs" in code and not name.endswith("/names.rs"):
            yield f"{name}:{number}: a look-up may block for 20 s: connect_addresses_until has a deadline"
        if re.search(r"\b(Mutex|RwLock)\b", code):
            yield f"{name}:{number}: a lock: one shard, one owner"
        for used in re.findall(r"\bcrate::(\w+)", code):
            here = LAYER_OF.get(name.split("/")[1].split(".")[0]) if name.startswith("src/") else None
            if here is not None and LAYER_OF.get(used, -1) > here:
                yield f"{name}:{number}: {used} is a layer above"
        if re.search(r"\bdebug_assert\w*!", code) and not name.startswith(DEBUG_ASSERTIONS):
            yield f"{name}:{number}: silent in release: end the process (assert!), or the session, counted"
        if SOCKETS.search(code) and name.startswith("src/") and not name.startswith("src/transport/"):
            yield f"{name}:{number}: only src/transport names sockets"
        if re.search(r"\b(glommio|flume)::", code) and not name.startswith("executors/"):
            yield f"{name}:{number}: only the executors crate names the runtime"


def doc_questions(name, text):
    """Doc comments whose first line begins with a question word."""
    lines = text.splitlines()
    for number, (before, line) in enumerate(zip(["", *lines], lines), 1):
        if QUESTION.match(line) and not re.match(r"\s*//[/!]", before):
            yield f"{name}:{number}: a doc comment begins with a noun or a verb"


def main():
    found = list(breaches())
    for breach in found:
        print(breach, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
