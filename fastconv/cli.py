"""The command line: info, bench, tune, predict, models, train, profile, prebuild. Commands only; what they do is in the
packages below."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from . import __version__, _core, backends, bench, models, train
from .backends import cpu, cubins, cuda, gpu, registry
from .bench import tuning
from .bench.peers import NAMES as PEERS
from .bench.probe import Probe
from .bench.work import DIRECTIONS
from .errors import FastconvError, FileFormatError, ModelError
from .models import table
from .modes import LOW_PRECISION
from .problem import ITEM_SIZE
from .train import run as training


def info(arguments: argparse.Namespace) -> None:
    """What this installation and this machine are."""
    if arguments.threads is not None:
        cpu.set_num_threads(arguments.threads)
    machine = bench.describe_machine()
    probe = Probe()
    peak = max(probe.flops() for _ in range(20)) / 1e9
    bandwidth = max(probe.bandwidth(1 << 28) for _ in range(5)) / 1e9
    lines = {
        "fastconv": f"{__version__}, built by {machine['compiler']}",
        "devices": ", ".join(backends.devices()),
        "cpu": machine["cpu"],
        "isa": f"{machine['isa']} (usable: {', '.join(_core.supported_isas())}; FASTCONV_ISA forces one)",
        "cuda": cuda.describe(),
        "threads": f"{machine['threads']} of {machine['cpus_available']} available CPUs",
        "float32 peak": f"{peak:.0f} GFLOP/s, measured",
        "read bandwidth": f"{bandwidth:.1f} GB/s over 256 MiB, measured",
        "conv2d": ", ".join(kernel.algo for kernel in registry.kernels("conv2d", "cpu")),
        "models": f"{len(models.list_models())}, which fastconv models lists",
        "suites": ", ".join(bench.list_suites()),
    }
    for key, value in lines.items():
        print(f"{key:<15} {value}")


def image_shape(text: str) -> tuple[int, ...]:
    """An argument CxHxW."""
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected CxHxW, such as 3x224x224, got {text!r}")
    return shape


def count(text: str) -> int:
    """An argument that is a number of things: at least 1."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def check_target(path: str | None) -> None:
    """Raises FileFormatError where a result could not be written to this path, ModelError where nothing can draw it."""
    if path is None:
        return
    target = Path(path)
    if not target.name or target.is_dir() or not target.parent.is_dir():
        raise FileFormatError(f"{path!r}: cannot be written: not a file in an existing folder")
    if target.suffix == ".png" and importlib.util.find_spec("matplotlib") is None:
        raise ModelError("plot: matplotlib is not installed (pip install 'fastconv[bench]')")


def png_file(path: str) -> str:
    """An argument that names a PNG."""
    if not path.endswith(".png"):
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png, got {path!r}")
    return path


