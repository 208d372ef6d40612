"""A way to the real model that counts."""


class CountedModel:
    """The real model server with a counter before it: what was asked, in order."""

    def __init__(self, base_url: str):
        self.base_url = base_url
        self.bodies: list[dict] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": self.base_url, "SEEDBED_CONCURRENCY": "1"}
