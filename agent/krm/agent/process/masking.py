"""Command lines without their secrets. Pure.

Too much is hidden rather than too little: values whose name is that of a secret, what stands where a program takes
one, user and password of a URL, and what no person made up as a name. A secret is hidden whole, for its length and
first letters help to guess it. What is left: a password that looks like a word, with nothing near that says so.
"""

from __future__ import annotations

import re
from typing import Dict, List, Tuple

from krm.agent.cgroupfs.places import printable

MOST_COMMAND = 4096  # bytes that are looked at; an argument that is cut there is not shown
HIDDEN = "***"
_CUT = "..."

# Within a name, its -, _ and . left out.
_SECRET = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "accesskey", "privatekey",
    "credential", "cookie", "sessionid", "connectionstring", "bearer", "basicauth", "fromliteral",
    "presharedkey",
)  # fmt: skip
# Ends of a name's last part.
_SECRET_ENDS = ("pass", "pwd", "key", "keys", "auth", "creds", "cred", "jwt", "psk", "dsn", "salt", "sig")
_SECRET_PARTS = frozenset((
    "pass", "pw", "pwd", "pin", "otp", "authorization", "signature", "passin", "passout", "community",
))  # fmt: skip
# A word that by itself says that a secret follows.
_SAYS_SO = frozenset(("password", "passwd", "passphrase", "token", "bearer", "basic", "digest", "negotiate"))
# Flags of any program whose value is user:secret, or UID:GID.
_OF_USERS = frozenset(("--user", "--auth", "--creds", "--credentials", "--basic-auth", "--proxy-user"))
# Where a secret has no flag: nothing after these words is shown.
_REST = frozenset((
    "htpasswd", "chpasswd", "kinit", "sqlplus", "wpa_passphrase", "change_password", "add_user", "alias",
))  # fmt: skip
# What a script writes into a program that reads a secret.
_PIPED = re.compile(
    r"\b(echo|printf)\b[^|]*\|(?=[^|]*(?:--password-stdin|--pass-stdin|--with-token|--stdin|passwd|sudo|base64))"
)
_HERE = re.compile(r"(<<<\s*)\S+")
_OF_FILES = ("file", "path", "dir", "key", "cert", "store")
_PLAIN = frozenset(("true", "false"))
# Programs whose short flags take a secret, as a word of its own or joined to the flag.
_MYSQL, _LDAP, _LOGIN = ("-p",), ("-w",), ("-p", "-u")
_SHORT: Dict[str, Tuple[str, ...]] = {
    **dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mysqlshow"), _MYSQL),
    **dict.fromkeys(("mariadb", "mariadb-dump", "mariadb-admin", "xtrabackup", "mariabackup"), _MYSQL),
    **dict.fromkeys(("mongo", "mongosh", "mongodump", "mongorestore", "sshpass", "7z", "7za", "7zr"), _MYSQL),
    **dict.fromkeys(
        ("mysqlsh", "mycli", "cqlsh", "beeline", "az", "oc", "twine", "useradd", "unrar", "rdesktop"), _MYSQL
    ),
    **dict.fromkeys(("ctr", "lftp"), ("-u",)),
    **dict.fromkeys(("http", "https"), ("-a",)),
    **dict.fromkeys(("doctl", "k3s", "gitlab-runner"), ("-t", "-r")),
    "xfreerdp": ("/p:",),
    **dict.fromkeys(("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"), _LDAP),
    **dict.fromkeys(("docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "crane", "oras"), _LOGIN),
    **dict.fromkeys(("zip", "unzip", "sqlcmd", "bcp", "ipmitool", "mosquitto_pub", "mosquitto_sub"), ("-P",)),
    **dict.fromkeys(("redis-cli", "valkey-cli", "redis-benchmark"), ("-a", "-u")),
    **dict.fromkeys(("smbclient", "rpcclient", "mount.cifs"), ("-U", "-o")),
    "curl": ("-u", "-U", "-b", "-E", "--user", "--proxy-user", "--cert", "--oauth2-bearer"),
    "openssl": ("-pass", "-k", "-K", "-hmac"),
    "snmpwalk": ("-c", "-A", "-X"),
    "snmpget": ("-c", "-A", "-X"),
    "htpasswd": ("-b",),
}
_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_ASSIGNS = re.compile(r"""["'\\]{0,4}\s*(=>|:=|=|:|\()\s*""")
_NAMED = re.compile(
    r"^(?:[A-Za-z0-9]+[-_])+(?:password|passwd|secret|access[-_]?key|token)$|^(?:\S*:_)?auth[-_]?token$|^preshared-key$",
    re.IGNORECASE,
)
_HUMPS = re.compile(r"[-_.]+")
_USER = re.compile(r"://[^\s]*@")
_PAIR = re.compile(r"[^\s:@/=,'\"]+:(?!//)[^\s@]+@(?!sha256:)")  # me:secret@host; an image with its digest is none
# What issuers mark as theirs: AWS, GitHub, GitLab, Slack, Stripe, Google, npm, Vault, Docker, SendGrid; and JWTs.
_ISSUED = re.compile(
    r"(?:AKIA|ASIA|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|[rs]k_(?:live|test)_|sk-|AIza|ya29\.|npm_|hv[sb]\."
    r"|dckr_pat_|dop_v1_|SG\.|pypi-)[A-Za-z0-9_.\-]{8,}|eyJ[A-Za-z0-9_\-]{5,}(?:\.[A-Za-z0-9_\-]*)*"
)
_PRIVATE = "-----BEGIN"
_RUN = re.compile(r"[A-Za-z0-9+/_\-]{20,}={0,2}")
_BARE_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_LEAST_DIGITS = 3


def command_line(raw: bytes) -> str:
    """/proc/PID/cmdline for people: arguments with blanks between them, secrets as ***, in printable characters."""
    arguments = raw.split(b"\0")
    if len(raw) >= MOST_COMMAND:
        arguments[-1] = _CUT.encode()  # half a secret no longer looks like one
    elif not arguments[-1]:
        arguments.pop()
    masker = _Masker()
    shown = (masker.argument(one.decode("utf-8", "surrogateescape")) for one in arguments)
    return printable(" ".join(shown).rstrip(" "))


class _Masker:
    """Goes through the arguments of one process in their order."""

    def __init__(self) -> None:
        self._expects = False  # the next word is a secret
        self._short: Tuple[str, ...] = ()  # flags of the programs that were named so far
        self._words = 0  # so far
        self._of_user = False  # the next word is user:secret
        self._identified = False  # IDENTIFIED was read, and BY is to come
        self._rest = False  # nothing more is shown

    def argument(self, text: str) -> str:
        """One argument, which may be a whole script (`sh -c ...`)."""
        text = _HERE.sub(rf"\1{HIDDEN}", _PIPED.sub(rf"\1 {HIDDEN} |", text))
        if self._expects:
            # A flag where a secret should be: it may be one, and what comes after it too.
            self._expects = text.startswith("-") and self._is_flag(text)
            return HIDDEN if text else ""
        shown: List[str] = []
        at = 0
        while at < len(text):
            end = at
            while end < len(text) and text[end].isspace():
                end += 1
            shown.append(text[at:end])
            if end < len(text):
                word, end = self._word(text, end)
                shown.append(word)
            at = end
        return "".join(shown)

    def _word(self, text: str, at: int) -> Tuple[str, int]:
        """The word that begins there as it is shown, and where the next one begins."""
        if self._rest:
            return HIDDEN, len(text)
        end = _word_end(text, at)
        word = text[at:end]
        self._words += 1
        if self._expects:
            self._expects = word.startswith("-") and self._is_flag(word)
            return HIDDEN, len(text) if word == "FOR" else _value_end(text, at, False)  # SET PASSWORD FOR
        of_user, self._of_user = self._of_user, word in _OF_USERS
        flag, _, value = word.partition("=")
        if of_user and _has_secret(word):
            return HIDDEN, _value_end(text, at, not text[:at].strip())
        if flag in _OF_USERS and _has_secret(value):
            return f"{flag}={HIDDEN}", end
        if _PRIVATE in word:
            return word[: word.index(_PRIVATE)] + HIDDEN, len(text)
        for name in _NAME.finditer(text, at, end):
            if is_secret(name.group()):
                sign = _ASSIGNS.match(text, name.end())
                if sign is not None and sign.end() < len(text):
                    # An argument of its own, a connection string, or a header: all of the rest.
                    is_rest = not text[:at].strip() or ";" in text[at : name.start()]
                    is_rest = is_rest or (sign.group(1) == ":" and sign.group()[-1].isspace())
                    # Of a call all that follows, too.
                    value_end = len(text) if sign.group(1) == "(" else _value_end(text, sign.end(), is_rest)
                    if not _is_plain(name.group(), text[sign.end() : value_end]):
                        before = without_secrets(text[at : name.start()])
                        return before + text[name.start() : sign.end()] + HIDDEN, value_end
        for flag in self._short:
            if word.startswith(flag) and word != flag and not word.startswith("--"):
                return flag + HIDDEN, _value_end(text, at, False)
        self._expects = self._is_flag(word)
        called = word.strip("\"'`;|&()").rpartition("/")[2]
        self._rest = called in _REST
        flags = _SHORT.get(called, ())
        self._short += tuple(flag for flag in flags if flag not in self._short)
        return without_secrets(word), end

    def _is_flag(self, word: str) -> bool:
        """Whether that says that a secret is next."""
        if word in self._short:
            return True
        if word[:1] == "-" and word[1:].isalpha() and f"-{word[-1]}" in self._short:  # -sSu
            return True
        if word.lower() == "by" and self._identified:
            return True
        self._identified = self._identified or word.lower() == "identified"
        bare = word.strip("\"'")
        if self._words > 1 and _NAMED.search(bare):  # config set aws_secret_access_key X
            return True
        name = bare.lstrip("-")
        if name.rstrip(":").lower() in _SAYS_SO:
            return True
        return bare.startswith("-") and _NAME.fullmatch(name) is not None and is_secret(name)


def is_secret(name: str) -> bool:
    """Whether what is called so is nobody else's business."""
    parts = [part for part in _HUMPS.split(name.lower()) if part]
    if not parts:
        return False
    joined = "".join(parts)
    if any(word in joined for word in _SECRET):
        return True
    return parts[-1].endswith(_SECRET_ENDS) or not _SECRET_PARTS.isdisjoint(parts)


def without_secrets(word: str) -> str:
    """A word without what is a secret by its looks."""
    if "@" in word:
        word = _PAIR.sub(f"{HIDDEN}@", _USER.sub(f"://{HIDDEN}@", word))
    word = _ISSUED.sub(HIDDEN, word)
    return _RUN.sub(lambda run: HIDDEN if _is_random(run.group()) else run.group(), word)


def _is_random(run: str) -> bool:
    """Whether nobody made that up: letters of both cases and digits in one, or one long number of letters and
    digits. A path is looked at by its names."""
    if run.startswith("/"):
        return any(_is_random(name) for name in run.split("/") if len(name) >= 20)
    kinds = {_kind(character) for character in run}
    if {"upper", "lower", "digit"} <= kinds:
        return True
    return any(
        sum(character.isdigit() for character in bare) >= _LEAST_DIGITS and not bare.isdigit()
        for bare in _BARE_RUN.findall(run)
    )


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    return "upper" if character.isupper() else "lower" if character.islower() else ""


def _is_plain(name: str, value: str) -> bool:
    """A switch, or where a secret lies: no secret."""
    value = value.strip("\"'")
    return value.lower() in _PLAIN or (value.startswith("/") and name.lower().endswith(_OF_FILES))


def _has_secret(value: str) -> bool:
    """Whether that is user:secret, and not UID:GID."""
    return ":" in value and not value.replace(":", "").isdigit()


def _word_end(text: str, at: int) -> int:
    while at < len(text) and not text[at].isspace():
        at += 1
    return at


def _value_end(text: str, at: int, is_rest: bool) -> int:
    """Where a value that begins there ends: at its closing quote, else at the next blank, or at the end of all."""
    start = at
    while start < len(text) and text[start] == "\\":
        start += 1
    if start < len(text) and text[start] in "\"'":
        closing = text.find(text[start], start + 1)
        while closing > 0 and start == at and text[closing - 1] == "\\":  # a quote within the value
            closing = text.find(text[start], closing + 1)
        return len(text) if closing < 0 else _word_end(text, closing)
    return len(text) if is_rest else _word_end(text, at)
