"""Many clients at once, each group in a process of its own (many.py), since one process has too few descriptors."""
import json
import os
import subprocess
import sys

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "many.py")


class Crowd:
    def __init__(self, address, count, processes=1):
        self.processes = [subprocess.Popen([sys.executable, PROGRAM, address[0], str(address[1]), str(count // processes)],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                          for _ in range(processes)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def do(self, command):
        """The sum of what all processes answer."""
        for process in self.processes:
            process.stdin.write(command + "\n")
            process.stdin.flush()
        total = {"open": 0, "right": 0, "faults": {}}
        for process in self.processes:
            answer = json.loads(process.stdout.readline())
            total["open"] += answer["open"]
            total["right"] += answer.get("right", 0)
            for fault, count in answer["faults"].items():
                total["faults"][fault] = total["faults"].get(fault, 0) + count
        return total
