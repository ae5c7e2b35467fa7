"""The runs that a profile asks for, step by step: their parameters and the runs they need."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from catscans_lib import paths
from catscans_lib.datasets import label_maps, own
from catscans_lib.errors import InputError, unknown
from catscans_lib.grid import fraction
from catscans_lib.grid.axes import SIZES, backbone_sources, seeds_of, trained_sources
from catscans_lib.grid.schema import Profile


class Row(NamedTuple):
    """One run that a profile asks for: its parameters, the place in the file they come from, the runs it needs."""

    values: dict[str, Any]
    place: str
    needs: Iterable[str]


def _read(profile: Profile) -> list[str]:
    """Return the datasets whose images are read."""
    external = [pair.test for pair in profile.external]
    return list(dict.fromkeys([*trained_sources(profile), *profile.transfer.targets, *external]))


def _shared(profile: Profile, dataset: str, source: str) -> dict[str, Any]:
    """Return the parameters that all training runs share; the network is the source's own or the profile's."""
    return {
        "backbone": (profile.pretrain.sources.get(source) or {}).get("backbone", profile.backbone),
        "precision": profile.precision,
        "threads": profile.threads,
        "deterministic": profile.deterministic,
        "size_px": profile.datasets[dataset].size_px,
    }


def _ingests(names: Iterable[str]) -> list[str]:
    return [f"ingest/{name}" for name in names]


def ingest(profile: Profile) -> Iterator[Row]:
    for key in _read(profile):
        values = {
            "dataset": key,
            "data": "native" if key in own.names() else profile.data,
            **profile.datasets[key].model_dump(),
            "n_folds": profile.folds.n_folds if key in profile.transfer.targets else None,
            "fold_seed": profile.folds.seed,
            "split": profile.folds.split,
            "max_images": (profile.transfer.targets.get(key) or {}).get("max_images"),
        }
        yield Row(values, f"datasets.{key}", ())


def overlaps(profile: Profile) -> Iterator[Row]:
    yield Row({"datasets": _read(profile)}, "datasets", _ingests(_read(profile)))


def pretrain(profile: Profile) -> Iterator[Row]:
    """Give the run of every source, then its variants: further seeds, further networks."""
    for source in profile.pretrain.sources:
        first, *others = seeds_of(profile, source)
        yield _pretraining(profile, source, first)
        for seed in others:
            yield _pretraining(profile, source, seed, variant=f"@{seed}")
        for name, more in profile.backbones.items():
            if source in backbone_sources(profile, name):
                changes = {"backbone": name, **more.pretrain, "weights": more.weights.get(source)}
                yield _pretraining(profile, source, first, variant=f"+{name}", **changes)


def _pretraining(profile: Profile, source: str, seed: int, **changes: Any) -> Row:
    targets = list(profile.transfer.targets)
    values = {
        "source": source,
        **_shared(profile, source, source),
        "exclude": [target for target in targets if target != source],
        "weights": None,
        **profile.pretrain.defaults,
        **{key: value for key, value in (profile.pretrain.sources[source] or {}).items() if key != "seeds"},
        **changes,
        "seed": seed,
    }
    # A source is trained without the images that lie in a target, so the targets are read first.
    read = [] if values["weights"] else dict.fromkeys([source, *targets])
    return Row(values, f"pretrain.sources.{source}", _ingests(read))


def transfer(profile: Profile) -> Iterator[Row]:
    """Give the base runs, then their variants: further seeds of pretraining, fewer images, further networks."""
    _external_pairs(profile)
    yield from base_transfers(profile)
    yield from variants(profile)


def base_transfers(profile: Profile) -> Iterator[Row]:
    """Give the transfers that every comparison is made of."""
    for target in profile.transfer.targets:
        for source in sources_of(profile, target):
            yield _transfer(profile, source, target)


def variants(profile: Profile) -> Iterator[Row]:
    """Give the transfers that differ from a base run in one thing; longer budget and other collections are for base runs."""
    block = profile.transfer
    for target, row in block.targets.items():
        several = block.seed_targets is None or target in block.seed_targets
        some = [*(block.axes_sources or profile.pretrain.sources), "none"]
        sizes = [{key: n} for key in SIZES for n in (row or {}).get(key, ())]
        for source in sources_of(profile, target):
            for seed in seeds_of(profile, source)[1:] if several and source != "none" else ():
                yield _transfer(profile, source, target, variant=f"@{seed}")
            for size in sizes if source in some else ():
                yield _transfer(profile, source, target, **size)
            for name, more in profile.backbones.items():
                if target in (more.targets or [target]) and source in [*backbone_sources(profile, name), "none"]:
                    changes = {"backbone": name, **more.transfer}
                    yield _transfer(profile, source, target, variant=f"+{name}", **changes)


def sources_of(profile: Profile, target: str) -> list[str]:
    """Return the sources of a target's transfers, the baseline first."""
    block, sources = profile.transfer, [source for source in profile.pretrain.sources if source != target]
    if block.fraction < 1:
        kept = fraction.pairs(profile.pretrain.sources, block.targets, block.fraction, profile.folds.seed)
        sources = [source for source in sources if (source, target) in kept]
    return [*(["none"] if block.include_none else []), *sources]


