"""Salt's filters, tests, tags and globals: each template gives what Salt 3008.5 gave (filters.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from master.compiler.filters import FILTERS, TESTS
from master.compiler.filters.outside import NAMES
from master.compiler.jinja import Environment
from master.compiler.outward import Outward
from master.compiler.reads import Reads
from master.compiler.reported import Guard
from master.compiler.roots import FileRoots

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "filters.json").read_text())

SALT_FILTERS = [
    "append_dict_key_value",
    "avg",
    "base64_decode",
    "base64_encode",
    "check_whitelist_blacklist",
    "combinations",
    "combinations_with_replacement",
    "compare_dicts",
    "compare_lists",
    "compress",
    "contains_whitespace",
    "date_format",
    "dict_to_sls_yaml_params",
    "difference",
    "dns_check",
    "exactly_n_true",
    "exactly_one_true",
    "extend_dict_key_value",
    "file_hashsum",
    "filter_by_networks",
    "flatten",
    "from_entries",
    "gen_mac",
    "get_uid",
    "hmac",
    "hmac_compute",
    "http_query",
    "human_to_bytes",
    "indent",
    "intersect",
    "ip_host",
    "ipaddr",
    "ipv4",
    "ipv6",
    "ipwrap",
    "is_bin_file",
    "is_empty",
    "is_hex",
    "is_ip",
    "is_ipv4",
    "is_ipv6",
    "is_iter",
    "is_list",
    "is_text_file",
    "json",
    "json_decode_dict",
    "json_decode_list",
    "json_encode_dict",
    "json_encode_list",
    "json_query",
    "list_files",
    "load_json",
    "load_text",
    "load_yaml",
    "mac_str_to_bytes",
    "max",
    "md5",
    "method_call",
    "min",
    "mysql_to_dict",
    "network_hosts",
    "network_size",
    "path_join",
    "permutations",
    "product",
    "python",
    "quote",
    "rand_str",
    "random_hash",
    "random_sample",
    "random_shuffle",
    "random_str",
    "regex_escape",
    "regex_match",
    "regex_replace",
    "regex_search",
    "sequence",
    "set_dict_key_value",
    "sha1",
    "sha256",
    "sha512",
    "skip",
    "sorted_ignorecase",
    "str_to_num",
    "strftime",
    "substring_in_list",
    "symmetric_difference",
    "to_bool",
    "to_bytes",
    "to_camelcase",
    "to_entries",
    "to_num",
    "to_snake_case",
    "tojson",
    "traverse",
    "union",
    "unique",
    "update_dict_key_value",
    "uuid",
    "which",
    "xml",
    "yaml",
    "yaml_dquote",
    "yaml_encode",
    "yaml_squote",
    "zip",
    "zip_longest",
]
"""Every filter that Salt 3008.5 registers, beside Jinja's own."""


def environment() -> Environment:
    guard = Guard()
    return Environment(FileRoots([], "base"), None, Outward(None, guard, Reads()))


@pytest.mark.parametrize("case", CASES, ids=[case["template"][:60] for case in CASES])
def test_a_template_gives_what_salt_gives(case: dict[str, Any]) -> None:
    assert environment().from_string(case["template"]).render() == case["salt"]


def test_every_filter_and_test_of_salt_is_there() -> None:
    known = environment()
    assert set(SALT_FILTERS) - known.filters.keys() == set()
    assert {"list", "match", "equalto"} <= known.tests.keys()
    assert {"raise", "odict", "show_full_context"} <= known.globals.keys()
    assert set(SALT_FILTERS) - {"indent", "method_call"} <= {*FILTERS, *NAMES}
    assert set(TESTS) == {"list", "match", "equalto"}


def test_numbers_with_leading_zeros_are_decimal() -> None:
    text = environment().from_string("{{ 0644 }} {{ 0 }} {{ 00 }} {{ 0.5 }} {{ [010, 0x10, 0o10, 1_000] }}").render()
    assert text == "644 0 0 0.5 [10, 16, 8, 1000]"
