"""schemathesis, unmodified: what /openapi.json says is what the API does, with requests that fit it and requests that don't."""

import os
import re
import subprocess
import sys

from shared import SNIPPETS


def test_the_api_is_as_it_describes_itself(tmp_path):
    paths = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    ran = subprocess.run(
        ["sh", "-e", SNIPPETS / "schemathesis.sh"],
        cwd=tmp_path,
        env={**os.environ, "PATH": paths, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    tested = re.search(r"(\d+) generated", ran.stdout)
    assert tested and int(tested[1]) > 200, ran.stdout[-3000:]