def _transfer(profile: Profile, source: str, target: str, **changes: Any) -> Row:
    block, of_ingest = profile.transfer, ("max_images", *SIZES)
    # Sources are compared at an equal budget: the longer one is for the baseline alone.
    long = source == "none" and not changes
    values = {
        "source": source,
        "target": target,
        **_shared(profile, target, source),
        "modes": [mode for mode in block.modes if mode != "fine_tune_long" or long],
        "seeds": block.seeds,
        "long_epochs": block.long_epochs,
        "external": [pair.test for pair in profile.external if pair.train == target and not changes],
        **block.defaults,
        **{key: value for key, value in (block.targets[target] or {}).items() if key not in of_ingest},
        **changes,
    }
    pretrained = [f"pretrain/{source}{changes.get('variant', '')}"] if source != "none" else []
    return Row(values, f"transfer.targets.{target}", [*_ingests([target, *values["external"]]), *pretrained])


def _base_names(profile: Profile) -> list[str]:
    return [f"transfer/{row.values['source']}--{row.values['target']}" for row in base_transfers(profile)]


def evaluate(profile: Profile) -> Iterator[Row]:
    mode, modes = profile.primary.mode, profile.transfer.modes
    if mode not in modes:
        raise InputError(f"primary.mode is '{mode}'; transfer.modes has: {', '.join(modes)}.")
    if profile.folds.split == "published" and profile.primary.test == "nadeau_bengio":
        raise InputError(
            "primary.test nadeau_bengio compares folds; folds.split: published has one. Set it to bootstrap."
        )
    values = {**profile.evaluate, "test": profile.primary.test, "margin": profile.primary.margin}
    yield Row(values, "evaluate", _base_names(profile))


def _external_pairs(profile: Profile) -> list[dict[str, Any]]:
    """Return train, test and labels_as (which classes correspond) of every pair; InputError if one cannot be evaluated."""
    found: list[dict[str, Any]] = []
    for train, test in ((pair.train, pair.test) for pair in profile.external):
        if train not in profile.transfer.targets:
            raise InputError(f"external.train: {unknown('target', train, profile.transfer.targets)}")
        if train == test:
            raise InputError(f"external: {train} -> {test} is the same dataset twice; name another collection.")
        sizes = [profile.datasets[name].size_px for name in (train, test)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"external: '{train}' has {sizes[0]} px and '{test}' {sizes[1]} px, but its networks see both. Set "
                f"datasets.{test}.size_px to {sizes[0]}."
            )
        label_maps.check_separable(train, test)
        found.append({"train": train, "test": test, "labels_as": label_maps.label_map(train, test)})
    return found


