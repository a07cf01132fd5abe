#!/usr/bin/python3
"""The hands of bench/run.py on one host (or in one network namespace): it starts processes, stops them, and
reads what the kernel says about them.

It takes one JSON object a line on standard input, {"op": NAME, ...arguments}, and answers each with one line,
{"value": ...} or {"error": SENTENCE}. When its input ends, for whatever reason, it ends everything that it
started and itself, so nothing outlives a bench that was interrupted or killed. Standard library only: a
remote host needs no more than Python.
"""

import ctypes
import http.client
import json
import os
import platform
import queue
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

PR_SET_PDEATHSIG = 1
USER_HZ = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """Something to tell the person at the other end, as a sentence."""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Process:
    """A child with its output in files, its own session, and a death bound to ours."""

    def __init__(self, directory, argv, cpu):
        self.name = os.path.basename(argv[0])
        self.out = tempfile.TemporaryFile(dir=directory)
        self.err = tempfile.TemporaryFile(dir=directory)
        try:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=self.out, stderr=self.err, cwd=directory,
                start_new_session=True, preexec_fn=lambda: prepare_child(cpu))
        except (OSError, subprocess.SubprocessError) as error:
            raise Trouble(f"{argv[0]} does not start: {error}") from error
        self.pid = self.popen.pid

    def output(self):
        return [os.pread(file.fileno(), 1 << 22, 0).decode(errors="replace") for file in (self.out, self.err)]

    def complain(self, what):
        out, err = self.output()
        tail = (err.strip() or out.strip())[-600:]
        raise Trouble(f"{self.name} {what}" + (f": {tail}" if tail else ""))

    def wait(self, timeout_s):
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        """SIGTERM, three seconds, then SIGKILL for it and for what it forked."""
        family = family_of(self.pid)
        if self.popen.poll() is None:
            self.popen.terminate()
            if self.wait(3) is None:
                for pid in family:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.wait(3)
        self.popen.stdin.close()
        self.out.close()
        self.err.close()


