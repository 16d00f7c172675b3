"""docs/clients.md shows the snippets that the tests run, and no other code."""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main():
    text = (HERE.parents[1] / "docs" / "clients.md").read_text()
    shown = {block.strip() for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)}
    run = {path.name: path.read_text().strip() for path in sorted((HERE / "snippets").iterdir())}
    missing = [name for name, code in run.items() if code not in shown]
    unknown = [block for block in shown if block not in run.values()]
    for name in missing:
        sys.stderr.write(f"docs/clients.md does not show snippets/{name} as it is\n")
    for block in unknown:
        sys.stderr.write(f"docs/clients.md shows code that no test runs:\n{block}\n")
    return 1 if missing or unknown or not run else 0


if __name__ == "__main__":
    sys.exit(main())
