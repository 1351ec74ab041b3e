"""The one table of shapes: tests and benches draw from it. Lines are problems in benchdnn's grammar."""

from __future__ import annotations

from fastconv.bench import resolve
from fastconv.problem import ConvProblem

# Small problems that have broken convolutions before: each line says why it is here.
AWKWARD = [
    "mb1ic1ih1oc1kh1",  # one of everything
    "mb2ic3ih5oc4kh3",  # no padding, nothing divides anything
    "mb1ic7ih7iw13oc11kh3kw5ph1pw2",  # primes, not square
    "mb3ic5ih9oc17oh9kh3ph1",  # batch crosses register tiles
    "mb1ic64ih7oc32oh7kh3ph1",  # 49 pixels: panels of uneven height
    "mb1ic16ih6oc33oh3kh2sh2",  # one column more than a tile
    "mb1ic4ih5oc6oh2kh2sh3",  # stride > kernel: pixels never read
    "mb1ic2ih3oc5oh5kh5ph3",  # kernel > input, padding > input half
    "mb1ic3ih11oc8oh4kh3dh1sh2",  # dilation 2 with stride 2
    "mb1ic3ih17oc5kh3kw1dh3ph2",  # dilation in one direction only
    "mb2ic8ih6oc8oh4kh3g2",  # groups
    "mb1ic6ih5oc12oh5kh3ph1g3",  # groups, several filters a group
    "mb2ic9ih7oc9oh7kh3ph1g9",  # depthwise
    "mb1ic4ih6oc8oh3kh3ph1sh2g4",  # depthwise, multiplier 2, stride 2
    "mb1ic20ih1iw30oc10oh1ow30kh1kw5ph0pw2",  # a row: conv1d
    "mb1ic3ih19oc16oh10kh7ph3sh2",  # a network's stem
    "mb1ic24ih5iw40oc20oh5ow40kh3ph1",  # wide rows: panels read in place, strips at the edges
    "mb2ic32ih9iw33oc8oh5ow17kh3sh2ph1",  # the same with stride 2
    "mb1ic16ih9iw20oc8oh9ow20kh5ph2",  # strips longer than a row's remainder
    "mb1ic200ih2iw30oc4oh2ow29kh1kw2",  # a run longer than a k block
    "mb1ic100ih2iw60oc4oh2ow30kh1kw2sw2",  # windows side by side: nothing is shared
    "mb1ic500ih1iw40oc4oh1ow20kh1kw2sw2",  # the same, runs cut in unequal pieces: strips would not fit the panel
    "mb2ic64ih5oc24kh1",  # 1 x 1: the image is the matrix
    "mb1ic66ih4oc8kh1g2",  # 1 x 1 in groups
    "mb1ic512ih3oc5kh1",  # 1 x 1 whose rows collide in L1: copied
    "mb1ic130ih3oc40oh3kh3ph1",  # k = 1170: several k blocks
    "mb1ic500ih2oc3kh1",  # 1 x 1, k > one block, few columns
    "mb1ic2ih4oc600kh1",  # several column blocks
    "mb1ic3ih12oc4oh6kh4ph1sh2",  # even kernel
    "g33mb2ic33ih9oc33oh9kh3ph1",  # depthwise, two vectors of channels and one channel
    "g15mb1ic15ih8iw17oc15oh4ow9kh3sh2ph1",  # depthwise, one channel less than a vector; a strip's remainder
    "g17mb1ic17ih1iw30oc17oh1ow30kh1kw5pw2",  # depthwise, a row
    "g16mb2ic16ih11oc16oh4kh5sh3ph2",  # depthwise, stride 3: gradients of nine phases
    "g32mb1ic32ih9iw21oc32oh9ow21kh7ph3",  # depthwise, 7 x 7
    "g48mb1ic48ih8iw25oc48oh4ow13kh7sh2ph3",  # the same with stride 2
    "g8mb1ic8ih2oc8oh4kh5ph3",  # depthwise, kernel > image
    "g16mb1ic16ih12oc16oh12kh3dh1ph2",  # depthwise, dilation 2
    "g20mb1ic20ih15oc20oh8kh5sh2ph2",  # depthwise, 5 x 5, stride 2
    "g20mb1ic20ih15oc20oh8kh5sh2dh1ph4",  # depthwise, dilation and stride share a divisor: pixels without a tap
    "g16mb1ic16ih9oc16oh2kh2sh6dh2",  # depthwise, stride > window
    "g200mb1ic200ih9iw40oc200oh9ow40kh3ph1",  # depthwise, several blocks of channels; whole strips between the edges
    "g2mb1ic2ih5iw60oc2oh5ow60kh3ph1",  # depthwise, a segment of the weight's gradient and a remainder
    "g8mb1ic32ih9iw20oc32oh9ow20kh3ph1",  # groups of 4: whole vectors
    "g8mb1ic24ih9iw20oc16oh5ow10kh3ph1sh2",  # 3 channels, 2 filters a group
    "g3mb1ic15ih9oc24oh9kh3ph1",  # 5 channels, 8 filters a group
    "g2mb1ic32ih9oc48oh9kh3ph1",  # 16 channels, 24 filters a group: a vector and a half
    "g4mb2ic64ih7oc32oh7kh3ph1",  # 16 channels, 8 filters a group
    "g5mb1ic5ih7oc15oh7kh5ph2",  # 1 channel, 3 filters a group
    "g2mb1ic40ih7oc64oh7kh3ph1",  # 20 channels, 32 filters a group: more channels than lanes
    "g4mb1ic80ih7oc12oh4kh3ph1sh2",  # 20 channels, 3 filters a group
    "g16mb1ic32ih6oc32oh6kh3ph1",  # groups of 2
    "g9mb1ic36ih8oc36oh8kh3dh1ph2",  # groups of 4, dilation 2: two whole vectors and a tail
]