def prepare_child(cpu):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def family_of(pid):
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                found += [int(child) for child in read(f"/proc/{parent}/task/{task}/children").split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def on_cpu_ns(pid):
    """Of all threads of the family: schedstat's first field, which has the kernel's work for them too."""
    total = 0
    for member in family_of(pid):
        for task in os.listdir(f"/proc/{member}/task"):
            total += int(read(f"/proc/{member}/task/{task}/schedstat").split()[0])
    return total


def core_times(cpu):
    """Seconds idle (exact: the kernel notes when it goes idle) and seconds busy (sampled at each tick)."""
    for line in read("/proc/stat").splitlines():
        fields = line.split()
        if fields[0] == f"cpu{cpu}":
            user, nice, system, idle, iowait, *interrupted = (int(field) / USER_HZ for field in fields[1:9])
            return idle + iowait, user + nice + system + sum(interrupted)  # irq, softirq, steal
    raise Trouble(f"this host has no core {cpu}")


class Agent:
    """Each public method is an operation."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="weir-bench-")
        os.chmod(self.directory, 0o755)
        self.processes = {}

    def close(self):
        for process in list(self.processes.values()):
            process.stop()
        self.processes.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def facts(self):
        cpu = [line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines()
               if line.startswith("model name")]
        release = dict(line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)
        memory = int(read("/proc/meminfo").split()[1]) * 1024
        return {"cpu": cpu[0] if cpu else platform.machine(), "cores": os.cpu_count(), "memory": memory,
                "kernel": platform.release(), "system": release.get("PRETTY_NAME", "Linux").strip('"'),
                "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "is_root": os.geteuid() == 0}

    def settle(self, cpu):
        """Keeps this agent itself off the proxy's core, and lets children have all descriptors."""
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def missing(self, paths):
        """Those of the programs that are not there."""
        return [path for path in paths if not shutil.which(path)]

    def free_ports(self, address, count):
        """Below the range from which connections take theirs, so that none takes one of these meanwhile."""
        ports = []
        for port in range(18200, 32000):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError:
                    continue
            ports.append(port)
            if len(ports) == count:
                return ports
        raise Trouble(f"no {count} free ports on {address}")

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self, argv, cpu):
        process = Process(self.directory, argv, cpu)
        self.processes[process.pid] = process
        return process.pid

    def stop(self, pid):
        self.processes.pop(pid).stop()

    def run(self, argv, cpu, timeout_s):
        """To its end; {"out", "err"}. A program that fails or stays too long is trouble."""
        process = Process(self.directory, argv, cpu)
        self.processes[process.pid] = process
        try:
            status = process.wait(timeout_s)
            if status is None:
                process.complain(f"did not end within {timeout_s} seconds")
            if status != 0:
                process.complain(f"failed with status {status}")
            out, err = process.output()
            return {"out": out, "err": err}
        finally:
            del self.processes[process.pid]
            process.stop()

    def first_line(self, pid, timeout_s):
        """Waits for the first line that a started process prints."""
        process, end = self.processes[pid], time.monotonic() + timeout_s
        while time.monotonic() < end:
            out = process.output()[0]
            if "\n" in out:
                return out.split("\n")[0]
            if process.wait(0.05) is not None:
                process.complain("ended early")
        process.complain(f"printed nothing within {timeout_s} seconds")
        return None

    def finish(self, pid, timeout_s):
        """Ends a started process's input and returns its last line."""
        process = self.processes[pid]
        process.popen.stdin.write(b"\n")
        process.popen.stdin.flush()
        if process.wait(timeout_s) != 0:
            process.complain("did not end well")
        return process.output()[0].strip().split("\n")[-1]

    def wait_listening(self, pid, port, is_udp=False):
        """Asks the kernel, not the port: a connection would reach the origin through a TCP proxy."""
        process, end, wanted = self.processes[pid], time.monotonic() + 10, f":{port:04X}"
        while time.monotonic() < end:
            if process.wait(0.02) is not None:
                process.complain("ended at once")
            sockets = [line.split() for line in read("/proc/self/net/udp" if is_udp else "/proc/self/net/tcp").splitlines()[1:]]
            if any(fields[1].endswith(wanted) and fields[3] == ("07" if is_udp else "0A") for fields in sockets):
                return
        process.complain(f"does not listen on port {port} after 10 seconds")

    def pause(self, seconds):
        time.sleep(seconds)

    def fetch(self, address, port, path, is_secure):
        """One GET, over TLS with whomever if `is_secure`; {"status", "bytes", "cipher"}."""
        connection = http.client.HTTPSConnection(address, port, timeout=10, context=ssl._create_unverified_context()) if is_secure else \
            http.client.HTTPConnection(address, port, timeout=10)
        try:
            connection.request("GET", path)
            cipher = " ".join(connection.sock.cipher()[:2]) if is_secure else None
            response = connection.getresponse()
            return {"status": response.status, "bytes": len(response.read()), "cipher": cipher}
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"GET http://{address}:{port}{path}: {error!r}") from error
        finally:
            connection.close()

    def sample(self, pid, cpu):
        idle, busy = core_times(cpu)
        return {"now": time.monotonic(), "on_cpu": on_cpu_ns(pid) / 1e9, "idle": idle, "busy": busy}

    def memory(self, pid):
        """Bytes over the family: PSS, and the part of it that is the program's own data."""
        total = {"pss": 0, "anonymous": 0}
        for member in family_of(pid):
            lines = read(f"/proc/{member}/smaps_rollup").splitlines()[1:]
            fields = dict(line.split(":", 1) for line in lines)
            total["pss"] += int(fields["Pss"].split()[0]) * 1024
            total["anonymous"] += int(fields.get("Pss_Anon", fields["Anonymous"]).split()[0]) * 1024
        return total


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # our end comes with the end of our input
    requests = queue.Queue()
    agent = Agent()

    def end(*_):
        agent.close()
        os._exit(0)

    def listen():
        for line in sys.stdin:
            requests.put(json.loads(line))
        end()  # not after the operation in progress: that may be a long load

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    threading.Thread(target=listen, daemon=True).start()
    while True:
        request = requests.get()
        try:
            answer = {"value": getattr(agent, request.pop("op"))(**request)}
        except Trouble as trouble:
            answer = {"error": str(trouble)}
        except Exception as error:  # the other end has to hear of a mistake here, too
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
