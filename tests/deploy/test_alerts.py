"""The alert files are whole: what Prometheus's own tools and a reader would find missing."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from service.access.route import operations
from service.deadline import DeadlineRoute
from service.main import create_app
from service.settings import ServiceSettings
from tests.deploy.files import (
    GRAFANA,
    HEADINGS,
    OBSERVABILITY,
    OPERATIONS,
    PROMETHEUS,
    ROOT,
    queries,
    rules,
)


def promtool(*words: str) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run([tool, *words], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_its_configuration_and_rules() -> None:
    # the key's file is there in the container alone
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


def test_what_cannot_be_planted_fires_on_made_up_series() -> None:
    promtool("test", "rules", "tests.yml")


def test_an_alert_that_is_not_planted_says_why_and_is_held_otherwise() -> None:
    read = yaml.safe_load((PROMETHEUS / "tests.yml").read_text())
    asked = [one for test in read["tests"] for one in test["alert_rule_test"]]
    fires = {one["alertname"] for one in asked if one["exp_alerts"]}
    rests = {one["alertname"] for one in asked if not one["exp_alerts"]}
    held = {rule["alert"] for rule in rules() if rule["annotations"]["planted"] != "yes"}
    assert held <= fires
    assert fires <= rests
    for rule in rules():
        assert re.fullmatch(r"yes|no: .+; held by deploy/prometheus/tests\.yml", planted(rule))


def test_predictions_are_timed_by_whichever_interface_they_come() -> None:
    """The routes whose answers have a deadline, which are those of predictions."""
    asked = [rule["expr"] for rule in rules() if rule["alert"] == "LurePredictionsSlow"]
    asked += [asked for _, asked, _ in queries() if "lure_http_request_seconds_bucket" in asked]
    [timed] = {found for text in asked for found in re.findall(r'route=~"(.*?)"', text)}
    app = create_app(
        ServiceSettings(
            database_url="postgresql://nobody@nowhere/lure", redis_url="redis://nowhere", blobs="."
        )
    )
    paths = {route.path for route in operations(app)}
    answering = {route.path for route in operations(app) if isinstance(route, DeadlineRoute)}
    assert {"/invocations", "/predictions/{model}/{version}"} <= answering
    assert {path for path in paths if re.fullmatch(timed, path)} == answering


def planted(rule: dict[str, dict[str, str]]) -> str:
    return rule["annotations"]["planted"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_words_and_a_page(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    words = re.findall(r"[A-Z][a-z]+", str(rule["alert"]).removeprefix("Lure"))
    page = ROOT / rule["annotations"]["runbook_url"]
    assert page == OPERATIONS / f"{'-'.join(words).lower()}.md"
    text = page.read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS


def test_the_list_of_alerts_is_complete() -> None:
    listed = re.findall(
        r"^\| \[(Lure\w+)\]\((.*?)\) \| (\w+) \|", OBSERVABILITY.read_text(), re.MULTILINE
    )
    wanted = [
        (
            rule["alert"],
            rule["annotations"]["runbook_url"].removeprefix("docs/"),
            rule["labels"]["severity"],
        )
        for rule in rules()
    ]
    assert sorted(listed) == sorted(wanted)


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in OPERATIONS.glob("*.md"):
        for link in re.findall(r"\]\(([\w-]+\.md)\)", page.read_text()):
            assert (OPERATIONS / link).exists(), f"{page.name} points at {link}"


def test_grafana_finds_its_data_and_its_dashboards() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    assert [one["uid"] for one in sources["datasources"]] == ["lure-prometheus"]
    providers = yaml.safe_load((GRAFANA / "provisioning/dashboards/lure.yml").read_text())
    assert providers["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"
