"""Pages as kubelets write them, by hand."""

from __future__ import annotations

from krm.collector.source import Target

NOW = 1_800_000_000.0
MILLIS = 1_799_999_995_250  # 4.75 s before
AT = MILLIS / 1000
NODE = Target("node worker-1", node="worker-1", url="https://127.0.0.1:10250")

RESOURCE = f"""\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{container="app",namespace="shop",pod="web-0"}} 12.345678901 {MILLIS}
container_cpu_usage_seconds_total{{container="proxy",namespace="shop",pod="web-0"}} 0.5 {MILLIS + 250}
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{{container="app",namespace="shop",pod="web-0"}} 1.34217728e+08 {MILLIS}
container_memory_working_set_bytes{{container="proxy",namespace="shop",pod="web-0"}} 4096 {MILLIS + 250}
# HELP container_start_time_seconds [STABLE] Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{{container="app",namespace="shop",pod="web-0"}} 1.79999999525e+09
container_start_time_seconds{{container="ended",namespace="shop",pod="job-1"}} 1.7999e+09
container_start_time_seconds{{container="proxy",namespace="shop",pod="web-0"}} 1.79999999e+09
# HELP container_swap_usage_bytes [ALPHA] Current amount of the container swap usage in bytes.
# TYPE container_swap_usage_bytes gauge
container_swap_usage_bytes{{container="app",namespace="shop",pod="web-0"}} 0 {MILLIS}
# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 1234.5 {MILLIS}
# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 2.147483648e+09 {MILLIS}
# HELP pod_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the pod in core-seconds
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{{namespace="shop",pod="web-0"}} 12.9 {MILLIS}
# HELP pod_memory_working_set_bytes [STABLE] Current working set of the pod in bytes
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{{namespace="shop",pod="web-0"}} 1.35e+08 {MILLIS}
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
"""
