"""Replies as they come, each with its reading or its finding."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dux_prompts.reply import REPLY_CHARACTERS, Proposal, cleaned, read
from dux_sandbox import check
from dux_sandbox.findings import Finding

SOURCE = """\
import torch


class Momentum(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.9):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "buffer" not in state:
                    state["buffer"] = torch.zeros_like(p)
                g = p.grad
                g = g.add(p, alpha=0.0)
                state["buffer"].mul_(group["momentum"]).add_(g)
                p.add_(state["buffer"], alpha=-group["lr"])
"""
F = "```"
IMPORT, CLASS = SOURCE.split("\n", 1)
IMPORT_ONLY = f"{IMPORT}\n"
BLOCK = f"{F}python\n{SOURCE}{F}"
OLD = SOURCE.replace("class Momentum", "class Old")
USAGE = (
    "opt = Momentum(model.parameters(), lr=0.1)\nfor batch in loader:\n    opt.step()\n"
)
DOCUMENTED = SOURCE.replace(
    "    def __init__",
    f'''    """Heavy ball.

    {F}python
    optimizer = Momentum(model.parameters())
    {F}

    Or shorter:

{F}
Momentum(params)
{F}
    """

    def __init__''',
    1,
)
SQUARED = "def squared(x):\n    return x * x\n"
HELPED = SOURCE.replace("g.add(p, alpha=0.0)", "squared(g)")


def indented(text, by):
    return "".join(f"{by}{line}".rstrip() + "\n" for line in text.splitlines())


def fenced(info, source=SOURCE, mark=F):
    return f"{mark}{info}\n{source}{mark}"


# What a fence may say, and how it may be written.
EMPTY = "{}\n"
TEST = "class TestRule:\n    x = 1\n"
CLASSY = f"# the class\n{USAGE}"
INHERITING_TEST = "class TestMomentum(Momentum):\n    def test(self): ...\n"
OUTPUT = "step 1: class 3, loss 0.3\n"
OUTLINE = "class Momentum(torch.optim.Optimizer):\n    ...  # as above\n"
NET = "class Net(torch.nn.Module):\n    def step(self): ...\n"
SHELL = fenced("bash", "pip install torch\n")
INFOS = [
    "",
    "python",
    "py",
    "Python",
    "PYTHON3",
    "python3",
    "python3.11",
    "py3",
    "ipython",
    "ipython3",
    "pytorch",
    "torch",
    " python",
    "python ",
    'python title="rule.py"',
    "python title='my rule' linenums=\"1\"",
    "{.python}",
    "{ .python .numberLines }",
    "{python}",
    "{python, echo=FALSE}",
    "{code-cell} ipython3",
    "{code-block} python",
    "python:rule.py",
    "python:optimizers/momentum.py",
    "python,linenos",
    "python {1,3-5}",
    "python rule.py",
    "rule.py",
    "optimizers/rule.py",
    "lang=python",
    "language-python",
    "pyi",
    "code",
    "text",
    "plaintext",
    "output",
    "rust",
]
THOUGHTS = f"Maybe {F}python\n{OLD}{F}? No, or {F}sh\nhalf of a fence."
ANY = {f"fence {info!r}": fenced(info) for info in INFOS}
ANY |= {f"tildes {info!r}": fenced(info, mark="~~~") for info in INFOS[:4]}
ANY |= {
    "longer fence": fenced("python", mark=F + "`"),
    "longer closing fence": f"{F}python\n{SOURCE}{F}``",
    "longer tildes": fenced("{.python}", mark="~~~~~"),
    "closing fence indented": f"{F}python\n{SOURCE}   {F}",
    "fence after words": f"Sure! {F}python\n{SOURCE}{F}",
    "bare fence after words": f"Here it is: {F}\n{SOURCE}{F}",
    "tildes after words": f"Sure! ~~~python\n{SOURCE}~~~",
    "closed on the last line": f"{F}python\n{SOURCE.rstrip()}{F}",
    "closed behind a space": f"{F}python\n{SOURCE.rstrip()} {F}\nThat is all.",
    "closed with words": f"{F}python\n{SOURCE}{F} Hope this helps!",
    "code on the fence": f"{F}python {SOURCE}{F}",
    "code on a bare fence": f"{F}{SOURCE}{F}",
    "indented fence": indented(BLOCK, "    "),
    "fence indented by tabs": indented(BLOCK, "\t"),
    "fence in a list": f"1. Do this:\n\n{indented(BLOCK, '   ')}\n2. Go on.",
    "fence on a bullet": f"- {F}python\n{indented(SOURCE, '  ')}  {F}",
    "quoted": indented(BLOCK, "> "),
    "never closed": f"{F}python\n{SOURCE}",
    "never closed, then prose": f"{F}python\n{SOURCE}\nThis rule should do well.",
    "not closed before the next": f"{F}python\n{OLD}\n{BLOCK}",
    "inside a block of Markdown": f"{F}markdown\n# Rule\n{BLOCK}\n{F}",
    "inside longer marks": f"{F}`markdown\nThe rule:\n{BLOCK}\n{F}`",
    "usage after": f"{BLOCK}\nUsage:\n{fenced('python', USAGE)}",
    "usage that says class after": f"{BLOCK}\n{fenced('python', CLASSY)}",
    "test after": f"{BLOCK}\n{fenced('python', TEST)}",
    "test that inherits after": f"{BLOCK}\n{fenced('python', INHERITING_TEST)}",
    "output after": f"{BLOCK}\nIt prints:\n{fenced('', OUTPUT)}",
    "shell after": f"{BLOCK}\n{SHELL}",
    "json after": f"{BLOCK}\n{fenced('json', EMPTY)}",
    "outline after": f"{BLOCK}\n{fenced('python', OUTLINE)}",
    "model after": f"{BLOCK}\n{fenced('python', NET)}",
    "usage before": f"Now: {F}python\n{USAGE}{F}\n{BLOCK}",
    "an older version before": f"{fenced('python', OLD)}\nNo, better:\n{BLOCK}",
    "prose with inline code": f"Use ```lr``` and `step`.\n{BLOCK}\nSee ```state```.",
    "thinking before": f"<think>{THOUGHTS}</think>\n{BLOCK}",
    "thinking on its lines": f"<think>\n{THOUGHTS}\n</think>\n\n{BLOCK}",
    "thinking twice": f"<think>{THOUGHTS}</think>So.<think>{THOUGHTS}</think>{BLOCK}",
    "thinking that was opened in the prompt": f"{THOUGHTS}</think>\n{BLOCK}",
    "thinking in brackets": f"[THINK]{THOUGHTS}[/THINK]{BLOCK}",
    "thinking of Kimi": f"◁think▷{THOUGHTS}◁/think▷{BLOCK}",
    "thinking with attributes": f'<thinking budget="9">{THOUGHTS}</thinking>\n{BLOCK}',
    "reasoning tags": f"<reasoning>{THOUGHTS}</reasoning><answer>\n{BLOCK}\n</answer>",
    "thinking of Cohere": f"<|START_THINKING|>{THOUGHTS}<|END_THINKING|>{BLOCK}",
    "channels": f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant"
    f"<|channel|>final<|message|>{BLOCK}<|return|>",
    "thinking in details": f'<details type="reasoning">{THOUGHTS}</details>\n{BLOCK}',
    "tags that are spoken of": f"I leave out `<think>` here.\n{BLOCK}",
    "end of turn behind": f"{BLOCK}<|im_end|>",
    "json": json.dumps({"reasoning": "flat", "code": SOURCE}),
    "json with a fence inside": json.dumps({"code": f"Here:\n{BLOCK}\n"}),
    "json in a fence": f"{F}json\n{json.dumps({'source': SOURCE}, indent=2)}\n{F}",
    "json behind words": f"Here you are: {json.dumps({'code': SOURCE})}",
    "json deep inside": json.dumps({"a": [{"b": {"code": SOURCE}}]}),
    "json lines": json.dumps({"code": SOURCE.splitlines()}),
    "json with line feeds": json.dumps({"code": SOURCE}).replace("\\n", "\n"),
    "json text": json.dumps(SOURCE),
    "a call of a tool": f"<tool_call>{json.dumps({'arguments': {'code': SOURCE}})}",
    "no fence": SOURCE,
    "no fence, after words": f"Here is the rule.\n\n{SOURCE}",
    "no fence, before words": f"{SOURCE}\nThis rule should do well.",
    "no fence, indented": f"The rule:\n\n{indented(SOURCE, '    ')}\nGood luck.",
    "no fence, in tags": f"<code>\n{SOURCE}</code>",
    "no fence, end of turn": f"{SOURCE.rstrip()}</s>",
    "no fence, shell after": f"{SOURCE}\n{SHELL}",
    "a session": fenced(
        "pycon",
        "".join(
            f"{'... ' if line.startswith(' ') else '>>> '}{line}\n"
            for line in SOURCE.splitlines()
        ),
    ),
    "a notebook": f"{F}python\n%matplotlib inline\n!pip install torch\n{SOURCE}{F}",
    "tildes closed by backticks": f"~~~python\n{SOURCE}{F}\nDone.",
    "fence closed by a shorter one": f"{F}`python\n{SOURCE}{F}",
    "thinking in a namespace": f"<seed:think>{THOUGHTS}</seed:think>{BLOCK}",
    "never closed, then usage in words": f"{F}python\n{SOURCE}\nUsage: call it.",
    "json with a comma too many": f'{{"code": {json.dumps(SOURCE)},}}',
    "json in triple quotes": f'{{"code": """\n{SOURCE}"""}}',
    "a dict as Python writes it": repr({"code": SOURCE}),
    "yaml": f"why: flat\ncode: |\n{indented(SOURCE, '  ')}",
    "no fence, in tags on its line": f"<a><b>x</b><code>{SOURCE}</code></a>",
    "no fence, in quotes": f"'''python\n{SOURCE}'''",
    "no fence, LaTeX": f"\\begin{{verbatim}}\n{SOURCE}\\end{{verbatim}}",
    "line feeds written out": BLOCK.replace("\n", "\\n"),
    "byte order mark": f"\ufeff{BLOCK}",
    "carriage returns": BLOCK.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("reply", ANY.values(), ids=ANY)
def test_the_rule_is_read_however_it_is_written(reply):
    proposal = read(reply)

    assert isinstance(proposal, Proposal), proposal
    assert SOURCE == proposal.source


@pytest.mark.parametrize(
    "reply",
    [
        fenced("python", DOCUMENTED),
        f"Here:\n{fenced('', DOCUMENTED)}\n{fenced('python', USAGE)}",
        indented(fenced("python", DOCUMENTED), "  "),
        f"<think>{THOUGHTS}</think>{fenced('python', DOCUMENTED)}",
        DOCUMENTED,
        f"Here is the rule.\n{DOCUMENTED}",
    ],
)
def test_a_fence_inside_a_docstring_closes_nothing(reply):
    proposal = read(reply)

    assert isinstance(proposal, Proposal), proposal
    assert DOCUMENTED.split() == proposal.source.split()


def test_a_string_that_is_never_closed_does_not_swallow_the_next_block():
    wrong = OLD.replace("    def __init__", '    """A docstring\n    def __init__', 1)

    proposal = read(f"{fenced('python', wrong)}\nNo:\n{BLOCK}\nAnd then:\n{F}\n1\n{F}")

    assert isinstance(proposal, Proposal)
    assert SOURCE == proposal.source


