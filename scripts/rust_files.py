"""Rust as scripts/structure.py reads it: a crate's files, their code without comments, strings and unit tests, and
which of them imports which.

A file imports another when it names something that is written there: `use crate::topic::Filter` is an edge to the file
that has `struct Filter`, through whatever `pub use` lies between. A parent that only declares and re-exports its
children imports none of them.
"""

import re

# Folders of sources, one for each crate.
CRATES = ["src", "bench/src", "executors/src"]
IDENTIFIER = r"[A-Za-z_]\w*"
ITEM = re.compile(
    rf"^(?:pub(?:\([a-z: ]+\))? )?(?:default )?(?:async )?(?:const )?(?:unsafe )?"
    rf"(?:struct|enum|union|trait|type|fn|const|static|macro_rules!) ?({IDENTIFIER})", re.MULTILINE)
DECLARED = re.compile(rf"^((?:#\[[^\n]*\]\n)*)(?:pub(?:\([a-z: ]+\))? )?mod ({IDENTIFIER});", re.MULTILINE)
USE = re.compile(rf"^[ \t]*(pub(?:\([a-z: ]+\))? )?use ([^;]+);", re.MULTILINE)
PATH = re.compile(rf"\b(?:crate|super|self)(?:::{IDENTIFIER})+")
# Comments, strings (raw ones first) and characters; lifetimes are none of them.
TOKEN = re.compile(
    r"""//[^\n]*|b?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|'(?:\\.[^']*|[^'\\\n])'""", re.DOTALL)
TESTS = re.compile(r"\n#\[cfg\(test\)\]\n(?:pub(?:\([a-z: ]+\))? )?mod tests\b")
PUBLIC_TYPE = re.compile(rf"^[ \t]*pub(?:\([a-z: ]+\))? (?:struct|enum|union|trait|type) ({IDENTIFIER})", re.MULTILINE)


def without_tests(text):
    """A file's text up to its unit tests, which stand at the end; other files' tests may use them.

    >>> without_tests("fn f() {}\\n\\n#[cfg(test)]\\npub(crate) mod tests {}\\n")
    'fn f() {}\\n\\n'
    """
    return TESTS.split(text, maxsplit=1)[0] + "\n"


def code_of(text):
    r"""Text without comments, and with empty strings in place of strings and characters; lines keep their numbers.

    >>> print(code_of("let a: &'a str = \"{ // no\";// why\nlet b = '{';"))
    let a: &'a str = "";
    let b = "";
    """
    def emptied(found):
        token = found.group()
        return "" if token.startswith("//") else '""' + "\n" * token.count("\n")
    return TOKEN.sub(emptied, text)


def code_lines(text):
    """The number of lines that are neither blank, nor comment, nor unit test.

    >>> code_lines("//! A file.\\n\\nfn f() {\\n    // Why.\\n}\\n\\n#[cfg(test)]\\nmod tests {\\n}\\n")
    2
    """
    return sum(1 for line in code_of(without_tests(text)).splitlines() if line.strip())


def leaves(tree, prefix=""):
    """The paths of a `use`, each with the name by which it is known here.

    >>> list(leaves("a::{b, c::{d as e, self}}"))
    [('a::b', 'b'), ('a::c::d', 'e'), ('a::c', 'c')]
    """
    tree = tree.strip()
    opened = tree.find("{")
    if opened < 0:
        path, _, alias = (prefix + tree).partition(" as ")
        path = path.strip()
        if path.endswith("::self"):
            path = path[:-len("::self")]
        yield path, alias.strip() or path.rsplit("::", 1)[-1]
        return
    prefix += tree[:opened]
    depth, start = 0, opened + 1
    for at in range(opened, len(tree)):
        depth += {"{": 1, "}": -1}.get(tree[at], 0)
        if (tree[at] == "," and depth == 1) or depth == 0:
            if tree[start:at].strip():
                yield from leaves(tree[start:at], prefix)
            start = at + 1
        if depth == 0:
            return


