"""Which folder goes with which copy on OSF, and how politely."""

from dataclasses import dataclass
from pathlib import Path

BASE_URL = "https://api.osf.io/v2"
N_JOBS = 4
RATE = 4.0  # requests a second; WaterButler counts those of an account and answers 429 above its bound


@dataclass(frozen=True)
class Place:
    """Which folder, and where on OSF its copy is.

    Attributes
    ----------
    root : Path
        Folder of results, such as results/demo.
    project : str
        ID of an OSF project or component.
    node : str
        The copy's folder in the project's storage.
    base_url : str
        Address of the API.
    n_jobs : int
        Files at a time.
    rate : float
        Requests a second, all files together.
    """

    root: Path
    project: str
    node: str
    base_url: str = BASE_URL
    n_jobs: int = N_JOBS
    rate: float = RATE
