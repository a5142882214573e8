"""No secret of a command line is shown, and what a person looks for is."""

from __future__ import annotations

import base64
import random
import time
from typing import Sequence, Tuple

import pytest
from krm.agent.process.masking import HIDDEN, MOST_COMMAND, command_line

# Stands for any secret that looks like a word.
S = "hunter2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def shown(*arguments: str) -> str:
    return command_line(b"".join(one.encode("utf-8", "surrogateescape") + b"\0" for one in arguments))


CASES: Sequence[Tuple[Sequence[str], str]] = (
    # Flags, their value joined and apart.
    (["app", "--password", S, "--port", "80"], "app --password *** --port 80"),
    (["app", f"--password={S}", "--port=80"], "app --password=*** --port=80"),
    (["app", "-password", S], "app -password ***"),
    (["app", f"--db-pass={S}", f"--clientSecret={S}"], "app --db-pass=*** --clientSecret=***"),
    (["app", f"--api.token:{S}"], "app --api.token:***"),
    (["app", "--token", "--password", S, "x"], "app --token *** *** x"),
    (["app", "--token", "a b", "x"], "app --token *** x"),
    (["redis-server", "--requirepass", S, "--port", "6379"], "redis-server --requirepass *** --port 6379"),
    (["vault", "login", "token", S], "vault login token ***"),
    (["kubectl", "create", "secret", f"--from-literal=a={S}"], "kubectl create secret --from-literal=***"),
    (["app", f"--password={S} {S}", "x"], "app --password=*** x"),
    # Environment, connection strings, JSON, YAML, properties.
    (["env", f"DB_PASSWORD={S}", f"PGPASSWORD={S}", "LANG=C"], "env DB_PASSWORD=*** PGPASSWORD=*** LANG=C"),
    (["app", f"host=db user=me password={S} dbname=x"], "app host=db user=me password=*** dbname=x"),
    (["sh", "-c", f'run "password=\"{S} {S}\" x=1"'], 'sh -c run "password=*** x=1"'),
    (["app", f"Server=db;User Id=me;Password={S} {S};Pooling=true"], "app Server=db;User Id=me;Password=***"),
    (["app", f'{{"user": "me", "password" : "{S} {S}", "x": 1}}'], 'app {"user": "me", "password" : *** "x": 1}'),
    (["app", f'{{"a": 1, "password":"x\\" {S}", "x": 1}}'], 'app {"a": 1, "password":*** "x": 1}'),
    (["app", f"password = {S}"], "app password = ***"),
    (["java", f"-Dspring.db.password={S}", "-jar", "/a.jar"], "java -Dspring.db.password=*** -jar /a.jar"),
    # URLs.
    (["app", f"postgres://me:{S}@db:5432/shop?sslmode=off"], "app postgres://***@db:5432/shop?sslmode=off"),
    (["app", f"--db=me:{S}@db:5432/shop"], "app --db=***@db:5432/shop"),
    (["app", f"--url=amqp://me:p@{S}@mq/"], "app --url=amqp://***@mq/"),
    (["git", "clone", f"https://{S}@github.com/a/b"], "git clone https://***@github.com/a/b"),
    (["wget", f"https://h/x?user=me&access_token={S}&z=1"], "wget https://h/x?user=me&access_token=***"),
    # Headers and scripts.
    (["curl", "-H", f"Authorization: Bearer {S}", "https://h/"], "curl -H Authorization: *** https://h/"),
    (["curl", "-H", f"X-Api-Key: {S}", "https://h/"], "curl -H X-Api-Key: *** https://h/"),
    (["curl", "-u", f"me:{S}", "https://h/"], "curl -u *** https://h/"),
    (["sh", "-c", f"curl -H 'Authorization: Basic {S}' https://h/"], "sh -c curl -H 'Authorization: ***"),
    (["sh", "-c", f"exec mysql -uroot -p{S} shop"], "sh -c exec mysql -uroot -p*** shop"),
    (["bash", "-c", f"export TOKEN='{S} x'; run"], "bash -c export TOKEN=*** run"),
    # Short flags of programs that take one.
    (["mysqldump", f"-p{S}", "shop"], "mysqldump -p*** shop"),
    (["/usr/bin/sshpass", "-p", S, "ssh", "h"], "/usr/bin/sshpass -p *** ssh h"),
    (["redis-cli", "-a", S, "info"], "redis-cli -a *** info"),
    (["ldapsearch", "-D", "cn=me", "-w", S], "ldapsearch -D cn=me -w ***"),
    (["openssl", "enc", "-pass", f"pass:{S}"], "openssl enc -pass ***"),
    (["curl", "-sSu", f"me:{S}", "https://h/"], "curl -sSu *** https://h/"),
    (["curl", f"--user=me:{S}", "https://h/"], "curl --user=*** https://h/"),
    (["etcdctl", "--user", f"root:{S} {S}", "get", "x"], "etcdctl --user *** get x"),
    (["oc", "login", "-u", "me", "-p", S], "oc login -u me -p ***"),
    # Where it has no flag, or is written into what reads it.
    (["aws", "configure", "set", "aws_secret_access_key", S], "aws configure set aws_secret_access_key ***"),
    (["npm", "config", "set", "//registry/:_authToken", S], "npm config set //registry/:_authToken ***"),
    (["htpasswd", "-nb", "me", S], "htpasswd *** *** ***"),
    (["sqlplus", f"me/{S}@db"], "sqlplus ***"),
    (["mc", "alias", "set", "x", "http://h", "me", S], "mc alias *** *** *** *** ***"),
    (["mysql", "-e", f"CREATE USER a IDENTIFIED BY '{S} {S}'"], "mysql -e CREATE USER a IDENTIFIED BY ***"),
    (["mysql", "-e", f"SET PASSWORD FOR 'a'@'h' = '{S}'"], "mysql -e SET PASSWORD ***"),
    (["mongo", "--eval", f"db.auth('me', '{S}')"], "mongo --eval db.auth(***"),
    (["sh", "-c", f"echo '{S} x' | crane auth --password-stdin"], "sh -c echo *** | crane auth --password-stdin"),
    (["sh", "-c", f"echo root:{S} | chpasswd"], "sh -c echo *** | chpasswd"),
    (["sh", "-c", f"sudo -S ls <<< {S}"], "sh -c sudo -S ls <<< ***"),
    # By their looks.
    (["app", JWT], "app ***"),
    (["app", f"x={JWT}"], "app x=***"),
    (["app", AWS], "app ***"),
    (["app", "AKIAIOSFODNN7EXAMPLE"], "app ***"),
    (["app", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"], "app ***"),
    (["app", "9b74c9897bac770ffc029102a200c5de"], "app ***"),
    (["app", f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----"], "app ***"),
)  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), CASES)
def test_secrets_are_hidden_whole(arguments: Sequence[str], expected: str) -> None:
    found = shown(*arguments)
    assert found == expected
    assert S not in found


PLAIN = (
    "nginx: master process nginx -g daemon off;",
    "postgres: checkpointer",
    "/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml --hostname-override=node-1 --v=2",
    "kube-apiserver --tls-private-key-file=/etc/kubernetes/pki/apiserver.key --enable-bootstrap-token-auth=true",
    "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -address /run/containerd/containerd.sock",
    "java -XX:MaxRAMPercentage=75.0 -XX:+UseContainerSupport -cp /app/lib/spring-core-5.3.20.jar:/app x.y.Main",
    "python3 -m gunicorn shop.wsgi:application -b 0.0.0.0:8000 --workers 4",
    "ssh -p 22 me@host",
    "git clone git@host:a/b.git",
    "sleep 2147483647",
    "docker run --user 1000:1000 --rm nginx",
    "sh -c echo begun | tee /var/log/x; exec token-server --port 80",
    "kubectl get secret web-tls -o yaml",
    "etcd --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379 --data-dir=/var/lib/etcd",
    "app /var/lib/kubelet/pods/5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11/volumes",
)


@pytest.mark.parametrize("line", PLAIN)
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert shown(*line.split(" ")) == line
    assert shown(line) == line


def test_random_secrets_of_all_alphabets_are_hidden() -> None:
    """A neutral name, or none: what is random shows nowhere. Base64 and hex of 24 bytes and more."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    left = 0
    for _ in range(200):
        raw = bytes(dice.randrange(256) for _ in range(dice.randrange(24, 64)))
        for secret in (raw.hex(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
            for words in ([secret], [f"--x={secret}"], ["-c", f"run {secret} now"]):
                text = shown("app", *words)
                left += any(secret[at : at + 8] in text for at in range(len(secret) - 8))
    # A base64 text that begins with / is taken for a path, and its names may be short: 1 of 64, and few of these.
    assert left < 200 * 18 / 64, left


def test_nothing_in_it_moves_a_cursor_or_a_line() -> None:
    found = shown("a\x1b[2J", "b\nc", "\x07", "\u202e", "\udcff", "k\u00e4se")
    assert found == "a\\x1b[2J b\\x0ac \\x07 \\xe2\\x80\\xae \\xff k\u00e4se"


def test_an_argument_that_is_cut_is_not_shown() -> None:
    """Half a secret does not look like one."""
    whole = b"app\0--x\0" + b"y" * MOST_COMMAND
    assert command_line(whole[:MOST_COMMAND]) == "app --x ..."
    assert command_line(b"y" * MOST_COMMAND) == "..."


def test_nothing_and_almost_nothing() -> None:
    assert command_line(b"") == ""
    assert command_line(b"\0\0") == ""
    assert command_line(b"app") == "app"  # its own title
    assert shown("app", "", "x") == "app  x"
    assert shown("app", "--password") == "app --password"
    assert shown("app", "--password=") == "app --password="
    assert shown("app", "--password", "") == "app --password "[:-1]


HOSTILE = (
    "pass", "=", "pass=", "-", "://", "a@", '"', "eyJ.", "A1a", "pass ", "(", "mysql ", "/", "a\"", "-p ", "\\",
    "a:", "a:@sha256:", "pass" + " " * 4000 + "=",
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_command_takes_long(hostile: str) -> None:
    text = (hostile * MOST_COMMAND)[: MOST_COMMAND - 2]
    began = time.process_time()
    shown(text)
    assert time.process_time() - began < 0.25


def test_arbitrary_bytes_never_fail_and_are_bounded() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    alphabet = [
        b"\0",
        b" ",
        b"-p",
        b"--password",
        b"=",
        b":",
        b"'",
        b'"',
        b"\\",
        b"mysql",
        b"\xff",
        b"a",
        b"Bearer",
        b"://",
        b"@",
    ]
    for _ in range(2000):
        raw = b"".join(dice.choice(alphabet) for _ in range(dice.randrange(40)))
        found = command_line(raw)
        assert found.isprintable()
        assert len(found) <= 4 * len(raw) + len(HIDDEN) * (len(raw) + 1)
