"""OpenVINO in TensorFlow's place, for what only predicts on a CPU.

TensorFlow traces a network, and OpenVINO takes the trace in memory. Together that takes as long as
the tracing that Keras' own `predict` begins with, so that it pays for a single image already.
"""

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Else `import openvino` tells Google Analytics that it was imported, from a fork of this process.
sys.modules.setdefault("openvino_telemetry", None)

# A request's images together: what is between two layers of more of them no longer fits the
# processor's caches. B0 at 224 px took 9 ms of a core for an image of 32, and 6.8 for one of 2.
PIXELS_AT_ONCE = 150_000
# The default is half precision on processors that have it. And threads that are tied to cores
# would wait there for other processes.
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


def engine() -> str | None:
    """Name and version of what predicts in the place of Keras' backend; None: nothing does."""
    if find_spec("openvino") is None or tf.config.list_physical_devices("GPU"):
        return None
    return f"OpenVINO {version('openvino')}"


class CompiledNetwork:
    """A network with the weights that it has now; it does not see later ones.

    Args:
        row: the type of an image, e.g. `np.dtype((np.uint8, (224, 224, 3)))`.
        serves: whether it is also called for few images, which are to be ready soon.

    Raises:
        RuntimeError: OpenVINO cannot take one of the layers.
    """

    def __init__(self, model: keras.Model, row: np.dtype, serves: bool = False) -> None:
        import openvino

        threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS") or os.cpu_count() or 1)
        network, core = _converted(model, row), openvino.Core()

        def compiled(streams: int) -> Any:
            options = {**OPTIONS, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
            return core.compile_model(network, "CPU", options)

        # A thread a request: its last bits are the same on any number of cores, and no thread
        # waits for another.
        self._queue = openvino.AsyncInferQueue(compiled(threads), threads)
        self._found: dict[int, list[np.ndarray]] = {}
        # Not a method: the queue would keep this object, and its threads, as long as itself.
        self._queue.set_callback(partial(_keep, self._found))
        self._at_once = max(1, PIXELS_AT_ONCE // int(np.prod(row.shape[:2])))
        self._threads, self._all_threads = threads, compiled(1) if serves else None

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Each output for some images."""
        if self._all_threads and len(images) < self._threads:
            return list(self._all_threads(images).to_tuple())
        return self._in_order(self._start(images, 1, begun=0))

    def predict(
        self, batches: Iterable[np.ndarray], progress: Callable[[int], Any]
    ) -> list[np.ndarray]:
        """Each output for the images of all batches, of any size.

        Args:
            progress: told how many batches have begun.
        """
        begun = 0
        try:
            for number, batch in enumerate(batches, start=1):
                begun = self._start(batch, self._at_once, begun)
                progress(number)
        finally:  # where an image cannot be read, no result may come during the next call
            found = self._in_order(begun)
        return found

    def _start(self, images: np.ndarray, at_once: int, begun: int) -> int:
        """Begin requests for so many images each; how many have begun by then."""
        for begin in range(0, len(images), at_once):
            self._queue.start_async({0: images[begin : begin + at_once]}, begun)
            begun += 1
        return begun

    def _in_order(self, requests: int) -> list[np.ndarray]:
        self._queue.wait_all()
        parts = [self._found.pop(number) for number in range(requests)]
        return [np.concatenate(of_output) for of_output in zip(*parts, strict=True)]


def _keep(found: dict[int, list[np.ndarray]], request: Any, number: int) -> None:
    """Keep copies of a request's outputs: the next images are computed in the same memory."""
    found[number] = [output.data.copy() for output in request.output_tensors]


def compile_network(
    model: keras.Model, row: np.dtype, serves: bool = False
) -> CompiledNetwork | None:
    """As the class has it; None: Keras must predict, and where there is an engine, why."""
    if engine() is None:
        return None
    try:
        return CompiledNetwork(model, row, serves)
    except RuntimeError as error:
        lines = str(error).splitlines()
        reason = next((line for line in lines if "--" in line), lines[0])
        _say(f"{engine()} cannot take {model.name}, Keras predicts: {reason}")
        return None


_say = cache(print)


def _converted(model: keras.Model, row: np.dtype) -> Any:
    """The network in OpenVINO's own form, for batches of any size."""
    import openvino
    from openvino import frontend
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    # As constants: what is a variable, OpenVINO looks for among all others, time and again.
    weights = [(variable, variable.numpy()) for variable in model.variables]

    def outputs(images: tf.Tensor) -> Any:
        with keras.StatelessScope([(one, tf.constant(value)) for one, value in weights]):
            return model(images, training=False)

    signature = [tf.TensorSpec((None, *row.shape), row.base)]
    traced = tf.function(outputs, signature, autograph=False).get_concrete_function()
    reader = frontend.FrontEndManager().load_by_framework("tf")
    graph = GraphIteratorTFGraph(traced.graph, share_weights=False)  # must outlive the call
    try:
        converted = reader.convert(reader.load(graph))
    except (frontend.OpConversionFailure, frontend.GeneralFailure) as error:
        raise RuntimeError(str(error)) from error
    # Where a gradient would begin, there are outputs as well.
    by_name = {name: output for output in converted.outputs for name in output.get_names()}
    results = [by_name[tensor.name].get_node() for tensor in traced.outputs]
    return openvino.Model(results, converted.get_parameters())
