"""What operators are given fits what the program says."""

import json
import os
import re
import shutil
import subprocess
import urllib.request

import pytest
from network import ROOT, Network

RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "inferium.json"


def metrics(network):
    with urllib.request.urlopen(network.admin_url + "/metrics", timeout=30) as response:
        return response.read().decode()


def test_every_metric_that_a_rule_or_a_panel_reads_is_there(tmp_path):
    dashboard = json.loads(DASHBOARD.read_text())
    read = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    read += [dashboard["templating"]["list"][1]["query"], *re.findall(r"expr: (.*)", RULES.read_text())]
    used = {name for text in read for name in re.findall(r"inferium_\w+", text)}
    assert len(used) >= 10
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        assert network.chat()[0] == 200
        lines = [line for line in metrics(network).splitlines() if not line.startswith("#")]
    found = {re.split(r"[{ ]", line)[0] for line in lines}
    assert used <= found, used - found
    by_model = [line for line in lines if f'model="{network.model}"' in line]
    values = {line.split("{")[0]: float(line.split()[-1]) for line in by_model}
    assert values["inferium_model_jobs_total"] == 1 and values["inferium_model_jobs_running"] == 0
    assert values["inferium_model_completion_tokens_total"] == 24
    assert values["inferium_model_time_to_first_token_seconds_count"] == 1
    assert 0 < values["inferium_inter_token_seconds_count"] < 24


@pytest.mark.skipif(
    not shutil.which(os.environ.get("PROMTOOL", "promtool")), reason="promtool (Debian's package prometheus) is not installed"
)
def test_promtool_finds_nothing_wrong_with_the_rules():
    promtool = os.environ.get("PROMTOOL", "promtool")
    checked = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and "SUCCESS" in checked.stdout, checked.stderr
