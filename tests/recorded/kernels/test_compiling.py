"""The way to machine code: the text, the cache, and machines that have no compiler."""

import os
import subprocess
import sys
from contextlib import closing
from threading import Event

import pytest
import torch

from dux_agent.training import process_ranks
from dux_sandbox.recorded.kernels import compiling, proving, sizes
from dux_sandbox.recorded.kernels.cache import Cache, private_folder
from dux_sandbox.recorded.kernels.chains import Chain, Leaf, Link, Reduce, Store
from dux_sandbox.recorded.kernels.compiler import CannotCompile, compiler
from dux_sandbox.recorded.kernels.compiling import Compilation, fuse, kernel_of
from dux_sandbox.recorded.kernels.library import Library
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.kernels.proving import mismatch
from dux_sandbox.recorded.kernels.source import source_of
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.replaying import fast_steps
from tests.recorded.programs import Writing, adam, adam_inputs
from tests.waiting import alive, wait_until


@pytest.fixture
def nothing_loaded(monkeypatch, kernels_of_these_tests):
    """As in a new process: kernels come from the cache, or are compiled."""
    monkeypatch.setattr(compiling, "LOADED", {})
    return kernels_of_these_tests


@pytest.fixture
def own_folder(tmp_path, monkeypatch, nothing_loaded):
    folder = tmp_path / "kernels"
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(folder))
    return folder


@pytest.fixture
def no_compiler(monkeypatch, own_folder):
    monkeypatch.setenv("PATH", str(own_folder))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    compiler.cache_clear()
    compiling.warn_once.cache_clear()
    yield
    compiler.cache_clear()


def doubled(name="x"):
    w = Writing()
    p = w.read("parameter", 0)
    state = w.read("state", 0, name)
    w.write(w.do("add", p, state), "parameter", 0)
    return w.program()


def test_no_name_of_a_rule_reaches_the_text():
    evil = '"; system("touch x"); /* */ #include </etc/passwd>'

    texts = [source_of(plan_of(doubled(name)).chains[0]).text for name in ("x", evil)]

    assert texts[0] == texts[1]


def test_numbers_are_arguments_so_that_a_schedule_compiles_nothing():
    def scaled(number):
        w = Writing()
        p = w.read("parameter", 0)
        w.write(w.do("mul", p, w.number(number)), "parameter", 0)
        return w.program()

    assert plan_of(scaled(0.5)).chains == plan_of(scaled(0.25)).chains


def test_a_kernel_is_kept_and_found_again(own_folder, monkeypatch):
    fuse(doubled())
    (kept,) = own_folder.iterdir()
    monkeypatch.setattr(compiling, "LOADED", {})
    monkeypatch.setattr(type(compiler()), "compile", None)

    fuse(doubled()).run([torch.ones(4, 3), torch.ones(4, 3)])

    assert [kept] == list(own_folder.iterdir())
    assert 0o700 == own_folder.stat().st_mode & 0o777
    assert 0o600 == kept.stat().st_mode & 0o777


