"""A command whose options are the fields of one value, so that each option is written down in one place."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar, get_type_hints

Options = TypeVar("Options")


def command(kind: Callable[..., Options], work: Callable[[Options], None]) -> Callable[..., None]:
    """
    Return a command for typer: its options make a value of `kind`, which `work` gets.

    `kind` is a class of annotated fields; the help is the docstring of `work`.
    """

    def run(**options: Any) -> None:
        work(kind(**options))

    annotations = get_type_hints(kind, include_extras=True)
    parameters = [
        one.replace(kind=Parameter.KEYWORD_ONLY, annotation=annotations[one.name])
        for one in signature(kind).parameters.values()
    ]
    run.__doc__ = work.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # where typer looks first
    return run
