"""The classic CNNs, one file a family, built from fastconv.nn alone; attribute names are the checkpoints' names."""

from __future__ import annotations

from ._registry import ModelInfo, Paper, create, info, list_models
from .alexnet import alexnet, alexnet_2012
from .dcgan import dcgan_discriminator, dcgan_generator
from .deep_convnet import deep_convnet
from .densenet import densenet121, densenet161, densenet169, densenet201
from .dpn import dpn68, dpn92, dpn98, dpn107, dpn131
from .efficientnet import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from .fcn import fcn8s, fcn16s, fcn32s
from .googlenet import googlenet
from .googlenet_2014 import googlenet_2014
from .inception_resnet_v2 import inception_resnet_v2
from .inception_v3 import inception_v3
from .inception_v4 import inception_v4
from .lenet import lenet5, lenet5_1998
from .mobilenet import mobilenet_v1, mobilenet_v2
from .resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet101_v1,
    resnet152,
    resnet152_v1,
    resnext50_32x4d,
    wide_resnet50_2,
)
from .resnet_cifar import resnet20, resnet32, resnet44, resnet56, resnet110
from .segnet import segnet
from .shufflenet_v2 import shufflenet_v2_x1_0
from .squeezenet import squeezenet1_0, squeezenet1_1
from .vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from .xception import xception
from .zfnet import zfnet

__all__ = [
    "ModelInfo",
    "Paper",
    "alexnet",
    "alexnet_2012",
    "create",
    "dcgan_discriminator",
    "dcgan_generator",
    "deep_convnet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "dpn68",
    "dpn92",
    "dpn98",
    "dpn107",
    "dpn131",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "googlenet",
    "googlenet_2014",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "info",
    "lenet5",
    "lenet5_1998",
    "list_models",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet50_v1",
    "resnet56",
    "resnet101",
    "resnet101_v1",
    "resnet110",
    "resnet152",
    "resnet152_v1",
    "resnext50_32x4d",
    "segnet",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
    "xception",
    "zfnet",
]
