"""Workers on a Ray cluster: the one module that imports Ray, and only where a command asks for it.

Ray carries orders, bytes and messages. It retries nothing, and what it pickles is what Podium made:
orders of plain values and bytes.
"""

import ipaddress
import os
import signal
import socket
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from podium.files.payload import CARRIED, carried, library, pack
from podium.system import backend
from podium.training.cluster.units import Event, Order, Resources

POLLED = 0.5  # seconds that a look at the cluster waits
NOT_IMPORTED = "failed to import on the worker"  # Ray's words
REACHED = 10.0  # seconds that the cluster's address has to answer in
MESSAGE = 60.0  # seconds that a worker waits for its message to arrive; then it goes on


class NoCluster(ValueError):
    """There is no Ray, no cluster, or one that does not fit this machine."""


class RayPool:
    """A `Pool` of the workers of a Ray cluster.

    Args:
        address: "auto" for the cluster of this machine, HOST:PORT, or ray://HOST:PORT.

    Raises:
        NoCluster: with what to do about it.
    """

    def __init__(self, address: str):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError as error:
            raise NoCluster("--ray needs Ray: pip install 'podium[ray]'") from error
        self._ray = ray
        with tempfile.TemporaryDirectory() as place:
            payload = Path(place) / "podium.zip"  # whose name on the nodes is a hash of its bytes
            payload.write_bytes(pack({**library(), **carried(CARRIED)}))
            self._connect(address, payload)
        warn_of_strangers(
            [address.removeprefix("ray://").rpartition(":")[0]]
            + [node["NodeManagerAddress"] for node in self._nodes()]
        )
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        options = {"num_cpus": 0, "scheduling_strategy": here}
        self._mailbox = ray.remote(_Mailbox).options(**options).remote()
        # A unit has a process of its own, and is never retried by Ray.
        self._unit = ray.remote(max_calls=1, max_retries=0)(_unit)
        self._running: dict[Any, tuple[str, int]] = {}

    def _connect(self, address: str, payload: Path) -> None:
        # Ray would set the threads of NumPy to the CPUs of a unit, and so change the last bits.
        threads = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1)
        kept = {"OMP_NUM_THREADS": threads, "KERAS_BACKEND": backend()}
        environment = {"working_dir": str(payload), "env_vars": kept}
        on_end = signal.getsignal(signal.SIGTERM)  # which Ray takes over
        try:
            _reach(address)
            self._ray.init(
                address=address,
                runtime_env=environment,
                namespace="podium",
                logging_level="ERROR",
                log_to_driver=False,  # its lines are told by the workers
            )
            signal.signal(signal.SIGTERM, on_end)
        except (OSError, RuntimeError, ValueError) as error:
            first = (str(error) or type(error).__name__).strip().splitlines()
            raise NoCluster(
                f"--ray {address}: {' '.join(first[:4])}. Start a cluster as docs/cluster.md says: "
                "ray start --head"
            ) from error

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    @property
    def has_gpus(self) -> bool:
        return self._ray.cluster_resources().get("GPU", 0) > 0

    @property
    def largest_node(self) -> int:
        """CPUs of the node that has the most."""
        return max(int(node["Resources"].get("CPU", 0)) for node in self._nodes()) or 1

    def slots(self, resources: Resources) -> int:
        asked = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory}
        found = sum(
            min(int(node["Resources"].get(kind, 0) // each) for kind, each in asked.items() if each)
            for node in self._nodes()
        )
        if not found:
            print(f"warning: no node has {resources} now: units wait for one that has", flush=True)
        return max(found, 1)

    def put(self, data: bytes) -> Any:
        return self._ray.put(data)

    def submit(self, unit: str, attempt: int, order: Order, resources: Resources) -> None:
        task = self._unit.options(
            name=unit,
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            memory=resources.memory or None,
            scheduling_strategy="SPREAD",
        )
        # As arguments of their own they are fetched before the task begins.
        put = {key: value for key, value in order.items() if isinstance(value, self._ray.ObjectRef)}
        told = {key: value for key, value in order.items() if key not in put}
        reference = task.remote(unit, attempt, told, self._mailbox, **put)
        self._running[reference] = (unit, attempt)

    def events(self) -> list[Event]:
        try:
            ended, _ = self._ray.wait(list(self._running), timeout=POLLED)
            told = [Event(*message) for message in self._ray.get(self._mailbox.take.remote())]
        except self._ray.exceptions.RayError as error:  # the node of the driver is gone
            name = type(error).__name__
            raise NoCluster(
                f"the connection to the cluster was lost ({name}): the same command goes on"
            ) from error
        return [*told, *map(self._ended, ended)]

    def _ended(self, reference: Any) -> Event:
        """The last event of an attempt: what it returned, or why it did not."""
        unit, attempt = self._running.pop(reference)
        lost = self._ray.exceptions
        try:
            kind, data = self._ray.get(reference)
        except lost.RayTaskError as error:
            # A fault of Podium, or a node on which the shipped code is not whole, or no more.
            kind = "lost" if NOT_IMPORTED in str(error.cause) else "failed"
            data = f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
        except (lost.RuntimeEnvSetupError, lost.TaskUnschedulableError) as error:
            kind, data = "failed", " ".join(str(error).split())[:300]
        except lost.RayError as error:  # a node, a worker or an object that is gone
            kind, data = "lost", type(error).__name__
        return Event(unit, attempt, kind, data)

    def cancel(self) -> None:
        for reference in self._running:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(reference, force=True)
        self._running.clear()


def warn_of_strangers(hosts: Iterable[str]) -> None:
    """Say so where anybody may reach the cluster, and no token is asked for."""
    for host in hosts if os.environ.get("RAY_AUTH_MODE") != "token" else ():
        with suppress(ValueError):  # a name
            if ipaddress.ip_address(host.strip("[]")).is_global:
                print(
                    f"warning: {host} is a public address, and Ray runs whatever reaches its "
                    "port: set RAY_AUTH_MODE=token, see docs/cluster.md",
                    flush=True,
                )
                return


class _Mailbox:
    """An actor on the driver's node that keeps messages until the driver takes them."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, int, str, Any]] = []

    def put(self, message: tuple[str, int, str, Any]) -> None:
        self.messages.append(message)

    def take(self) -> list[tuple[str, int, str, Any]]:
        taken, self.messages = self.messages, []
        return taken


def _unit(unit: str, attempt: int, order: Order, mailbox: Any, **put: bytes) -> tuple[str, Any]:
    """A task: an order done.

    Nothing here waits by `ray.get`: Ray would give the unit's CPUs to another one meanwhile.
    """
    import ray

    from podium.training.cluster.worker import work

    def send(kind: str, data: Any) -> None:
        with suppress(ray.exceptions.RayError, TimeoutError):  # which stops no training
            mailbox.put.remote((unit, attempt, kind, data)).future().result(MESSAGE)

    send("began", ray.util.get_node_ip_address())
    return work({**order, **put}, send)


def _reach(address: str) -> None:
    """Raises OSError where nothing listens: Ray would wait for it for many minutes."""
    if address == "auto":  # as Ray looks it up
        last = Path(tempfile.gettempdir(), "ray", "ray_current_cluster")
        address = os.environ.get("RAY_ADDRESS") or (last.read_text() if last.is_file() else "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), REACHED).close()
