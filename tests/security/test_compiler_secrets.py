"""No error of the compiler tells a secret of the pillar."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import SlsError
from protocol.secrets import Secret
from tests.unit.compiler_tree import compiled

CANARY = "canary-4f1d2c-secret"
PILLAR = f"db: {{password: {CANARY}}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: b: {{ pillar.db.password }}\n",
        "{{ pillar.db.password }}: [\n",
        "{{ pillar.db.password }}: 5\n",
        "a: {{ pillar.db.password }}\n",
        "{{ pillar.db.password }}: test.{{ pillar.db.password }}\n",
        "a:\n  test.nop:\n    - {{ pillar.db.password }} x\n",
        "a:\n  file.managed:\n    - {{ pillar.db.password }}: x\n",
        "a:\n  file.managed:\n    - replace: {{ pillar.db.password }}\n",
        "a:\n  file.managed:\n    - source: salt://{{ pillar.db.password }}\n",
        "a:\n  file.managed:\n    - template: {{ pillar.db.password }}\n",
        "a:\n  test.nop:\n    - require:\n      - test: {{ pillar.db.password }}\n",
        "a:\n  test.nop:\n    - require_in:\n      - test: {{ pillar.db.password }}\n",
        "a:\n  test.nop:\n    - order: {{ pillar.db.password }}\n",
        "include: [{{ pillar.db.password }}]\n",
        "exclude: [[{{ pillar.db.password }}]]\n",
        "{{ raise(pillar.db.password) }}\n",
        "{{ pillar[pillar.db.password] }}\n",
        "{{ pillar.db.password.nope }}\n",
        "{{ pillar.db.password | int + 'x' }}\n",
        "{{ salt[pillar.db.password]() }}\n",
        "{{ ('[' ~ pillar.db.password) | load_yaml }}\n",
        "{{ pillar.db.password | load_json }}\n",
        "{% include pillar.db.password %}\n",
        "{% import_yaml pillar.db.password as x %}\n",
        "{{ pillar.db }}\n",
        "a:\n  test.nop:\n    - name: {{ pillar.db.password }}\n    - require: [x]\n",
    ],
)
@pytest.mark.parametrize("override", [False, True])
def test_an_error_does_not_tell_a_secret(tmp_path: Path, text: str, override: bool) -> None:
    given = {"pillar_override": {"db": {"password": Secret(CANARY)}}} if override else {"pillar": PILLAR}
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, text, **given)
    error = caught.value
    told = f"{error} {error!r} {error.where} {error.args} {error.__cause__} {error.help}"
    assert error.__suppress_context__
    for length in (len(CANARY), 12):
        assert CANARY[:length] not in told
    assert error.where.file in ("main.sls", "***", "")


def test_an_error_in_the_pillar_itself_does_not_tell_it(tmp_path: Path) -> None:
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, "", pillar=f"db:\n  keyring: {'AQ' + 'B' * 36 + '=='}\n  x: y: z\n")
    assert "BBBB" not in str(caught.value)
    assert "all.sls:3" in str(caught.value)


def test_a_warning_does_not_tell_a_secret(tmp_path: Path) -> None:
    text = "{% do salt['log.warning']('it is ' ~ pillar.db.password) %}a: test.nop\n"
    result = compiled(tmp_path, text, pillar=PILLAR)
    assert result.warnings == result.assignment.warnings == ("it is ***",)
