"""Published weights on real images, and, where PyTorch and torchvision are, image by image beside them.

    python -m bench.pretrained DATA OUT.json

DATA is the folder that FASTCONV_DATA names. MobileNet v2 is compared with torchvision's on every photo: the same pixels go
into both. The CIFAR networks are run on the whole test set.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
from pathlib import Path

import numpy as np

import fastconv as fc
from fastconv.models.predict import BATCH, load_model, read_image, read_truth

PHOTO_MODELS = {
    "mobilenet_v2": "mobilenet_v2_torchvision_imagenet1k.safetensors",
    "mobilenet_v1": "mobilenet_v1_1.0_224_tflite_imagenet1001.fp16w.safetensors",
    "squeezenet1_1": "squeezenet1_1_imagenet_ndf.safetensors",
}

CIFAR_MODELS = {
    "resnet20": "cifar10_resnet20_akamaster.safetensors",
    "resnet56": "cifar10_resnet56_akamaster.safetensors",
}


def logits_of(model: fc.nn.Module, images: np.ndarray) -> np.ndarray:
    """Outputs, BATCH images at a time."""
    return np.concatenate([model(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def counts(logits: np.ndarray, right: np.ndarray) -> dict[str, int]:
    """How many are right first, and among the first five."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    hits = best == right[:, np.newaxis]
    return {"images": len(right), "top1": int(hits[:, 0].sum()), "top5": int(hits.any(axis=1).sum())}


def photos(data: Path, name: str) -> tuple[fc.nn.Module, np.ndarray, np.ndarray]:
    """A model, the photos as it takes them, and what they show."""
    truth = read_truth(data / "photos" / "labels.csv")
    model, entry = load_model(name, data / "weights" / PHOTO_MODELS[name])
    images = np.stack([read_image(data / "photos" / "jpeg256" / file, entry) for file in truth])
    return model, images, np.array(list(truth.values()))


def beside_torchvision(data: Path, images: np.ndarray, ours: np.ndarray) -> dict[str, object] | None:
    """How far torchvision's MobileNet v2 is from ours on the same pixels; None where it is not installed."""
    try:
        import torch

        sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("absent"))  # nms is not needed
        import torchvision
    except ImportError:
        return None
    net = torchvision.models.mobilenet_v2().eval()
    state = fc.weights.canonical_names(fc.load(data / "weights" / PHOTO_MODELS["mobilenet_v2"]))
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    with torch.no_grad():
        batches = [net(torch.from_numpy(images[i : i + BATCH])).numpy() for i in range(0, len(images), BATCH)]
    theirs = np.concatenate(batches)
    same_five = np.argsort(-ours, axis=1)[:, :5] == np.argsort(-theirs, axis=1)[:, :5]
    return {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "same top1": int((ours.argmax(1) == theirs.argmax(1)).sum()),
        "same top5 in order": int(same_five.all(axis=1).sum()),
        "largest difference of logits": float(np.abs(ours - theirs).max()),
        "largest logit": float(np.abs(theirs).max()),
    }


def cifar(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The CIFAR-10 test set, (N, 3, 32, 32) bytes and labels; its images are stored as one, a grid of 100 x 100."""
    from PIL import Image

    with Image.open(data / "cifar10" / "test_batch.webp") as file:
        grid = np.asarray(file.convert("RGB")).reshape(100, 32, 100, 32, 3)
    labels = np.fromfile(data / "cifar10" / "test_batch_labels.u8", np.uint8)
    return grid.transpose(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32), labels


def cifar_logits(data: Path, name: str, images: np.ndarray) -> np.ndarray:
    """What a CIFAR network says of some of those images."""
    model, entry = load_model(name, data / "weights" / CIFAR_MODELS[name])
    mean, std = (np.reshape(np.float32(v), (3, 1, 1)) for v in (entry.mean, entry.std))
    return logits_of(model, (images.astype(np.float32) / 255 - mean) / std)


def main() -> None:
    """Runs everything and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, object] = {"fastconv": fc.__version__, "isa": fc.backends.cpu.isa()}
    for name in PHOTO_MODELS:
        model, images, right = photos(arguments.data, name)
        logits = logits_of(model, images)
        figures[name] = {"file": PHOTO_MODELS[name], **counts(logits, right)}
        if name == "mobilenet_v2" and (beside := beside_torchvision(arguments.data, images, logits)):
            figures["mobilenet_v2 beside torchvision"] = beside
        print(name, figures[name], flush=True)
    images, right = cifar(arguments.data)
    for name, file in CIFAR_MODELS.items():
        figures[name] = {"file": file, **counts(cifar_logits(arguments.data, name, images), right)}
        print(name, figures[name], flush=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
