"""The start of `podium export`: what can be seen to be wrong is said before TensorFlow starts."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from podium.runs.find_run import find_run
from podium.system import backend, start_backend

if TYPE_CHECKING:  # takes seconds
    from podium.serving.export.export import Export

NEEDS = {  # modules of `podium[export]`, by the format
    "keras": (),
    "saved_model": (),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "litert": ("ai_edge_litert",),
}


def start_export(run: str, to: str, folds: str | None, quantize: bool) -> "Export":
    """Export a run by its name or path; see `export`.

    Raises:
        ValueError: there is no such run or format, or a package is missing.
    """
    if to not in NEEDS:
        raise ValueError(f"--to {to}: expected one of {', '.join(NEEDS)}")
    if quantize and to != "litert":
        raise ValueError(f"--quantize goes with --to litert, came --to {to}")
    if missing := [name for name in NEEDS[to] if find_spec(name) is None]:
        raise ValueError(f"{', '.join(missing)} missing: pip install 'podium[export]'")
    folder = find_run(run)
    if "jax" in (backend(), folder.read_run().get("backend")):
        print("an export is made by TensorFlow, also of a run that was trained under JAX")
        if find_spec("tensorflow") is None:
            raise ValueError("TensorFlow is missing, which an export needs: pip install tensorflow")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    start_backend()
    from podium.serving.export.export import export

    return export(folder, to, folds, quantize)
