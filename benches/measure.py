"""What the scripts of this folder share: commands that are run in turn, and the table they make.

Two sides run in turn (A B A B …) and the median of the pair ratios counts, because absolute times
drift with the machine and ratios of neighbours hardly do. Knows nothing of what is compared.
"""

import dataclasses
import datetime
import json
import math
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMITS = ROOT / "benches" / "limits"
BUILT = ROOT / "target" / "limits"
WORKERS = 2

COLUMNS = ["", "what", "target", "ratio, median (range)", "CPU", "ours", "theirs", "MiB ours", "MiB theirs"]

NOTHING = float("nan")


class Failed(Exception):
    """A command did not do what it was started for."""


@dataclasses.dataclass
class Cost:
    """What one run of a command took, in seconds and bytes; not a number where nobody knows."""

    wall: float
    cpu: float = NOTHING
    memory: float = NOTHING


@dataclasses.dataclass
class Side:
    """A command, how many times it runs in one turn, and how many things one turn does.

    A program that times a part of itself prints a JSON object; `part` names the seconds in it."""

    command: list
    things: int
    times: int = 1
    part: str = ""
    patience: float = 1800

    def measure(self):
        costs = [run(self.command, self.part, self.patience) for _ in range(self.times)]
        return Cost(
            sum(cost.wall for cost in costs) / self.things,
            sum(cost.cpu for cost in costs) / self.things,
            max(cost.memory for cost in costs),
        )


@dataclasses.dataclass
class Known:
    """A side that is not measured: a published figure, or one that was worked out."""

    seconds: float

    def measure(self):
        return Cost(self.seconds)


@dataclasses.dataclass
class Row:
    """One comparison: `ours` against `theirs`. `start_up` is measured in the same turns and taken
    off `ours`, where the target allows for it. `turned` gives theirs / ours instead: how many times
    faster ours is."""

    id: str
    what: str
    target: str
    ours: object
    theirs: object
    start_up: object = None
    turned: bool = False

    def cells(self, pairs):
        """From so many pairs; one turn of each goes first, unmeasured."""
        self.ours.measure()
        self.theirs.measure()
        ours, theirs, walls, cpus = [], [], [], []
        for _ in range(pairs):
            a, b = self.ours.measure(), self.theirs.measure()
            base = self.start_up.measure() if self.start_up else Cost(0, 0, 0)
            ours.append(a)
            theirs.append(b)
            walls.append(self.ratio(a.wall - base.wall, b.wall))
            cpus.append(self.ratio(a.cpu - base.cpu, b.cpu))
        return [
            self.id,
            self.what,
            self.target,
            spread(walls),
            number(statistics.median(cpus)),
            *(duration(statistics.median(cost.wall for cost in side)) for side in (ours, theirs)),
            *(mebibytes(max(cost.memory for cost in side)) for side in (ours, theirs)),
        ]

    def ratio(self, ours, theirs):
        if self.turned:
            ours, theirs = theirs, ours
        return ours / theirs if theirs else NOTHING


def run(command, part="", patience=1800):
    """Runs a command to its end; its children's costs are counted where it waited for them."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        result, output = pathlib.Path(folder, "cost"), pathlib.Path(folder, "output")
        words = [str(BUILT / "cost"), str(result), *map(str, command)]
        with open(output if part else os.devnull, "wb") as stdout:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors, start_new_session=True
            )
            code = wait(child, patience)
        if code != 0:
            errors.seek(0)
            tail = errors.read()[-1000:].decode(errors="replace").strip()
            raise Failed(f"{shlex.join(map(str, command))} ended with {code}\n{tail}")
        wall, cpu, memory = (float(word) for word in result.read_text().split())
        if part:
            # The CPU time is that of the whole program.
            wall, cpu = json.loads(output.read_text())[part], NOTHING
    return Cost(wall, cpu, memory * 1024)


def wait(child, patience):
    """Waits for a leader of a session of its own. What hangs is stopped."""
    try:
        return child.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 15)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
        return f"nothing in {patience:.0f} s"


class Table:
    """A Markdown table that is printed as it grows, and written to a file if one is wanted."""

    def __init__(self, columns, path=None):
        self.columns, self.path, self.lines = columns, path, []

    def open(self):
        self.say(machine() + "\n")
        self.say(f"| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}")

    def add(self, cells):
        self.say(f"| {' | '.join(cells)} |")

    def say(self, line):
        print(line, flush=True)
        self.lines.append(line)
        if self.path:
            pathlib.Path(self.path).write_text("\n".join(self.lines) + "\n")


def machine():
    """The command and what it ran on, in a line."""
    command = shlex.join([os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]])
    rustc = first_line(["rustc", "--version"]).split(" (")[0]
    facts = [
        f"{os.cpu_count()} CPUs ({processor()})",
        f"{platform.system()} {platform.release()}",
        rustc,
        f"{platform.python_implementation()} {platform.python_version()}",
    ]
    today = datetime.date.today()
    return f"`{command}`, {today.day} {today:%B %Y}: {', '.join(facts)}"


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return f"no {command[0]}"
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def build(jobrun=None, quick=False):
    """Builds what measures, and jobrun unless one is given; gives the path of jobrun. What is built
    quickly is good enough to see that it works."""
    BUILT.mkdir(parents=True, exist_ok=True)
    compile_c("cost")
    if jobrun is not None:
        return pathlib.Path(jobrun).resolve()
    cargo("build", "--locked", *profile(quick), "--bin", "jobrun")
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / folder_of(quick) / "jobrun"


def build_limits(quick=False):
    """Builds the bare programs."""
    compile_c("spawn", "-pthread")
    compile_c("pingpong")
    compile_c("tiny", "-nostdlib", "-static")
    where = ["--manifest-path", str(LIMITS / "Cargo.toml"), "--target-dir", str(BUILT)]
    cargo("build", "--locked", *profile(quick), *where)


def profile(quick):
    return [] if quick else ["--release"]


def limits(quick=False):
    """The path of the bare Rust programs."""
    return str(BUILT / folder_of(quick) / "limits")


def folder_of(quick):
    return "debug" if quick else "release"


def bench(name, quick=False):
    """Builds one of jobrun's benches and gives its path."""
    how = ["test", "--no-run"] if quick else ["bench", "--no-run"]
    words = [*how, "--locked", "--bench", name, "--message-format=json-render-diagnostics"]
    done = subprocess.run(["cargo", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    made = [it for it in messages if it.get("executable") and it["target"]["name"] == name]
    return made[-1]["executable"]


def compile_c(name, *flags):
    source, program = LIMITS / f"{name}.c", BUILT / name
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", *flags, "-o", program, source], check=True)


def cargo(*words):
    subprocess.run(["cargo", *words], cwd=ROOT, check=True)


def spread(values):
    middle = statistics.median(values)
    if math.isnan(middle):
        return "–"
    return f"**{number(middle)}** ({number(min(values))}–{number(max(values))})"


def number(value):
    """With three digits that count, or so."""
    if math.isnan(value):
        return "–"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def duration(seconds):
    if math.isnan(seconds):
        return "–"
    for unit, size in [("s", 1), ("ms", 1e-3), ("µs", 1e-6)]:
        if abs(seconds) >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def mebibytes(size):
    return "–" if math.isnan(size) else f"{size / 2**20:.0f}" if size >= 10 * 2**20 else f"{size / 2**20:.1f}"
