"""What CPython's `concurrent.futures` answers to the scenarios of tests/it/differential.rs.

Reads a JSON list of scenarios on standard input and writes the list of answers to standard output.
Only the standard library is used, and only public names of it.

A scenario: {"workers": 2, "style": "submit" | "map", "return_when": "ALL_COMPLETED",
"timeout": null | seconds, "cancel_pending": false, "tasks": [{"seconds": 0.06, "fails": false,
"after": null | index}]}. A task that is `after` another never runs here: it stands for a future that
is cancelled because what it needs failed.
"""

import concurrent.futures as cf
import json
import sys
import threading
import time

# So many scenarios run at once; each sleeps nearly all of its time.
SCENARIOS_AT_ONCE = 12


class Pool(cf.ThreadPoolExecutor):
    """Keeps the futures of `submit`, which `map` calls too, in the order of submission."""

    def __init__(self, workers):
        super().__init__(workers)
        self.futures = []

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        self.futures.append(future)
        return future


class Iteration(threading.Thread):
    """Reads `as_completed` to its end, or to its timeout, beside the wait."""

    def __init__(self, futures, timeout):
        super().__init__()
        self.futures, self.timeout = futures, timeout
        self.order, self.message = [], None

    def run(self):
        try:
            for future in cf.as_completed(self.futures, self.timeout):
                self.order.append(self.futures.index(future))
        except cf.TimeoutError as error:
            self.message = str(error)


def answer(scenario):
    """The answer to one scenario, with how it would be were no cancelled future notified."""
    result = run(scenario, notify=True)
    if any(task["after"] is not None for task in scenario["tasks"]):
        result["unnotified"] = run(scenario, notify=False)
    return result


def run(scenario, notify):
    tasks, timeout = scenario["tasks"], scenario["timeout"]
    roots = [index for index, task in enumerate(tasks) if task["after"] is None]
    pool, started, order = Pool(scenario["workers"]), threading.Semaphore(0), []

    def body(index):
        started.release()
        time.sleep(tasks[index]["seconds"])
        if tasks[index]["fails"]:
            raise RuntimeError(f"task {index}")
        return f"v{index}"

    mapped = None
    if scenario["style"] == "map":
        mapped = pool.map(body, roots)
    else:
        for index in roots:
            pool.submit(body, index)
    futures = with_dependents(pool.futures, tasks, notify)
    for index, future in enumerate(futures):
        future.add_done_callback(lambda _, index=index: order.append(index))
    # Which futures a shutdown can still cancel depends on which have started.
    for _ in range(min(scenario["workers"], len(roots))):
        started.acquire()

    iteration = None
    if not scenario["cancel_pending"]:
        iteration = Iteration(futures, timeout)
        iteration.start()
    done, not_done = cf.wait(futures, timeout, getattr(cf, scenario["return_when"]))
    states_of_done = {state(future) for future in done}
    pool.shutdown(cancel_futures=scenario["cancel_pending"])
    if iteration:
        iteration.join()

    return {
        "done": sorted(map(futures.index, done)),
        "not_done": sorted(map(futures.index, not_done)),
        "released": released(scenario["return_when"], states_of_done, not_done),
        "order": [index for index in order if not futures[index].cancelled()],
        "outcomes": [state(future) for future in futures],
        "results": [value(future) for future in futures],
        "as_completed": iteration and iteration.order,
        "message": iteration and iteration.message,
        "mapped": mapped and until_error(mapped),
    }


def with_dependents(roots, tasks, notify):
    """All futures by index: those that run, and those cancelled because what they need ended."""
    remaining, futures = iter(roots), []
    for task in tasks:
        if task["after"] is None:
            futures.append(next(remaining))
            continue
        dependent = cf.Future()
        futures.append(dependent)
        futures[task["after"]].add_done_callback(lambda _, it=dependent: cancel(it, notify))
    return futures


def cancel(future, notify):
    if future.cancel() and notify:
        future.set_running_or_notify_cancel()


def released(policy, states_of_done, not_done):
    """Whether the wait returned because its policy was met, not because its time was over."""
    if not not_done:
        return True
    if policy == "FIRST_COMPLETED":
        return bool(states_of_done)
    return policy == "FIRST_EXCEPTION" and "failed" in states_of_done


def state(future):
    if future.cancelled() or not future.done():
        return "cancelled" if future.cancelled() else "unfinished"
    return "failed" if future.exception() else "succeeded"


def value(future):
    return future.result() if state(future) == "succeeded" else None


def until_error(mapped):
    """What a loop over `Executor.map` gets before the first error ends it."""
    values = []
    try:
        for item in mapped:
            values.append(item)
    except (RuntimeError, cf.CancelledError):
        pass
    return values


def main():
    scenarios = json.load(sys.stdin)
    with cf.ThreadPoolExecutor(SCENARIOS_AT_ONCE) as pool:
        json.dump(list(pool.map(answer, scenarios)), sys.stdout)


if __name__ == "__main__":
    main()
