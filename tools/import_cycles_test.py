"""Tests of import_cycles.py: `python3 -m unittest discover -s tools -p '*_test.py'`."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
from import_cycles import find_loops


class ImportCycles(unittest.TestCase):
    def loops(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return [sorted(member.name for member in members) for members in find_loops(root)]

    def test_two_files_that_use_each_other_are_a_loop(self):
        a = "use crate::b::B;\npub struct A(B);\n"
        b = "use std::fmt;\nuse crate::{a::A, b};\npub struct B(Box<A>);\n"
        files = {"crates/x/src/lib.rs": "mod a;\nmod b;\n", "crates/x/src/a.rs": a, "crates/x/src/b.rs": b}
        self.assertEqual(self.loops(files), [["a.rs", "b.rs"]])

    def test_a_path_without_use_counts(self):
        files = {
            "crates/x/src/lib.rs": "mod a;\nmod b;\n",
            "crates/x/src/a.rs": "fn f() { crate::b::g() }\n",
            "crates/x/src/b.rs": "pub fn g() { super::a::f() }\n",
        }
        self.assertEqual(self.loops(files), [["a.rs", "b.rs"]])

    def test_a_parent_and_a_child_that_use_each_other_are_a_loop(self):
        files = {
            "crates/x/src/main.rs": "mod a;\nfn main() { a::run() }\n",
            "crates/x/src/a.rs": "mod b;\npub struct A;\npub fn run() { b::run(A) }\n",
            "crates/x/src/a/b.rs": "use super::A;\npub fn run(_: A) {}\n",
        }
        self.assertEqual(self.loops(files), [["a.rs", "b.rs"]])

    def test_a_reexported_name_belongs_to_the_file_that_defines_it(self):
        files = {
            "crates/x/src/lib.rs": "mod a;\nmod b;\npub use a::A;\npub use b::B;\n",
            "crates/x/src/a.rs": "pub struct A;\n",
            "crates/x/src/b.rs": "use crate::A;\npub struct B(A);\n",
        }
        self.assertEqual(self.loops(files), [])

    def test_comments_texts_and_test_modules_do_not_count(self):
        files = {
            "crates/x/src/lib.rs": "mod a;\nmod b;\n",
            "crates/x/src/a.rs": "use crate::b::B;\n",
            "crates/x/src/b.rs": '// crate::a::A\nconst T: &str = "crate::a::A";\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n',
        }
        self.assertEqual(self.loops(files), [])

    def test_the_path_of_a_visibility_does_not_count(self):
        files = {
            "crates/x/src/lib.rs": "mod a;\n",
            "crates/x/src/a.rs": "mod b;\nfn run() { b::run() }\n",
            "crates/x/src/a/b.rs": "pub(in crate::a) fn run() {}\n",
        }
        self.assertEqual(self.loops(files), [])

    def test_typescript_files_that_import_each_other_are_a_loop(self):
        files = {
            "sdk/typescript/src/a.ts": 'import { b } from "./b.js";\n',
            "sdk/typescript/src/b.ts": 'export { c } from "./c/index.js";\n',
            "sdk/typescript/src/c/index.ts": 'import type { A } from "../a.js";\n',
        }
        self.assertEqual(self.loops(files), [["a.ts", "b.ts", "index.ts"]])


if __name__ == "__main__":
    unittest.main()
