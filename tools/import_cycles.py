#!/usr/bin/env python3
"""Fails if files of one Rust crate, or of one TypeScript source folder, import each other in a loop.

  tools/import_cycles.py [ROOT]

An import is a `use`, a path that begins with `crate`, `super`, `self` or a child module, or a TypeScript `import` or
`export … from`. A name that a module only re-exports counts as an import of the file that defines it. Test modules at
the end of a file and the paths of `pub(in …)` do not count.
"""
import re
import signal
import sys
from pathlib import Path

COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"', re.S)
TEST_MODULE = re.compile(r"^#\[cfg\((?:all\()?test\b[^\n]*\n(?:#\[[^\n]*\n)*mod \w+ \{.*\Z", re.S | re.M)
USE = re.compile(r"^[ \t]*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
VISIBILITY = re.compile(r"\bpub\(in [^)]*\)")
PATH = re.compile(r"(?<![\w:])((?:crate|super|self)(?:::\w+)+|[a-z]\w*::\w+)")
TS_IMPORT = re.compile(r"""(?:^|\n)\s*(?:import|export)\b[^;'"]*?\bfrom\s*["'](\.[^"']+)["']|\bimport\(["'](\.[^"']+)["']\)""")


def split_list(text):
    """The parts of a comma-separated list, without splitting inside braces."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part for part in (part.strip() for part in [*parts, text[start:]]) if part]


def expand(tree):
    """The paths of a `use` tree with their local names: `a::{b, c as d}` gives (a, b) as b and (a, c) as d."""
    tree = tree.strip()
    if "{" in tree:
        prefix, inner = tree.split("{", 1)
        head = [part for part in prefix.split("::") if part.strip()]
        for part in split_list(inner.rsplit("}", 1)[0]):
            for path, name in expand(part):
                path = head + ([] if path == ["self"] else path)
                yield path, path[-1] if name == "self" else name
    else:
        path, _, name = (part.strip() for part in tree.partition(" as "))
        path = [part.strip() for part in path.split("::") if part.strip()]
        yield path, name or path[-1]


class RustCrate:
    def __init__(self, source):
        self.files = {}
        for file in sorted(source.rglob("*.rs")):
            parts = list(file.relative_to(source).with_suffix("").parts)
            if parts[0] == "bin":
                continue
            if parts[-1] in ("lib", "main", "mod"):
                parts.pop()
            text = COMMENT_OR_STRING.sub("", file.read_text())
            text = VISIBILITY.sub("pub(crate)", TEST_MODULE.sub("", text))
            self.files[tuple(parts)] = (file, text)
        self.uses = {module: self.read_uses(module) for module in self.files}

    def read_uses(self, module):
        """Local name to (path, is re-export)."""
        found = {}
        for public, tree in USE.findall(self.files[module][1]):
            for path, name in expand(tree):
                found[name] = (path, bool(public))
        return found

    def resolve(self, module, path, seen=()):
        """The module whose file defines a path, or None if the path leads out of the crate."""
        at, rest = list(module), list(path)
        if rest[0] == "crate":
            at, rest = [], rest[1:]
        elif rest[0] in ("self", "super"):
            while rest and rest[0] in ("self", "super"):
                if rest.pop(0) == "super":
                    at = at[:-1]
        elif (*module, rest[0]) not in self.files:
            return None
        while rest and (*at, rest[0]) in self.files:
            at.append(rest.pop(0))
        at = tuple(at)
        if rest and (at, rest[0]) not in seen and rest[0] in self.uses.get(at, {}):
            further, _ = self.uses[at][rest[0]]
            return self.resolve(at, further + rest[1:], (*seen, (at, rest[0])))
        return at

    def imports(self):
        for module, (file, text) in self.files.items():
            body = USE.sub("", text)
            paths = [path.split("::") for path in PATH.findall(body)]
            for name, (path, public) in self.uses[module].items():
                if not public or re.search(rf"\b{re.escape(name)}\b", body):
                    paths.append(path)
            targets = {self.resolve(module, path) for path in paths} - {None, module}
            yield file, {self.files[target][0] for target in targets if target in self.files}


def typescript_imports(source):
    for file in sorted([*source.rglob("*.ts"), *source.rglob("*.tsx")]):
        targets = set()
        for pair in TS_IMPORT.findall(file.read_text()):
            base = (file.parent / next(filter(None, pair))).resolve()
            stem = base.with_suffix("") if base.suffix in (".js", ".ts", ".tsx") else base
            candidates = [stem.with_name(stem.name + end) for end in (".ts", ".tsx")] + [stem / "index.ts"]
            targets |= {candidate for candidate in candidates if candidate.is_file()}
        yield file.resolve(), targets


def loops(graph):
    """The sets of files that reach each other (Tarjan's strongly connected components of more than one file)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            members = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(members) > 1:
                found.append(sorted(members))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def find_loops(root):
    rust = [lib.parent for pattern in ("crates/*/src", "bench/src") for lib in root.glob(pattern + "/*.rs") if lib.stem in ("lib", "main")]
    graphs = [dict(RustCrate(source).imports()) for source in sorted(set(rust))]
    graphs += [dict(typescript_imports(source)) for source in sorted(root.glob("sdk/*/src"))]
    return [members for graph in graphs for members in loops(graph)]


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent).resolve()
    found = find_loops(root)
    for members in found:
        print("files that import each other in a loop:", *(f"  {member.relative_to(root)}" for member in members), sep="\n", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    # Without a reader of the output, end as other programs do.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.setrecursionlimit(10_000)
    main()
