r"""Text as it leaves the program: without secrets, and with nothing in it that a terminal obeys.

Titles, paths and column names are whatever somebody wrote into a file. A control character among them is shown as
its number (`\u001b`), which is how JSON and TOML write it, too: what was cleaned once is not changed by a second
cleaning. Letters of all scripts stay, with the joiners and marks of direction that some scripts are written with.
"""

from __future__ import annotations

import re

SECRET = "***"  # noqa: S105 - what stands in place of one

# Beyond the controls: separators of lines, what turns the direction of text around, and halves of characters,
# which no stream can write. Tabs and ends of lines are not among them.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u206f\ud800-\udfff]")

# In a query or a fragment even short names are those of keys; Azure signs with several of them.
_PARAMETERS = re.compile(
    r"(?<=[?&#;])((?:[\w.-]*(?:token|secret|password|passwd|pwd|signature|credential|api-?_?key|accesskeyid)[\w.-]*"
    r"|x-amz-[\w-]+|x-goog-[\w-]+|key|sig|sas|sv|auth|code)=)[^&\s#\"']+",
    re.I,
)

# Names of secrets anywhere else, behind what they are in: `fs.s3a.secret.key`, `"apiKey"`, `AWSAccessKeyId`. The
# short ones must begin there: Kansas is none.
_NAMES = (
    r"(?:(?:[\w.-]*[._-])?(?:secret|token|password|passwd|pwd|passphrase|signature|sig|sas|credentials?|auth"
    r"|authorization|x-amz-[\w-]+|sas[._-]token(?:[._][\w.-]+)?|account[._-]key(?:[._][\w.-]+)?"
    r"|(?:secret|access|api|private|session)[._-](?:access[._-])?(?:key|token)(?:[._-]?id)?)"
    r"|[\w.-]*(?:password|accesskeyid|accesskey|secretkey|apikey|accountkey|sharedaccesssignature|authtoken"
    r"|accesstoken|clientsecret|sessiontoken))"
)
_NAMED = re.compile(
    rf"(?<![\w.-])({_NAMES}(?:\\?[\"'])?\s*(?:=(?!=)|:(?!//))\s*)"
    r"(\"(?:[^\"\\\n]|\\.)*\"?|'[^'\n]*'?|(?:(?:Bearer|Basic)\s+)?[^\s,;&\"']+)",
    re.I,
)
# A token by what stands before it, wherever that is quoted.
_BEARER = re.compile(r"(?i)\b(Bearer\s+)[^\s\"',;]{4,}")
_SECRET_NAME = re.compile(_NAMES, re.I)

# user:password@, up to the last @, as a password may hold one, or a slash; not a port. What has a colon and
# neither port nor @ was cut off.
_USERS = re.compile(
    r"(?<=://)(?:[^\s/?#@:\"']*:(?!\d{1,5}(?:[/?#]|$))\S*@|[^\s/?#:]*@|[^\s/?#@:\"']*:(?!\d{1,5}(?:\W|$))[^\s/?#@\"']+)"
)
# Stores whose containers stand where others have the user: no secret.
_WITH_CONTAINER = ("az://", "abfs://", "abfss://", "wasb://", "wasbs://")


def without_controls(text: str) -> str:
    """Return text in which what a terminal obeys is shown as its number; tabs and ends of lines stay."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def masked(text: str) -> str:
    """Return text with *** in place of the secrets that URIs and `name=value` may hold."""
    if "://" in text:
        text = _USERS.sub(_mask_user, text)
    return _BEARER.sub(rf"\1{SECRET}", _NAMED.sub(_mask_value, _PARAMETERS.sub(rf"\1{SECRET}", text)))


def is_secret(name: str) -> bool:
    """Return whether what goes by this name is a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def cleaned(text: str) -> str:
    """Return text that may be shown: without controls, and masked."""
    # What hides in a name would keep it from being known.
    return masked(without_controls(text))


def one_line(text: str) -> str:
    """Return text that may be shown as a single line."""
    return cleaned(" ".join(text.split()))


def _mask_user(found: re.Match[str]) -> str:
    user = found.group()
    if ":" not in user and found.string[max(0, found.start() - 8) : found.start()].lower().endswith(
        _WITH_CONTAINER
    ):
        return user
    return f"{SECRET}@" if user.endswith("@") else SECRET


def _mask_value(found: re.Match[str]) -> str:
    value = found.group(2)
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found.group(1)}{quote}{SECRET}{quote}"
