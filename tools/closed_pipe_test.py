"""Tests that the scripts end quietly when the reader of their output is gone, as in `bench/peers/run | head -1`."""
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET_STATUS = 128 + signal.SIGPIPE


def run_without_reader(*command, errors=subprocess.PIPE):
    """Runs a command whose standard output is a pipe without a reader; with `errors` None also its standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(command, stdout=writer, stderr=errors or writer, text=True, timeout=60, cwd=ROOT)
    finally:
        os.close(writer)


class ClosedPipe(unittest.TestCase):
    def test_the_help_of_a_benchmark_ends_quietly(self):
        for name in ("peers", "redis", "mesa"):
            ended = run_without_reader(sys.executable, f"bench/{name}/run", "--help")
            # `argparse` ignores errors of its own output.
            self.assertIn(ended.returncode, (0, QUIET_STATUS), name)
            self.assertEqual(ended.stderr, "", name)

    def test_a_benchmark_ends_the_servers_that_it_has_started(self):
        program = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, "bench")
import tools

def main():
    with tools.process("sleep", "600") as running:
        print(running.pid, file=sys.stderr, flush=True)
        while True:
            print("a row", flush=True)

tools.run(main)
"""
        ended = run_without_reader(sys.executable, "-c", program)
        self.assertEqual(ended.returncode, QUIET_STATUS, ended.stderr)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(ended.stderr), 0)

    def test_a_check_without_a_reader_of_its_findings_ends_quietly(self):
        program = """
import runpy, sys, tempfile, pathlib
sys.dont_write_bytecode = True
with tempfile.TemporaryDirectory() as folder:
    for name, other in ("xy", "yx"):
        file = pathlib.Path(folder, f"sdk/x/src/{name}.ts")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'import {{ x }} from "./{other}.js";\\n')
    sys.argv = ["import_cycles.py", folder]
    runpy.run_path("tools/import_cycles.py", run_name="__main__")
"""
        self.assertIn("x.ts", run_without_reader(sys.executable, "-c", program).stderr)
        ended = run_without_reader(sys.executable, "-c", program, errors=None)
        self.assertEqual(ended.returncode, -signal.SIGPIPE)


if __name__ == "__main__":
    unittest.main()
