"""Number format, threads and determinism of TensorFlow and JAX."""

import os
from pathlib import Path

import keras
from threadpoolctl import threadpool_limits

from catscans_lib.errors import InputError
from catscans_lib.training import Training, keras_settings

DEPTHWISE = ("efficientnet", "mobilenet", "nasnet")  # families that CPUs train 1.2 to 2.6 times faster in float32
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # XLA reads it when JAX first lists its devices


def start(settings: Training, backbone: str) -> str:
    """Set threads, determinism and number format before anything is computed; return the number format."""
    set_threads(settings.threads)
    set_deterministic(settings.deterministic)
    return set_precision(settings.precision, backbone)


def check() -> None:
    """Raise InputError if Keras does not have the project's settings, because it was imported before `catscans_lib`."""
    wanted, config = keras_settings(), keras.config
    found = (keras.backend.backend(), config.image_data_format(), config.floatx())
    if found != tuple(wanted.values()):
        raise InputError(
            f"Keras was imported with the settings {', '.join(found)}; needed are {', '.join(wanted.values())}. Restart the "
            "kernel, and import catscans_lib before keras."
        )


def set_threads(n_threads: int | None = None) -> None:
    """Use so many threads, else those of the sweep (`OMP_NUM_THREADS`), else all; the last digits of results depend on it."""
    check()
    given = n_threads or os.environ.get("OMP_NUM_THREADS")
    if not given:
        return
    threadpool_limits(int(given))  # linear algebra, for example of the linear probe
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(int(given))
        tf.config.threading.set_inter_op_parallelism_threads(int(given))


def set_deterministic(on: bool) -> None:
    """Make TensorFlow or JAX use deterministic operations, which may be slower on a GPU."""
    if on and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if on and keras.backend.backend() == "jax" and DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()


def set_precision(name: str, backbone: str = "") -> str:
    """Set Keras's number format and return it; "auto" chooses the fastest that the hardware supports for this network."""
    if name == "auto" and has_gpu():
        capability = gpu_capability() or (0, 0)  # NVIDIA's matrix units: bfloat16 from 8.0, float16 from 7.0
        name = "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16" if capability >= (7, 0) else "float32"
    elif name == "auto":
        cpuinfo = Path("/proc/cpuinfo")
        is_faster = cpuinfo.is_file() and _has_fast_bfloat16(cpuinfo.read_text()) and not backbone.startswith(DEPTHWISE)
        name = "mixed_bfloat16" if is_faster else "float32"
    keras.config.set_dtype_policy(name)
    return name


def gpu_capability() -> tuple[int, int] | None:
    """Return the compute capability of the first GPU, for example (8, 0); None for other makers."""
    if keras.backend.backend() == "jax":
        import jax

        major, _, minor = str(getattr(jax.devices()[0], "compute_capability", "")).partition(".")
        return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return details.get("compute_capability")


def has_gpu() -> bool:
    """Return whether TensorFlow or JAX computes on a GPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _has_fast_bfloat16(cpuinfo: str) -> bool:
    """Say whether a processor multiplies bfloat16 faster than float32.

    Intel's from Sapphire Rapids on do so only with AMX, which virtual machines may hide; avx512_fp16 tells them from older ones.
    """
    slow_avx512 = "GenuineIntel" in cpuinfo and "avx512_fp16" in cpuinfo
    return "amx_bf16" in cpuinfo or ("avx512_bf16" in cpuinfo and not slow_avx512)
