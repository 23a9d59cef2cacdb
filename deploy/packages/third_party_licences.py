#!/usr/bin/env python3
"""Prints the licences of all software that the `switchboard` binary contains, with their texts.

usage: third_party_licences.py TARGET [FEATURES]

The crates are those of the dependency tree of `switchboard-cli`, without crates that are used to build or test it only; the
texts are read from their sources. The npm packages are those that the example pages bundle, read from the build of
`switchboard-pages`, and those of the console. A crate or a package without a text is an error.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
IS_LICENCE = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)
IS_CODE = (".rs", ".py", ".js", ".html", ".toml", ".tmpl")

# Crates that name their licence in Cargo.toml, but have no text of it: the texts of the repository stand for them.
STANDARD = {"MIT": "LICENSE-MIT", "Apache-2.0": "LICENSE-APACHE"}


def output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(target: str, features: str) -> list[dict]:
    """The third-party crates of the binary, by name and version."""
    tree = output(
        "cargo", "tree", "--quiet", "--locked", "-p", "switchboard-cli", "--features", features, "-e", "normal",
        "--target", target, "--prefix", "none", "--format", "{p}",
    )
    used = {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}
    metadata = json.loads(output("cargo", "metadata", "--locked", "--all-features", "--format-version", "1"))
    packages = {(package["name"], "v" + package["version"]): package for package in metadata["packages"]}
    third_party = [packages[crate] for crate in used if packages[crate]["source"]]
    return sorted(third_party, key=lambda package: (package["name"], package["version"]))


def texts(folder: Path) -> list[str]:
    """The licence texts in a folder, also those of software that it includes."""
    found = [file for file in folder.rglob("*") if file.is_file() and is_text(file.relative_to(folder))]
    read = {file.read_text(encoding="utf-8", errors="replace").strip() for file in found}
    return sorted(text for text in read if text)


def is_text(file: Path) -> bool:
    named = IS_LICENCE.match(file.name) or file.parent.name.lower() in ("licenses", "licences")
    return bool(named) and file.suffix not in IS_CODE and "node_modules" not in file.parts


def standard_texts(licence: str) -> list[str]:
    """The texts of licences that a crate only names."""
    names = [name for name in re.split(r"[^\w.-]+", licence) if name in STANDARD]
    return [(ROOT / STANDARD[name]).read_text().strip() for name in names]


def bundled_packages() -> list[tuple[str, str, Path]]:
    """The npm packages in the example pages of the newest build: name, licence, folder."""
    target = Path(json.loads(output("cargo", "metadata", "--no-deps", "--format-version", "1"))["target_directory"])
    builds = [*target.glob("**/build/switchboard-pages-*/out/work/examples/pages/node_modules")]
    if not builds:
        return []
    modules = max(builds, key=lambda folder: folder.stat().st_mtime)
    lock = json.loads((ROOT / "examples/pages/package-lock.json").read_text())["packages"]
    packages = []
    for path, package in sorted(lock.items()):
        name = path.removeprefix("node_modules/")
        # The bundler is not in the bundle.
        if path and not package.get("dev") and "esbuild" not in name:
            packages.append((f"{name} {package['version']}", package["license"], modules / name))
    return packages


def console_packages() -> list[tuple[str, str, Path]]:
    """The npm packages in the console, whose files and licences are part of the repository: name, licence, folder."""
    vendor = ROOT / "crates/pages/vendor"
    lock = json.loads((vendor / "package-lock.json").read_text())["packages"]
    names = sorted(folder.name for folder in (vendor / "licences").iterdir())
    found = [(name, lock[f"node_modules/{name}"]) for name in names]
    return [(f"{name} {package['version']}", package["license"], vendor / "licences" / name) for name, package in found]


def main() -> None:
    target, features = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    parts = [(f"{crate['name']} {crate['version']}", crate["license"] or "", Path(crate["manifest_path"]).parent)
             for crate in crates(target, features)]
    parts += bundled_packages() + console_packages()
    names_by_text: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    print(f"switchboard contains {len(parts)} parts by other authors:\n")
    for name, licence, folder in parts:
        print(f"{name} ({licence})")
        found = texts(folder) or standard_texts(licence)
        if not found:
            sys.exit(f"{name} ({licence}) has no licence text in {folder}")
        for text in found:
            # Copies often differ in blanks only.
            same = " ".join(text.split())
            shown.setdefault(same, text)
            names_by_text.setdefault(same, []).append(name)
    for same, names in sorted(names_by_text.items(), key=lambda item: item[1]):
        print("", "=" * 80, *names, "-" * 80, shown[same], sep="\n")


if __name__ == "__main__":
    main()
