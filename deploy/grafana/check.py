#!/usr/bin/env python3
"""Reads the dashboard into the models of Grafana's Foundation SDK and writes it again. What the models do not know is lost and
reported, and a value of a wrong type is an error.

usage: check.py DASHBOARD
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def differences(path: str, value: Any, written: Any) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(written, dict):
        for name, member in value.items():
            yield from differences(f"{path}.{name}", member, written.get(name))
    elif isinstance(value, list) and isinstance(written, list) and len(value) == len(written):
        for index, (element, written_element) in enumerate(zip(value, written, strict=True)):
            yield from differences(f"{path}[{index}]", element, written_element)
    elif value != written:
        yield f"{path}: {value!r} is {written!r} in the model"


def main() -> None:
    plugins.register_default_plugins()
    with open(sys.argv[1], encoding="utf-8") as file:
        dashboard = json.load(file)
    model = json.dumps(Dashboard.from_json(dashboard), default=lambda part: part.to_json())
    found = list(differences("dashboard", dashboard, json.loads(model)))
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
