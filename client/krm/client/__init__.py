"""The thin client: `connect(url)` gives a `Client`; `KRMClient(host, port)` has the original's six calls."""

from krm.client.client import Client, connect
from krm.client.krmclient import KRMClient

__all__ = ["Client", "KRMClient", "connect"]
