"""How the machine computes: number format, threads, and the same bits every time."""

import os
from pathlib import Path

import keras
from threadpoolctl import threadpool_limits

from catscans_lib.training.settings import Training

SAME_BITS = "--xla_gpu_deterministic_ops=true"  # read when JAX first looks for its devices


def start(settings: Training) -> str:
    """Set threads, determinism and number format as the settings say; return the number format that is used.

    Call it before anything is computed.
    """
    set_threads(settings.threads)
    set_deterministic(settings.deterministic)
    return set_precision(settings.precision)


def set_threads(n_threads: int | None = None) -> None:
    """Keep to so many threads, else to those the sweep gave this run (`OMP_NUM_THREADS`), else take all there are.

    Sums over images are cut into as many parts as there are threads, so the last digits of a result depend on them.
    """
    given = n_threads or os.environ.get("OMP_NUM_THREADS")
    if not given:
        return
    threadpool_limits(int(given))  # linear algebra, such as that of the linear probe
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(given))
        tf.config.threading.set_inter_op_parallelism_threads(int(given))


def set_deterministic(on: bool) -> None:
    """Have TensorFlow or JAX take operations that give the same bits every time, also on a GPU, where they may be slower."""
    if on and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if on and keras.backend.backend() == "jax" and SAME_BITS not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {SAME_BITS}".strip()


def set_precision(name: str) -> str:
    """Set Keras's number format and return the one used; "auto" takes the one that the hardware is made for."""
    if name == "auto":
        name = _of_gpu(gpu_capability()) if has_gpu() else _of_processor()
    keras.config.set_dtype_policy(name)
    return name


def _of_gpu(capability: tuple[int, int] | None) -> str:
    """NVIDIA's matrix units know bfloat16 from compute capability 8.0 on, float16 from 7.0; others get what all have."""
    if capability is None or capability < (7, 0):
        return "float32"
    return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"


def _of_processor() -> str:
    return "mixed_bfloat16" if _has_bfloat16() else "float32"


def gpu_capability() -> tuple[int, int] | None:
    """Return the compute capability of the first GPU, such as (8, 0); None where it is not NVIDIA's."""
    if keras.backend.backend() == "jax":
        import jax

        major, _, minor = str(getattr(jax.devices()[0], "compute_capability", "")).partition(".")
        return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return details.get("compute_capability")


def has_gpu() -> bool:
    """Return whether TensorFlow or JAX computes on a GPU; other backends count as without."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _has_bfloat16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags
