"""The machines that Kaggle runs kernels on, and what training reaches on them, estimated."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A machine of equal devices, which share each batch."""

    name: str
    shape: str | None  # its machine_shape
    devices: int
    sessions: int  # kernels on such machines that an account may usually run at once
    hours: float  # after which a kernel ends itself: Kaggle does so 0.2 hours later
    speed: float  # operations a second, of each device
    start: float  # seconds until a stage's first step is done
    value_bytes: int = 2  # of each value that is kept
    memory: float | None = None  # GB of each device; None: the system's
    backend: str = "tensorflow"  # of Keras
    lacks: tuple[str, ...] = ()  # packages that its image lacks, beside those that all lack

    @property
    def minutes(self) -> float:
        """Minutes to train in, which leave half of Kaggle's last hour for what comes after."""
        return 60 * self.hours - 18


# An EfficientNet moves memory more than it multiplies: an H200 reached 13e12 (PyTorch) to 33e12
# (JAX) on B6, where compiling took 190 s. A T4's memory is 15 times slower, a v5e core's 6 times.
# Two cores of an EPYC reached 30e9 on B4.
MACHINES = {
    "cpu": Machine("CPU", None, 1, 5, 11.8, speed=60e9, start=60.0, value_bytes=4),
    "gpu": Machine("T4 ×2", "NvidiaTeslaT4", 2, 2, 11.8, speed=1.2e12, start=150.0, memory=14.7),
    "tpu": Machine(
        *("TPU v5e-8", "TpuV5E8", 8, 1, 8.8),
        speed=3e12,
        start=240.0,
        memory=15.7,
        backend="jax",
        lacks=("typer", "shellingham", "annotated-doc"),
    ),
}
