"""`K8sResourceMonitor`: every question about a cluster as one call. See krm.monitor.monitor."""

from krm.monitor.monitor import K8sResourceMonitor

__all__ = ["K8sResourceMonitor"]
