"""How the machine computes: number format, threads, and the same bits every time."""

import os
from pathlib import Path

import keras
from threadpoolctl import threadpool_limits

from catscans_lib.settings import Pretrain, Transfer


def start(settings: Pretrain | Transfer) -> str:
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
    """Have TensorFlow take operations that give the same bits every time, also on a GPU, where they may be slower."""
    if on and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def set_precision(name: str) -> str:
    """Set Keras's number format and return the one used; "auto" takes mixed bfloat16 where the hardware has it."""
    if name == "auto":
        name = "mixed_bfloat16" if has_gpu() or _has_bfloat16() else "float32"
    keras.config.set_dtype_policy(name)
    return name


def has_gpu() -> bool:
    """Return whether TensorFlow computes on a GPU; other backends count as without."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _has_bfloat16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags
