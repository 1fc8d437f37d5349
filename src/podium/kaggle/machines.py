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
    def kind(self) -> str:
        """Whose weekly hours it takes: "GPU" or "TPU", or "CPU", which has no quota."""
        if self.shape is None:
            return "CPU"
        return "GPU" if self.shape.startswith("Nvidia") else "TPU"

    @property
    def minutes(self) -> float:
        """Minutes to train in, which leave half of Kaggle's last hour for what comes after."""
        return 60 * self.hours - 18


# An EfficientNet moves memory more than it multiplies: an H200 reached 13e12 (PyTorch) to 33e12
# (JAX) on B6, where compiling took 190 s. A T4's memory is 15 times slower, a v5e core's 6 times,
# and the other devices are taken to be as fast as their memory is. Two cores of an EPYC reached
# 30e9 on B4.
_T4 = {"sessions": 2, "hours": 11.8, "speed": 1.2e12, "start": 150.0, "memory": 14.7}
_V5E = {"sessions": 1, "hours": 8.8, "speed": 3e12, "start": 240.0, "memory": 15.7}
_V5E |= {"backend": "jax", "lacks": ("typer", "shellingham", "annotated-doc")}
_L4 = _T4 | {"speed": 1.1e12, "memory": 22.0}
_FEW = "of some competitions"  # to whose participants only Kaggle gives these machines

# By the names that --on takes. What is known of them, and what is guessed: docs/kaggle.md.
MACHINES = {
    "cpu": Machine("CPU", None, 1, 5, 11.8, speed=60e9, start=60.0, value_bytes=4),
    "gpu": Machine("T4 ×2", "NvidiaTeslaT4", 2, **_T4),
    "tpu": Machine("TPU v5e-8", "TpuV5E8", 8, **_V5E),
    "l4": Machine(f"L4 ×4 {_FEW}", "NvidiaL4", 4, **_L4),
    "l4x1": Machine(f"L4 {_FEW}", "NvidiaL4X1", 1, **_L4),
    "a100": Machine(
        f"A100 {_FEW}", "NvidiaTeslaA100", 1, **_T4 | {"speed": 5.8e12, "memory": 38.0}
    ),
    "h100": Machine(f"H100 {_FEW}", "NvidiaH100", 1, **_T4 | {"speed": 12.5e12, "memory": 78.0}),
    "rtx-pro-6000": Machine(
        f"RTX PRO 6000 {_FEW}", "NvidiaRtxPro6000", 1, **_T4 | {"speed": 6e12, "memory": 94.0}
    ),
    "v6e-8": Machine(f"TPU v6e-8 {_FEW}", "TpuV6E8", 8, **_V5E | {"speed": 6e12, "memory": 31.0}),
}
MACHINES |= {"t4": MACHINES["gpu"], "v5e-8": MACHINES["tpu"]}
SHAPES = {machine.shape: machine for machine in MACHINES.values()}

# What Kaggle replaces by another machine without a word, or keeps for itself; and what to write.
RETIRED = {
    "NvidiaTeslaP100": "NvidiaTeslaT4",
    "NvidiaTeslaT4Highmem": "NvidiaTeslaT4",
    "Tpu1VmV38": "TpuV5E8",
    "TpuV38": "TpuV5E8",
    "TpuV232": "TpuV5E8",
    "TpuV2256": "TpuV5E8",
}
