"""The table of options in docs/tasks.md, made from the plan of a run.

python -m tests.options_table       writes it anew, from the repository's root
"""

from pathlib import Path

from dux_agent.runs.plan import OPTIONS

PAGE = Path(__file__).parents[1] / "docs" / "tasks.md"
BEGIN, END = "<!-- options -->\n", "<!-- end of options -->"


def row(line):
    option = line.option
    default = f"{line.default}" if line.default is not None else option.unset
    if bool in line.kinds:
        default = "off"
    words = f" One of {', '.join(option.choices)}." if option.choices else ""
    return f"| `{line.flag}` | {option.help}{words} | {default} |"


def with_table(text):
    """The page with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    rows = ["| option | what it is | default |", "| --- | --- | --- |"]
    rows += [row(line) for line in OPTIONS.values()]
    return f"{before}{BEGIN}{chr(10).join(rows)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
