"""Lines of several processes with one output."""

import os
import subprocess
import sys
import time

PROCESSES = "abcd"
LINES = 300
WRITE = """
import sys
from contextbridge_server.telemetry.writer import LineWriter

name = sys.argv[1]
writer = LineWriter(sys.stdout.fileno())
for number in range(int(sys.argv[2])):
    # Some fit what a pipe takes at once, some fill it several times.
    writer.write((name * (40 if number % 50 else 200_000)).encode() + b" %d" % number)
writer.close(60)
"""


def test_lines_of_several_processes_are_whole_and_in_order_whatever_their_length():
    reading, writing = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, name, str(LINES)], stdout=writing)
        for name in PROCESSES
    ]
    os.close(writing)
    written = b""
    while part := os.read(reading, 65_536):
        written += part
        time.sleep(0.001)  # Slower than they write, so that the pipe is full.
    os.close(reading)
    for writer in writers:
        assert writer.wait(30) == 0

    found = {name: [] for name in PROCESSES}
    for line in written.decode().splitlines():
        text, _, number = line.partition(" ")
        assert len(set(text)) == 1
        found[text[0]].append(int(number))
    assert all(numbers == list(range(LINES)) for numbers in found.values())
