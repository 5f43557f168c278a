"""`make conformance`: files of recorded Salt answers against this product's commands; `N of M` for each file."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.commands import Pool, applied
from tests.conformance.compare import differences

HERE = Path(__file__).parent
SHOWN = 40
"""Differences that are printed for one file."""


def main() -> int:
    """Run the files named (or both of this folder); 0 when every case matches."""
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[HERE / "requisites.json", HERE / "targets.json"])
    given = parser.parse_args()
    told = [_file(path) for path in given.files]
    print()
    for path, matched, total in told:
        print(f"{matched} of {total}  {path.name}")
    return 0 if all(matched == total for _, matched, total in told) else 1


def _file(path: Path) -> tuple[Path, int, int]:
    """How many of the cases of `path` match, told by kind of difference."""
    data = json.loads(path.read_text(encoding="utf-8"))
    kinds: Counter[str] = Counter()
    matched = shown = 0
    for name, found in _targets(path, data) if "minions" in data else _requisites(data):
        matched += not found
        kinds.update({kind for kind, _ in found})
        for kind, what in found:
            shown += 1
            if shown <= SHOWN:
                print(f"{name}: {kind}: {what}")
    print(f"{path.name}: {matched} of {len(data['cases'])} cases match")
    for kind, count in kinds.most_common():
        print(f"  differing in {kind}: {count} cases")
    return path, matched, len(data["cases"])


def _requisites(data: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for case in data["cases"]:
        yield case["id"], differences(applied(case), case)


def _targets(path: Path, data: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    pool = Pool(path)
    for case in data["cases"]:
        ours = pool.matches(case["tgt"], case["matcher"], case.get("tgt_type", "str"))
        salts = sorted(case["matches"])
        found = [] if ours == salts else [("minions", f"ours {ours}, Salt's {salts}")]
        yield f"{case['matcher']} {case['tgt']!r}", found


if __name__ == "__main__":
    sys.exit(main())
