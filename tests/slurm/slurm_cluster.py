"""A real Slurm on this machine: Debian's slurm-wlm and munge, on loopback, without accounting, all files in one folder."""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PACKAGES = ("slurm-wlm", "munge")
CONFIG = Path("/etc/slurm/slurm.conf")  # SLURM_CONF would not reach the commands inside a job
OURS = "# made by a test; to be removed\n"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
INSTALL_S, START_S, STOP_S = 300, 180, 20
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
MinJobAge=7200
SlurmdTimeout=20
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdSpoolDir={folder}/slurmd
StateSaveLocation={folder}/slurmctld
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""


def why_not() -> str:
    """Return why Slurm cannot start here; "" if it can. Installs it if necessary."""
    if os.geteuid() != 0:
        return "only root can start Slurm"
    if CONFIG.exists() and not CONFIG.read_text().startswith(OURS):
        return f"{CONFIG} exists: this machine has its own Slurm"
    if not _lacking():
        return ""
    if not shutil.which("apt-get"):
        return f"no {', '.join(_lacking())} here, and no apt-get to install {' and '.join(PACKAGES)} with"
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["apt-get", *command], env=env, capture_output=True, timeout=INSTALL_S, check=False)
    return f"apt-get could not install {' and '.join(PACKAGES)} (offline?)" if _lacking() else ""


def _lacking() -> list[str]:
    return [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]


class Slurm:
    """A cluster of one node, with one partition, `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.daemons = folder, {}
        (folder / "slurmctld").mkdir(parents=True)
        (folder / "slurmd").mkdir()
        folder.chmod(0o755)
        ports = _free_ports(2)
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.write_text(
            OURS
            + CONFIGURATION.format(
                host=socket.gethostname().split(".")[0], controller_port=ports[0], node_port=ports[1], folder=folder,
                cpus=os.cpu_count(), memory_mb=int(psutil.virtual_memory().total / 2**20 * 0.8),
            )
        )  # fmt: skip
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)

    def start(self) -> None:
        """Start the daemons and wait until the node is idle."""
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        words = [f"--{option}={self.folder}/munge.{ending}" for option, ending in places.items()]
        self._start("munged", "--foreground", "--force", *words)
        _until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._start("slurmctld", "-D")
        self.start_node()

    def start_node(self) -> None:
        """Start slurmd, also after it has been killed."""
        self._start("slurmd", "-D")
        _until(lambda: self.ask("sinfo", "-h", "-o", "%T") in ("idle", "mixed", "allocated"), "the node")

    def ask(self, *command: str) -> str:
        """Return what a Slurm command prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout.strip()

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons, the node's first."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.ask("scancel", "--full", "--signal=KILL", "--user=root")
            self.ask("scancel", "--user=root")
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self.daemons:
                _end(self.daemons.pop(name))
        CONFIG.unlink(missing_ok=True)

    def _start(self, name: str, *words: str) -> None:
        log = (self.folder / f"{name}.out").open("ab")
        program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        command = ["setpriv", "--pdeathsig", "TERM", program, *words]  # they end with this process
        self.daemons[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Yield a cluster and remove it with all its jobs afterwards; one at a time per machine."""
    with (Path(tempfile.gettempdir()) / "catscans-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        slurm = Slurm(folder)
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()


def _end(process: subprocess.Popen) -> None:
    """Stop a daemon; kill it if it does not react."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(holds, what: str) -> None:
    end = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < end, f"{what} did not come up in {START_S} s"
        time.sleep(0.1)


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
