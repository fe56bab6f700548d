"""What jobrun takes while its tasks write much or do nothing: rows of memory and of wake-ups."""

import os
import pathlib
import pty
import signal
import statistics
import subprocess
import threading
import time

from measure import Side, mebibytes, number, wait
from work import executor

SLEEPERS = 3


class OutputMemory:
    """The memory of tasks that write so many bytes all together, over that of tasks that write
    nothing. Of a task's output jobrun keeps the rest in files of the run."""

    id = "P10"

    def __init__(self, jobs, tasks, size):
        self.jobs, self.tasks, self.size = jobs, tasks, size

    def cells(self, pairs):
        full, empty = (self.side(size) for size in (self.size // self.tasks, 0))
        over, ours, theirs = [], [], []
        for _ in range(pairs):
            ours.append(full.measure())
            theirs.append(empty.measure())
            over.append(ours[-1].memory - theirs[-1].memory)
            self.forget_files()
        what = f"{count(self.tasks)} with {self.size / 2**30:.3g} GiB of output / with none: memory"
        return [
            self.id, what, "≤ 64 MiB over", f"**{mebibytes(statistics.median(over))} MiB** over", "–",
            *(f"{statistics.median(it.wall for it in side):.2f} s" for side in (ours, theirs)),
            *(mebibytes(max(it.memory for it in side)) for side in (ours, theirs)),
        ]

    def side(self, size):
        manifest = (
            f"{executor('thread', self.tasks)}\n[[task]]\nname = \"t\"\n"
            f'run = ["head", "-c", "{size}", "/dev/zero"]\nmap = {{ range = [0, {self.tasks}] }}\n'
        )
        return Side(self.jobs.run(f"output-{self.tasks}-{size}", manifest), 1)

    def forget_files(self):
        """Else they would fill the disk."""
        state = pathlib.Path(os.environ["JOBRUN_STATE_DIR"])
        subprocess.run(["rm", "-rf", str(state)], check=True)


class Wakes:
    """How often the threads of jobrun wake up while all workers sleep."""

    id = "P10"

    def __init__(self, jobs, progress, seconds):
        self.jobs, self.progress, self.seconds = jobs, progress, seconds

    def cells(self, pairs):
        rates = [self.measure() for _ in range(pairs)]
        shown = "on a terminal" if self.progress == "bar" else f"`--progress {self.progress}`"
        low, high = min(rates), max(rates)
        return [
            self.id, f"wake-ups a second while {SLEEPERS} children sleep, {shown}", "0",
            f"**{number(statistics.median(rates))}** ({number(low)}–{number(high)})",
            *("–" for _ in range(5)),
        ]

    def measure(self):
        # Long enough for both looks; it is stopped afterwards.
        manifest = (
            f"{executor('thread', SLEEPERS)}\n[[task]]\nname = \"t\"\n"
            f'run = ["sleep", "{self.seconds + 600}"]\nmap = {{ range = [0, {SLEEPERS}] }}\n'
        )
        path = self.jobs.write(f"wakes-{self.progress}.toml", manifest)
        command = [self.jobs.jobrun, path, "--progress", self.progress]
        screen, terminal = pty.openpty()
        reader = threading.Thread(target=drain, args=[screen], daemon=True)
        reader.start()
        child = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
        )
        os.close(terminal)
        try:
            family = until_asleep(child.pid)
            before, start = switches(family), time.monotonic()
            time.sleep(self.seconds)
            rate = (switches(family) - before) / (time.monotonic() - start)
        finally:
            child.send_signal(signal.SIGTERM)
            wait(child, 30)
            os.close(screen)
        return rate


def drain(screen):
    """Reads what is drawn, so that nobody waits for a reader."""
    try:
        while os.read(screen, 65536):
            pass
    except OSError:
        pass


def until_asleep(root):
    """The processes of jobrun, once all its children sleep and nothing has moved for a while."""
    for _ in range(600):
        time.sleep(0.1)
        family = descendants(root)
        sleepers = [pid for pid in family if name_of(pid) == "sleep"]
        if len(sleepers) == SLEEPERS:
            time.sleep(0.5)
            return [pid for pid in family if pid not in sleepers]
    raise TimeoutError("the children of jobrun do not start")


def descendants(root):
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found.extend(it for it, parent in parents.items() if parent == pid)
    return found


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def switches(family):
    """How often a thread of these processes went to sleep so far."""
    total = 0
    for pid in family:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            lines = (task / "status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            total += int(fields["voluntary_ctxt_switches"])
    return total


def count(tasks):
    return f"{tasks} task" if tasks == 1 else f"{tasks} tasks at once"