def progress_bar() -> Progress:
    """How far a command is, on stderr, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def run_bench(arguments: argparse.Namespace) -> None:
    """Measures a model, a suite or a problem."""
    if arguments.threads is not None:
        cpu.set_num_threads(arguments.threads)
    for path in (arguments.json, arguments.csv, arguments.plot):
        check_target(path)  # before minutes of measuring, not after
    layers = bench.resolve(arguments.name, arguments.batch, arguments.dtype)
    report = bench.Report(arguments.name, arguments.dtype, arguments.batch, bench.describe_machine())
    probe = Probe()
    with progress_bar() as progress:
        task = progress.add_task(arguments.name, total=len(layers))
        for layer in layers:
            progress.update(task, description=layer.problem.name or arguments.name)
            report.rows += bench.measure_layer(
                layer, probe, algo=arguments.algo, peers=arguments.peer, seconds=arguments.seconds
            )
            progress.advance(task)
        if arguments.name in models.list_models():
            progress.update(task, description="whole forward")
            report.forward = bench.measure_named_model(arguments.name, arguments.batch or 1, arguments.dtype)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(report.table(compact=console.width < 130))
    for note in report.notes():
        console.print(note, style="dim", highlight=False)
    if arguments.json:
        report.write_json(arguments.json)
    if arguments.csv:
        report.write_csv(arguments.csv)
    if arguments.plot:
        from .bench.plot import plot_roofline

        plot_roofline(report, arguments.plot)


def run_tune(arguments: argparse.Namespace) -> None:
    """Finds the fastest algorithm of every layer and writes the tuning file, after each layer."""
    if arguments.threads is not None:
        cpu.set_num_threads(arguments.threads)
    path = tuning.target(arguments.output)
    check_target(str(path))
    layers = tuning.layers_of(arguments.names, arguments.batch, arguments.dtype)
    directions = list(DIRECTIONS) if arguments.gradients else ["forward"]
    probe, results = Probe(), []
    with progress_bar() as progress:
        task = progress.add_task("tuning", total=len(layers) * len(directions))
        for layer, direction in product(layers, directions):
            if result := tuning.tune_layer(layer, probe, direction, arguments.seconds):
                results.append(result)
                tuning.store(path, [result])
            progress.advance(task)
    console = Console(width=None if sys.stdout.isatty() else 150)
    if any(result.entry is not None for result in results):
        console.print(tuning.table(results))
    print(tuning.summary(results))
    setting = f"{cpu.isa()}, threads: {cpu.num_threads()}"
    print(f"{path}: entries of {registry.machine_key()}, {setting}; FASTCONV_TUNING={path} puts them into force")


def run_predict(arguments: argparse.Namespace) -> None:
    """Names what image files show; with the truth beside them, counts how often that is right."""
    from .models import predict

    truth = predict.read_truth(arguments.truth) if arguments.truth else None
    paths = predict.image_files(arguments.images)
    model, entry = predict.load_model(arguments.model, arguments.weights, arguments.dtype)
    labels = predict.read_labels(arguments.labels) if arguments.labels else predict.default_labels(entry)
    found = []
    top = arguments.top if truth is None else max(arguments.top, 5)
    for path, best in zip(
        paths, predict.predict_files(model, entry, paths, top, labels, arguments.invert), strict=True
    ):
        found.append(best)
        print(f"{path}: " + ", ".join(f"{p.label} {p.probability:.1%}" for p in best[: arguments.top]))
    if truth is not None:
        count, first, five = predict.evaluate(paths, found, truth)
        share = max(count, 1)
        print(f"top-1 {first} of {count} ({first / share:.2%}), top-5 {five} of {count} ({five / share:.2%})")


def run_models(arguments: argparse.Namespace) -> None:
    """Lists the networks."""
    print(table.as_markdown() if arguments.markdown else table.as_text(), end="" if arguments.markdown else "\n")


def run_train(arguments: argparse.Namespace) -> None:
    """Trains a model by its recipe, in a folder of its own."""
    if arguments.threads is not None:
        cpu.set_num_threads(arguments.threads)
    run = training.Run.of(
        arguments.model,
        vars(arguments),
        precision=arguments.precision,
        seed=arguments.seed,
        limit=arguments.limit,
    )
    folder = arguments.out or Path("runs") / f"{arguments.model}-{run.recipe.data}"
    training.train(
        run,
        folder,
        resume=arguments.resume,
        every=arguments.every,
        workers=arguments.workers,
        device=arguments.device,
    )
    print(f"{folder}: checkpoints, log and curves")


def run_profile(arguments: argparse.Namespace) -> None:
    """Shows where a model's time goes."""
    if arguments.threads is not None:
        cpu.set_num_threads(arguments.threads)
    entry = models.info(arguments.model)
    shape = (arguments.batch, *(arguments.input_shape or entry.input_size))
    model = models.create(arguments.model).to(arguments.device)
    result = train.profile(model, shape, arguments.train, arguments.seconds, entry.num_classes)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(result.table())
    for note in result.notes():
        console.print(note, highlight=False)