@pytest.mark.parametrize(
    "blocks",
    [
        [IMPORT, CLASS],
        [CLASS, IMPORT],
        [IMPORT, SQUARED, HELPED.split("\n", 1)[1]],
        [SQUARED, HELPED],
        [HELPED, SQUARED],
        [f"import math\n{OLD}", CLASS],
        ["import torch\nimport math", f"SCALE = math.sqrt(4)\n{SQUARED}", CLASS],
        [IMPORT, CLASS, USAGE],
        [IMPORT + "\n" + USAGE, CLASS],
    ],
)
def test_imports_and_helpers_of_other_blocks_are_put_before_the_rule(blocks):
    reply = "\nThen:\n".join(fenced("python", f"{block}\n") for block in blocks)

    proposal = read(reply)

    assert isinstance(proposal, Proposal)
    assert check(proposal.source).ok, check(proposal.source).findings
    assert "class Momentum" in proposal.source
    assert "loader" not in proposal.source and "class Old" not in proposal.source
    assert 1 == proposal.source.count("import torch")


def test_a_base_class_in_a_block_of_its_own_comes_along():
    base = SOURCE.replace("class Momentum", "class Base")
    rule = "class Rule(Base):\n    pass\n"

    proposal = read(f"{fenced('python', base)}\n{fenced('python', rule)}")

    assert isinstance(proposal, Proposal)
    assert f"{base}\n\n{rule}".split() == proposal.source.split()
    assert check(proposal.source).ok


