"""Tables: from a data frame to numbers and back, and the likelihood of their columns."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_vae._parts import check_known, nearest
from keras_vae.data.examples import Array
from keras_vae.likelihoods import (
    Bernoulli,
    Block,
    Categorical,
    Column,
    Likelihood,
    Mixed,
    NegativeBinomial,
    Normal,
    ZeroInflated,
)
from keras_vae.likelihoods.mixed import KINDS

_COUNTS: dict[str, Callable[[NegativeBinomial], Likelihood]] = {
    "count": lambda family: family,
    "zero-inflated-count": lambda family: ZeroInflated(likelihood=family),
}
_IDENTIFIER = 100  # categories from which on a column that hardly repeats one is no category


def read_frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads a .csv or .parquet file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no table, or has another ending.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise FileNotFoundError(f"There is no file {name!r}.")
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".pq": pd.read_parquet}
    ending = os.path.splitext(name)[1].lower()
    if ending not in readers:
        raise ValueError(
            f"A table is a file that ends in {', '.join(readers)}. Received: {os.path.basename(name)}"
        )
    try:
        frame = readers[ending](name)
    except (ValueError, OSError, UnicodeDecodeError) as error:  # pandas' own are ValueErrors
        raise ValueError(f"{name} cannot be read as a table: {error}") from error
    if frame.empty:
        raise ValueError(f"{name} is empty. Expected a line of names and at least one row.")
    return frame.rename(columns=str)


def as_frame(table: Any, names: Sequence[str] | None = None) -> pd.DataFrame:
    """A data frame as it is but for names, which become strings; an array [N, D] as one."""
    if isinstance(table, pd.DataFrame):
        return table.rename(columns=str)
    values = np.asarray(table)
    if values.ndim != 2:
        raise ValueError(f"Expected a table [N, D]. Received an array of shape {values.shape}.")
    return pd.DataFrame(
        values, columns=pd.Index(names or [f"x{i}" for i in range(values.shape[1])])
    )


def infer_columns(
    frame: pd.DataFrame, column_types: Mapping[str, str] | None = None
) -> tuple[Column, ...]:
    """What the columns of a table are.

    Numbers are "real", or "integer" where all of them are, or "binary" where there are only 0 and 1;
    truth values are "binary"; everything else is "categorical", or "binary" with two categories.

    Args:
        frame: The table; missing values are NaN or None.
        column_types: By name, for columns that are to be something else: "real", "integer", "count",
            "zero-inflated-count", "binary", "categorical", or "skip" for those that are to be left
            out. A column is a count only if it is said to be.

    Returns:
        The columns, in the order of the table.

    Raises:
        ValueError: For unknown names and types, columns without a value, identifiers, dates, text
            where numbers are asked for, and counts that are none.

    Example:
    >>> infer_columns(pd.DataFrame({"age": [40.5, None], "sex": ["f", "m"]}))
    (Column(name='age', kind='real', categories=()),
     Column(name='sex', kind='binary', categories=('f', 'm')))
    """
    given = dict(column_types or {})
    for name, kind in given.items():
        check_known("type of column", kind, (*KINDS, "skip"))
        if name not in frame.columns:
            raise _unknown_column(name, frame.columns)
    if repeated := sorted({str(n) for n in frame.columns[frame.columns.duplicated()]}):
        raise ValueError(f"The table has several columns of one name: {', '.join(repeated)}.")
    columns = [
        _column(str(name), frame[name], given.get(str(name)))
        for name in frame.columns
        if given.get(str(name)) != "skip"
    ]
    if not columns:
        raise ValueError("The table has no column left.")
    return tuple(columns)


def _column(name: str, values: Any, kind: str | None) -> Column:
    observed = values.dropna()
    if observed.empty:
        raise ValueError(
            f"The column {name!r} has no value at all. Leave it out (its type: skip), or fill it in."
        )
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if pd.api.types.is_datetime64_any_dtype(values):
        raise ValueError(
            f"The column {name!r} holds dates. Turn them into numbers, or leave it out (its type: skip)."
        )
    if kind is None:
        kind = _kind(observed, is_number)
    if kind in ("real", "integer", *_COUNTS):
        if not is_number and not pd.api.types.is_bool_dtype(values):
            raise ValueError(
                f"The column {name!r} is to be {kind} and holds {observed.iloc[0]!r}. Its type could be "
                "categorical."
            )
        if kind in _COUNTS:
            _check_counts(name, kind, observed.to_numpy(np.float64))
        return Column(name=name, kind=kind)
    categories: Any = _categories(observed)
    if len(categories) < 2:
        raise ValueError(
            f"The column {name!r} holds one value only, {categories[0]!r}, which says nothing. Leave it out "
            "(its type: skip)."
        )
    if kind == "binary" and len(categories) > 2:
        raise ValueError(
            f"The column {name!r} is to be binary and has {len(categories)} values. Its type could be "
            "categorical."
        )
    return Column(name=name, kind=kind, categories=categories)


def _check_counts(name: str, kind: str, numbers: Array) -> None:
    unfit = numbers[(numbers < 0) | (numbers != np.floor(numbers))]
    if unfit.size:
        raise ValueError(
            f"The column {name!r} is to be a {kind}, 0, 1, 2, ..., and holds {unfit[0]:g}. Its type could be "
            "real or integer."
        )
    if not numbers.any():
        raise ValueError(
            f"The column {name!r} is to be a {kind} and holds zeros only, which say nothing. Leave it out (its "
            "type: skip)."
        )


def _kind(observed: pd.Series, is_number: bool) -> str:
    if is_number:
        numbers = observed.to_numpy(np.float64)
        if set(np.unique(numbers)) == {0.0, 1.0}:
            return "binary"
        return "integer" if (numbers == np.floor(numbers)).all() else "real"
    num = observed.nunique()
    if num > _IDENTIFIER and num > len(observed) / 2:
        raise ValueError(
            f"The column {observed.name!r} has {num:,} different values in {len(observed):,} rows, such as "
            f"{observed.iloc[0]!r}: it looks like an identifier. Leave it out (its type: skip), or say that it "
            "is categorical."
        )
    return "binary" if num == 2 else "categorical"


def _categories(observed: pd.Series) -> tuple[str | float | bool, ...]:
    if isinstance(observed.dtype, pd.CategoricalDtype):
        found = [value for value in observed.dtype.categories if (observed == value).any()]
    else:
        found = sorted(observed.unique(), key=lambda value: (isinstance(value, str), value))
    return tuple(value.item() if isinstance(value, np.generic) else value for value in found)


def encode(frame: Any, columns: Sequence[Column]) -> Array:
    """The rows of a table as numbers: categories by their place, NaN for what is missing.

    Args:
        frame: A table with these columns, in any order.
        columns: What they are.

    Returns:
        float32 [N, D].

    Raises:
        ValueError: For missing and for further columns, unseen categories, text and infinite numbers.
    """
    frame = frame.rename(columns=str)
    names = [column.name for column in columns]
    if missing := [name for name in names if name not in frame.columns]:
        raise ValueError(
            f"The table has no column {', '.join(map(repr, missing))}. Expected the columns {', '.join(names)}."
        )
    if further := [name for name in frame.columns if name not in names]:
        raise ValueError(
            f"The table has further columns: {', '.join(map(repr, further))}. Expected the columns "
            f"{', '.join(names)}."
        )
    return np.stack([_numbers(frame[column.name], column) for column in columns], axis=1)


def _numbers(values: Any, column: Column) -> Array:
    observed = values.notna()
    numbers = np.full(len(values), np.nan, np.float32)
    if not column.categories:
        try:
            found = values[observed].to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The column {column.name!r} has to hold numbers: {error}") from error
        if not np.isfinite(found.astype(np.float32)).all():
            raise ValueError(f"The column {column.name!r} holds infinite values (as float32).")
        numbers[observed] = found
        return numbers
    places = {category: place for place, category in enumerate(column.categories)}
    found = values[observed].astype(object)
    if unseen := sorted({str(value) for value in found.unique() if value not in places}):
        raise ValueError(
            f"The column {column.name!r} holds categories that were not there in training: "
            f"{', '.join(unseen[:5])}. Expected {', '.join(map(str, column.categories))}; leave the value empty "
            "where it is another."
        )
    numbers[observed] = [places[value] for value in found]
    return numbers


def decode(values: Array, columns: Sequence[Column]) -> pd.DataFrame:
    """The table that `encode` gives these numbers for; those between two categories go to the nearer.

    Args:
        values: [N, D], NaN for what is missing.
        columns: What they are.
    """
    return pd.DataFrame(
        {column.name: _column_of(values[:, i], column) for i, column in enumerate(columns)}
    )


def _column_of(numbers: Array, column: Column) -> Any:
    missing = np.isnan(numbers)
    whole = np.round(np.where(missing, 0, numbers)).astype(np.int64)
    if column.categories:
        categories = np.array(column.categories, object)
        values: Any = categories[np.clip(whole, 0, len(categories) - 1)]
    elif column.kind in ("integer", *_COUNTS):
        values = whole
    else:
        return numbers.astype(np.float64)
    if not missing.any():
        return pd.Series(values).infer_objects()
    return pd.Series(np.where(missing, None, values)).convert_dtypes()


def mixed(columns: Sequence[Column], values: Array, family: Any = Normal, **options: Any) -> Mixed:
    """The likelihood of a table: one per column, real ones standardised by the values given.

    Counts are negative binomial: those of most tables vary by more than a Poisson distribution's.

    Args:
        columns: What the columns are.
        values: Training rows [N, D], NaN for what is missing.
        family: Of real and integer columns: `likelihoods.Normal`, `Laplace` or `StudentT`.
        **options: Of that family.
    """

    def places(*kinds: str) -> list[int]:
        return [i for i, column in enumerate(columns) if column.kind in kinds]

    blocks: list[tuple[Likelihood, Iterable[int]]] = []
    if real := places("real", "integer"):
        data = values[:, real].astype(np.float64)
        stddev = np.nanstd(data, axis=0)
        likelihood = family(
            data_mean=np.nanmean(data, axis=0),
            data_stddev=np.where(stddev > 0, stddev, 1.0),
            **options,
        )
        blocks.append((likelihood, real))
    for kind, inflated in _COUNTS.items():
        if counts := places(kind):
            blocks.append((inflated(_of_counts(values[:, counts])), counts))
    if binary := places("binary"):
        blocks.append((Bernoulli(), binary))
    blocks += [
        (Categorical(num_categories=len(columns[i].categories)), [i]) for i in places("categorical")
    ]
    return Mixed(
        blocks=tuple(Block(likelihood=each, indices=tuple(where)) for each, where in blocks),
        columns=tuple(columns),
    )


def _of_counts(values: Array) -> NegativeBinomial:
    logs = np.log1p(values.astype(np.float64))
    stddev: Any = np.nanstd(logs, axis=0)
    return NegativeBinomial(
        data_mean=np.nanmean(values.astype(np.float64), axis=0),
        log_mean=np.nanmean(logs, axis=0),
        log_stddev=stddev + (stddev == 0),
    )


def described(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Rows of (name, what it is) for a table on the screen."""
    return [
        (
            column.name,
            column.kind + (f": {_listed(column.categories)}" if column.categories else ""),
        )
        for column in columns
    ]


def _listed(categories: Sequence[Any], most: int = 6) -> str:
    shown = ", ".join(map(str, categories[:most]))
    return shown + (f", ... ({len(categories)})" if len(categories) > most else "")


def _unknown_column(name: str, names: Iterable[Any]) -> ValueError:
    known = [str(each) for each in names]
    near = nearest(name, known)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return ValueError(f"The table has no column {name!r}.{hint} Its columns: {', '.join(known)}.")