def run_prebuild(arguments: argparse.Namespace) -> None:
    """Compiles the CUDA kernels ahead of their first use."""
    archs = list(dict.fromkeys(arguments.arch))
    wanted = [(kernel, arch) for kernel, arch in product(gpu.catalog(), archs) if kernel.takes(arch)]
    fresh = 0
    with (
        progress_bar() as progress,
        ThreadPoolExecutor(_core.available_cpus()) as pool,
    ):
        task = progress.add_task("compiling", total=len(wanted))
        for made in pool.map(lambda pair: cubins.cubin(*pair), wanted):
            fresh += made.fresh
            progress.advance(task)
    print(
        f"{len(wanted)} kernels for {', '.join(archs)}: {fresh} compiled, {len(wanted) - fresh} there already, "
        f"in {cubins.cache().folder}"
    )


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    top = argparse.ArgumentParser(prog="fastconv", description="Convolutions, measured and put to work.")
    top.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("info", help="what this installation and this machine are")
    command.add_argument("--threads", type=int, metavar="N", help="threads to measure with")
    command.set_defaults(run=info)

    command = commands.add_parser("bench", help="measure a model, a suite or one problem")
    command.add_argument(
        "name",
        metavar="NAME",
        help=f"a model (fastconv models lists them), a suite ({', '.join(bench.list_suites())}), "
        "or a problem such as mb8ic64ih56oc64oh56kh3ph1",
    )
    command.add_argument("--batch", type=int, metavar="N", help="batch size (default: 1, or the suite's)")
    command.add_argument("--dtype", choices=list(ITEM_SIZE), default="float32", help="default: float32")
    command.add_argument(
        "--algo", metavar="A", help="an algorithm of convolutions or of linear layers, or all (default: choose)"
    )
    command.add_argument("--threads", type=int, metavar="N", help="threads (default: the CPUs available)")
    command.add_argument("--seconds", type=float, default=0.5, metavar="S", help="time for each contender of a layer")
    command.add_argument(
        "--peer",
        choices=PEERS,
        action="append",
        default=[],
        help="time this engine in turn with ours; may be given again",
    )
    command.add_argument("--json", metavar="FILE", help="write all rows as JSON")
    command.add_argument("--csv", metavar="FILE", help="write all rows as CSV")
    command.add_argument("--plot", type=png_file, metavar="FILE.png", help="write a roofline")
    command.set_defaults(run=run_bench)

    command = commands.add_parser("tune", help="find the fastest algorithm of each layer; write a tuning file")
    command.add_argument("names", nargs="+", metavar="NAME", help="models, suites or problems, as bench takes them")
    command.add_argument("--batch", type=int, metavar="N", help="batch size (default: 1, or the suite's)")
    command.add_argument("--dtype", choices=list(ITEM_SIZE), default="float32", help="default: float32")
    command.add_argument("--threads", type=int, metavar="N", help="threads (default: the CPUs available)")
    command.add_argument("--seconds", type=float, default=0.5, metavar="S", help="time for each algorithm of a layer")
    command.add_argument("--gradients", action="store_true", help="tune both gradients, too")
    command.add_argument("--output", metavar="FILE", help="file to update (default: what FASTCONV_TUNING names)")
    command.set_defaults(run=run_tune)

    command = commands.add_parser("predict", help="name what image files show")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="files that Pillow reads, or folders of them")
    command.add_argument(
        "--model", default="deep_convnet", metavar="M", help="a name that fastconv models lists (default: deep_convnet)"
    )
    command.add_argument(
        "--weights", metavar="F", help=".safetensors, .npz, .pth or .caffemodel (default: those in the package)"
    )
    command.add_argument("--top", "--topk", type=int, default=5, metavar="N", help="classes to name (default: 5)")
    command.add_argument("--dtype", choices=list(ITEM_SIZE), default="float32", help="default: float32")
    command.add_argument("--labels", metavar="FILE", help="class names, one a line")
    command.add_argument("--truth", metavar="FILE.csv", help="files and class indices: count what is right")
    command.add_argument("--invert", action="store_true", help="swap black and white (digits drawn dark on light)")
    command.set_defaults(run=run_predict)

    command = commands.add_parser("models", help="list the networks: parameters, multiply-adds, input, paper")
    command.add_argument("--markdown", action="store_true", help="as docs/zoo.md")
    command.set_defaults(run=run_models)

    command = commands.add_parser("train", help="train a model by its recipe")
    command.add_argument("model", metavar="MODEL", help=", ".join(models.list_models()))
    command.add_argument("--data", choices=training.DATA, help="default: the recipe's")
    command.add_argument("--epochs", type=count, metavar="N", help="default: the recipe's, as for all that follows")
    command.add_argument("--batch", type=count, metavar="N", help="images a step")
    command.add_argument("--optimizer", choices=list(training.OPTIMIZERS))
    command.add_argument("--lr", type=float, metavar="X", help="learning rate")
    command.add_argument("--momentum", type=float, metavar="X")
    command.add_argument("--weight-decay", type=float, metavar="X")
    command.add_argument("--schedule", choices=training.SCHEDULES, help="of the rate, over epochs")
    command.add_argument("--augment", choices=training.AUGMENTS, help="random changes of the images")
    command.add_argument("--clip", type=float, metavar="X", help="largest norm of the gradients")
    command.add_argument(
        "--precision", choices=["float32", *LOW_PRECISION], default="float32", help="of products (default: float32)"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="decides every bit (default: 0)")
    command.add_argument("--limit", type=count, metavar="N", help="use the first N images of each set")
    command.add_argument("--out", metavar="DIR", help="folder of checkpoints and logs (default: runs/MODEL-DATA)")
    command.add_argument("--resume", action="store_true", help="go on from the folder's last checkpoint, if it has one")
    command.add_argument("--every", type=count, metavar="N", help="a checkpoint every N steps, too, not epochs alone")
    command.add_argument("--threads", type=count, metavar="N", help="threads (default: the CPUs available)")
    command.add_argument(
        "--workers", type=int, default=0, metavar="N", help="threads that prepare batches (default: 0)"
    )
    command.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    command.set_defaults(run=run_train)

    command = commands.add_parser("profile", help="where a model's time goes, layer by layer")
    command.add_argument("model", metavar="MODEL", help=", ".join(models.list_models()))
    command.add_argument("--train", action="store_true", help="a training step: backward and optimizer, too")
    command.add_argument("--batch", type=count, default=1, metavar="N", help="images (default: 1)")
    command.add_argument("--input-shape", type=image_shape, metavar="CxHxW", help="default: the model's")
    command.add_argument("--seconds", type=float, default=2.0, metavar="S", help="time for all passes (default: 2)")
    command.add_argument("--threads", type=count, metavar="N", help="threads (default: the CPUs available)")
    command.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    command.set_defaults(run=run_profile)

    command = commands.add_parser("prebuild", help="compile the CUDA kernels now, for a GPU that need not be here")
    command.add_argument(
        "--arch",
        action="append",
        required=True,
        choices=list(cubins.ARCHS.values()),
        help="architecture to compile for; may be given again",
    )
    command.set_defaults(run=run_prebuild)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0, or 2 with one line on stderr where it was given something impossible."""
    try:
        parsed = parser().parse_args(arguments)
        parsed.run(parsed)
    except (FastconvError, MemoryError) as error:
        print(f"fastconv: {str(error) or type(error).__name__}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:  # a full disk behind stdout, say
        print(f"fastconv: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