def external(profile: Profile) -> Iterator[Row]:
    if pairs := _external_pairs(profile):
        sources, margin = trained_sources(profile), profile.primary.margin
        draws = {key: value for key, value in profile.evaluate.items() if key in ("n_draws", "draw_seed")}
        read = dict.fromkeys([*(pair[of] for pair in pairs for of in ("train", "test")), *sources])
        needs = [run for run in _base_names(profile) if run.split("--")[1] in [pair["train"] for pair in pairs]]
        values = {"pairs": pairs, "sources": sources, "margin": margin, **draws}
        yield Row(values, "external", [*_ingests(read), *needs])


def stability(profile: Profile) -> Iterator[Row]:
    yield Row({}, "stability", _base_names(profile))


def feature_maps(profile: Profile) -> Iterator[Row]:
    for target in profile.transfer.targets:
        pretrained = [source for source in sources_of(profile, target) if source != "none"]
        sources = [*pretrained, *(["none"] if profile.transfer.include_none else [])]
        needs = [*_ingests([target]), *(f"pretrain/{source}" for source in pretrained)]
        needs += [f"transfer/{source}--{target}" for source in sources]
        yield Row({"target": target, "sources": sources, **profile.feature_maps}, "feature_maps", needs)


def similarity(profile: Profile) -> Iterator[Row]:
    if profile.similarity is None:
        return
    probe, sources = profile.similarity.get("probe"), list(profile.pretrain.sources)
    if probe not in sources:
        raise InputError(
            f"similarity.probe is '{probe}', no source of this grid; it has: {', '.join(sorted(sources))}."
        )
    for target in profile.transfer.targets:
        others = [source for source in sources if source != target]
        read = dict.fromkeys([target, *(source for source in trained_sources(profile) if source != target)])
        needs = [*_ingests(read), *(f"pretrain/{source}" for source in dict.fromkeys([*others, probe]))]
        values = {"target": target, "sources": others, "primary": profile.primary.measure, **profile.similarity}
        yield Row(values, "similarity", needs)


def transferability(profile: Profile) -> Iterator[Row]:
    if profile.similarity is not None:
        needs = [*_base_names(profile), *(f"similarity/{target}" for target in profile.transfer.targets)]
        declared = profile.primary.model_dump(include={"mode", "measure", "statistic"})
        # of the same AUCs as evaluate
        values = {"average": profile.evaluate.get("average"), **declared, **profile.transferability}
        yield Row(values, "transferability", needs)


def sizes(profile: Profile) -> Iterator[Row]:
    needs = [f"similarity/{target}" for target in profile.transfer.targets] if profile.similarity else []
    yield from _over(profile, "", {**profile.evaluate, "margin": profile.primary.margin}, needs)


def variance(profile: Profile) -> Iterator[Row]:
    yield from _over(profile, "@", profile.evaluate, ["evaluate/all"])


def backbones(profile: Profile) -> Iterator[Row]:
    yield from _over(profile, "+", {"average": profile.evaluate.get("average")}, [])


def _over(profile: Profile, kind: str, values: dict[str, Any], needs: list[str]) -> Iterator[Row]:
    """Give the run over one kind of variants, if there are any: "" fewer images, "@" seeds of pretraining, "+" networks."""
    found = []
    for of in (row.values for row in variants(profile)):
        variant = of.get("variant", "")
        size = f"@{of['n_per_class']}c" if "n_per_class" in of else f"@{of.get('n_images')}"
        if variant[:1] == kind:
            found.append(f"transfer/{of['source']}{variant}--{of['target']}{'' if variant else size}")
    if found:
        yield Row(values, "evaluate", [*_base_names(profile), *found, *needs])


def evidence(profile: Profile) -> Iterator[Row]:
    if (paths.root() / "evidence").is_dir():
        yield Row({}, "evidence", ())