@pytest.mark.parametrize(
    "break_it",
    [
        lambda held: held[:-1],
        lambda held: b"",
        lambda held: held[:200] + b"\x00\x01" + held[202:],
        lambda held: held[:-32] + bytes(32),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_made_anew(
    own_folder, monkeypatch, caplog, break_it
):
    fuse(doubled())
    (kept,) = own_folder.iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(break_it(sound))
    monkeypatch.setattr(compiling, "LOADED", {})

    fuse(doubled())

    assert "not as it was written" in caplog.text
    assert Cache(own_folder).get(kept.stem) is not None


def test_a_file_of_another_kernel_is_refused(own_folder):
    cache = Cache(private_folder())
    cache.put("one", b"code")

    os.replace(own_folder / "one.kernel", own_folder / "other.kernel")

    assert cache.get("one") is None and cache.get("other") is None


def test_a_link_in_the_place_of_a_file_is_not_followed(own_folder, tmp_path):
    cache = Cache(private_folder())
    cache.put("key", b"code")
    os.replace(own_folder / "key.kernel", tmp_path / "elsewhere")

    (own_folder / "key.kernel").symlink_to(tmp_path / "elsewhere")

    assert cache.get("key") is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_a_folder_that_others_can_write_to_is_not_used(own_folder, caplog, mode):
    own_folder.mkdir()
    own_folder.chmod(mode)

    assert private_folder() is None
    assert "chmod 700" in caplog.text
    fuse(doubled())
    assert [] == list(own_folder.iterdir())


def test_a_folder_that_is_a_link_is_not_used(own_folder, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    own_folder.symlink_to(tmp_path / "real")

    assert private_folder() is None


def test_without_a_compiler_the_reason_is_told_once(no_compiler, caplog):
    programs = [Compilation(doubled()), Compilation(adam())]

    assert [None, None] == [each.wait() for each in programs]
    assert all("dux-agent[kernels]" in each.reason for each in programs)
    assert 1 == caplog.text.count("no C compiler is here")


def test_a_compiler_that_fails_is_told(own_folder, monkeypatch, tmp_path):
    failing = tmp_path / "cc"
    failing.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo 1 && exit 0\n'
        "echo no space >&2\n"
        "exit 1\n"
    )
    failing.chmod(0o700)
    monkeypatch.setenv("CC", str(failing))
    compiler.cache_clear()
    try:
        with pytest.raises(CannotCompile, match="no space"):
            fuse(doubled())
    finally:
        compiler.cache_clear()


def functions(count):
    """Functions of functions: a loop for each."""
    writing = Writing()
    value = writing.read("parameter", 0)
    for _ in range(count):
        value = writing.do("tanh", value)
    writing.write(value, "parameter", 0)
    return writing.program()


def kept_meanwhile(count):
    """Many values that are wanted only after a function was called: arrays."""
    writing = Writing()
    weight = writing.read("parameter", 0)
    values = [weight]
    for _ in range(count):
        values.append(writing.do("neg", values[-1]))
    made = writing.do("tanh", values[-1])
    for value in values:
        made = writing.do("mul", made, value)
    writing.write(made, "parameter", 0)
    return writing.program()


def results(count):
    """Many results of one stage, each made of all before it."""
    writing = Writing()
    value = writing.read("parameter", 0)
    for _ in range(count):
        value = writing.do("neg", value)
        writing.do("item", writing.do("prod", value, dtype=None))
    return writing.program()


@pytest.mark.parametrize(
    "program", [functions(97), kept_meanwhile(300), kept_meanwhile(2100), results(200)]
)
def test_a_kernel_that_no_rule_has_is_not_written(program, monkeypatch):
    def never(*_):
        raise AssertionError("compiled")

    monkeypatch.setattr(compiling.Cache, "get", never)
    monkeypatch.setattr(sizes, "_MOST_WALKED", 10_000)

    with pytest.raises(CannotCompile, match="kernel of|too many results"):
        fuse(program)


def test_compiled_in_the_background_it_is_there_after_a_while():
    compilation = Compilation(adam())

    fused = compilation.wait()

    assert compilation.reason is None
    assert compilation.wait() is fused
    fused.run(adam_inputs())


def test_a_kernel_that_computes_something_else_is_not_used():
    def chain(name):
        leaves = (Leaf("float32"), Leaf("float32"))
        link = Link(name, (0, 1), (), "float32", "float32")
        return Chain(leaves, (link,), (Store(2),), (), 0)

    right = kernel_of(chain("add"), Event())
    wrong = kernel_of(chain("add"), Event())
    assert mismatch(right) is None

    wrong.chain = chain("sub")

    try:
        assert "differs" in mismatch(wrong)
    finally:
        wrong.chain = chain("add")


def test_a_library_is_loaded_from_a_file_of_its_own():
    with pytest.raises(OSError):
        Library(Chain((), (), (), (), 0), b"no library", ())


@pytest.fixture
def endless(own_folder, monkeypatch, tmp_path):
    """A compiler that does not end, and tells its process in a file `pid`."""
    slow = tmp_path / "cc"
    slow.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo 1 && exit 0\n'
        f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid\n"
        "while :; do sleep 1; done\n"
    )
    slow.chmod(0o700)
    monkeypatch.setenv("CC", str(slow))
    compiler.cache_clear()
    yield
    compiler.cache_clear()


def test_a_compiler_that_does_not_end_is_ended(endless, tmp_path):
    compilation = Compilation(doubled())
    wait_until((tmp_path / "pid").is_file)

    compilation.close()

    assert compilation.wait() is None
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_step_that_others_wait_for_goes_on_before_they_give_it_up(
    endless, monkeypatch, caplog
):
    assert fast_steps.PATIENCE_OF_RANKS < process_ranks.PATIENCE / 2
    monkeypatch.setattr(fast_steps, "PATIENCE_OF_RANKS", 0.0)
    weights = [torch.nn.Parameter(torch.ones(4, 3))]

    with closing(fast_steps.FastStep(doubled(), weights, compiles=True)) as step:
        assert not step.is_ready(among_ranks=True)

    assert "not compiled within 0 s" in caplog.text


def test_a_kernel_that_is_far_off_in_one_element_of_a_hundred_is_not_used(monkeypatch):
    leaves = (Leaf("float32"), Leaf("float32"))
    link = Link("add", (0, 1), (), "float32", "float32")
    library = kernel_of(Chain(leaves, (link,), (Store(2),), (), 0), Event())
    reference = proving._reference

    def elsewhere(*arguments):
        stored, reduced = reference(*arguments)
        for each in stored:
            each[::100] += 1.0
        return stored, reduced

    monkeypatch.setattr(proving, "_reference", elsewhere)

    assert "differs" in mismatch(library)


def test_elements_are_worked_on_in_vectors_however_many_tensors_are_written(tmp_path):
    known = compiler()
    if known is None or "GCC" not in _version_of(known.command[0]):
        pytest.skip("tells not what it has made of a loop")
    leaves = tuple(Leaf("float32") for _ in range(8))
    links = tuple(Link("add", (at, 7), (), "float32", "float32") for at in range(7))
    stores = tuple(Store(8 + at, at) for at in range(7))
    text = source_of(Chain(leaves, links, stores, (), 0)).text
    (tmp_path / "kernel.c").write_text(text)

    command = [
        *known.command,
        "-fopt-info-vec-optimized",
        "kernel.c",
        "-o",
        "kernel.so",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert "loop vectorized" in done.stderr


def test_eight_floats_become_doubles_in_one_instruction(tmp_path):
    known = compiler()
    if known is None or "__AVX512F__" not in _defined_by(known.command):
        pytest.skip("the processor has no vectors of eight doubles")
    norms = (Reduce(0, "norm2", "float32"), Reduce(0, "sum", "float32"))
    text = source_of(Chain((Leaf("float32"),), (), (), norms, 0)).text
    (tmp_path / "kernel.c").write_text(text)

    command = [*known.command, "-S", "kernel.c", "-o", "kernel.s"]
    subprocess.run(command, cwd=tmp_path, check=True)

    made = (tmp_path / "kernel.s").read_text()
    assert "vcvtps2pd" in made
    assert "vinsertf64x4" not in made


@pytest.mark.parametrize("many", [1, 31, 64, 515, 4097, 40_001])
def test_a_sum_of_floats_loses_nothing_on_the_way(many):
    w = Writing()
    gradient = w.read("gradient", 0, type=TensorType("float32", (many,)))
    w.read("parameter", 0, type=TensorType("float32", (many,)))
    w.write(w.do("sum", gradient, dim=None, keepdim=False, dtype=None), "state", 0, "s")
    generator = torch.Generator().manual_seed(many)
    values = torch.randint(-(1 << 24), 1 << 24, (many,), generator=generator)

    *_, total, _ = fuse(w.program()).run([values.float(), torch.zeros(many)])

    assert values.sum().double().float() == total


def _defined_by(command):
    asked = [*command, "-dM", "-E", "-x", "c", os.devnull]
    return subprocess.run(asked, capture_output=True, text=True).stdout


def _version_of(command):
    done = subprocess.run([command, "--version"], capture_output=True, text=True)
    return "GCC" if "Free Software Foundation" in done.stdout else ""
