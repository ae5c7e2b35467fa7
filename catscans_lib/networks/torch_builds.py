"""Networks as PyTorch's packages build them, with the layer names of their state dicts (those of timm, where two differ)."""

import keras
from keras import layers

RESNETS = {"resnet18_torch": (2, 2, 2, 2), "resnet50_torch": (3, 4, 6, 3)}  # blocks of each stage
STAGES = (  # of EfficientNet-B0: kernel size, stride of the first block, expansion, channels, number of blocks
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)  # fmt: skip
LITE0 = (("expand_conv", "bn0"), ("depthwise_conv", "bn1"), ("project_conv", "bn2"))
B0 = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
B0_DIRECT = (("", ""), ("conv_dw", "bn1"), ("conv_pw", "bn2"))  # without expansion


def network(name: str, image: keras.KerasTensor, x: keras.KerasTensor) -> keras.Model:
    """Return a network from images to pooled features; x are the images after preprocessing."""
    if name in RESNETS:
        x = _resnet(x, RESNETS[name], is_deep=name == "resnet50_torch")
    else:
        x = _efficientnet(x, is_lite=name == "efficientnet_lite0")
    return keras.Model(image, layers.GlobalAveragePooling2D(name="features")(x), name="backbone")


def _conv(
    x: keras.KerasTensor, width: int | None, size: int, stride: int, names: tuple[str, str], act: str, is_lite: bool = False
) -> keras.KerasTensor:  # fmt: skip
    """Convolve (width None: every channel on its own), normalise, activate; pads both sides alike, but Lite0 as Keras does."""
    how = {"strides": stride, "use_bias": False, "name": names[0], "padding": "same" if is_lite else "valid"}
    x = layers.ZeroPadding2D(size // 2, name=f"{names[0]}_pad")(x) if size > 1 and not is_lite else x
    x = (layers.Conv2D(width, size, **how) if width else layers.DepthwiseConv2D(size, **how))(x)
    x = layers.BatchNormalization(name=names[1], **({} if is_lite else {"momentum": 0.9, "epsilon": 1e-5}))(x)
    return layers.Activation(act, name=f"{names[1]}_{act}")(x) if act else x


def _resnet(x: keras.KerasTensor, depths: tuple[int, ...], *, is_deep: bool) -> keras.KerasTensor:
    x = _conv(x, 64, 7, 2, ("conv1", "bn1"), "relu")
    x = layers.MaxPooling2D(3, 2, name="pool")(layers.ZeroPadding2D(1, name="pool_pad")(x))  # 0 is the least after ReLU
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name, stride, width = f"layer{stage + 1}_{block}", 2 if stage and not block else 1, 64 * 2**stage
            deep, y = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)], x
            parts = deep if is_deep else [(width, 3, stride), (width, 3, 1)]
            for n, part in enumerate(parts, start=1):
                y = _conv(y, *part, (f"{name}_conv{n}", f"{name}_bn{n}"), "relu" if n < len(parts) else "")
            if x.shape != y.shape:
                x = _conv(x, y.shape[-1], 1, stride, (f"{name}_downsample_0", f"{name}_downsample_1"), "")
            x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, x]))
    return x


def _efficientnet(x: keras.KerasTensor, *, is_lite: bool) -> keras.KerasTensor:
    """EfficientNet-B0, or Lite0: ReLU6, no squeeze-and-excitation, blocks counted through."""
    act, ends, count = ("relu6", ("bn0", "bn1"), 0) if is_lite else ("silu", ("bn1", "bn2"), 0)
    x = _conv(x, 32, 3, 2, ("conv_stem", ends[0]), act, is_lite)
    for stage, (size, stride, expansion, width, depth) in enumerate(STAGES):
        for block in range(depth):
            start = f"blocks_{count}" if is_lite else f"blocks_{stage}_{block}"
            parts = LITE0 if is_lite else B0 if expansion > 1 else B0_DIRECT
            wide, deep, thin = ((f"{start}_{conv}", f"{start}_{norm}") for conv, norm in parts)
            step, before, y, count = 1 if block else stride, x.shape[-1], x, count + 1
            y = _conv(y, expansion * before, 1, 1, wide, act, is_lite) if expansion > 1 else y
            y = _conv(y, None, size, step, deep, act, is_lite)
            if not is_lite:  # squeeze and excitation
                share = layers.GlobalAveragePooling2D(keepdims=True, name=f"{start}_se_mean")(y)
                share = layers.Conv2D(before // 4, 1, activation="silu", name=f"{start}_se_conv_reduce")(share)
                share = layers.Conv2D(y.shape[-1], 1, activation="sigmoid", name=f"{start}_se_conv_expand")(share)
                y = layers.Multiply(name=f"{start}_se")([y, share])
            y = _conv(y, width, 1, 1, thin, "", is_lite)
            x = layers.Add(name=f"{start}_add")([x, y]) if step == 1 and before == width else y
    return _conv(x, 1280, 1, 1, ("conv_head", ends[1]), act, is_lite)
