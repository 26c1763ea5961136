"""What a gateway under test counts."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.live.process import GatewayProcess


def counted(gateway: GatewayProcess, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    url = f"http://127.0.0.1:{gateway.monitoring_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as response:
        text = response.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
