"""What the kernel holds for a server's sockets, as `ss` tells it."""

import re
import subprocess

# Receive queue, send queue and what is set aside for either; see ss(8), "skmem".
MEMORY = re.compile(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+)")


def kernel_kib(port, count):
    """Of the `count` sockets that hold most, on this port's side, in whatever state they are."""
    if not count:
        return 0
    told = subprocess.run(
        ["ss", "-H", "-t", "-a", "-n", "-m", f"sport = :{port}"], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    held = sorted((sum(map(int, found.groups())) for found in MEMORY.finditer(told)), reverse=True)
    return sum(held[:count]) / 1024
