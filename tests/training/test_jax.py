"""On Keras's JAX backend, the training tests pass and results agree with TensorFlow's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent
# where backends differ
KINDS = "fine_tuning or augmentation or resumes or same_seed or every_optimiser or frozen or non_finite or classifies"
TRAIN = """
import json, sys
import keras, numpy as np
sys.path.insert(0, sys.argv[1])
from test_loop import SETTINGS, dark_and_bright
from pathlib import Path
from catscans_lib.networks import build
from catscans_lib.training import loop
from catscans_lib.training.checkpoints import Checkpoint

images, labels = dark_and_bright()
model = build.build(build.backbone("small_resnet", 16), 2, 0.0)
rng = np.random.default_rng(0)
model.set_weights([0.1 * rng.standard_normal(w.shape) + (w.std() == 0) * w.mean() for w in model.get_weights()])
loop.compiled(model, SETTINGS.model_copy(update={"optimiser": "sgd"}))
state = Checkpoint.of(Path(sys.argv[2]), "recipe").state("part")
history = loop.fit(
    model, images, labels, np.arange(24), np.arange(24, 32), SETTINGS, n_classes=2, seed=0, state=state
)
outputs = loop.predict(model, images, np.arange(32))
print(json.dumps({"backend": keras.backend.backend(), "history": list(history["value"]), "outputs": outputs.ravel().tolist()}))
"""


def trained(backend, folder):
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(TESTS), str(folder / backend)], capture_output=True, text=True, check=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_jax_agrees_with_tensorflow_within_a_thousandth(tmp_path):
    tensorflow, jax = (trained(backend, tmp_path) for backend in ("tensorflow", "jax"))
    assert (tensorflow["backend"], jax["backend"]) == ("tensorflow", "jax")
    assert jax["history"] == pytest.approx(tensorflow["history"], rel=1e-3)
    assert jax["outputs"] == pytest.approx(tensorflow["outputs"], abs=1e-3)


def test_the_training_tests_that_depend_on_the_backend_pass_on_jax():
    names = (
        "training/test_loop",
        "training/test_fine_tuning",
        "training/test_augmentation",
        "experiment/test_transfer",
    )
    files = [str(TESTS.parent / f"{name}.py") for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *files, "-k", KINDS], capture_output=True, text=True, check=False,
        cwd=TESTS.parent, env={**os.environ, "KERAS_BACKEND": "jax"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
