"""The backbones of a target's sources before and after fine-tuning."""

from collections import Counter
from pathlib import Path

import keras

from catscans_lib import paths, results
from catscans_lib.experiment import Transfer, transfer
from catscans_lib.networks import registry, weights


class SourceNetworks:
    """The backbone of each source of a target, one at a time; source "none" is the network with random weights.

    `alike` are the sources whose backbone is that of most sources: only these can be compared. All methods but `random` fill and
    return the same network, so use it before you ask for the next. InputError if the transfer of a source is not finished.
    """

    def __init__(self, profile: str, target: str, sources: list[str]) -> None:
        self.profile, self.target, self.sources = profile, target, sources
        found = {source: results.record(profile, f"transfer/{source}--{target}")["parameters"] for source in sources}
        names = {source: parameters["backbone"] for source, parameters in found.items()}
        self.backbone = Counter(names.values()).most_common(1)[0][0]
        self.alike = [source for source, name in names.items() if name == self.backbone]
        self._settings = Transfer.model_validate(found[self.alike[0]])
        self.network = self.random(self._settings.seeds[-1])
        self._start = self.network.get_weights()  # of source "none" before fine-tuning

    def left_out(self) -> str:
        """Return a sentence that names the sources with another backbone; "" without any."""
        others = [source for source in self.sources if source not in self.alike]
        why = f"their networks are not the {registry.find(self.backbone).title} of the others"
        return f"Left out of comparisons of layers and weights: {', '.join(others)}; {why}." if others else ""

    def pretrained(self, source: str) -> keras.Model:
        """Return the backbone of a source before fine-tuning."""
        if source == "none":
            self.network.set_weights(self._start)
            return self.network
        results.record(self.profile, f"pretrain/{source}")  # raises InputError if it is not finished
        path = paths.run_dir(self.profile, "pretrain", source) / "model.keras"
        weights.fill_from_file(self.network, self.backbone, path)
        return self.network

    def fine_tuned(self, source: str) -> keras.Model:
        """Return the backbone of a source after fine-tuning on all folds but the last, with the last seed."""
        weights.fill_from_file(self.network, self.backbone, self.model_path(source))
        return self.network

    def random(self, seed: int) -> keras.Model:
        """Return a new network with random weights; with pretraining's seed it would resemble its network."""
        return transfer.source_backbone(self._settings, seed, None)

    def model_path(self, source: str) -> Path:
        """Return the path of a source's fine-tuned network with its head."""
        return paths.run_dir(self.profile, "transfer", f"{source}--{self.target}") / "model.keras"

    @property
    def are_fine_tuned(self) -> bool:
        """Whether every source has a fine-tuned network; false if only linear probes ran."""
        return all(self.model_path(source).is_file() for source in self.sources)
