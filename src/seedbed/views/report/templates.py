"""The page's templates: what is filled in is text, unless it is markup."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from seedbed.methods import METHODS


@cache
def environment() -> Environment:
    """This folder's templates as `page/…`, the preview's as such, a method's as `<method>/…`."""
    folders = {"page": __package__, "preview": "seedbed.views.preview"}
    folders |= {method.__name__.rpartition(".")[2]: method.__name__ for method in METHODS}
    made = Environment(
        # Else Jinja would leave texts as they are.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PrefixLoader({name: PackageLoader(of, ".") for name, of in folders.items()}),
    )
    made.filters |= {"number": number, "exact": exact, "with_code": with_code}
    return made


def render(template: str, **values: Any) -> str:
    """A template, filled in. It is markup: another template takes it with `| safe`.

    Args:
        template: such as `page/page.html`.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return environment().get_template(template).render(values)


def with_code(text: str) -> Markup:
    """Set what stands in backticks as code.

    >>> with_code("<b>: run `dvc repro`")
    Markup('&lt;b&gt;: run <code>dvc repro</code>')
    """
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else piece
        for place, piece in enumerate(pieces)
    )


def number(value: Any) -> str:
    """A metric with four digits after the point at most.

    >>> number(12345), number(0.320518), number(67.0), number(None)
    ('12,345', '0.3205', '67', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        text = f"{value:,.4f}".rstrip("0").rstrip(".")
        return text if value == 0 or text.strip("-0.") else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def exact(value: Any) -> str | None:
    """All digits of a metric that `number` may have shortened."""
    return repr(value) if isinstance(value, float) else None
