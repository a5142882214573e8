"""Places to read from, by name: a small JSON file of a person's own, as kubectl has its kubeconfig.

    {"current": "prod", "contexts": {"prod": {"url": "https://krm.example.com", "cluster": "prod",
                                              "ca": "/path/ca.pem", "token_file": "/path/token"}}}

`url` is what krm.client.connect takes: redis://, rediss://, unix://, http:// or https://. Tokens are named by file,
never written here.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from krm.client.errors import BadRequest, Nowhere

# Bytes. A context has about 200.
MAX_FILE = 1024 * 1024


@dataclass(frozen=True)
class Context:
    """One place. '' = not named."""

    url: str  # '' = the kubeconfig's server
    cluster: str = ""
    kubeconfig: str = ""  # whose current context gives CA and credentials
    ca: str = ""  # file with the certificate authorities of an https:// server
    token_file: str = ""


@dataclass(frozen=True)
class Contexts:
    """The whole file."""

    current: str  # '' = none
    contexts: Dict[str, Context]

    def named(self, name: str) -> Context:
        """Raises BadRequest, with the names that there are."""
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise BadRequest(f"no context {name!r} (there are: {known}); krm config set-context makes one")
        return self.contexts[name]

    def chosen(self, name: Optional[str]) -> Optional[Context]:
        """The named one, else the current one; None where there is neither. Raises BadRequest."""
        name = name or self.current
        return self.named(name) if name else None


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """KRM_CONFIG, else config.json in krm's folder of XDG_CONFIG_HOME (~/.config)."""
    if environment.get("KRM_CONFIG"):
        return Path(environment["KRM_CONFIG"])
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "~"), ".config")
    return Path(base).expanduser() / "krm" / "config.json"


def read(path: Path) -> Contexts:
    """An empty one where there is no file. Raises Nowhere for a file that is none of krm's."""
    try:
        if not path.exists():
            return Contexts("", {})
        if not path.is_file() or path.stat().st_size > MAX_FILE:
            raise Nowhere(f"{path} is no configuration of krm: a regular file of at most {MAX_FILE} bytes is meant")
        found = json.loads(path.read_bytes())
        contexts = {str(name): _context(row) for name, row in found.get("contexts", {}).items()}
        return Contexts(str(found.get("current", "")), contexts)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Nowhere(
            f"{path} cannot be read as krm's configuration ({type(error).__name__}): mend or remove it"
        ) from None


def write(path: Path, contexts: Contexts) -> None:
    """With mode 0600, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = {
        name: {key: value for key, value in asdict(one).items() if value} for name, one in contexts.contexts.items()
    }
    text = json.dumps({"current": contexts.current, "contexts": rows}, indent=2, sort_keys=True) + "\n"
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _context(row: Any) -> Context:
    known = {one.name for one in fields(Context)}
    if not isinstance(row, dict) or not set(row) <= known or not all(isinstance(one, str) for one in row.values()):
        raise ValueError("no context")
    return Context(**{"url": "", **row})
