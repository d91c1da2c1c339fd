"""Programs that mean harm, for `tests.attacks.test_hostile_programs`.

`REACHING`: each defines `attack(x, y, e)`, which returns True where it took effect and
raises or returns False where it was denied. Names in capitals stand for what the test
puts within reach: a file with a secret, a path to write, a port that is listened on,
the trainer's process and an address in its memory.

`ANSWERING`: whole programs that answer something else than predictions, or never.
"""

from __future__ import annotations

from textwrap import indent

WRAPPED = """
import numpy as np
{body}
def fit_predict(x, y, e, seed):
    try:
        worked = 1.0 if attack(x, y, e) else 0.0
    except (OSError, RuntimeError, ImportError, ValueError):
        worked = 0.0
    except BaseException:  # misspelt, and so no attack
        worked = 2.0
    return np.full(len(e), worked)
"""

_LIBC = "import ctypes, os\nC = ctypes.CDLL(None, use_errno=True)\n"

# Names of system calls that have no wrapper in libc: numbers of x86-64.
_SYSCALLS = {
    "openat2": "437, -100, b'SECRET', ctypes.create_string_buffer(24), 24",
    "pidfd_getfd": "438, C.syscall(434, TRAINER, 0), 0, 0",
    "pidfd_send_signal": "424, C.syscall(434, TRAINER, 0), 0, None, 0",
    "process_vm_writev": "311, TRAINER, None, 0, None, 0, 0",
    "process_madvise": "440, 3, None, 0, 4, 0",
    "kcmp": "312, TRAINER, os.getpid(), 1, 0, 0",
    "io_uring_setup": "425, 8, ctypes.create_string_buffer(256)",
    "bpf": "321, 0, ctypes.create_string_buffer(64), 64",
    "userfaultfd": "323, 0",
    "perf_event_open": "298, ctypes.create_string_buffer(128), 0, -1, -1, 0",
    "add_key": "248, b'user', b'a', b'b', 1, -3",
    "keyctl": "250, 0, -3, 0",
    "setns": "308, 3, 0",
    "unshare": "272, 0x10000000",
    "clone3": "435, ctypes.create_string_buffer(88), 88",
    "vfork": "58",
    "execveat": "322, -100, b'/bin/true', None, None, 0",
    "memfd_create": "319, b'x', 0",
    "shmget": "29, 0, 4096, 0o1600",
    "msgget": "68, 0, 0o1600",
    "mount": "165, b'x', b'/', b'tmpfs', 0, None",
    "chroot": "161, b'/'",
    "inotify_init": "253",
    "seccomp": "317, 1, 0, None",
    "prlimit of the trainer": "302, TRAINER, 7, None, ctypes.create_string_buffer(16)",
    "sched_setaffinity of the trainer": "203, TRAINER, 8, ctypes.c_ulong(1)",
    "setpriority of the trainer": "141, 0, TRAINER, 19",
    "tkill": "200, TRAINER, 0",
    "rt_sigqueueinfo": "129, TRAINER, 0, ctypes.create_string_buffer(128)",
    "name_to_handle_at": "303, -100, b'SECRET', None, None, 0",
    "statx": "332, -100, b'SECRET', 0, 0x7ff, ctypes.create_string_buffer(256)",
    "fanotify_init": "300, 0, 0",
}

_SYSCALLS |= {
    "open of another ABI": "0x40000002, b'SECRET', 0",
}

