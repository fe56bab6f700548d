"""How close jobrun's order comes to the best one: rows of makespans, with known durations."""

import json
import math
import os
import pathlib
import subprocess

from measure import ROOT, Cost, Failed, Known, Row, Side
from work import layered_graph, micros, trace

WORKERS = 8
# Real workflows, which are no part of the project: beside it, or where JOBRUN_WORKLOADS says.
TRACES = pathlib.Path(os.environ.get("JOBRUN_WORKLOADS", ROOT.parent / "shared" / "workloads"))
# One of these is run with real sleeps.
SLEEPS = "cycles-chameleon"


class Planned:
    """A side that takes as long as `jobrun plan` says: the schedule itself under a virtual clock."""

    def __init__(self, jobs, name, graph):
        path = jobs.write(f"{name}.toml", graph.manifest(WORKERS))
        command = [jobs.jobrun, "plan", path, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"jobrun plan {path}\n{done.stderr}")
        self.makespan = json.loads(done.stdout)["makespan"]

    def measure(self):
        return Cost(self.makespan)


def rows_of_makespans(jobs, work):
    """Each graph takes so many seconds of work all together where it is run with real sleeps."""
    for name, graph in graphs():
        what = f"{name}, {len(graph.after):,} tasks, {WORKERS} workers, planned"
        graph = graph.scaled(1000.0)
        planned = Planned(jobs, name, graph)
        best, fifo = (graph.list_schedule(WORKERS, by_path) for by_path in (True, False))
        yield Row("P9", f"{what} / list schedule by critical path", "≤ 1.02", planned, Known(best))
        yield Row("P9", "the same / first come, first served", "", planned, Known(fifo))
        bound = Known(graph.bound(WORKERS))
        yield Row("P9", "the same / max(critical path, work ÷ workers)", "", planned, bound)
        if name in ("layers", SLEEPS):
            yield row_of_sleeps(jobs, name, graph.scaled(work))


def row_of_sleeps(jobs, name, graph):
    command = jobs.run(f"{name}-sleeps", graph.manifest(WORKERS, sleep))
    best = Known(graph.list_schedule(WORKERS))
    what = f"{name}, run with {math.fsum(graph.seconds):.0f} s of sleeps / list schedule"
    return Row("P9", what, "≤ 1.02", Side(command, 1), best)


def sleep(seconds):
    return f'run = ["sleep", "{micros(seconds) / 1e6 if seconds else 0:f}"]'


def graphs():
    yield "layers", layered_graph(12, 24)
    paths = sorted((TRACES / "data").glob("*.json.gz"))
    if not paths:
        print(f"benches/run: no {TRACES}, P9 goes without real workflows", flush=True)
    for path in paths:
        name = "-".join(path.name.partition(".")[0].split("-")[:2])
        yield name, trace(path)
