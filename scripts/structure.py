#!/usr/bin/env python3
"""What no lint says about this repository: which crate may use what, no locks, how long files may be.

Run by scripts/check.sh from anywhere; prints each breach and exits with 1 if there is one.
"""

import ast
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNTIME = {"glommio-ng", "flume"}
FILE_LINES_MAX = 600
DOC_LINES_MAX = 300
# Modules of src/, from the ground up; a module uses those before it and none behind.
LAYERS = ["limits ids printable error endpoint telemetry", "control wire", "zmtp", "topic", "fanout", "registry", "shard", "broker", "client", "cli"]
LAYER_OF = {module: layer for layer, modules in enumerate(LAYERS) for module in modules.split()}
# A doc comment begins with a noun or a verb. Folders that still have others, and how many: a count only goes down.
QUESTION_WORDS = "What Whether Who Of So How"
QUESTION = re.compile(rf"\s*//[/!] ({QUESTION_WORDS.replace(' ', '|')})\b")
QUESTIONS_MAX = {"bench/": 650, "executors/": 56, "fuzz/": 3, "src/": 416, "tests/": 104}
NAMES_NOT_USED = re.compile(r"\b(worker|manager|handler|helper|util|utils|common|misc)\b")


def breaches():
    yield from crates()
    questions = dict.fromkeys(QUESTIONS_MAX, 0)
    for path in files():
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        yield from lengths(name, text)
        if path.suffix == ".rs":
            yield from source(name, text)
            folder = next((folder for folder in QUESTIONS_MAX if name.startswith(folder)), None)
            found = list(doc_questions(name, text))
            if folder is None:
                yield from found
            else:
                questions[folder] += len(found)
        if path.suffix == ".py":
            try:
                ast.parse(text, name)
            except SyntaxError as error:
                yield f"{name}: {error}"
    for folder, count in questions.items():
        if count > QUESTIONS_MAX[folder]:
            yield f"{folder}: {count} doc comments begin with one of {QUESTION_WORDS}; at most {QUESTIONS_MAX[folder]} may"


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
        if re.search(r"\b(Mutex|RwLock)\b", code):
            yield f"{name}:{number}: a lock: one shard, one owner"
        for used in re.findall(r"\bcrate::(\w+)", code):
            here = LAYER_OF.get(name.split("/")[1].split(".")[0]) if name.startswith("src/") else None
            if here is not None and LAYER_OF.get(used, -1) > here:
                yield f"{name}:{number}: {used} is a layer above"
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
