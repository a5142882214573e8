"""The classic application's environment: what wins, what is a path, and what address it makes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Optional

import pytest
from krm.stage.classic import account, influx_url, read_value, value
from krm.stage.settings import BadSetting
from krm.store.history.place import parse_place

FILES = {"/run/user": "robot", "/run/password": "of a file", "/run/nothing": ""}


def read(path: str) -> str:
    return FILES[path]


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, ""),
        ({"API_USERNAME": "a"}, "a"),
        ({"API_USERNAME": ""}, ""),
        ({"API_USERNAME_FILE": "/run/user"}, "robot"),
        ({"API_USERNAME": "a", "KRM_API_USERNAME": "b"}, "b"),
        ({"API_USERNAME": "a", "KRM_API_USERNAME_FILE": "/run/user"}, "robot"),
        ({"API_USERNAME_FILE": "/run/user", "KRM_API_USERNAME": "b"}, "b"),
        ({"API_USERNAME": "a", "API_USERNAME_FILE": "", "KRM_API_USERNAME": ""}, "a"),
    ],
)
def test_krms_own_variable_wins_and_a_file_holds_what_it_names(env: Dict[str, str], found: str) -> None:
    assert value(env, "API_USERNAME", read) == found


def test_two_values_of_one_variable_and_an_empty_file_are_refused() -> None:
    with pytest.raises(BadSetting, match="API_PASSWORD and API_PASSWORD_FILE are both set"):
        value({"API_PASSWORD": "x", "API_PASSWORD_FILE": "/run/password"}, "API_PASSWORD", read)
    with pytest.raises(BadSetting, match="/run/nothing is empty"):
        value({"API_PASSWORD_FILE": "/run/nothing"}, "API_PASSWORD", read)


def test_a_files_value_is_its_text_without_the_line_end(tmp_path: Path) -> None:
    path = tmp_path / "value"
    for raw, found in (
        (b"secret\n", "secret"),
        (b"se cret \r\n", "se cret "),
        (b"a\n\n", "a\n"),
        ("é".encode(), "é"),
    ):
        path.write_bytes(raw)
        assert read_value(str(path)) == found
    path.write_bytes(b"x" * 5000)
    with pytest.raises(BadSetting, match="more than 4096 bytes"):
        read_value(str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(BadSetting, match="no UTF-8"):
        read_value(str(path))
    with pytest.raises(BadSetting, match="FileNotFoundError"):
        read_value(str(tmp_path / "none"))
    os.mkfifo(tmp_path / "fifo")
    assert read_value(str(tmp_path / "fifo")) == ""  # nobody writes: it is not waited for


BOTH = {"API_USERNAME": "sifac", "API_PASSWORD": "12345"}


@pytest.mark.parametrize(
    ("env", "username", "password_file", "found"),
    [
        ({}, "", "", ("", "", "")),
        (BOTH, "", "", ("sifac", "12345", "")),
        (BOTH, "other", "", ("other", "12345", "")),
        (BOTH, "", "/run/password", ("sifac", "of a file", "")),
        (
            {"API_USERNAME_FILE": "/run/user", "API_PASSWORD_FILE": "/run/password"},
            "",
            "",
            ("robot", "of a file", ""),
        ),
        ({**BOTH, "KRM_API_PASSWORD": "ours"}, "", "", ("sifac", "ours", "")),
    ],
)
def test_the_account_is_of_flags_then_of_krms_variables_then_of_the_classic_ones(
    env: Dict[str, str], username: str, password_file: str, found: tuple[str, str, str]
) -> None:
    assert account(env, username, password_file, read) == found


def test_half_an_account_is_told_and_lets_nobody_in() -> None:
    """API_USERNAME alone may be any program's: it must not keep the server from starting."""
    alone = account({"API_USERNAME": "x"}, "", "", read)
    assert alone[:2] == ("", "")
    assert "API_USERNAME is set and API_PASSWORD is not" in alone.note
    assert "API_PASSWORD is set and API_USERNAME is not" in account({"API_PASSWORD": "x"}, "", "", read).note
    for username, password_file, lacks in (("x", "", "API_PASSWORD"), ("", "/run/password", "API_USERNAME")):
        with pytest.raises(BadSetting, match=f"{lacks} is missing"):
            account({}, username, password_file, read)
    with pytest.raises(BadSetting, match="is empty"):
        account({"API_USERNAME": "x"}, "", "/run/nothing", read)


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, None),
        ({"INFLUXDB_PORT": "8086", "INFLUXDB_DB": "k8s"}, None),
        ({"INFLUXDB_HOST": "influx"}, "influxdb://influx:8086/k8s"),
        (
            {"INFLUXDB_HOST": "influx.monitoring.svc", "INFLUXDB_PORT": "6969", "INFLUXDB_USER": "root",
             "INFLUXDB_PASS": "root", "INFLUXDB_DB": "heapster"},
            "influxdb://root:root@influx.monitoring.svc:6969/heapster",
        ),
        (
            {"INFLUXDB_HOST": "10.0.0.1", "INFLUXDB_USER": "a@b", "INFLUXDB_PASS": "p:/?#%é", "INFLUXDB_DB": "a/b"},
            "influxdb://a%40b:p%3A%2F%3F%23%25%C3%A9@10.0.0.1:8086/a%2Fb",
        ),
        ({"INFLUXDB_HOST": "fd00::1", "INFLUXDB_USER": "u"}, "influxdb://u@[fd00::1]:8086/k8s"),
        # As Kubernetes sets it in pods beside a Service that is called influxdb.
        ({"INFLUXDB_HOST": "influxdb", "INFLUXDB_PORT": "tcp://10.0.0.9:8087"}, "influxdb://influxdb:8087/k8s"),
        ({"INFLUXDB_HOST": "a", "KRM_INFLUXDB_HOST": "b", "INFLUXDB_PASS_FILE": "/run/password",
          "INFLUXDB_USER_FILE": "/run/user"}, "influxdb://robot:of%20a%20file@b:8086/k8s"),
    ],
)  # fmt: skip
def test_five_variables_are_one_address(env: Dict[str, str], url: Optional[str]) -> None:
    assert influx_url(env, read) == url


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"INFLUXDB_HOST": "http://influx"}, "INFLUXDB_HOST"),
        ({"INFLUXDB_HOST": "a b"}, "INFLUXDB_HOST"),
        ({"INFLUXDB_HOST": "a", "INFLUXDB_PORT": "0"}, "INFLUXDB_PORT"),
        ({"INFLUXDB_HOST": "a", "INFLUXDB_PORT": "65536"}, "INFLUXDB_PORT"),
        ({"INFLUXDB_HOST": "a", "INFLUXDB_PORT": "8086/x"}, "INFLUXDB_PORT"),
        ({"INFLUXDB_HOST": "a", "INFLUXDB_PASS": "hidden"}, "INFLUXDB_USER is not"),
    ],
)
def test_what_makes_no_address_is_refused_without_the_password(env: Dict[str, str], says: str) -> None:
    with pytest.raises(BadSetting, match=says) as caught:
        influx_url(env, read)
    assert "hidden" not in str(caught.value)


def test_the_address_is_one_that_the_history_reads() -> None:
    env = {
        "INFLUXDB_HOST": "influx", "INFLUXDB_PORT": "6969", "INFLUXDB_USER": "a@b", "INFLUXDB_PASS": "p:/?#%é ",
        "INFLUXDB_DB": "a b/c",
    }  # fmt: skip
    url = influx_url(env, read)
    assert url is not None
    place = parse_place(url)
    assert (place.how, place.host, place.port, place.tls) == ("influxdb", "influx", 6969, False)
    assert (place.user, place.password, place.database) == ("a@b", "p:/?#%é ", "a b/c")
