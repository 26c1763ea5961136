"""The container and Kubernetes files: well-formed, and of one opinion with the gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from gateway.metrics import Metrics
from gateway.settings import Settings, load
from haproxy.balancer import CONFIGURATION
from tests.haproxy.stub import Stub, asked, balanced_stubs, got

HAPROXY = CONFIGURATION.parent
FOLDER = HAPROXY / "kubernetes"
NAMES = {"app.kubernetes.io/name": "frontend-router"}
TEXT = {"type": "string", "minLength": 1}
LABELS = {"type": "object", "additionalProperties": TEXT}
#: What the Prometheus operator adds to Kubernetes, as far as it is used here.
OPERATOR: dict[str, dict[str, Any]] = {
    "ServiceMonitor": {
        "selector": {
            "type": "object",
            "properties": {"matchLabels": LABELS},
            "required": ["matchLabels"],
            "additionalProperties": False,
        },
        "endpoints": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "port": TEXT,
                    "path": {"type": "string", "pattern": "^/"},
                    "interval": {"type": "string", "pattern": r"^\d+(ms|s|m)$"},
                    "scrapeTimeout": {"type": "string", "pattern": r"^\d+(ms|s|m)$"},
                },
                "required": ["port"],
                "additionalProperties": False,
            },
        },
    },
    "PrometheusRule": {
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": TEXT,
                    "rules": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "alert": {"type": "string", "pattern": "^[A-Za-z]+$"},
                                "expr": TEXT,
                                "for": {"type": "string", "pattern": r"^\d+(s|m)$"},
                                "labels": LABELS,
                                "annotations": LABELS,
                            },
                            "required": ["alert", "expr", "labels", "annotations"],
                            "additionalProperties": False,
                        },
                    },
                },
                "required": ["name", "rules"],
                "additionalProperties": False,
            },
        }
    },
}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each manifest with the file that it is in."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path.name, document


def manifest(kind: str) -> dict[str, Any]:
    return next(each for _, each in documents() if each["kind"] == kind)


MANIFESTS = [each for each in documents() if each[1]["kind"] != "Kustomization"]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize(("file", "document"), MANIFESTS)
def test_each_manifest_is_what_its_schema_says(
    version: str, file: str, document: dict[str, Any]
) -> None:
    own = OPERATOR.get(document["kind"])
    if own is None:
        kubernetes_validate.validate(document, version, strict=True)
        return
    assert document["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    schema = {
        "type": "object",
        "properties": own,
        "required": list(own),
        "additionalProperties": False,
    }
    jsonschema_rs.validate(schema, document["spec"])


def test_the_schemas_find_a_mistake() -> None:
    document = manifest("Deployment")
    document["spec"]["template"]["spec"]["containers"][0]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="prots"):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_all_of_them_are_applied_together() -> None:
    (kustomization,) = (each for _, each in documents() if each["kind"] == "Kustomization")
    files = {file for file, each in documents() if each["kind"] != "Kustomization"}
    assert set(kustomization["resources"]) == files


def test_they_mean_the_same_pods() -> None:
    deployment = manifest("Deployment")
    assert deployment["spec"]["selector"]["matchLabels"] == NAMES
    assert deployment["spec"]["template"]["metadata"]["labels"] == NAMES
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec = manifest(kind)["spec"]
        selector = spec.get("selector") or spec["podSelector"]
        assert selector.get("matchLabels", selector) == NAMES
    monitored = [
        each["metadata"]["labels"]
        for _, each in documents()
        if each["kind"] == "Service" and each["spec"]["ports"][0]["name"] == "monitoring"
    ]
    assert monitored == [manifest("ServiceMonitor")["spec"]["selector"]["matchLabels"]]
    target = manifest("HorizontalPodAutoscaler")["spec"]
    assert target["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (target["minReplicas"], target["maxReplicas"]) == (3, 100)
    assert "replicas" not in deployment["spec"]


def container() -> dict[str, Any]:
    (only,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def served(tmp_path: Path) -> Settings:
    """Return what a pod would serve, but for its address, which needs credentials."""
    path = tmp_path / "gateway.toml"
    path.write_text(manifest("ConfigMap")["data"]["gateway.toml"], encoding="utf-8")
    environment = {
        each["name"]: each["value"].replace("$(POD_IP)", "10.1.2.3")
        for each in container()["env"]
        if each["name"] not in ("POD_IP", "FRONTEND_ROUTER_HOST")
    }
    environment["FRONTEND_ROUTER_STORE"] = "rediss+cluster://user:password@redis-cluster:6379"
    return load({"config": str(path)}, environment)


def test_the_gateway_understands_what_it_is_told(tmp_path: Path) -> None:
    settings = served(tmp_path)
    assert settings.access.hosts == ("10.1.2.3", "gateway.example")
    ports = {each["name"]: each["containerPort"] for each in container()["ports"]}
    assert ports == {
        "websocket": settings.ws_port,
        "mcp": settings.mcp_port,
        "monitoring": settings.monitoring_port,
    }
    assert container()["args"] == ["serve", "--config", "/etc/frontend-router/gateway.toml"]


def test_a_pod_has_time_to_drain(tmp_path: Path) -> None:
    drain = served(tmp_path).drain
    spec = manifest("Deployment")["spec"]["template"]["spec"]
    (_, before) = container()["lifecycle"]["preStop"]["exec"]["command"]
    steps = (drain.settle_seconds, drain.wait_seconds, drain.spread_seconds, drain.leave_seconds)
    assert float(before) + sum(steps) < 0.8 * spec["terminationGracePeriodSeconds"]


def test_probes_say_a_host_that_gateways_answer_to() -> None:
    for kind, path in (("startup", "/live"), ("liveness", "/live"), ("readiness", "/ready")):
        probe = container()[f"{kind}Probe"]["httpGet"]
        assert probe["path"] == path
        assert probe["port"] == "monitoring"
        assert probe["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def alerts() -> list[dict[str, str]]:
    (group,) = manifest("PrometheusRule")["spec"]["groups"]
    rules: list[dict[str, str]] = group["rules"]
    return rules


@pytest.mark.slow
def test_alerts_ask_for_numbers_that_there_are(tmp_path: Path) -> None:
    text = Metrics().render("")[0].decode()
    with balanced_stubs(tmp_path) as (balancer, _):
        text += asked(balancer.metrics_port, got("GET", "/metrics")).decode()
    known = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) | {"up"}
    known |= {"websocket_connections_active", "channel_utilization_percent"}
    for rule in alerts():
        names = set(re.findall(r"\b(up|[a-z]+(?:_[a-z]+)+)\b(?=[{)\[ ])", rule["expr"]))
        assert names, rule
        assert names <= known, (rule["alert"], names - known)


def test_each_alert_has_its_part_in_the_runbook() -> None:
    text = (HAPROXY / "README.md").read_text(encoding="utf-8")
    described = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert described == [rule["alert"] for rule in alerts()]


def composed() -> dict[str, Any]:
    compose = yaml.safe_load((HAPROXY / "compose.yaml").read_text(encoding="utf-8"))
    services: dict[str, Any] = compose["services"]
    return services


def images() -> list[str]:
    docker = (HAPROXY / "Dockerfile").read_text(encoding="utf-8")
    used = [service["image"] for service in composed().values()]
    return [*used, container()["image"], *re.findall(r"^FROM (\S+)", docker, re.MULTILINE)]


def test_images_are_pinned_and_name_no_host() -> None:
    for image in images():
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+\.\d+(-[a-z]+)*", image), image


def test_the_image_runs_as_nobody_and_has_all_that_it_needs() -> None:
    text = (HAPROXY / "Dockerfile").read_text(encoding="utf-8")
    stages = text.split("\nFROM ")
    assert re.search(r"^USER 65532:65532$", stages[-1], re.MULTILINE)
    assert "apt-get" not in stages[-1]
    ignored = (HAPROXY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for source in re.findall(r"^COPY ((?:[\w./]+ )+)\S+$", text, re.MULTILINE):
        for each in source.split():
            name = each.rstrip("/")
            assert (HAPROXY.parent / name).exists()
            assert f"!{name}" in ignored


def test_compose_and_haproxy_agree_on_the_gateways() -> None:
    services = composed()
    told = services["haproxy"]["environment"]
    for number in (1, 2, 3):
        gateway = services[f"gateway{number}"]
        environment = dict(gateway["environment"])
        settings = load({}, environment)
        assert told[f"FR_GATEWAY{number}_WS"] == f"127.0.0.1:{settings.ws_port}"
        assert told[f"FR_GATEWAY{number}_MCP"] == f"127.0.0.1:{settings.mcp_port}"
        assert told[f"FR_GATEWAY{number}_MONITOR"] == str(settings.monitoring_port)
        assert settings.access.proxy_protocol == "on"
        assert gateway["network_mode"] == services["haproxy"]["network_mode"]
        assert gateway["image"] == container()["image"]
    published = [port for each in services.values() for port in each.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert set(told) <= set(re.findall(r"presetenv (\w+)", CONFIGURATION.read_text("utf-8")))


def test_who_keeps_the_network_does_nothing_that_could_end() -> None:
    """A restart of it would leave those who share it in a network that nobody else is in."""
    services = composed()
    shared = {each["network_mode"] for each in services.values() if "network_mode" in each}
    assert shared == {"service:network"}
    assert services["network"]["entrypoint"] == ["sleep", "infinity"]
    assert [name for name, each in services.items() if "ports" in each] == ["network"]


def test_gateways_are_stopped_before_haproxy_through_which_they_tell_who_waits() -> None:
    services = composed()
    for number in (1, 2, 3):
        assert "haproxy" in services[f"gateway{number}"]["depends_on"]


def test_what_no_registry_has_is_built_and_never_looked_for_there() -> None:
    """Compose would ask a registry first; and three services that build make three images."""
    own = [each for each in composed().values() if each["image"] == container()["image"]]
    assert [each["pull_policy"] for each in own] == ["never"] * 3
    (build,) = (each["build"] for each in own if "build" in each)
    assert (HAPROXY / build["context"] / build["dockerfile"]).samefile(HAPROXY / "Dockerfile")


def test_haproxy_has_files_for_all_that_it_may_be_sent() -> None:
    """It does not start with fewer than two for each connection; 10,000 are had nearly anywhere."""
    told = composed()["haproxy"]["environment"]
    presets = dict(re.findall(r"presetenv (\w+) +\"(\d+)\"", CONFIGURATION.read_text("utf-8")))
    assert 2 * int(told["FR_MAXCONN"]) + 100 < 10_000
    per_address = int(presets["FR_WS_PER_ADDRESS"]) + int(presets["FR_MCP_PER_ADDRESS"])
    assert int(told["FR_MAXCONN"]) > per_address


@pytest.mark.slow
def test_the_image_asks_the_monitoring_port_it_was_told_of_whether_it_lives() -> None:
    text = (HAPROXY / "Dockerfile").read_text(encoding="utf-8")
    (command,) = re.findall(r"^HEALTHCHECK .*CMD (\[.+\])$", text, re.MULTILINE)
    python, *arguments = json.loads(command)
    assert python == "python"
    with closing(Stub()) as stub:
        environment = {"FRONTEND_ROUTER_MONITORING_PORT": str(stub.port)}
        for is_rude in (False, True):
            stub.is_rude = is_rude
            ended = subprocess.run(
                [sys.executable, *arguments], env=environment, capture_output=True, timeout=60
            )
            assert (ended.returncode != 0) == is_rude
        assert set(stub.requests) == {"GET /live"}
