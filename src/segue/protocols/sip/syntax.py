"""Small readers of SIP text (RFC 3261 section 25.1): quoting, lists, parameters. Nothing here knows a header."""

from __future__ import annotations

from segue.base.errors import RemoteError


class SipSyntaxError(RemoteError):
    """The text is not SIP; the status is 400 unless a better one fits."""

    def __init__(self, problem: str, status: int = 400) -> None:
        super().__init__(problem, status)


TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")


def is_token(text: str) -> bool:
    return bool(text) and TOKEN.issuperset(text)


def number(text: str, limit: int, what: str) -> int:
    """A decimal of ASCII digits up to `limit`. `int()` alone takes signs, spaces and other scripts' digits."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise SipSyntaxError(f"{what} {text[:30]!r} is no number")
    value = int(text)
    if value > limit:
        raise SipSyntaxError(f"{what} {value} is over {limit}")
    return value


def split_outside(text: str, separator: str) -> list[str]:
    """Split at `separator` where it stands outside quoted strings and angle brackets; parts are stripped.

    Raises SipSyntaxError for a quoted string or bracket that does not end.
    """
    if separator not in text:
        return [text.strip()]
    if '"' not in text and "<" not in text:
        return [part.strip() for part in text.split(separator)]
    parts, start, position, depth = [], 0, 0, 0
    while position < len(text):
        character = text[position]
        if character == '"' and not depth:
            position = _end_of_quoted(text, position)
        elif character == "<":
            depth += 1
        elif character == ">":
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    if depth:
        raise SipSyntaxError("angle brackets do not match")
    parts.append(text[start:].strip())
    return parts


def _end_of_quoted(text: str, start: int) -> int:
    """The position of the quote that ends the string that begins at `start`."""
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == '"':
            return position
        position += 1
    raise SipSyntaxError("a quoted string does not end")


def take_quoted(text: str) -> tuple[str, str]:
    """A quoted string at the beginning of `text`, unescaped, and what follows it."""
    end = _end_of_quoted(text, 0)
    return unquote(text[: end + 1]), text[end + 1 :]


def unquote(text: str) -> str:
    """The content of a quoted string; other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    body = text[1:-1]
    if "\\" not in body:
        return body
    out, position = [], 0
    while position < len(body):
        if body[position] == "\\":
            position += 1
            if position == len(body):  # a lone backslash before the closing quote escapes it: no end
                raise SipSyntaxError("a quoted string does not end")
        out.append(body[position])
        position += 1
    return "".join(out)


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_parameters(text: str) -> dict[str, str | None]:
    """`;name=value;flag` as a dictionary with lower-case names; quoted values are unquoted; the first of two
    equal names counts. Raises SipSyntaxError for what is no parameter."""
    parameters: dict[str, str | None] = {}
    for part in split_outside(text, ";"):
        if not part:
            continue
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not is_token(name):
            raise SipSyntaxError(f"{name[:30]!r} is no parameter name")
        value = value.strip()
        if equals and not value:
            raise SipSyntaxError(f"parameter {name[:30]!r} has no value")
        parameters.setdefault(name, unquote(value) if equals else None)
    return parameters


def write_parameters(parameters: dict[str, str | None]) -> str:
    return "".join(
        f";{name}" if value is None else f";{name}={_parameter_value(value)}"
        for name, value in parameters.items()
    )


def _parameter_value(value: str) -> str:
    plain = is_token(value) or (value[:1] == "[" and value[-1:] == "]")  # a host may stand without quotes
    return value if plain else quote(value)
