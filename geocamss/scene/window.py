"""A rectangle of pixels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Window"]


@dataclass(frozen=True)
class Window:
    """A half-open rectangle: rows [row, row + height), columns [col, col + width).

    Row and column may be negative, and the rectangle may reach beyond its raster.
    """

    row: int
    """First row."""

    col: int
    """First column."""

    height: int
    """Rows, 0 or more."""

    width: int
    """Columns, 0 or more."""

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            size = f"{self.height} by {self.width}"
            raise ValueError(f"a window's sides must be 0 or more, got {size}")

    @property
    def stop_row(self) -> int:
        """First row after the window."""
        return self.row + self.height

    @property
    def stop_col(self) -> int:
        """First column after the window."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Pixels in it."""
        return self.height * self.width

    @property
    def empty(self) -> bool:
        """True when it holds no pixel."""
        return self.height == 0 or self.width == 0

    @classmethod
    def between(cls, row: int, col: int, stop_row: int, stop_col: int) -> Window:
        """The window of rows [row, stop_row) and columns [col, stop_col); empty if they cross."""
        return cls(row, col, max(0, stop_row - row), max(0, stop_col - col))

    def __and__(self, other: Window) -> Window:
        """The pixels in both."""
        return Window.between(
            max(self.row, other.row),
            max(self.col, other.col),
            min(self.stop_row, other.stop_row),
            min(self.stop_col, other.stop_col),
        )

    def shifted(self, rows: int, cols: int) -> Window:
        """The same size, that many rows down and columns right."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Slices that cut this window out of an array that holds ``outer``.

        Raises:
            ValueError: this window reaches beyond ``outer``.
        """
        if self & outer != self:
            raise ValueError(f"{self} reaches beyond {outer}")
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)
