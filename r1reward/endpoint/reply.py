"""Replies of an endpoint: a chat completion, or words that say why there is none."""

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from r1reward.core.text import valid_text
from r1reward.endpoint.fault import FaultKind, RequestFault

_KEPT = 2000  # characters of an endpoint's own words; whoever shows them cuts them once more
_CODE_OR_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_THINKING = ("reasoning_content", "reasoning")  # fields of vLLM, DeepSeek, OpenRouter and others


@dataclass(frozen=True, slots=True)
class Completion:
    """One chat completion.

    Attributes:
        content: the answer.
        reasoning: the part before it, where the endpoint sends it apart.
        finish_reason: why it ended there, in the endpoint's word; ``length`` is a cut answer.
        prompt_tokens: read by the model.
        completion_tokens: written by the model.
    """

    content: str
    reasoning: str = ""
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def text(self) -> str:
        """The whole response, with the reasoning as ``<think>`` part unless it has one already."""
        if not self.reasoning or "think>" in self.content:
            return self.content
        if not self.content and ("think>" in self.reasoning or "<answer>" in self.reasoning):
            return self.reasoning  # a reasoning parser took the whole response for reasoning
        end = "" if self.cut and not self.content else "</think>"
        return f"<think>{self.reasoning}{end}{self.content}"

    @property
    def conclusion(self) -> str:
        """The answer alone; the reasoning where the endpoint took the answer for a part of it."""
        return self.content or ("" if self.cut else self.reasoning)

    @property
    def cut(self) -> bool:
        """Whether the limit on tokens ended it."""
        return self.finish_reason == "length"


def read_completion(content: bytes) -> Completion | RequestFault:
    """Return the chat completion of a reply with status 200, or the fault that it holds."""
    try:
        return _completion(json.loads(content))
    # A deep nesting is a RecursionError, a list in the wrong place an AttributeError.
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        if _is_page(content):
            detail = f"a web page and no API's reply: {own_words(content)!r}"
        else:
            detail = f"no chat completion ({type(error).__name__}): {own_words(content)!r}"
        return RequestFault("nonsense", detail, status=200)


def read_error(status: int, content: bytes, wait: float) -> RequestFault:
    """Return the fault of a reply with another status; ``wait`` is its Retry-After in seconds."""
    page = "a web page, " if _is_page(content) else ""
    detail = f"HTTP {status}: {page}{own_words(content)}"
    return RequestFault(fault_kind(status), detail, status=status, wait=wait)


def fault_kind(status: int) -> FaultKind:
    """Return the kind of fault that an HTTP status is."""
    if status == 429:
        return "rate_limit"
    return "server" if status >= 500 or status in (408, 409, 425) else "refused"


def own_words(content: bytes) -> str:
    """Return the start of what an endpoint says: the message of an error, the text of a page."""
    text = content.decode("utf-8", "replace")
    try:
        text = _message(json.loads(text)) or text
    except (ValueError, RecursionError):
        if _is_page(content):
            text = html.unescape(_CODE_OR_TAG.sub(" ", text))
    return valid_text(" ".join(text.split())[:_KEPT])


def _message(reply: Any) -> str:
    """Return the message of an error in one of the forms that endpoints use; empty for none."""
    for name in ("error", "message", "detail"):
        if isinstance(reply, dict) and reply.get(name):
            inner = reply[name]
            return inner if isinstance(inner, str) else _message(inner) or json.dumps(inner)
    return ""


def _is_page(content: bytes) -> bool:
    return content.lstrip()[:1] == b"<"


def _completion(reply: Any) -> Completion | RequestFault:
    if reply.get("error") or reply.get("object") == "error":
        return _error_inside(reply)
    choice = reply["choices"][0]
    if choice.get("error"):  # after a part of the answer was there
        return _error_inside(choice)
    message, finish = choice["message"], choice.get("finish_reason")
    content, reasoning = _parts(message.get("content"))
    for name in _THINKING:
        reasoning = reasoning or message.get(name) or ""
    refusal = message.get("refusal") or ""
    if finish == "content_filter" and not content:
        words = f": {refusal}" if refusal else ""
        detail = f"the endpoint's content filter withheld the answer{words}"
        return RequestFault("filtered", valid_text(detail[:_KEPT]), status=200)
    usage = reply.get("usage") or {}
    read, written = (int(usage.get(f"{name}_tokens") or 0) for name in ("prompt", "completion"))
    answer = content if content or reasoning else refusal
    finish = finish if isinstance(finish, str) else None
    return Completion(valid_text(answer), valid_text(reasoning), finish, read, written)


def _error_inside(reply: dict[str, Any]) -> RequestFault:
    """Return the fault of an error that a status of 200 hides; without a code it may pass."""
    error = reply.get("error")
    code = (error if isinstance(error, dict) else reply).get("code")
    status = int(code) if code is not None and str(code).isdecimal() else 0
    status = status if 400 <= status < 600 else 500
    words = own_words(json.dumps(reply).encode())
    return RequestFault(fault_kind(status), f"an error in place of an answer: {words}", status)


def _parts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning of a message's content: a text, a list of parts or null."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise TypeError(f"content is {type(content).__name__}")
    texts = [part.get("text") for part in content if part.get("type") in ("text", "output_text")]
    thoughts = [_parts(part["thinking"])[0] for part in content if part.get("type") == "thinking"]
    return "".join(texts), "".join(thoughts)
