"""The axes that a profile adds to its grid: fewer training images, further seeds of pretraining, further networks."""

from collections.abc import Iterator

from catscans_lib import datasets
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid.schema import Profile
from catscans_lib.networks import registry

SIZES = ("n_images", "n_per_class")  # of the row of a target: lists of numbers of training images


def trained_sources(profile: Profile) -> list[str]:
    """Return the sources that do not come as weights."""
    return [key for key, row in profile.pretrain.sources.items() if not (row or {}).get("weights")]


def seeds_of(profile: Profile, source: str) -> list[int]:
    """Return the seeds of a source's networks, the base run's first; published weights have one network."""
    row, chosen = profile.pretrain.sources[source] or {}, profile.transfer.axes_sources
    takes_part = "seeds" in row or chosen is None or source in chosen
    seeds = row.get("seeds", profile.pretrain.seeds)
    return list(dict.fromkeys(seeds)) if takes_part and not row.get("weights") else seeds[:1]


def backbone_sources(profile: Profile, backbone: str) -> list[str]:
    """Return the sources of a further network: those stated, else all that can be trained or have weights for it."""
    more, trained = profile.backbones[backbone], trained_sources(profile)
    return [key for key in more.sources or profile.pretrain.sources if key in trained or key in more.weights]


def n_images(profile: Profile, target: str) -> int:
    """Return the number of images of a target that are used, as far as known before reading them; 0: unknown."""
    row, n = profile.transfer.targets.get(target) or {}, n_stored(profile, target)
    return min(n, row.get("max_images") or n)


def n_stored(profile: Profile, dataset: str) -> int:
    """Return the number of images that are ingested: a source is trained on all of them, a target uses `max_images`."""
    return profile.datasets[dataset].n_images or datasets.get(dataset).n_images or 0


def check(profile: Profile, where: str) -> None:
    """Raise InputError if an axis names what the profile does not have, or a size that its target cannot have."""
    sources, targets = profile.pretrain.sources, profile.transfer.targets
    named = [("transfer.axes_sources", "source", profile.transfer.axes_sources, sources)]
    named += [("transfer.seed_targets", "target", profile.transfer.seed_targets, targets)]
    for name, more in profile.backbones.items():
        place = f"backbones.{name}"
        named += [("backbones", "backbone", [name], registry.NETWORKS)]
        named += [(f"{place}.{key}", "source", getattr(more, key), sources) for key in ("sources", "weights")]
        named += [(f"{place}.targets", "target", more.targets, targets)]
    for place, kind, got, known in named:
        if wrong := [one for one in got or () if one not in known]:
            raise InputError(f"{where}: {place}: {unknown(kind, wrong[0], known)}")
    for fault in (*_wrong_seeds(profile), *_wrong_networks(profile), *_wrong_sizes(profile)):
        raise InputError(f"{where}: {fault}")


def _wrong_seeds(profile: Profile) -> Iterator[str]:
    rows = {f"pretrain.sources.{name}": row or {} for name, row in profile.pretrain.sources.items()}
    for place, row in {**rows, "pretrain.defaults": profile.pretrain.defaults}.items():
        if "seed" in row:
            yield f"{place}.seed: a source has a network per seed. Write pretrain.seeds, or {place}.seeds: [{row['seed']}]."
        seeds = row.get("seeds", [0])
        if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
            yield f"{place}.seeds: got {seeds!r}; a list of whole numbers is needed, such as [0, 1]."
        elif row.get("weights") and len(seeds) > 1:
            yield f"{place}.seeds: got {seeds}; published weights are one network. Leave seeds out."


def _wrong_networks(profile: Profile) -> Iterator[str]:
    for name, more in profile.backbones.items():
        if name == profile.backbone:
            yield f"backbones: '{name}' is already the network of the base runs. Name another one."
        if lacking := set(more.sources or ()) - set(backbone_sources(profile, name)):
            need = f"backbones.{name}.weights.{sorted(lacking)[0]}"
            yield f"backbones.{name}.sources: a source that comes as weights needs some for this network. Add {need}."


def _wrong_sizes(profile: Profile) -> Iterator[str]:
    k = profile.folds.n_folds
    for target, row in profile.transfer.targets.items():
        most = (row or {}).get("max_images") or profile.datasets[target].n_images or k
        if type(most) is not int or most < k:
            yield f"transfer.targets.{target}.max_images: got {most!r}; a whole number from {k} on is needed, one per fold."
            return
        n_all, n_classes = n_images(profile, target) * (k - 1) // k, 2
        if profile.data == "native":  # the demo world draws fewer classes
            n_classes = datasets.get(target).count_classes() or 2
        for key in SIZES:
            place, sizes = f"transfer.targets.{target}.{key}", (row or {}).get(key, [])
            if not isinstance(sizes, list) or not all(type(n) is int and n > 1 for n in sizes):
                yield f"{place}: got {sizes!r}; a list of whole numbers from 2 on is needed, such as [20, 100]."
                return
            factor = n_classes if key == "n_per_class" else 1
            for n in sizes:
                if n_all and n * factor >= n_all:
                    yield f"{place}: got {n}; a fold has about {n_all} training images, all in the base run. List smaller ones."
                if key == "n_images" and n < n_classes:
                    yield f"{place}: got {n}, fewer than the {n_classes} classes. List larger numbers."