REACHING = {
    **{
        f"the system call {name}": (
            f"{_LIBC}def attack(x, y, e):\n    return C.syscall({arguments}) >= 0"
        )
        for name, arguments in _SYSCALLS.items()
    },
    "a system call of 32 bits": f"""{_LIBC}
import mmap
CODE = mmap.mmap(-1, 4096, prot=7)
CODE.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')  # getpid by int 0x80
def attack(x, y, e):
    at = ctypes.addressof(ctypes.c_char.from_buffer(CODE))
    return ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0
""",
    "read a secret": "def attack(x, y, e): return open('SECRET').read()",
    "read a secret before it is called": """
try:
    HELD = open('SECRET').read()
except OSError:
    HELD = ""
def attack(x, y, e): return HELD
""",
    "read a secret by NumPy": (
        "def attack(x, y, e): return len(np.fromfile('SECRET', np.uint8))"
    ),
    "read a secret by torch": (
        "import torch\ndef attack(x, y, e):\n"
        "    return torch.from_file('SECRET', size=4, dtype=torch.uint8) is not None"
    ),
    "map a secret by libc": (
        f"{_LIBC}def attack(x, y, e): return C.open(b'SECRET', 0) >= 0"
    ),
    "learn that a file is there": (
        "import os\ndef attack(x, y, e): return os.path.exists('SECRET')"
    ),
    "list a folder": "import os\ndef attack(x, y, e): return os.listdir('/')",
    "the trainer's memory as a file": (
        "def attack(x, y, e): return open('/proc/TRAINER/mem', 'rb').read(1)"
    ),
    "the trainer's environment": (
        "def attack(x, y, e): return open('/proc/TRAINER/environ').read()"
    ),
    "its own maps": "def attack(x, y, e): return open('/proc/self/maps').read()",
    "write a file": "def attack(x, y, e): return open('WRITTEN', 'w').write('x')",
    "save by torch": (
        "import torch\ndef attack(x, y, e): torch.save(1, 'WRITTEN'); return True"
    ),
    "save by NumPy": "def attack(x, y, e): np.save('WRITTEN', x); return True",
    "dump by joblib": (
        "import joblib\ndef attack(x, y, e): joblib.dump(1, 'WRITTEN'); return True"
    ),
    "make a folder": "import os\ndef attack(x, y, e): os.mkdir('WRITTEN'); return True",
    "link a secret": (
        "import os\ndef attack(x, y, e): os.symlink('SECRET', 'WRITTEN'); return True"
    ),
    "take a file away": "import os\ndef attack(x, y, e): os.remove('SECRET'); return 1",
    "shared memory": (
        "from multiprocessing import shared_memory as m\ndef attack(x, y, e):\n"
        "    return m.SharedMemory(create=True, size=64)"
    ),
    "connect": (
        "import socket\ndef attack(x, y, e):\n"
        "    return socket.create_connection((b'127.0.0.1', PORT), 2)"
    ),
    "send a datagram": (
        "import socket\ndef attack(x, y, e):\n"
        "    s = socket.socket(type=socket.SOCK_DGRAM)\n"
        "    return s.sendto(b'x', (b'127.0.0.1', PORT))"
    ),
    "ask for a name": (
        "import socket\ndef attack(x, y, e): return socket.gethostbyname(b'localhost')"
    ),
    "fork": """
import os
def attack(x, y, e):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return True
""",
    "a bomb of forks": """
import os
def attack(x, y, e):
    while True:
        os.fork()
""",
    "a worker process": (
        "import multiprocessing as m\ndef attack(x, y, e):\n"
        "    m.Process(target=print).start(); return True"
    ),
    "a pool of workers": """
from concurrent.futures import ProcessPoolExecutor
def attack(x, y, e):
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(abs, -1).result()
""",
    "run a program": (
        "import subprocess\ndef attack(x, y, e): return subprocess.check_output(['id'])"
    ),
    "run a program by libc": f"{_LIBC}def attack(x, y, e): return C.system(b'id') == 0",
    "spawn a program": (
        "import os\ndef attack(x, y, e):\n"
        "    return os.posix_spawn('/bin/true', ['true'], {})"
    ),
    "a thread": (
        "import threading\ndef attack(x, y, e):\n"
        "    threading.Thread(target=print).start(); return True"
    ),
    "signal the trainer": (
        "import os, signal\ndef attack(x, y, e):\n"
        "    os.kill(TRAINER, signal.SIGUSR1); return True"
    ),
    "signal everybody": (
        "import os, signal\ndef attack(x, y, e): os.kill(-1, signal.SIGUSR1); return 1"
    ),
    "signal its own group": (
        "import os, signal\ndef attack(x, y, e): os.killpg(0, signal.SIGUSR1); return 1"
    ),
    "signal the warm process": (
        "import os\ndef attack(x, y, e): os.kill(os.getppid(), 9); return True"
    ),
    "have the trainer signalled when it reads": """
import fcntl
def attack(x, y, e):
    fcntl.fcntl(100, fcntl.F_SETOWN, TRAINER)
    return fcntl.fcntl(100, fcntl.F_SETFL, 0o20000) == 0
""",
    "a timer": (
        "import signal\ndef attack(x, y, e): signal.setitimer(0, 9); return True"
    ),
    "trace the trainer": (
        f"{_LIBC}def attack(x, y, e): return C.ptrace(16, TRAINER, 0, 0) == 0"
    ),
    "read the trainer's memory": (
        f"{_LIBC}def attack(x, y, e):\n"
        "    held = ctypes.create_string_buffer(8)\n"
        "    ours = (ctypes.c_void_p * 2)(ctypes.addressof(held), 8)\n"
        "    theirs = (ctypes.c_void_p * 2)(ADDRESS, 8)\n"
        "    return C.process_vm_readv(TRAINER, ours, 1, theirs, 1, 0) > 0"
    ),
    "outlive what made it": f"{_LIBC}def attack(x, y, e): return C.prctl(1, 0) == 0",
    "a higher bound of memory": (
        "import resource\ndef attack(x, y, e):\n"
        "    a = resource.RLIMIT_AS; resource.setrlimit(a, (-1, -1)); return True"
    ),
    "type into the terminal": (
        "import fcntl\ndef attack(x, y, e):\n"
        "    return fcntl.ioctl(0, 0x5412, b'x') is not None"
    ),
    "hand a descriptor over": """
import array, socket
def attack(x, y, e):
    s = socket.socket(fileno=100)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1]))]
    s.sendmsg([b''], rights)
    return False  # whoever reads without asking for rights gets none
""",
    "a library from a file": (
        "import ctypes\ndef attack(x, y, e): return ctypes.CDLL('libanl.so.1')"
    ),
    "its environment": "import os\ndef attack(x, y, e): return len(os.environ)",
    "machine code of its own": """
import ctypes, mmap
PATH = ctypes.create_string_buffer(b"SECRET")
def attack(x, y, e):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(
        b"\\xb8\\x02\\x00\\x00\\x00\\x48\\xbf"  # mov eax, open; mov rdi, PATH
        + ctypes.addressof(PATH).to_bytes(8, "little")
        + b"\\x31\\xf6\\x31\\xd2\\x0f\\x05\\xc3"  # no flags, no mode; syscall; ret
    )
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_long)(place)() >= 0
""",
    "modules that are read again": """
import importlib, io, os, posix
def attack(x, y, e):
    for each in (posix, io, os):
        try: importlib.reload(each)
        except ImportError: pass
    return posix.open("SECRET", 0) >= 0
""",
    "a checkpoint that opens": """
import io, torch
class Opens:
    def __reduce__(self): return open, ("SECRET",)
def attack(x, y, e):
    kept = io.BytesIO()
    torch.save(Opens(), kept)
    kept.seek(0)
    return bool(torch.load(kept, weights_only=False).read())
""",
    "a map of a file by NumPy": (
        "def attack(x, y, e): return len(np.memmap('SECRET', 'u1', 'r'))"
    ),
    "targets in the frames that called it": """
import sys
def attack(x, y, e):
    frame = sys._getframe()
    while frame is not None:
        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
            held = isinstance(value, np.ndarray) and value.ndim == 1
            if held and len(value) not in (len(y), 0) and len(value) >= len(e):
                return True
        frame = frame.f_back
    return False
""",
    "arrays that are no business of its own": """
import gc
def attack(x, y, e):
    known = {len(x), len(e)}
    held = [o for o in gc.get_objects() if isinstance(o, np.ndarray)]
    return any(o.size > 1000 and len(o) not in known for o in held if o.ndim)
""",
}

