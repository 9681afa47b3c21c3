"""The ids that callers choose: of carts, products, users and requests."""

import re

from dynamo_shop.errors import Refused

ID_CHARS_MAX = 64
"""Raising it: every mark in a cart may be larger; a cart's bounds times this stay below 1 MiB."""

_ID = re.compile(rf"[A-Za-z0-9._:@+-]{{1,{ID_CHARS_MAX}}}")


def check_id(what: str, id: str) -> None:
    """Raise Refused unless `id` is one; `what` names the field that has it."""
    if not _ID.fullmatch(id):
        allowed = f"1 to {ID_CHARS_MAX} letters, digits and . _ : @ + -"
        raise Refused(what, f"{what} {id[:ID_CHARS_MAX]!r} is no id: {allowed}")
