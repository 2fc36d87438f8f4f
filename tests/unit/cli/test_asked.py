"""What a job asks for, in words."""

from __future__ import annotations

import pytest

from afield.cli.asked import in_words


@pytest.mark.parametrize(
    ("request_text", "words"),
    [
        ("[]", "1 process, no devices"),
        ("3:[]", "3 processes, no devices"),
        ("[gpu]", "1 process with 1 device"),
        ("[4:gpu]", "1 process with 4 devices"),
        ("2:[4:a100,mem=40G]", "2 processes, each with 4 a100, 40G of memory"),
        ("[gpu_mem=2G]", "1 process with 1 device with 2G free"),
        ("[cpu=1,disk=3G]", "1 process with 1 core, 3G of disk"),
        ("2:[],4:[gtx1070,2:gtx1060]", "2 processes, no devices; 4 processes, each with 1 gtx1070, 2 gtx1060"),
    ],
)
def test_words(request_text: str, words: str) -> None:
    assert in_words(request_text) == words
