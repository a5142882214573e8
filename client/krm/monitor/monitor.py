"""`K8sResourceMonitor`: every question about a cluster as one call, answered with evidence and with its worth.

    with K8sResourceMonitor() as monitor:
        monitor.connect(kubeconfig="/path/to/kubeconfig", context="production")
        print(monitor.detect_limit_breaches(threshold_percent=90, time_window="5m"))

Answers are frozen dataclasses (krm.analysis.answer): `.rows`, `.findings`, `.worth`, `.to_dict()`,
`.to_dataframe()`. What reads a question's inputs is krm.monitor.gather; what answers it is a module of
krm.analysis, imported when it is first asked. Wrong arguments raise ValueError; a kind that may not be read, or is
not there, the errors of krm.client.errors.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any, Optional, Sequence

from krm.client.client import Client, connect
from krm.client.errors import BadRequest
from krm.monitor import arguments, hpa_arguments
from krm.monitor.gather import gather
from krm.monitor.started import Started, Wanted

if TYPE_CHECKING:
    from krm.analysis.billing.bill import Bill
    from krm.analysis.hpa.explain import Explanation
    from krm.analysis.hpa.figures import Figure
    from krm.analysis.hpa.predict import Predictions
    from krm.analysis.limits.breaches import Breaches
    from krm.analysis.limits.neighbours import Neighbours
    from krm.analysis.limits.waste import Waste
    from krm.analysis.namespace.rows import NamespaceResources
    from krm.analysis.nodes.evictions import Evictions
    from krm.analysis.nodes.pressure import NodePressure
    from krm.analysis.oom.cases import OomEvents
    from krm.analysis.quota.rows import Quotas
    from krm.analysis.report.rows import NamespaceReport
    from krm.analysis.scheduling.drain import Drain
    from krm.analysis.scheduling.fragmentation import Fragmentation
    from krm.analysis.scheduling.pending import PendingPods
    from krm.analysis.sizing.recommendations import Recommendations
    from krm.monitor.seen import Overheads, Processes

TIMEOUT = 120.0  # seconds for a krm that connect() starts to verify every kind


class K8sResourceMonitor:
    """Not for several threads."""

    def __init__(self, client: Optional[Client] = None) -> None:
        """client: one that is open already, which `close` leaves open; None = `connect` opens one."""
        self._client, self._own = client, client is None
        self._started: Optional[Started] = None

    def __enter__(self) -> K8sResourceMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what `connect` opened or started. May be called again."""
        if self._own and self._client is not None:
            self._client.close()
            self._client = None
        if self._started is not None:
            self._started.close()
            self._started = None

    def connect(
        self,
        kubeconfig: Optional[str] = None,
        context: Optional[str] = None,
        url: Optional[str] = None,
        *,
        token: str = "",
        ca: str = "",
        cluster: Optional[str] = None,
        history_token_file: str = "",
        kinds: Sequence[str] = (),
        namespaces: Sequence[str] = (),
        history: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        """Joins a krm that runs (url), or runs one in the background until `close`, and waits until it is verified.

        url: redis://, rediss:// or unix:// of its Redis, with history_token_file, or https:// of its server, with
        token and ca; cluster, where it keeps several. Else the cluster is the kubeconfig's context's; without both
        the service account's of this pod, $KUBECONFIG's, ~/.kube/config's, whichever is there first. kinds: what to
        keep instead of the default; namespaces: these alone, without measurements; history: a file that keeps them
        from one time to the next. timeout: seconds.

        Raises BadRequest, NotStarted (krm.monitor.started), Unreachable, Refused, UnknownCluster.
        """
        if self._client is not None:
            raise BadRequest("connected already: call close() first")
        joining = {"token": token, "ca": ca, "history_token_file": history_token_file}
        starting = {"kubeconfig": kubeconfig, "context": context, "history": history}
        starting.update({"kinds": ",".join(kinds), "namespaces": ",".join(namespaces)})
        if url:
            arguments.none_of(starting, "is for a krm that connect() starts, and url names one that runs")
            self._client = connect(url, cluster, "krm-monitor", **joining)
            return
        arguments.none_of(joining, "goes with url=, which names a krm that runs")
        deadline = time.monotonic() + timeout
        self._started = Started(Wanted(kubeconfig, context, cluster, tuple(kinds), tuple(namespaces), history))
        try:
            self._client = self._started.client(deadline)
        except BaseException:
            self.close()
            raise

    @property
    def client(self) -> Client:
        """Raises BadRequest before `connect`."""
        if self._client is None:
            raise BadRequest("not connected: call connect() first")
        return self._client

    def get_namespace_resources(
        self, namespace: str, include_pods: bool = True, include_quota: bool = True
    ) -> NamespaceResources:
        """Its pods with what is in force and used, its sums and efficiency; its quotas and LimitRanges."""
        resources: NamespaceResources = self._answer(
            "namespace.resources",
            namespace=arguments.named(namespace, "namespace"),
            pods=include_pods,
            quota=include_quota,
        )
        return resources

    def get_processes(
        self, namespace: Optional[str] = None, pod: str = "", node: str = "", host: bool = False
    ) -> Processes:
        """What runs in pods, process by process, as node agents see it; host: what runs beside them, instead."""
        from krm.monitor import seen

        return seen.processes(self.client, namespace, pod, node, host)

    def get_runtime_overhead(self, node: str = "") -> Overheads:
        """What kubelets, container runtimes and pods use beside their containers, a row a node. node: '' = each."""
        from krm.monitor import seen

        return seen.overhead(self.client, node)

    def detect_limit_breaches(
        self, threshold_percent: float = 90, time_window: str = "5m", namespace: Optional[str] = None
    ) -> Breaches:
        """Containers that came near their limits within the window, or above their requests."""
        breaches: Breaches = self._answer(
            "limits.breaches",
            namespace=namespace,
            threshold=arguments.percent(threshold_percent, "threshold_percent") / 100,
            window=arguments.window(time_window),
        )
        return breaches

    def analyze_node_pressure(
        self, include_scheduling_hints: bool = True, predict_evictions: bool = True, time_window: str = "1h"
    ) -> NodePressure:
        """What nodes have, what is requested and used of it, how full they are, where pods should go, and what is
        evicted next. time_window: of the past that trends are made of."""
        pressure: NodePressure = self._answer(
            "nodes.pressure",
            hints=arguments.truth(include_scheduling_hints, "include_scheduling_hints"),
            predict=arguments.truth(predict_evictions, "predict_evictions"),
            window=arguments.window(time_window),
        )
        return pressure

    def predict_evictions(self, node: Optional[str] = None, time_window: str = "1h") -> Evictions:
        """Each eviction threshold of each node, when it is reached, and whom the kubelet evicts first."""
        evictions: Evictions = self._answer("nodes.evictions", node=node, window=arguments.window(time_window))
        return evictions

    def get_efficiency(self, namespace: Optional[str] = None, by: str = "workload", time_window: str = "") -> Waste:
        """What is used of what is requested, and what is wasted. by: container, pod, workload, namespace, node,
        cluster. time_window: the mean of so long; '' = now."""
        from krm.analysis.limits.efficiency import LEVELS

        waste: Waste = self._answer(
            "limits.waste",
            namespace=namespace,
            by=arguments.one_of(by, LEVELS, "by"),
            window=arguments.window(time_window) if time_window else 0.0,
        )
        return waste

    def find_noisy_neighbours(
        self, namespace: Optional[str] = None, node: str = "", time_window: str = "15m"
    ) -> Neighbours:
        """Who took CPU or memory from whom on which node. namespace: the victims'. node: '' = all."""
        found: Neighbours = self._answer(
            "limits.neighbours", namespace=namespace, node=node, window=arguments.window(time_window)
        )
        return found

    def bill(
        self,
        month: str,
        prices: str,
        by: str = "namespace",
        charge: str = "max",
        idle: str = "apart",
        timezone: str = "UTC",
        cost_centre: str = "",
    ) -> Bill:
        """What a month (YYYY-MM) cost, and whom. prices: path of a file (docs/billing.md). by: namespace, pod,
        label:KEY. charge: max (of request and usage), request, usage. idle: apart, or shared by who was there."""
        from krm.monitor import billing

        options = billing.options_of(by, charge, idle, cost_centre)
        return billing.make(self.client, month, timezone, billing.read_file(prices), options).bill

    def get_quota_usage(
        self, namespace: Optional[str] = None, time_window: str = "24h", thresholds: Sequence[float] = (80, 95)
    ) -> Quotas:
        """Used against hard of every ResourceQuota, when it is used up, what of it nobody needs. Percents."""
        quotas: Quotas = self._answer(
            "quota.usage",
            namespace=namespace,
            window=arguments.window(time_window),
            thresholds=arguments.thresholds(thresholds),
        )
        return quotas

    def get_namespace_report(self, namespace: str, time_window: str = "24h") -> NamespaceReport:
        """A namespace on one page; a day at most. As text with str(), else with krm.analysis.report."""
        report: NamespaceReport = self._answer(
            "report.namespace", namespace=arguments.namespace(namespace), window=arguments.day(time_window)
        )
        return report

    def get_oom_events(self, namespace: Optional[str] = None, pod: str = "", node: str = "") -> OomEvents:
        """The case file of each OOM kill of the last day, also of pods that are gone. '' = all."""
        events: OomEvents = self._answer("oom.cases", namespace=namespace, pod=pod, node=node)
        return events

    def explain_pending(self, namespace: Optional[str] = None, pod: str = "") -> PendingPods:
        """Why pods wait for a node, on each node, and the smallest change that would place them. pod: '' = all."""
        found: PendingPods = self._answer("scheduling.pending", namespace=namespace, pod=pod)
        return found

    def analyze_fragmentation(self, shapes: Sequence[str] = (), by: str = "node") -> Fragmentation:
        """What of the free resources no typical pod can use, how many more of each fit. shapes: sizes instead of
        the cluster's own, `cpu=2,memory=4Gi`; by: what the table's rows are, node or shape."""
        found: Fragmentation = self._answer(
            "scheduling.fragmentation",
            shapes=arguments.shapes(shapes),
            by=arguments.one_of(by, ("node", "shape"), "by"),
        )
        return found

    def check_drain(self, node: str) -> Drain:
        """Where the pods of a node would go if it were drained, and what stands in the way. Raises BadRequest where
        the node is not there."""
        from krm.analysis.inputs import NotKnown

        try:
            drain: Drain = self._answer("scheduling.drain", node=arguments.named(node, "node"))
        except NotKnown as error:
            raise BadRequest(str(error)) from None
        return drain

    def generate_hpa_metrics(
        self,
        deployment: str,
        metric_type: str = "requests_per_second",
        aggregation: str = "p95",
        namespace: Optional[str] = None,
        time_window: str = "5m",
    ) -> Figure:
        """The figure that an HPA of this deployment would scale on: of a pod, and of all its pods together.

        metric_type: requests_per_second, response_time, queue_depth, cpu, memory, or any series that pods have.
        aggregation: avg, p50, p90, p95, p99, max, sum.
        """
        figure: Figure = self._answer(
            "hpa.figures",
            namespace=namespace,
            deployment=hpa_arguments.name(deployment, "deployment"),
            metric_type=hpa_arguments.metric_type(metric_type),
            aggregation=hpa_arguments.aggregation(aggregation, metric_type),
            window=arguments.window(time_window),
        )
        return figure

    def explain_hpa(self, namespace: Optional[str] = None, hpa: str = "") -> Explanation:
        """Why each HPA (or the one of this name) did, or did not, scale: its controller's turn, step by step."""
        explanation: Explanation = self._answer("hpa.explain", namespace=namespace, hpa=hpa)
        return explanation

    def predict_scaling(self, namespace: Optional[str] = None, hpa: str = "", horizon: str = "1h") -> Predictions:
        """When each HPA scales next, and to how many, with a 90 % interval; or that there is no basis."""
        predictions: Predictions = self._answer(
            "hpa.predict",
            namespace=namespace,
            hpa=hpa,
            horizon=arguments.window(horizon, "horizon"),
            points=hpa_arguments.points_of(self.client, namespace, hpa),
        )
        return predictions

    def get_resource_recommendations(
        self,
        namespace: Optional[str] = None,
        optimization_target: str = "balanced",
        strategy: str = "krm",
        selector: str = "",
    ) -> Recommendations:
        """Requests and limits of each workload, tested on the past and proven to fit. Never applied.

        optimization_target: balanced, performance, cost. strategy: krm, vpa, krr, krr-limit. selector: of labels.
        """
        from krm.monitor import sizing

        return sizing.recommend(self.client, namespace, optimization_target, strategy, selector)

    def _answer(self, module: str, **asked: Any) -> Any:
        question = importlib.import_module(f"krm.analysis.{module}")
        wanted = question.Asked(**asked)
        return question.answer(gather(self.client, question.needs(wanted)), wanted)