def test_a_future_import_stays_first_when_helpers_are_put_before_the_rule():
    rule = "from __future__ import annotations\n" + CLASS

    proposal = read(f"{fenced('python', IMPORT_ONLY)}\n{fenced('python', rule)}")

    assert isinstance(proposal, Proposal)
    first, second, *_ = proposal.source.splitlines()
    assert ("from __future__ import annotations", "import torch") == (first, second)


HALF = SOURCE[: len(SOURCE) // 2]
FINDINGS = {
    "empty": ("", "an empty reply"),
    "blank": (" \n\t\n", "an empty reply"),
    "prose": ("I would raise the rate a little.", "no Python block"),
    "a refusal": ("I'm sorry, but I cannot help with that.", "no Python block"),
    "prose that says class": ("The class of optimizers is large.", "no Python block"),
    "empty block": (f"{F}python\n{F}", "no Python block"),
    "json": (f"{F}json\n{{}}\n{F}", "no Python block"),
    "json without a class": ('{"lr": "raise it"}', "only JSON"),
    "another language": (f"{F}rust\nfn main() {{}}\n{F}", "only: rust"),
    "a diff": (f"{F}diff\n-lr = 0.1\n+lr = 0.2\n{F}", "a diff"),
    "a diff as python": (
        f"{F}python\n@@ -1 +1 @@\n-lr = 1\n+lr = 2\n{F}",
        "diff",
    ),
    "a bare diff": ("--- a/rule.py\n+++ b/rule.py\n@@ -1 +1 @@\n-x\n+y", "a diff"),
    "a patch": (f"{F}patch\n*** Begin Patch\n+x = 1\n{F}", "a diff"),
    "search and replace": (
        f"{F}python\n<<<<<<< SEARCH\nlr=1\n=======\nlr=2\n>>>>>>> REPLACE\n{F}",
        "a search and replace",
    ),
    "thoughts alone": (f"<think>{THOUGHTS}</think>", "its thoughts only"),
    "thoughts that do not end": (f"<think>{THOUGHTS}", "inside its thoughts"),
    "thoughts behind which nothing comes": (f"{THOUGHTS}</think>\n", "no answer"),
    "cut in the class": (f"{F}python\n{HALF}", "truncated"),
    "cut in the imports": (f"{F}python\nimport torch\nfrom tor", "truncated"),
    "cut before the step": (f"{F}python\n{SOURCE.split('    @torch')[0]}", "truncated"),
    "cut in a docstring": (f"{F}python\n{DOCUMENTED[:120]}", "truncated"),
    "cut without a fence": (HALF, "truncated"),
    "cut after a whole one": (f"{BLOCK}\nBetter:\n{F}python\n{HALF}", "truncated"),
    "cut in tildes": (f"~~~python\n{HALF}", "truncated"),
    "cut inside json": (json.dumps({"code": f"{F}python\n{HALF}"}), "truncated"),
    "beyond measure": ("x" * (REPLY_CHARACTERS + 1), str(REPLY_CHARACTERS)),
}


@pytest.mark.parametrize(("reply", "said"), FINDINGS.values(), ids=FINDINGS)
def test_where_nothing_can_be_read_the_finding_says_what_was_found(reply, said):
    finding = read(reply)

    assert isinstance(finding, Finding), finding
    assert "reply" == finding.rule
    assert said in finding.message
    assert "Python block" in finding.instead or "```python" in finding.instead


def test_thinking_is_no_part_of_the_why():
    proposal = read(f"<think>secret doubts</think>The loss is flat.\n{BLOCK}")

    assert "The loss is flat." == proposal.why


@pytest.mark.parametrize("end", range(len(SOURCE) // 3, len(SOURCE), 23))
def test_a_reply_cut_anywhere_is_no_source_with_a_fault_of_syntax(end):
    found = read(f"Here:\n{F}python\n{SOURCE[:end]}")

    if isinstance(found, Proposal):
        compile(found.source, "rule", "exec")
    else:
        assert "truncated" in found.message


PIECES = [
    *("```", "~~~", "````", "```python\n", "\n", "'", '"', '"""', "'''", "\\", "#"),
    *(
        "<think>",
        "</think>",
        "[THINK]",
        "[/THINK]",
        "> ",
        "    ",
        "{",
        "[",
        '{"code": "',
    ),
    *("import torch\n", "class A(torch.optim.Optimizer):\n", "    def step(self):\n"),
    *("x = 1\n", "@@ -1 +1 @@\n", ">>> ", "- ", "prose ", "\ud800", "\0", "\r", "é"),
    *(SOURCE, CLASS, BLOCK, HALF, "f'{", "(", ")", "</s>", "<|end|>", ":", "lambda: "),
]
replies = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30)


@settings(deadline=None)
@given(replies.map("".join))
def test_any_reply_is_read_and_the_source_is_made_of_its_lines(reply):
    found = read(reply)

    if isinstance(found, Finding):
        assert found.message.encode("utf-8")
        return
    assert found.source.endswith("\n") and found.source.encode("utf-8")
    text = cleaned(reply)
    if '{"code' not in text and '["' not in text:
        for line in found.source.splitlines():
            assert line.strip() in text


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("start", ["", "```python\n", '"""', "<think>"])
def test_the_longest_replies_are_read_in_one_go(piece, start):
    # Anything quadratic would take hours here.
    count = (REPLY_CHARACTERS - 20) // len(piece)

    assert read(start + piece * count) is not None
