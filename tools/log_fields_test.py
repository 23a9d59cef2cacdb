"""Tests of log_fields.py: `python3 -m unittest discover -s tools -p '*_test.py'`."""
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
from log_fields import faults_of


class LogFields(unittest.TestCase):
    def faults(self, line, path="crates/x/src/a.rs"):
        return len(list(faults_of(path, f"fn f() {{\n    {line};\n}}\n")))

    def test_text_from_outside_must_be_printable(self):
        for line in [
            'limited!(WARN, %error, "failed")',
            'limited!(WARN, project = %params.project, "failed")',
            'limited!(WARN, reason, "failed")',
            'limited!(WARN, event = request.event(), "failed")',
            'limited!(WARN, name = ?name, "failed")',
            'limited_by!(kind, WARN, reason, "failed")',
            'limited!(WARN, "failed: {error}")',
        ]:
            self.assertEqual(self.faults(line), 1, line)

    def test_printable_text_and_values_of_the_server_are_accepted(self):
        for line in [
            'limited!(WARN, "failed")',
            'limited!(WARN, error = printable_error(&error), socket = %socket.id(), count, "failed, (again)")',
            'limited!(DEBUG, %peer, project = printable(project), "failed")',
            'limited!(WARN, connection, "{}", S::LOST)',
            'limited_by!(reason, WARN, reason = printable(reason), "failed")',
            'limited_by!(error.reason(), WARN, "failed")',
            'limited!(\n        WARN,\n        key = self.key,\n        "failed",\n    )',
        ]:
            self.assertEqual(self.faults(line), 0, line)

    def test_lines_without_a_limit_are_for_the_start_and_the_stop(self):
        self.assertEqual(self.faults('tracing::error!("failed")'), 1)
        self.assertEqual(self.faults('tracing::warn!("failed")', "crates/server/src/run.rs"), 0)


if __name__ == "__main__":
    unittest.main()
