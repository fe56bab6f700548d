"""What is run: manifests and the same work for others. Knows nothing of measuring."""

import collections
import gzip
import heapq
import json
import pathlib
import random

from measure import WORKERS

# As many as the build of Chromium has.
NODES = 88_619
EDGES = 179_683


class Jobs:
    """Writes manifests and other files into a folder and gives the commands that run them."""

    def __init__(self, jobrun, folder):
        self.jobrun, self.folder = str(jobrun), pathlib.Path(folder)

    def run(self, name, manifest, *options):
        return self.run_file(self.write(f"{name}.toml", manifest), *options)

    def run_file(self, path, *options):
        return [self.jobrun, str(path), "--output", "none", "--progress", "none", *options]

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def children(self, name, program, count):
        return self.run(f"{name}-{count}", job("thread", "t", f"run = [{quoted(program)}]", count))

    def calls(self, kind, count):
        return self.run(f"{kind}-{count}", job(kind, "echo", 'call = "echo"', count))

    def empty(self):
        return self.run("empty", '[[task]]\nname = "nothing"\ncall = "echo"\nargs = [0]\n')


def job(kind, task, body, count):
    return (
        f"{executor(kind, WORKERS)}\n"
        f'[[task]]\nname = "{task}"\n{body}\nmap = {{ range = [0, {count}] }}\n'
    )


def executor(kind, workers):
    return f'[executor]\nkind = "{kind}"\nmax_workers = {workers}\n'


def quoted(text):
    return json.dumps(str(text))


# Graphs -------------------------------------------------------------------------------------------


class Graph:
    """Nodes by number, each after some with smaller numbers, and how long each takes in seconds."""

    def __init__(self, after, seconds=None):
        self.after = after
        self.seconds = seconds or [0.0] * len(after)

    def manifest(self, workers, action=None):
        """A task a node. `action` gives what a node does from how long it takes; nothing if absent.
        An estimate is written where a node takes any time."""
        lines = [executor("thread", workers)]
        for node, after in enumerate(self.after):
            lines.append(f'[[task]]\nname = "t{node}"')
            lines.append(action(self.seconds[node]) if action else 'call = "echo"\nargs = [0]')
            if after:
                lines.append(f"after = {json.dumps([f't{it}' for it in after])}")
            if self.seconds[node] > 0:
                lines.append(f'estimate = "{micros(self.seconds[node])}us"')
        return "\n".join(lines) + "\n"

    def ninja(self):
        lines = (f"build t{node}: phony {names(it)}".rstrip() for node, it in enumerate(self.after))
        return "\n".join(lines) + "\n"

    def makefile(self):
        nodes = range(len(self.after))
        rules = (f"t{node}: {names(it)}".rstrip() for node, it in enumerate(self.after))
        return f"all: {names(nodes)}\n.PHONY: all {names(nodes)}\n" + "\n".join(rules) + "\n"

    def scaled(self, work):
        """The same graph, taking so many seconds all together."""
        factor = work / sum(self.seconds)
        # Whole microseconds, as in the manifest.
        scaled = [micros(it * factor) / 1e6 if it else 0.0 for it in self.seconds]
        return Graph(self.after, scaled)

    def levels(self):
        """How long it takes from the start of each node to the end of everything after it."""
        below = [0.0] * len(self.after)
        for node in reversed(range(len(self.after))):
            below[node] += self.seconds[node]
            for it in self.after[node]:
                below[it] = max(below[it], below[node])
        return below

    def bound(self, workers):
        """No schedule is shorter."""
        return max(max(self.levels()), sum(self.seconds) / workers)

    def list_schedule(self, workers, by_path=True):
        """The makespan of a greedy schedule that never idles: of what is ready, the longest way to
        the end first, or else first come, first served."""
        below = self.levels()
        successors = [[] for _ in self.after]
        for node, after in enumerate(self.after):
            for it in after:
                successors[it].append(node)
        missing = [len(after) for after in self.after]
        arrival, ready, running, now = 0, [], [], 0.0
        arrived = collections.deque(node for node, count in enumerate(missing) if count == 0)
        while arrived or ready or running:
            while arrived:
                node = arrived.popleft()
                heapq.heappush(ready, (-below[node] if by_path else 0, arrival, node))
                arrival += 1
            while ready and len(running) < workers:
                node = heapq.heappop(ready)[-1]
                heapq.heappush(running, (now + self.seconds[node], node))
            now = running[0][0]
            while running and running[0][0] == now:
                for it in successors[heapq.heappop(running)[1]]:
                    missing[it] -= 1
                    if missing[it] == 0:
                        arrived.append(it)
        return now


def micros(seconds):
    return max(1, round(seconds * 1e6))


def names(nodes):
    return " ".join(f"t{node}" for node in nodes)


def build_graph(nodes, edges):
    """Like that of a large build: so many nodes and edges, each node after a few at random. The same
    every time."""
    draw = random.Random(42)
    after = [set() for _ in range(nodes)]
    for _ in range(edges):
        # Only so many distinct edges fit between few nodes.
        for _ in range(100):
            later = draw.randrange(1, nodes)
            earlier = draw.randrange(later)
            if earlier not in after[later]:
                after[later].add(earlier)
                break
    return Graph([sorted(it) for it in after])


def layered_graph(layers, width):
    """Like a workflow: layers of long and short nodes, each after a few of the layer before. The
    same every time."""
    draw = random.Random(7)
    after, seconds = [], []
    for layer in range(layers):
        for _ in range(width):
            before = range((layer - 1) * width, layer * width)
            after.append(sorted(draw.sample(before, 2)) if layer else [])
            seconds.append(round(draw.paretovariate(1.2), 3))
    return Graph(after, seconds)


def trace(path):
    """A workflow with measured times, in the format WfFormat 1.5 of wfcommons.org, compressed."""
    with gzip.open(path, "rt") as file:
        workflow = json.load(file)["workflow"]
    times = {it["id"]: it.get("runtimeInSeconds") or 0.0 for it in workflow["execution"]["tasks"]}
    tasks = {it["id"]: it for it in workflow["specification"]["tasks"]}
    order, state = [], {}
    for root in tasks:
        visit(root, tasks, order, state)
    number = {it: index for index, it in enumerate(order)}
    parents = ([number[p] for p in tasks[it]["parents"] if p in number] for it in order)
    return Graph([sorted(set(it)) for it in parents], [float(times.get(it, 0.0)) for it in order])


def visit(root, tasks, order, state):
    """Adds a task to the order after all its parents."""
    stack = [root]
    while stack:
        task = stack[-1]
        if task in state:
            stack.pop()
            if state[task] == "open":
                state[task] = "closed"
                order.append(task)
            continue
        state[task] = "open"
        stack.extend(it for it in tasks[task]["parents"] if it in tasks and it not in state)
