"""Where a result comes from: versions, device, git commit, date."""

import datetime
import importlib.metadata
import pathlib
import platform
import subprocess

PACKAGES = ("grokjax", "jax", "jaxlib", "flax", "optax", "numpy")


def environment() -> dict[str, str | int]:
    """Where and with what this process computes: versions, device, git commit, date.

    The commit is that of a grokjax checkout, "-dirty" if files were changed, "" elsewhere.
    """
    import jax  # a saved result is read without it

    found = {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}
    device = jax.devices()[0]
    return found | {
        "device": device.device_kind,
        "device_count": jax.device_count(),
        "platform": device.platform,
        "git_commit": _git_commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a source tree that was not installed
        return ""


def _git_commit() -> str:
    here = pathlib.Path(__file__)
    git = ["git", "--no-optional-locks", "-C", str(here.parent)]
    try:
        # An installed grokjax may lie inside somebody else's checkout, untracked.
        for command in (
            ["ls-files", "--error-unmatch", here.name],
            ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        ):
            done = subprocess.run(git + command, capture_output=True, text=True, timeout=5)
            if done.returncode:
                return ""
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
