"""URLs of histories: what is taken, and that no message shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from krm.store.errors import BadUrl
from krm.store.history.chosen import history_of
from krm.store.history.external import ExternalHistory
from krm.store.history.local import LocalHistory
from krm.store.history.place import parse_place

GOOD = [
    ("influxdb://db", {"host": "db", "port": 8086, "database": "k8s", "user": "", "tls": False}),
    (
        "influxdb://root:p%40ss%2F@db:9999/monitoring",
        {"user": "root", "password": "p@ss/", "database": "monitoring"},
    ),
    ("influxdbs://[::1]:1/x?ssl_ca_certs=/ca.pem", {"host": "::1", "tls": True, "ca": "/ca.pem", "checked": True}),
    ("influxdbs://db?ssl_cert_reqs=none", {"tls": True, "checked": False}),
    ("influxdb2://t0ken%3D%3D@db/my%20org/bucket", {"token": "t0ken==", "org": "my org", "bucket": "bucket"}),
    ("influxdb2s://t@db/o/b", {"tls": True, "how": "influxdb2"}),
    ("victoriametrics://vm", {"port": 8428, "how": "victoriametrics"}),
    ("victoriametricss://u:p@vm:443", {"tls": True, "port": 443, "user": "u", "password": "p"}),
]
BAD = [
    ("influxdb://", "no host name"),
    ("influxdb://db:99999", "ports go from"),
    ("influxdb://db:secret", "ports go from"),
    ("influxdb://u:s3cret@db/a/b", "ends with /DATABASE"),
    ("influxdb://u:s3cret@db/%0A", "cannot be printed"),
    ("influxdb://u:s3cret%0Ax@db", "control character"),
    ("influxdb://u:s3cret@d b", "percent-encode"),
    ("influxdb://u:s3cret@db#x", "%23"),
    ("influxdb://u:s3cret@db?ssl_ca_certs=/x", "unknown here"),
    ("influxdbs://u:s3cret@db?ssl_cert_reqs=maybe", "'required' or 'none'"),
    ("influxdb2://db/org/bucket", "influxdb2://TOKEN@HOST"),
    ("influxdb2://s3cret@db/org", "influxdb2://TOKEN@HOST"),
    ("influxdb2://s3cr\u00e9t@db/org/b", "no token has"),
    ("victoriametrics://u:s3cret@vm/db", "ends with the port"),
    ("mysql://u:s3cret@db", "unknown scheme"),
    ("influxdb://u:s3cret@[::1", "no URL"),
]


@pytest.mark.parametrize(("url", "parts"), GOOD)
def test_it_is_taken(url: str, parts: dict) -> None:
    place = parse_place(url)
    assert {name: getattr(place, name) for name in parts} == parts
    secrets = [text for text in (place.password, place.token) if len(text) > 1]
    assert not [text for text in secrets if text in repr(place) or text in place.shown]


@pytest.mark.parametrize(("url", "why"), BAD)
def test_it_is_refused_with_a_sentence_that_holds_no_secret(url: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadUrl, match=why) as caught:
        history_of(url, tmp_path)
    assert "s3cr" not in str(caught.value)


def test_an_authority_that_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadUrl, match="holds no certificates"):
        history_of(f"influxdbs://db?ssl_ca_certs={tmp_path / 'none.pem'}", tmp_path)


def test_a_path_and_sqlite_mean_the_file(tmp_path: Path) -> None:
    for url in (str(tmp_path / "a.db"), f"sqlite://{tmp_path / 'b.db'}"):
        history = history_of(url, tmp_path)
        assert isinstance(history, LocalHistory)
        history.close()
    assert {"a.db", "b.db"} <= {path.name for path in tmp_path.iterdir()}
    for url in ("sqlite://b.db", ""):
        with pytest.raises(BadUrl):
            history_of(url, tmp_path)


def test_a_remote_store_that_is_away_is_no_error_at_the_start(tmp_path: Path) -> None:
    history = history_of("influxdb://127.0.0.1:1/k8s", tmp_path)
    assert isinstance(history, ExternalHistory)
    history.close()
