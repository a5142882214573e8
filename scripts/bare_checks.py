"""What scripts/bare.py runs in the smallest environment. Arguments: packages that must not be there."""

import importlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

FAILED = []
HERE = Path.cwd()


def check(what, good, found=""):
    """One line a check."""
    print("%s %s" % ("ok  " if good else "FAIL", what + ("" if good else ": %s" % (found,))), flush=True)
    if not good:
        FAILED.append(what)


def krm(*arguments, **more):
    """`krm ARGUMENTS`, ended."""
    command = [sys.executable, "-m", "krm.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **more)


def refused(what, extra, *arguments):
    """It ends with one sentence that names the extra."""
    done = krm(*arguments)
    lines = done.stderr.strip().splitlines()
    good = done.returncode != 0 and len(lines) <= 2 and extra in done.stderr and "Traceback" not in done.stderr
    check(what, good, (done.returncode, lines[-5:]))


def simulated():
    """A process that is a cluster, and its kubeconfig."""
    kubeconfig = HERE / "kubeconfig"
    arguments = ["--port", "0", "--nodes", "3", "--pods", "30", "--churn", "2", "--kubeconfig-out", str(kubeconfig)]
    process = subprocess.Popen([sys.executable, "-m", "krm.simulator", *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not kubeconfig.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    return process, str(kubeconfig)


def calls(kubeconfig):
    """The six calls; the stages and the collector run behind them."""
    from krm.monitor import K8sResourceMonitor

    with K8sResourceMonitor() as monitor:
        monitor.connect(kubeconfig=kubeconfig)
        pods = monitor.client.snapshot("pods").items()
        deployment = monitor.client.snapshot("deployments.apps").items()[0]
        check("connect: every kind is verified", all(one.verified for one in monitor.client.status()))
        check("a snapshot", len(pods) >= 25, len(pods))
        asked = [
            (
                "get_namespace_resources",
                {"namespace": pods[0].namespace, "include_pods": True, "include_quota": True},
            ),
            ("detect_limit_breaches", {"threshold_percent": 90, "time_window": "5m"}),
            ("analyze_node_pressure", {"include_scheduling_hints": True, "predict_evictions": True}),
            (
                "generate_hpa_metrics",
                {"deployment": deployment.name, "metric_type": "requests_per_second", "aggregation": "p95"},
            ),
            ("get_resource_recommendations", {"namespace": pods[0].namespace, "optimization_target": "balanced"}),
        ]
        answers = {}
        for name, arguments in asked:
            try:
                answers[name] = getattr(monitor, name)(**arguments)
                check(name, bool(str(answers[name])) and bool(answers[name].to_dict()))
            except Exception as error:  # noqa: BLE001 - each is told, none hides the others
                check(name, False, repr(error))
        try:
            answers["get_namespace_resources"].to_dataframe()
            check("to_dataframe without pandas", False, "it gave something")
        except ImportError as error:
            check("to_dataframe without pandas", "pip install pandas" in str(error), error)


def agent():
    """It serves, and ends when it is told to."""
    done = krm("agent", "--once", "-o", "json")
    check("krm agent --once", done.returncode == 0 and done.stdout.startswith("{"), done.stderr[-300:])
    process = subprocess.Popen(
        [sys.executable, "-m", "krm.agent", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        process.wait(2)
        check("krm agent serves", False, process.stderr.read()[-300:])
    except subprocess.TimeoutExpired:
        process.terminate()
        check("krm agent serves", process.wait(10) == 0, process.returncode)


def main():
    for name in sys.argv[1:]:
        check("%s is not installed" % name, importlib.util.find_spec(name) is None)
    for name in ("monitor", "client", "cli.main", "analysis.answer"):
        importlib.import_module("krm." + name)
    for stage in ("streamer", "verifier", "aggregator", "collector", "agent"):
        done = krm(stage, "--help")
        check("krm %s --help" % stage, done.returncode == 0, done.stderr[-300:])
    process, kubeconfig = simulated()
    try:
        calls(kubeconfig)
    finally:
        process.terminate()
        process.wait(10)
    agent()
    refused("krm server names its extra", "krm[server]", "server", "--redis", "unix:///nowhere", "--cluster", "c")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
