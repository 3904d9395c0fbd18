"""Advice on settings, for a model that has never answered."""

from dataclasses import dataclass

from r1reward.endpoint.address import proxy_variables
from r1reward.endpoint.fault import RequestFault


@dataclass(frozen=True, slots=True)
class Advice:
    """Says which setting to change, by the fault that an endpoint answers with.

    Attributes:
        group: of the settings, such as ``judge``.
        model: its name.
        key_env: environment variable of the key.
        has_key: whether that is set.
    """

    group: str
    model: str
    key_env: str
    has_key: bool

    def after(self, detail: str, fault: RequestFault, url: str) -> str:
        """Return ``detail``, followed by what to check where there is something.

        Args:
            detail: words on what happened.
            fault: the last one.
            url: address that it came from.
        """
        said = [self._setting(fault, url)]
        if proxies := proxy_variables(url):
            said.append(
                f"{' and '.join(proxies)} is set, so the request went through a proxy: for an "
                "address that needs none, name its host in NO_PROXY"
            )
        return "; ".join(filter(None, [detail.removesuffix("."), *said]))

    def _setting(self, fault: RequestFault, url: str) -> str:
        group = self.group
        if fault.status in (401, 403):
            return f"check the key in {self.key_env}" if self.has_key else f"set {self.key_env}"
        if fault.kind == "connection":
            return f"see that a server runs at {group}.base_url={url}"
        if fault.status in (404, 405) or fault.kind == "nonsense":
            ending = "" if url.endswith("/v1") else ", which usually ends in /v1,"
            return f"check {group}.base_url={url}{ending} and {group}.model={self.model}"
        if fault.status == 400 and "max_tokens" in fault.detail and "nsupported" in fault.detail:
            return f"set {group}.tokens_field=max_completion_tokens"
        if fault.kind == "timeout":
            return f"give a slow model more {group}.request_s"
        return ""