class Crate:
    """The modules of one crate that are built without tests."""

    def __init__(self, root):
        self.root = root
        self.files = {}      # module path, as a tuple -> file
        self.code = {}       # module path -> code
        self.items = {}      # module path -> names that are written there
        self.exports = {}    # module path -> name -> path as written
        main = root / "lib.rs"
        self._module((), main if main.is_file() else root / "main.rs")

    def _module(self, path, file):
        self.files[path] = file
        code = self.code[path] = code_of(without_tests(file.read_text(encoding="utf-8")))
        self.items[path] = set(ITEM.findall(code))
        self.exports[path] = {
            name: target for _, tree in USE.findall(code) for target, name in leaves(re.sub(r"\s+", " ", tree))}
        folder = file.parent if file.name in {"mod.rs", "lib.rs", "main.rs"} else file.parent / file.stem
        for attributes, name in DECLARED.findall(code):
            if "cfg(test)" in attributes:
                continue
            child = next(f for f in (folder / f"{name}.rs", folder / name / "mod.rs") if f.is_file())
            self._module((*path, name), child)

    def _resolve(self, here, written, passed=()):
        """The module in which what `written` names is written, or None if it is another crate's."""
        parts = written.split("::")
        if parts[0] == "crate":
            at, parts = (), parts[1:]
        elif parts[0] in {"super", "self"}:
            at = here
            while parts and parts[0] in {"super", "self"}:
                at = at[:-1] if parts[0] == "super" else at
                parts = parts[1:]
        elif (*here, parts[0]) in self.files:
            at = here
        else:
            return None
        while parts and (*at, parts[0]) in self.files:
            at, parts = (*at, parts[0]), parts[1:]
        if not parts or parts[0] in self.items[at] or parts[0] not in self.exports[at]:
            return at
        if (at, parts[0]) in passed:
            return at
        return self._resolve(at, self.exports[at][parts[0]], (*passed, (at, parts[0])))

    def imports(self):
        """File -> the files that it imports."""
        graph = {}
        for path, file in self.files.items():
            code = self.code[path]
            written = [target for public, tree in USE.findall(code) if not public
                       for target, _ in leaves(re.sub(r"\s+", " ", tree))]
            written += PATH.findall(USE.sub("", code))
            # A child that is declared here is named without `self::`.
            children = {p[-1] for p in self.files if p[:-1] == path and p != path}
            if children:
                written += re.findall(rf"(?<![:\w])(?:{'|'.join(sorted(children))})::{IDENTIFIER}", USE.sub("", code))
            targets = {self._resolve(path, target) for target in written}
            graph[file] = {self.files[t] for t in targets if t is not None} - {file}
        return graph

    def public_types(self):
        """Name -> files, for each type that more than its own file can see."""
        names = {}
        for path, code in self.code.items():
            for name in PUBLIC_TYPE.findall(code):
                names.setdefault(name, []).append(self.files[path])
        return names


def circles(graph):
    """Groups of files that import each other, directly or by way of others, the largest first (Tarjan).

    >>> circles({"a": {"b"}, "b": {"c"}, "c": {"b"}})
    [['b', 'c']]
    """
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found, key=lambda group: (-len(group), group))


def methods(code, name):
    """How many functions stand in the `impl` blocks of a type.

    >>> methods("impl Shard {\\n    fn a() {}\\n    pub(super) fn b() {}\\n}\\n\\nimpl Other {\\n    fn c() {}\\n}\\n", "Shard")
    2
    """
    blocks = re.findall(rf"^impl(?:<[^>]*>)? {name}(?:<[^>]*>)? \{{\n(.*?)^\}}", code, re.MULTILINE | re.DOTALL)
    method = re.compile(r"^    (?:pub(?:\([a-z: ]+\))? )?(?:const )?(?:async )?(?:unsafe )?fn ", re.MULTILINE)
    return sum(len(method.findall(block)) for block in blocks)
