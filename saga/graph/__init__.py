"""A saga drawn: how its definition goes, and where one saga stands, as Mermaid and as SVG.

Pure: drawn from a definition and, for one saga, from what ``saga.views.show`` tells of it.
"""

from saga.graph.look import css
from saga.graph.mermaid import mermaid
from saga.graph.picture import Picture, drawn_as
from saga.graph.svg import svg
from saga.graph.where import Where
from saga.graph.which import definition, definition_of

__all__ = ["Picture", "Where", "css", "definition", "definition_of", "drawn_as", "mermaid", "svg"]
