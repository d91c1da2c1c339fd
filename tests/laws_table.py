"""The tables of docs/laws.md, made from the laws and the traits themselves.

python -m tests.laws_table       writes them anew, from the repository's root
"""

from pathlib import Path

from dux_sandbox.laws import LAWS, OPTIONAL_LAWS, TRAITS

PAGE = Path(__file__).parents[1] / "docs" / "laws.md"


def laws(held=LAWS):
    lines = ["| law | what holds | why | what breaks it |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{law.name}` | {law.claim} | {law.reason} | {law.catches} |" for law in held
    ]
    return "\n".join(lines)


def traits():
    lines = ["| trait | the law it relaxes | so that |", "| --- | --- | --- |"]
    lines += [
        f"| `{trait}` | `{law}` | {how} |" for trait, (law, how) in TRAITS.items()
    ]
    return "\n".join(lines)


def with_tables(text):
    """The page with each table between its marks."""
    tables = {
        "laws": laws(),
        "optional laws": laws(OPTIONAL_LAWS),
        "traits": traits(),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
