"""The networks of a target's sources, before and after fine-tuning: one is built, and filled with the weights of each."""

from pathlib import Path

import keras

from catscans_lib import paths, results
from catscans_lib.experiment import transfer
from catscans_lib.experiment.settings import Transfer
from catscans_lib.networks import weights


class SourceNetworks:
    """The backbone of every source of a target, one at a time.

    Whatever is asked for is one and the same network with other numbers in it, so use it before you ask for the next. That
    way it is built once, and memory does not grow with the number of sources.

    Parameters
    ----------
    sources : list of str
        Sources whose transfer to the target is done; "none" is the network with random weights.

    Raises
    ------
    InputError
        If the run of one of them is not done (names the command).
    """

    def __init__(self, profile: str, target: str, sources: list[str]) -> None:
        self.profile, self.target, self.sources = profile, target, sources
        made = [results.record(profile, f"transfer/{source}--{target}")["parameters"] for source in sources]
        self._settings = Transfer.model_validate(made[0])
        self.network = self.random(self._settings.seeds[-1])
        self._start = self.network.get_weights()  # what the saved network of source "none" was before

    def pretrained(self, source: str) -> keras.Model:
        """Return the backbone of a source before it saw the target."""
        if source == "none":
            self.network.set_weights(self._start)
            return self.network
        results.record(self.profile, f"pretrain/{source}")  # says so where it is not done
        return self._filled(paths.run_dir(self.profile, "pretrain", source) / "model.keras")

    def fine_tuned(self, source: str) -> keras.Model:
        """Return the backbone of a source after fine-tuning on all folds but the last one, with the last seed."""
        return self._filled(self.model_path(source))

    def random(self, seed: int) -> keras.Model:
        """Return a new network with random weights by a seed.

        Pretraining starts from random weights by its own seed. Where that is also the seed of the transfer, source "none" is
        the start of every other source, and resembles them for that alone; another seed has no such tie.
        """
        return transfer.source_backbone(self._settings, seed, None)

    def model_path(self, source: str) -> Path:
        """Return where the fine-tuned network of a source is saved, with its head."""
        return paths.run_dir(self.profile, "transfer", f"{source}--{self.target}") / "model.keras"

    @property
    def are_fine_tuned(self) -> bool:
        """Whether there is a fine-tuned network of every source; there is none where only linear probes were run."""
        return all(self.model_path(source).is_file() for source in self.sources)

    def _filled(self, path: Path) -> keras.Model:
        weights.fill_from_file(self.network, self._settings.backbone, path)
        return self.network
