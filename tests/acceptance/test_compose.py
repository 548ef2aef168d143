"""docker-compose.yml: what it runs exists, nothing is published but on loopback, no password is in it."""

import re
import tomllib
from typing import Any

import pytest

from tests.acceptance.compose import Reader
from tests.support.sites.command_line import ROOT, Stranger, stranger_in

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = Reader(TEXT).read()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Try the commands where nothing is configured."""
    return stranger_in(tmp_path_factory.mktemp("compose"))


def test_the_services_and_profiles_are_those_the_readme_names() -> None:
    assert set(SERVICES) == {"redis", "postgres", "migrate", "worker", "serve", "flower", "simulator"}
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"serve": ["serve"], "flower": ["flower"], "simulator": ["demo"]}


@pytest.mark.parametrize("name", OURS)
def test_every_command_of_ours_is_one_that_stepdown_has_with_options_it_knows(me: Stranger, name: str) -> None:
    command = OURS[name]["command"]
    words = [word for word in command if not word.startswith("-")][: 2 if command[0] == "db" else 1]
    explained = me.types(*words, "--help") if words != ["worker"] else me.types("--help")
    assert words[-1] in me.types("--help").out + explained.out
    for option in (word for word in command if word.startswith("-")):
        assert f"{option} " in explained.out


@pytest.mark.parametrize("name", [name for name in OURS if "healthcheck" in OURS[name]])
def test_every_health_check_of_ours_can_run(me: Stranger, name: str) -> None:
    kind, program, *arguments = OURS[name]["healthcheck"]["test"]
    assert kind == "CMD"
    if program == "stepdown":
        assert me.types(*arguments, "--help").code == 0
    else:
        assert (program, arguments[0]) == ("python", "-c")
        compile(arguments[1], name, "exec")
        ports = [port.rpartition(":")[2] for port in OURS[name]["ports"]]
        assert re.findall(r"127\.0\.0\.1:(\d+)/", arguments[1]) == ports


def test_all_but_the_one_that_ends_by_itself_have_a_health_check() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"migrate"}
    for service in SERVICES.values():
        waits_for = service.get("depends_on", {})
        for other, how in waits_for.items():
            expected = "service_completed_successfully" if other == "migrate" else "service_healthy"
            assert how == {"condition": expected}


def test_nothing_is_published_but_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"serve", "flower", "simulator"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_and_no_key_is_in_it() -> None:
    assert "sk-ant" not in TEXT
    for variable, value in re.findall(r"^ +(\w*(?:PASSWORD|KEY|AUTH)): *(.*)$", TEXT, re.MULTILINE):
        assert re.fullmatch(r"\$\{\w+(:-|:\?[^}]*)\}", value), f"{variable} is not left to .env"
    for password in re.findall(r"://[^:/\s]*:([^@\s]+)@", TEXT):
        assert password.startswith("${")


def test_what_it_takes_from_env_is_in_the_example_or_has_a_default() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for variable in re.findall(r"\$\{(\w+):\?", TEXT):
        assert re.search(rf"^{variable}=", example, re.MULTILINE), variable


def test_redis_keeps_what_it_is_told_evicts_nothing_and_asks_for_a_password() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    for option in ("--requirepass", "--appendonly yes", "--maxmemory-policy noeviction"):
        assert option in command


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_read_only_and_can_gain_no_rights(name: str) -> None:
    service = OURS[name]
    assert (service["read_only"], service["cap_drop"]) == ("true", ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_runs_our_command_as_nobody_in_particular() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r'^ENTRYPOINT \["stepdown"\]$', dockerfile, re.MULTILINE)
    users = re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE)
    assert users
    assert users[-1] not in {"root", "0"}
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["scripts"] == {"stepdown": "producer.cli:main"}