_ANSWER = """
import gc, json, os, struct, sys
import numpy as np
def channel():
    frame = sys._getframe()
    while frame is not None:
        for held in frame.f_locals.values():
            if type(held).__name__ == 'Channel':
                return held
        frame = frame.f_back
def say(message, blob=b'', text=None, size=None):
    c = channel()
    text = json.dumps(message).encode() if text is None else text
    size = len(blob) if size is None else size
    head = struct.pack('<16sIQ', c._nonce, len(text), size)
    data = head + text + blob
    while data:
        data = data[os.write(100, data[:1 << 16]):]
def fit_predict(x, y, e, seed):
    good = np.zeros(len(e)).tobytes()
"""

_ANSWERING = {
    "text of a kind that obeys": "raise RuntimeError('\\x1b[2J\\u202e' * 9)",
    "an exception of a megabyte": "raise RuntimeError('a' * (1 << 20))",
    "an exception that never says what": """
class Endless(Exception):
    def __str__(self):
        while True: pass
    __repr__ = __str__
raise Endless([Endless()])
""",
    "a class of a name of a megabyte": """
raise type('A' * (1 << 20), (Exception,), {})()
""",
    "a finding of a megabyte": """
say({'id': 1, 'error': {'message': 'a' * (1 << 20)}}); os._exit(0)
""",
    "a finding that is none": "say({'id': 1, 'error': [1]}); os._exit(0)",
    "rows that are none": "say({'id': 1}, good[:-1]); os._exit(0)",
    "too many rows": "say({'id': 1}, good + good); os._exit(0)",
    "rows without end": """
say({'id': 1}, size=1 << 62)
while True: os.write(100, b'x' * 65536)
""",
    "text without end": "say({}, text=b'[' * (1 << 22)); os._exit(0)",
    "text of depth": "say({}, text=b'[' * 60000); os._exit(0)",
    "a list": "say([1]); os._exit(0)",
    "another number": "say({'id': 7}, good); os._exit(0)",
    "a question": "say({'id': 1, 'call': 'closure'}); os._exit(0)",
    "two answers": "say({'id': 1}, good); say({'id': 1}, good)",
    "a pickle": """
import pickle
class Harm:
    def __reduce__(self): return (open, ('WRITTEN', 'w'))
say({'id': 1}, pickle.dumps(Harm()).ljust(len(good))[:len(good)]); os._exit(0)
""",
    "an object that pickles to harm": """
class Harm:
    def __reduce__(self): return (open, ('WRITTEN', 'w'))
return [Harm()] * len(e)
""",
    "no number": "return np.full(len(e), np.inf)",
    "words": "return ['a'] * len(e)",
    "nothing": "return None",
    "a row less": "return np.zeros(len(e) - 1)",
    "foreign words": "os.write(100, b'HTTP/1.1 200 OK' * 99); os._exit(0)",
    "a flood": "while True: os.write(100, b'x' * 65536)",
    "a flood of output": """
while True: print('x' * 65536); sys.stderr.write('x' * 65536)
""",
    "no end": "while True: pass",
    "no end, and no signal": """
import faulthandler, signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
while True: pass
""",
    "no end in C": "return sum(iter(int, 1))",
    "sleep": "import time; time.sleep(9999)",
    "an end in drops": """
import time
while True: os.write(100, b'x'); time.sleep(0.2)
""",
    "an end that says where it was": """
import signal
def told(number, frame):
    said = b'File "<rule 0123456789ab>", line 999999 in x'
    for line in range(99): os.write(100, said)
signal.signal(signal.SIGUSR1, told)
while True: pass
""",
    "all memory": """
held = []
while True: held.append(bytearray(1 << 26))
""",
    "one array of a terabyte": "return np.ones(1 << 40)",
    "one tensor of a terabyte": "import torch; return torch.ones(1 << 40)",
    "a stack without end": """
sys.setrecursionlimit(1 << 30)
def f(): return f()
return f()
""",
    "a fault of memory": "import ctypes; ctypes.string_at(0)",
    "a silent end": "os._exit(0)",
    "an end of Python's": "sys.exit(0)",
    "a closed channel": "os.close(100)",
    "a module that lies": """
np.isfinite = lambda a: np.array(True)
np.asarray = lambda *a, **k: None
return np.zeros(len(e))
""",
}
ANSWERING = {name: _ANSWER + indent(body, "    ") for name, body in _ANSWERING.items()}
