"""Forks the runs of a sweep from one process, the server, which has imported all libraries: importing Keras takes seconds.

TensorFlow has not started there: a fork has one thread, and results are those of a process of its own. Snakemake starts
`python -m catscans_lib.runs.forks run KEY ...`, which passes its arguments on and becomes `catscans run KEY ...` itself if
there is no server, or if files of the library have changed since the server imported them. If one of the two ends, so does the
other. The server ends with the sweep. CATSCANS_FORKS=off starts every run on its own.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

VARIABLE = "CATSCANS_FORKS"  # set by the sweep: the address of its server
LIBRARY = Path(__file__).parents[1]
LATE = ("ipykernel.kernelapp", "papermill")  # libraries that ours imports only when it needs them
THREADS = "OMP_NUM_THREADS"  # the server computes nothing: one thread
# For glibc: keep freed memory. TensorFlow frees and takes megabytes in every step, and each page taken anew costs a fault.
MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}
DISPLAY = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "TF_CPP_MIN_LOG_LEVEL": "2"}  # as in a kernel


@contextmanager
def server() -> Iterator[tuple[int, ...]]:
    """Start a server for the runs of a sweep; yield what Snakemake must inherit: the server ends when it is closed everywhere."""
    can_fork = sys.platform == "linux" and os.environ["KERAS_BACKEND"] == "tensorflow"  # JAX has threads
    if not can_fork or os.environ.get(VARIABLE) == "off":
        yield ()
        return
    from catscans_lib.runs.records import masking

    with TemporaryDirectory(prefix="catscans-") as folder:
        address, (ended, alive) = f"{folder}/forks", os.pipe()
        with socket.socket(socket.AF_UNIX) as listener:
            try:
                listener.bind(address)
            except OSError:  # the path of the folder for temporary files is too long for an address
                yield ()
                return
            listener.listen(1024)
            given = (listener.fileno(), ended)
            command = [sys.executable, "-m", __name__, "serve", *map(str, given)]
            with masking.hidden():  # a kernel has no secrets, but shows what the server started with
                env = MEMORY | DISPLAY | dict(os.environ) | {THREADS: "1"}
                process = subprocess.Popen(command, pass_fds=given, env=env)
        os.close(ended)
        os.environ[VARIABLE] = address
        try:
            yield (alive,)
        finally:
            del os.environ[VARIABLE]
            os.close(alive)
            process.terminate()
            process.wait()


def main(words: list[str]) -> int:
    """Serve a sweep, or ask its server for a run; return the exit status."""
    if words[0] == "serve":
        return _serve(socket.socket(fileno=int(words[1])), int(words[2]))
    status = _asked(words)
    if status is None:
        os.execvp("catscans", ["catscans", *words])
    return status


def _asked(words: list[str]) -> int | None:
    """Let the server execute `catscans` with these words; None if it does not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the fork is in the terminal's foreground too, and ends
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ[VARIABLE])
            send(connection, {"words": words, "env": dict(os.environ), "cwd": str(Path.cwd())}, [0, 1, 2])
            answers = connection.makefile()
            is_started = bool(answers.readline())
        except (OSError, KeyError):
            is_started = False
        if not is_started:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return None
        return int(answers.readline() or 128 + signal.SIGKILL)


def send(connection: socket.socket, request: dict, files: list[int]) -> None:
    """Send a request to another process, and open files for it."""
    content = json.dumps(request).encode()
    socket.send_fds(connection, [len(content).to_bytes(8, "big")], files)
    connection.sendall(content)


def receive(connection: socket.socket) -> dict:
    """Receive a request: take over its environment, folder and open files as 0, 1, 2; {} if the sender has ended."""
    size, files, *_ = socket.recv_fds(connection, 8, 3)
    if not size:
        return {}
    with connection.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(size, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    return request


def _serve(listener: socket.socket, ended: int) -> int:
    """Import everything, then fork a process for every connection until the sweep has ended."""
    import gc
    import pkgutil
    import select

    import psutil

    from catscans_lib.training import silent_import

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    files = _files()
    library = (module.name for module in pkgutil.walk_packages([str(LIBRARY)], f"{LIBRARY.name}."))
    with silent_import():
        for module in (*library, *LATE):
            __import__(module)
    from catscans_lib.runs import forked_kernel, recipe

    recipe.versions()
    if psutil.Process().num_threads() > 1:
        print("catscans: the libraries have started threads, so every run imports them itself.", file=sys.stderr)
        return 1
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    signal.signal(signal.SIGCHLD, _collect)
    while ended not in select.select([listener, ended], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os.close(ended)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            forked_kernel.prepare(connection)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os._exit(_run(connection) if _files() == files else 0)
        connection.close()
    return 0


def _collect(*_: object) -> None:
    """Collect forks that have ended; the system then counts their time as the server's and the sweep's."""
    with suppress(ChildProcessError):  # all have been collected
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _files() -> dict[Path, tuple[int, int]]:
    found = {path: path.stat() for path in LIBRARY.rglob("*.py")}
    return {path: (facts.st_mtime_ns, facts.st_size) for path, facts in found.items()}


def _run(connection: socket.socket) -> int:
    """Execute `catscans` as asked for, in a fork of the server; return its exit status, after sending it."""
    import pkgutil

    catscans = pkgutil.resolve_name(f"{LIBRARY.name}.cli.main:main")  # rooms below do not import the command line
    words, status = receive(connection)["words"], 1
    connection.sendall(b"started\n")
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    name("catscans run")
    sys.argv = ["catscans", *words]
    try:
        catscans(words, "catscans")
    except SystemExit as end:  # as Python ends: no code is success, a text is printed and means failure
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(f"{status}\n".encode())
    return status


def _end_with(connection: socket.socket) -> None:
    """Kill this process when the one that asked for it has ended."""
    if not connection.recv(1):
        os.kill(os.getpid(), signal.SIGKILL)


def name(text: str) -> None:
    """Name this process, up to 15 letters: its command line is the server's."""
    Path("/proc/self/comm").write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
