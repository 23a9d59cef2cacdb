#!/usr/bin/env python3
"""Checks the compose file and the manifests: that they fit together, and that the server accepts the settings in them.

usage: check_settings.py SWITCHBOARD
"""

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


def check_manifests() -> None:
    folder = DEPLOY / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = sorted(file.name for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")
    assert sorted(listed) == files, (listed, files)
    resources = {}
    for file in files:
        resource = yaml.safe_load((folder / file).read_text())
        resources[resource["kind"]] = resource
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
    volume = pod["spec"]["volumes"][0]["configMap"]["name"]
    assert volume == resources["ConfigMap"]["metadata"]["name"], volume
    # The image sets variables, the ConfigMap a file, the Secret variables.
    settings = resources["ConfigMap"]["data"]["switchboard.toml"]
    config_path = Path(container["args"][-1])
    assert config_path.parent == Path(container["volumeMounts"][0]["mountPath"]), config_path
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / config_path.name
        file.write_text(settings)
        expected = [f'listen = "0.0.0.0:{ports["clients"]}"', f'listen = "0.0.0.0:{ports["internal"]}"', "redis.redis.svc"]
        accepted(["--config", str(file)], environment_of_image() | resources["Secret"]["stringData"], expected)
    # The kubelet must not kill a pod that still closes its clients.
    stop = dict(re.findall(r"(window_ms|timeout_ms) = (\d+)", settings))
    needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + sum(map(int, stop.values())) / 1000
    assert pod["spec"]["terminationGracePeriodSeconds"] > needed, needed


if __name__ == "__main__":
    check_compose()
    check_manifests()