def awkward(dtype: str = "float32") -> list[ConvProblem]:
    """The awkward problems."""
    return [ConvProblem.parse(text, dtype) for text in AWKWARD]


def network_layers(name: str) -> list[ConvProblem]:
    """The distinct convolutions of a model or suite, batch 1."""
    return [layer.problem for layer in resolve(name, batch=1) if isinstance(layer.problem, ConvProblem)]


def three_by_three() -> list[tuple[str, ConvProblem]]:
    """The 3 x 3 convolutions of VGG-16 and ResNet-50 with 64 channels or more: where a GEMM engine must shine."""
    return [
        (network, problem)
        for network in ("vgg16", "resnet50")
        for problem in network_layers(network)
        if (problem.r, problem.s) == (3, 3) and min(problem.c, problem.k) >= 64
    ]


# What Winograd's method cuts into tiles; its own awkward problems.
TILED = [
    "mb1ic3ih8oc5oh12kh3ph3",  # padding beyond the kernel: the gradient's padding, 3 - 1 - 3, is negative
    "mb2ic6ih9oc7oh14kh3kw3ph4",  # the same, several tiles and images
    "mb1ic5ih9oc6oh8kh4ph1",  # F(3,4)
    "mb2ic7ih7iw16oc9oh9ow18kh4ph3pw3",
    "mb1ic5ih8oc6oh8kh5ph2",  # F(2,5)
    "mb1ic4ih5oc3oh1kh5",  # one output of a tile of four
    "mb1ic5ih13oc6oh7kh5ph2sh2",  # folds to 3 x 3
    "mb1ic6ih12oc5oh6kh6ph2sh2",  # folds with no zeros in the kernel
    "mb2ic3ih30oc17oh15kh7ph3sh2",  # a stem: folds to 4 x 4 over 12 channels
    "mb1ic3ih43oc16oh10kh11ph2sh4",  # AlexNet's first: 3 x 3 over 48
    "mb1ic3ih31oc4oh5kh13ph1sh5",  # the last rows and columns are never read
    *(f"mb1ic9ih7oc{k}oh7kh3ph1" for k in (1, 15, 16, 17, 33)),  # tails of a vector, of a panel
    *(f"mb1ic{c}ih6oc8oh6kh3ph1" for c in (1, 15, 16, 17, 33)),
    "mb37ic8ih4oc8oh4kh3ph1",  # one tile an image: many images in a block of tiles
    "mb3ic64ih19oc96oh19kh3ph1",  # several blocks of tiles
    "mb1ic200ih7oc160oh7kh3ph1",  # few tiles: threads share the filters
    "mb1ic800ih6oc40oh6kh3ph1",  # several k blocks
    "mb2ic5ih4iw11oc7oh4ow11kh1kw3ph0pw1",  # one row: F(4,3)
    "mb2ic5ih11iw4oc7oh11ow4kh3kw1ph1pw0",  # one column
    "mb1ic9ih3iw17oc19oh3ow16kh1kw4ph0pw1",
    "mb1ic17ih13iw2oc33oh13ow2kh5kw1ph2pw0",
    "mb2ic6ih3iw9oc4oh3ow8kh1kw6ph0pw2",  # two parts, the last tap of the second zero
    "mb2ic19ih17oc40oh17kh1kw7ph0pw3",  # two parts, a last tile of two outputs
    "mb3ic19ih17oc40oh17kh7kw1ph3pw0",
    "mb1ic8ih1iw5oc3oh1ow15kh1kw7ph0pw8",  # padding beyond the kernel
    "mb1ic8ih5iw2oc3oh7ow4kh7kw1ph4pw1",  # padding beside the kernel
    "mb1ic3ih2iw60oc4oh2ow50kh1kw11pw0",  # four parts, two runs of tiles a row, the second one shorter
    "mb1ic2ih40iw1oc4oh25ow1kh16kw1ph0pw0",  # five parts
    "mb1ic300ih9iw1oc40oh9ow1kh7kw1ph3pw0",  # a k block ends within a part
    "mb2ic32ih17oc64oh17kh1kw7ph0pw3",  # several blocks of runs
    "mb1ic160ih8oc160oh8kh3kw1ph1pw0",  # few tiles: threads share the filters
]


def tiled(dtype: str = "float32") -> list[ConvProblem]:
    """Problems for Winograd's method, every 3 x 3 one with planes of 1 to 9 and every 1 x 7 one of 1 to 9 included."""
    planes = [f"mb1ic3ih{h}iw{w}oc5oh{h}ow{w}kh3kw3ph1pw1" for h in range(1, 10) for w in range(1, 10)]
    rows = [f"mb1ic3ih2iw{w}oc5oh2ow{w}kh1kw7ph0pw3" for w in range(1, 10)]
    return [ConvProblem.parse(text, dtype) for text in TILED + planes + rows]
