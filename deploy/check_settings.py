#!/usr/bin/env python3
"""Checks the compose file, the manifests and the sample settings: that they fit together, and that the server accepts the
settings in them.

usage: check_settings.py SWITCHBOARD [FOLDER]     FOLDER: where to write the manifests of the variants, as kubectl merges them
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parent


def accepted(command: list[str], environment: dict[str, str], expected: list[str]) -> None:
    """Fails unless `switchboard check` prints the expected settings, and no warning."""
    checked = subprocess.run(
        [sys.argv[1], "check", "--settings-only", *command], env=os.environ | environment, capture_output=True, text=True
    )
    assert checked.returncode == 0 and "warning" not in checked.stderr, checked.stderr
    for setting in expected:
        assert setting in checked.stdout, (setting, checked.stdout)


def environment_of_image() -> dict[str, str]:
    return dict(re.findall(r"(SWITCHBOARD_\w+)=(\S+)", (DEPLOY / "Dockerfile").read_text()))


def check_compose() -> None:
    services = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"]
    assert set(services) == {"redis", "node-1", "node-2", "nginx"}, services
    for name, service in services.items():
        assert "image" in service, name
        needed = service.get("depends_on", [])
        assert set(needed) <= set(services), (name, needed)
        for volume in service.get("volumes", []):
            assert (DEPLOY / volume.split(":")[0]).is_file(), volume
    build = services["node-1"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file(), build
    environment = services["node-1"]["environment"]
    assert all(name.startswith("SWITCHBOARD_") for name in environment), environment
    expected = ['listen = "0.0.0.0:3000"', 'listen = "0.0.0.0:3001"', "redis://redis:6379", "172.30.0.0/24"]
    accepted([], environment_of_image() | environment, expected)


def merged(base: object, patch: object) -> object:
    """A strategic merge, as far as the patches need it: lists of objects are merged by their names."""
    if isinstance(base, dict) and isinstance(patch, dict):
        added = {key: value for key, value in patch.items() if key not in base}
        return {key: merged(value, patch[key]) if key in patch else value for key, value in base.items()} | added
    if isinstance(base, list) and isinstance(patch, list):
        if {"$patch": "replace"} in patch:
            return [item for item in patch if "$patch" not in item]
        # Lists without a key, such as the rules of a NetworkPolicy, are replaced as a whole.
        if not all("name" in item for item in base + patch):
            return patch
        patches = {item["name"]: item for item in patch}
        kept = [merged(item, patches.pop(item["name"], {})) for item in base]
        return list(patches.values()) + kept
    return patch


def patched(base: dict[str, dict], variant: str, written_to: Path | None) -> tuple[dict[str, dict], list[dict]]:
    """The resources of a folder of patches, and those that it adds."""
    folder = DEPLOY / "kubernetes" / variant
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    patches = [patch["path"] for patch in kustomization["patches"]]
    first, *added = kustomization["resources"]
    # A folder cannot build on the one that contains it.
    assert first == "../base", kustomization
    files = sorted(file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")
    assert sorted(patches + added) == files, (patches, added)
    resources = dict(base)
    for name in patches:
        patch = yaml.safe_load((folder / name).read_text())
        resource = resources[patch["kind"]]
        assert patch["metadata"]["name"] == resource["metadata"]["name"], name
        resources[patch["kind"]] = merged(resource, patch)
        if written_to:
            (written_to / f"{variant}-{name}").write_text(yaml.safe_dump(resources[patch["kind"]]))
    check_pod(resources)
    return resources, [yaml.safe_load((folder / name).read_text()) for name in added]


def check_tls(base: dict[str, dict], written_to: Path | None) -> None:
    """The manifests with TLS: patches for those without."""
    resources, added = patched(base, "tls", written_to)
    assert not added, added
    pod = resources["Deployment"]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    secret = next(volume for volume in pod["volumes"] if "secret" in volume)
    settings = resources["ConfigMap"]["data"]["switchboard.toml"]
    # The names of the files in a Secret of the type kubernetes.io/tls.
    for file in ("tls.crt", "tls.key"):
        assert f'"{mounts[secret["name"]]}/{file}"' in settings, settings
    assert resources["Service"]["spec"]["ports"][0]["port"] == 443, resources["Service"]


def check_api(base: dict[str, dict], written_to: Path | None) -> None:
    """The manifests with the HTTP API: a Service, the port of the pods, and rules that extend those of the base."""
    resources, [service] = patched(base, "api", written_to)
    if written_to:
        (written_to / "api-service.yaml").write_text(yaml.safe_dump(service))
    container = resources["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    port = service["spec"]["ports"][0]
    assert ports.keys() == {"clients", "internal", "api"} and port["targetPort"] == "api", ports
    assert variables["SWITCHBOARD_API__LISTEN"] == f"0.0.0.0:{ports['api']}", variables
    name, namespace = service["metadata"]["name"], "switchboard"
    hosts = [name + suffix for suffix in ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")]
    assert json.loads(variables["SWITCHBOARD_API__HOSTS"]) == hosts, variables
    for rules in ("ingress", "egress"):
        old, new = (of["NetworkPolicy"]["spec"][rules] for of in (base, resources))
        assert new[: len(old)] == old and len(new) == len(old) + 1, rules
    assert resources["NetworkPolicy"]["spec"]["ingress"][-1]["ports"] == [{"port": "api"}]
    secret = resources["Secret"]["stringData"] | {"SWITCHBOARD_API__KEYS": "32 random bytes, of a test of the API"}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "switchboard.toml"
        file.write_text(resources["ConfigMap"]["data"]["switchboard.toml"])
        expected = [f'listen = "0.0.0.0:{ports["api"]}"', f'"{hosts[-1]}"']
        accepted(["--config", str(file)], environment_of_image() | secret | variables, expected)


def check_manifests(written_to: Path | None) -> None:
    folder = DEPLOY / "kubernetes" / "base"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = sorted(file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")
    assert sorted(listed) == files, (listed, files)
    resources = {}
    for file in files:
        resource = yaml.safe_load((folder / file).read_text())
        resources[resource["kind"]] = resource
    check_pod(resources)
    check_tls(resources, written_to)
    check_api(resources, written_to)


def check_pod(resources: dict[str, dict]) -> None:
    pod = resources["Deployment"]["spec"]["template"]
    container = pod["spec"]["containers"][0]
    labels = pod["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for selector in (
        resources["Deployment"]["spec"]["selector"]["matchLabels"],
        resources["Service"]["spec"]["selector"],
        resources["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        resources["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels, selector
    assert resources["Service"]["spec"]["ports"][0]["targetPort"] in ports, ports
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "internal", probe
    for source in container["envFrom"]:
        assert source["secretRef"]["name"] == resources["Secret"]["metadata"]["name"], source
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == volumes.keys(), (mounts, volumes)
    volume = volumes["settings"]["configMap"]["name"]
    assert volume == resources["ConfigMap"]["metadata"]["name"], volume
    # The image sets variables, the ConfigMap a file, the Secret variables.
    settings = resources["ConfigMap"]["data"]["switchboard.toml"]
    config_path = Path(container["args"][-1])
    assert config_path.parent == Path(mounts["settings"]), config_path
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / config_path.name
        file.write_text(settings)
        expected = [f'listen = "0.0.0.0:{ports["clients"]}"', f'listen = "0.0.0.0:{ports["internal"]}"', "redis.redis.svc"]
        accepted(["--config", str(file)], environment_of_image() | resources["Secret"]["stringData"], expected)
    # The kubelet must not kill a pod that still closes its clients.
    stop = dict(re.findall(r"(notice_ms|window_ms|timeout_ms) = (\d+)", settings))
    assert stop.keys() == {"notice_ms", "window_ms", "timeout_ms"}, stop
    # The server gives the notice and drains by itself.
    assert "lifecycle" not in container, container["lifecycle"]
    needed = sum(map(int, stop.values())) / 1000
    assert pod["spec"]["terminationGracePeriodSeconds"] > needed, needed


def check_sample() -> None:
    secret = {"SWITCHBOARD_AUTH__JWT_SECRET": "32 random bytes at least, of a test"}
    accepted(["--config", str(DEPLOY / "public.toml")], secret, ['listen = "0.0.0.0:443"', 'access = "tokens"', "any = false"])


if __name__ == "__main__":
    check_compose()
    check_manifests(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    check_sample()
