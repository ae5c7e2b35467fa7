"""The sampler against statsmodels, on a study that is large enough for priors not to matter."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from catscans_lib.recommend import posterior

N_TARGETS, N_SOURCES = 20, 10


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(1)
    target, source = (codes.ravel() for codes in np.indices((N_TARGETS, N_SOURCES)))
    x = rng.normal(size=len(target))
    effects, slopes = 0.3 * rng.normal(size=N_SOURCES), 0.2 + 0.1 * rng.normal(size=N_TARGETS)
    y = rng.normal(size=N_TARGETS)[target] + effects[source] + slopes[target] * x + 0.15 * rng.normal(size=len(x))
    return posterior.Data(y, np.zeros(len(x)), x, target, source, np.zeros(len(x), int))


@pytest.fixture(scope="module")
def draws(study):
    return posterior.sample(study, 0)


@pytest.mark.filterwarnings("ignore:The MLE may be on the boundary")  # said of models without random intercepts
def test_slope_and_standard_deviations_are_those_of_statsmodels(study, draws):
    parts = {"source": "0 + C(source)", "slopes": "0 + C(target):x"}
    table = pd.DataFrame(study._asdict()).assign(all=1)
    fitted = MixedLM.from_formula("y ~ 0 + C(target) + x", table, groups="all", vc_formula=parts).fit()
    variances = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))
    assert draws.slope.mean() == pytest.approx(fitted.fe_params["x"], abs=0.02)
    assert draws.slope.std() == pytest.approx(fitted.bse_fe["x"], rel=0.25)
    assert np.median(draws.sds["noise"]) == pytest.approx(np.sqrt(fitted.scale), rel=0.1)
    assert np.median(draws.sds["slopes"]) == pytest.approx(np.sqrt(variances["slopes"]), rel=0.25)
    assert np.median(draws.sds["source"]) == pytest.approx(np.sqrt(variances["source"]), rel=0.25)


def test_the_sampling_error_is_taken_out_of_the_noise(study):
    error = 0.2
    noisy = study._replace(y=study.y + error * np.random.default_rng(2).normal(size=len(study.y)))
    without, known = posterior.sample(noisy, 0), posterior.sample(noisy._replace(se=np.full(len(study.y), error)), 0)
    assert np.median(without.sds["noise"]) == pytest.approx(np.hypot(0.15, error), rel=0.2)
    assert np.median(known.sds["noise"]) == pytest.approx(0.15, rel=0.4)


def test_targets_of_different_scale_are_told_apart(study):
    factor = np.where(study.target % 2, 0.3, 3.0)
    scaled = posterior.sample(study._replace(y=study.y * factor), 0)
    assert np.median(scaled.sds["scales"]) == pytest.approx(np.log(10) / 2, rel=0.25)
    assert np.median(posterior.sample(study, 0).sds["scales"]) < 0.35


def test_a_seed_gives_the_same_draws(study, draws):
    again, other = posterior.sample(study, 0), posterior.sample(study, 1)
    assert (again.slope == draws.slope).all() and (again.slope != other.slope).any()
