#!/usr/bin/env python3
"""Fails if a log line of the crates can contain text from outside as it is, or if clients can cause it without a limit.

  tools/log_fields.py [ROOT]

Rules for `tracing::…!`, `limited!` and `limited_by!` in `crates/*/src`:

- `%field` and `?field` are for values that the server makes: SIGIL_FIELDS. Everything else is a string of `printable` or
  `printable_error`, a number, or a text of this code base.
- A field with a name in OUTSIDE has a value from `printable` or `printable_error`.
- A message is a literal; it formats constants only.
- Lines without a limit are for the start and the stop, and for what backends with a key change: files in UNLIMITED.
"""
import re
import sys
from pathlib import Path

SIGIL_FIELDS = {"socket", "peer", "report"}
OUTSIDE = {"error", "cause", "panic", "reason", "message", "project", "user", "shard", "room", "event", "lease", "agent", "text"}
UNLIMITED = {
    "crates/disk/src/file.rs",
    "crates/disk/src/writer.rs",
    "crates/redis/src/lib.rs",
    "crates/redis/src/publisher.rs",
    "crates/redis/src/reports/sender.rs",
    "crates/redis/src/store.rs",
    "crates/redis/src/store/writer.rs",
    "crates/server/src/api/audit.rs",
    "crates/server/src/run.rs",
    "crates/server/src/run/lifecycle.rs",
    "crates/server/src/run/open_files.rs",
    "crates/server/src/run/signals.rs",
    "crates/switchboard/src/net/stop.rs",
}
STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*')
LINE = re.compile(r"\b(?:tracing::(?:trace|debug|info|warn|error|event|\w*span)|limited(?:_by)?)!\(")
MESSAGE = re.compile(r'"(?:\\.|[^"\\])*"(?:,\s*[A-Z]\w*::[A-Z_]+)?,?\s*\Z', re.S)


def arguments(text, start):
    """The text between a parenthesis that ends before `start` and its counterpart."""
    depth, at, quoted = 1, start, False
    while depth:
        char = text[at]
        if quoted:
            at += char == "\\"
            quoted = text[at] != '"' or char == "\\"
        elif char == '"':
            quoted = True
        else:
            depth += (char in "([{") - (char in ")]}")
        at += 1
    return text[start : at - 1]


def fields(text):
    """The fields of a line, without the message."""
    parts, depth, begin, quoted = [], 0, 0, False
    for at, char in enumerate(text):
        if char == '"' and text[at - 1] != "\\":
            quoted = not quoted
        if not quoted:
            depth += (char in "([{") - (char in ")]}")
            if char == "," and depth == 0:
                parts.append(text[begin:at])
                begin = at + 1
    return [part.strip() for part in parts if part.strip()]


def fault(field):
    """What is wrong with a field, or None."""
    name, _, value = (part.strip() for part in field.partition("="))
    sigil = (value or name)[0] in "%?"
    name = name.lstrip("%?")
    if sigil and name not in SIGIL_FIELDS:
        return f"`{name}` is written as it is; use printable(…) or printable_error(…)"
    is_literal = value.startswith('"')
    is_name_of_the_framework = value == "event.name()"
    if name in OUTSIDE and not (re.match(r"(client\.)?printable", value) or is_literal or is_name_of_the_framework):
        return f"`{name}` may be text from outside; use printable(…) or printable_error(…)"
    return None


def faults_of(path, text):
    text = STRING_OR_COMMENT.sub(lambda match: match[1] or "", text)
    for match in LINE.finditer(text):
        line = arguments(text, match.end())
        place = f"{path}:{text[: match.start()].count(chr(10)) + 1}"
        message = MESSAGE.search(line)
        if not message or "{" in message[0].split('"')[1].replace("{}", "", 1):
            yield f"{place}: the message is not a literal"
            continue
        before = line[: message.start()]
        is_limited = match[0].startswith("limited")
        if not is_limited and path not in UNLIMITED:
            yield f"{place}: use limited!, since clients may cause this line"
        # The first argument of limited_by! is the kind of the line.
        for field in fields(before)[match[0] == "limited_by!(" :]:
            if not re.fullmatch(r"[A-Z]+", field) and (problem := fault(field)):
                yield f"{place}: {problem}"


def main(root):
    found = []
    for path in sorted(root.glob("crates/*/src/**/*.rs")):
        name = path.relative_to(root).as_posix()
        if not name.startswith("crates/log/"):
            found += faults_of(name, path.read_text())
    print("\n".join(found), end="\n" * bool(found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
