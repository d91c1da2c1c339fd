"""Native code in a locked process: tries every way out and says what became of each.

Run in a process of its own with the number of the trainer's process and a folder that
holds a victim. Prints one JSON object: for every attempt the errno, or 0 where it
succeeded.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import sys

# By the numbers of x86_64, so that no wrapper of libc stands in between.
CALLS = {
    "fork": (57,),
    "vfork_by_clone": (56, 0x4100, 0, 0, 0, 0),
    "clone_process": (56, 17, 0, 0, 0, 0),
    "clone_namespaces": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 0, 88),
    "execve": (59, b"/bin/true\0", 0, 0),
    "execveat": (322, -100, b"/bin/true\0", 0, 0, 0),
    "kill_trainer": (62, "trainer", 0),
    "tgkill_trainer": (234, "trainer", "trainer", 0),
    "rt_sigqueueinfo": (129, "trainer", 10, 0),
    "pidfd_open": (434, "trainer", 0),
    "ptrace": (101, 16, "trainer", 0, 0),
    "process_vm_readv": (310, "trainer", 0, 0, 0, 0, 0),
    "process_vm_writev": (311, "trainer", 0, 0, 0, 0, 0),
    "prlimit_trainer": (302, "trainer", 7, 0, 0),
    "setpriority_trainer": (141, 0, "trainer", 19),
    "sched_setaffinity": (203, "trainer", 8, b"\1\0\0\0\0\0\0\0"),
    "open": (2, b"/etc/passwd\0", 0, 0),
    "open_write": (2, "sentinel", 0o101, 0o600),
    "openat": (257, -100, b"/etc/passwd\0", 0, 0),
    "openat2": (437, -100, b"/etc/passwd\0", b"\0" * 24, 24),
    "open_proc": (2, b"/proc/self/environ\0", 0, 0),
    "creat": (85, "sentinel", 0o600),
    "mkdir": (83, "sentinel", 0o700),
    "symlink": (88, b"/etc\0", "sentinel"),
    "link": (86, b"/etc/passwd\0", "sentinel"),
    "mknod": (133, "sentinel", 0o10600, 0),
    "unlink": (87, "victim"),
    "rename": (82, "victim", "sentinel"),
    "chmod": (90, "victim", 0o777),
    "truncate": (76, "victim", 0),
    "ftruncate_mirror": (77, "mirror", 0),
    "fallocate_mirror": (285, "mirror", 3, 0, 4096),
    "getdents": (78, 0, 0, 0),
    "chdir": (80, b"/tmp\0"),
    "chroot": (161, b"/tmp\0"),
    "mount": (165, b"none\0", b"/tmp\0", b"tmpfs\0", 0, 0),
    "socket_inet": (41, 2, 1, 0),
    "socket_unix": (41, 1, 1, 0),
    "socket_netlink": (41, 16, 3, 0),
    "socketpair": (53, 1, 1, 0, b"\0" * 8),
    "connect": (42, "channel", b"\2\0\xb8\x09\x7f\0\0\1" + b"\0" * 8, 16),
    "bind": (49, "channel", b"\1\0" + b"\0dux", 6),
    "listen": (50, "channel", 1),
    "unshare": (272, 0x40000000),
    "setns": (308, "channel", 0),
    "prctl_dumpable": (157, 4, 1, 0, 0, 0),
    "prctl_death_signal": (157, 1, 0, 0, 0, 0),
    "seccomp": (317, 0, 0, 0),
    "setrlimit": (160, 1, b"\xff" * 16),
    "setuid": (105, 0),
    "setsid": (112,),
    "memfd_create": (319, b"x\0", 0),
    "memfd_secret": (447, 0),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 4, b"\0" * 120),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "keyctl": (250, 0, 0, 0, 0, 0),
    "add_key": (248, b"user\0", b"x\0", b"x", 1, -2),
    "shmget": (29, 0, 4096, 0o1600),
    "msgget": (68, 0, 0o1600),
    "mq_open": (240, b"x\0", 0o100, 0o600, 0),
    "dup": (32, "channel"),
    "pipe": (22, b"\0" * 8),
    "eventfd": (290, 0, 0),
    "inotify_init": (294, 0),
    "timer_create": (222, 0, 0, b"\0" * 8),
    "reboot": (169, 0, 0, 0, 0),
    "personality": (135, 0x0040000),
    "syslog": (103, 10, 0, 0),
    "vmsplice": (278, "channel", 0, 0, 0),
    "sched_setscheduler": (144, 0, 1, b"\1\0\0\0"),
}
_ARGUMENTS = 6


def attempt(libc, call, places):
    """Make one system call; the errno, or 0 where it was carried out."""
    number, *arguments = call
    ready = []
    for argument in arguments:
        if isinstance(argument, str):
            argument = places[argument]
        if isinstance(argument, bytes):
            argument = ctypes.create_string_buffer(argument)
        else:
            argument = ctypes.c_long(argument)
        ready.append(argument)
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *ready)
    if result == 0 and call[0] in (56, 57):
        os._exit(0)  # we are the fork
    return ctypes.get_errno() if result < 0 else 0


def main(trainer: int, folder: str) -> None:
    import pyseccomp  # noqa: F401  (as the warm process does, before it forks)

    from dux_sandbox.process import jail

    channel = socket.socket(fileno=0)
    mirror = os.memfd_create("mirror")
    os.ftruncate(mirror, 1 << 16)
    libc = ctypes.CDLL(None, use_errno=True)
    held = {layer.name: layer.active for layer in jail.lock(1 << 30)}
    places = {"trainer": trainer, "channel": 0, "mirror": mirror}
    places |= {name: f"{folder}/{name}".encode() for name in ("victim", "sentinel")}
    found = {name: attempt(libc, call, places) for name, call in CALLS.items()}
    # A signal by the back door: ask the kernel to tell the trainer of every message.
    for name, request in (
        ("F_SETOWN", lambda: fcntl.fcntl(0, fcntl.F_SETOWN, trainer)),
        ("F_SETSIG", lambda: fcntl.fcntl(0, 10, int(signal.SIGUSR1))),
        ("O_ASYNC", lambda: fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC | os.O_RDWR)),
        ("FIOASYNC", lambda: fcntl.ioctl(0, 0x5452, b"\1\0\0\0")),
        ("TIOCSTI", lambda: fcntl.ioctl(0, 0x5412, b"x")),
    ):
        try:
            request()
            found[name] = 0
        except OSError as error:
            found[name] = error.errno or errno.EINVAL
    channel.sendall(json.dumps({"held": held, "found": found}).encode() + b"\n")
    channel.recv(1)  # the trainer writes now: does the kernel signal it?
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
