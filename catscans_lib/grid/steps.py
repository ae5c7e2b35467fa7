"""The steps of the study, and the settings record of each: its fields are the parameters of the notebook."""

from catscans_lib.datasets.settings import Ingest, Overlaps
from catscans_lib.errors import Strict
from catscans_lib.evaluation.settings import Evaluate, Stability
from catscans_lib.evidence.settings import Published
from catscans_lib.experiment.settings import Pretrain, Transfer
from catscans_lib.inspection.settings import FeatureMaps
from catscans_lib.recommend.settings import Recommend
from catscans_lib.transferability.settings import Similarity, Transferability

STEPS: dict[str, type[Strict]] = {
    "ingest": Ingest,
    "overlaps": Overlaps,
    "pretrain": Pretrain,
    "transfer": Transfer,
    "evaluate": Evaluate,
    "stability": Stability,
    "feature_maps": FeatureMaps,
    "similarity": Similarity,
    "transferability": Transferability,
    "published": Published,
    "recommend": Recommend,
}
