"""Other programs: found, or installed by the name of a package. Knows nothing of what is done with them."""

import os
import shutil
import subprocess
import sys

from measure import ROOT

FOLDER = ROOT / "target" / "peers"


class Missing(Exception):
    """A peer cannot be had."""


class Shop:
    """Finds programs and installs those that are not there."""

    def __init__(self, may_install):
        self.may_install = may_install
        self.python = FOLDER / "python" / "bin"
        os.environ["PATH"] += f":{FOLDER / 'cargo' / 'bin'}:{self.python}"

    def get(self, peer):
        """The path of a peer's program. For one that is a Python package: of the Python that has it."""
        reasons = []
        if peer.program == "python" and not peer.packages:
            return sys.executable
        if path := self.look(peer):
            return path
        if not self.may_install:
            raise Missing("not installed, and nothing was to be installed")
        for package in peer.packages:
            kind, _, name = package.partition(":")
            try:
                getattr(self, kind)(name)
            except (Missing, OSError, subprocess.SubprocessError) as error:
                reasons.append(f"{kind}: {reason(error)}")
                continue
            if path := self.look(peer):
                return path
            reasons.append(f"the {kind} package `{name}` has no program `{peer.program}`")
        raise Missing("; ".join(reasons) or "there is no package of this name")

    def look(self, peer):
        if peer.program != "python":
            return shutil.which(peer.program)
        module = peer.packages[0].partition(":")[2]
        python = self.python / "python"
        has = [python, "-c", f"import {module}"]
        there = python.exists() and subprocess.run(has, capture_output=True, check=False)
        return str(python) if there and there.returncode == 0 else None

    def apt(self, name):
        if not shutil.which("apt-get"):
            raise Missing("no apt-get here")
        if os.geteuid() != 0:
            raise Missing("needs root")
        install(["apt-get", "install", "-y", "--no-install-recommends", name])

    def cargo(self, name):
        folder = FOLDER / "cargo"
        install(["cargo", "install", "--locked", "--root", folder, "--target-dir", folder / "build", name])

    def pip(self, name):
        if not (self.python / "pip").exists():
            install([sys.executable, "-m", "venv", FOLDER / "python"])
        install([self.python / "pip", "install", "--disable-pip-version-check", name])


def install(command):
    words = [str(word) for word in command]
    print(f"benches: {' '.join(words)}", file=sys.stderr, flush=True)
    subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def reason(error):
    """The last line that says something."""
    text = getattr(error, "stderr", None) or str(error)
    return text.strip().rpartition("\n")[2]
