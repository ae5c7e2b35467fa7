"""A Jupyter kernel that is forked instead of started, with all libraries imported.

A run's process forks its kernel first of all, while it has one thread. The fork waits until papermill asks for a kernel.
"""

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from threadpoolctl import threadpool_limits

from catscans_lib.runs import forks

PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent ends
waiting: list[tuple[int, socket.socket]] = []  # process id of the kernel that waits, and the connection to it


def options() -> dict[str, type]:
    """Return papermill's options for a run with a kernel that waits; {} for others, which start a kernel."""
    return {"kernel_manager_class": _Manager} if waiting else {}


def prepare(*others: socket.socket) -> None:
    """Fork a kernel that waits for `_Provisioner`, and ends when this process does; it closes the `others`."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if pid := os.fork():
        theirs.close()
        waiting.append((pid, ours))
        return
    for one in (ours, *others):
        one.close()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent and (request := forks.receive(theirs)):
        _be_kernel(request["command"])
    os._exit(0)


def _be_kernel(command: list[str]) -> None:
    from ipykernel import kernelapp

    os.setsid()
    forks.name("catscans kernel")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # libraries have read the number as they were imported
    threadpool_limits(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))
    sys.argv = ["ipykernel_launcher", *command[command.index("-f") :]]
    kernelapp.launch_new_instance(parent_handle=os.getppid())


class _Process(psutil.Process):
    """A forked process with what Jupyter uses of a started one."""

    stdin = stdout = stderr = None

    def poll(self) -> int | None:
        """Return the exit status, None while the process runs."""
        try:
            return self.wait(0)
        except psutil.TimeoutExpired:
            return None


class _Provisioner(LocalProvisioner):
    """Gives the kernel that waits the work that another one would be started for."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict:
        self.pid, connection = waiting.pop()
        self.process, self.pgid, self.cwd = _Process(self.pid), self.pid, kwargs.get("cwd", Path.cwd())
        forks.send(connection, {"command": cmd, "env": kwargs["env"], "cwd": str(self.cwd)}, [0, 1, 2])
        return self.connection_info


class _Manager(AsyncKernelManager):
    """Starts kernels with `_Provisioner`, which needs no entry in the environment's list of provisioners."""

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple[list[str], dict[str, Any]]:
        self.provisioner = _Provisioner(parent=self, kernel_spec=self.kernel_spec)
        return await super()._async_pre_start_kernel(**kw)
