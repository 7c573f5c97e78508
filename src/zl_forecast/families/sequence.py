"""Shared parts of the families that read a sequence: inputs, anchored quantiles, loss, training, AutoGluon adapter.

A session is one sample: its look-back of ZL's returns and the bucket's channels, its features at the origin,
and the targets of all its matured horizons. A network moves the reference's quantiles; an untrained network
leaves them unchanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from zl_forecast import settings
from zl_forecast.families.base import Explanation, QuantileModel
from zl_forecast.families.lookback import CHANNEL_LAGS, read_sessions
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.scaling import standard_scores

MAX_SHIFT = 1.0  # standardised return: largest move of a median
MAX_LOG_FACTOR = 0.7  # distances between quantiles are between half and twice the reference's
MAX_GRADIENT = 1.0
BATCH_SESSIONS = 128
SCORE_SESSIONS = 1024
RETURN_CHANNELS = ("zl_return", "zl_absolute_return")
ATTENTION_COLUMNS = [f"sessions_ago_{lag:02d}" for lag in reversed(range(CHANNEL_LAGS))]


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of inputs, estimated on the training rows.

    Attributes
    ----------
    mean, scale : arrays of shape (n_inputs,)
        In the unit of each input. `scale` is infinite if the training values do not vary, so that the network
        ignores the input.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def learn(cls, values: np.ndarray) -> "Scaling":
        """Estimate the moments over all axes but the last, ignoring missing values.

        Parameters
        ----------
        values : array of shape (..., n_inputs)

        Returns
        -------
        Scaling
        """
        values = values.reshape(-1, values.shape[-1])
        there = np.isfinite(values)
        count = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, values, 0.0).sum(axis=0) / count
        spread = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / count)
        return cls(mean, np.where(spread > 1e-9 * np.maximum(np.abs(mean), 1e-9), spread, np.inf))

    def apply(self, values: np.ndarray) -> torch.Tensor:
        """Compute standard scores, see `scaling.standard_scores`.

        Parameters
        ----------
        values : array of shape (..., n_inputs)

        Returns
        -------
        float32 tensor of shape (..., n_inputs)
            Clipped; 0 where a value is missing.
        """
        return torch.from_numpy(standard_scores(values, self.mean, self.scale).astype(np.float32))


@dataclass(frozen=True)
class Sequences:
    """Inputs of a network before scaling, one entry per session.

    Attributes
    ----------
    path : array of shape (n_sessions, CHANNEL_LAGS, n_channels)
        `RETURN_CHANNELS` in units of the origin's EWMA volatility, then the bucket's channels; oldest first.
    features : array of shape (n_sessions, n_features)
        The mart's features at the origin.
    channel_names, feature_names : tuples of str
    session : array of shape (n_rows,)
        Position of the session of each row of X.
    """

    path: np.ndarray
    features: np.ndarray
    channel_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    session: np.ndarray


def read_sequences(X: pd.DataFrame) -> Sequences:
    """Extract the sequences from rows.

    Parameters
    ----------
    X : DataFrame of n_rows rows
        Rows as the family reads them, with look-back.

    Returns
    -------
    Sequences
    """
    sessions = read_sessions(X)
    returns = sessions.returns[:, -CHANNEL_LAGS:, None] / sessions.ewma_volatility[:, None, None]
    return Sequences(
        path=np.concatenate([returns, np.abs(returns), sessions.channels], axis=2),
        features=sessions.features.to_numpy(float),
        channel_names=(*RETURN_CHANNELS, *sessions.channel_names),
        feature_names=tuple(sessions.features.columns),
        session=sessions.session,
    )


def target_table(z_return: np.ndarray, session: np.ndarray, horizon: np.ndarray) -> np.ndarray:
    """Arrange the targets of each session side by side.

    Parameters
    ----------
    z_return : array of shape (n_rows,)
        Standardised returns.
    session, horizon : integer arrays of shape (n_rows,)
        Positions of the row in the table.

    Returns
    -------
    array of shape (n_sessions, n_horizons)
        NaN where there is no row, because that horizon has not matured.

    Examples
    --------
    >>> target_table(np.array([0.1, 0.2, 0.3]), np.array([0, 0, 1]), np.array([0, 1, 0])).tolist()
    [[0.1, 0.2], [0.3, nan]]
    """
    table = np.full((session.max() + 1, horizon.max() + 1), np.nan)
    table[session, horizon] = z_return
    return table


def anchored_quantiles(raw: torch.Tensor, anchor: torch.Tensor, middle: int) -> torch.Tensor:
    """Convert a network's output into quantiles: `anchor` if the output is zero, and ascending for any output.

    Cumulated positive increments prevent crossing quantiles.
    Source: Gasthaus et al. (2019), AISTATS, PMLR 89.

    Parameters
    ----------
    raw : tensor of shape (..., n_levels)
        First the shift of the middle quantile, then the logarithms of the factors that stretch the n_levels - 1
        distances between neighbouring quantiles. Both are squashed smoothly to `MAX_SHIFT` and
        `MAX_LOG_FACTOR`, so that forecasts are bounded for any input.
    anchor : float64 tensor of shape (..., n_levels)
        Standardised returns, ascending.
    middle : int
        Position of the median, which only the shift moves.

    Returns
    -------
    float64 tensor of shape (..., n_levels)
        Standardised returns, ascending.

    Examples
    --------
    >>> anchor = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    >>> anchored_quantiles(torch.zeros(3), anchor, middle=1).tolist()
    [-1.0, 0.0, 2.0]
    """
    raw = raw.double()
    shift = MAX_SHIFT * torch.tanh(raw[..., :1] / MAX_SHIFT)
    factor = torch.exp(MAX_LOG_FACTOR * torch.tanh(raw[..., 1:] / MAX_LOG_FACTOR))
    extra = (factor - 1.0) * anchor.diff(dim=-1)  # sums of these are exactly zero at factor one
    below = -extra[..., :middle].flip(-1).cumsum(-1).flip(-1)
    above = extra[..., middle:].cumsum(-1)
    return anchor + shift + torch.cat([below, torch.zeros_like(shift), above], dim=-1)


def credibility(table: np.ndarray, horizons: tuple[int, ...]) -> np.ndarray:
    """Compute, per horizon, the credibility weight of targets against the reference.

    n overlapping targets of h sessions hold about n / h independent samples; the prior "the reference is right"
    has the weight of `settings.PRIOR_SAMPLES` samples.
    Source: Bühlmann (1967), Experience rating and credibility, ASTIN Bulletin 4(3), 199-207.

    Parameters
    ----------
    table : array of shape (n_sessions, n_horizons)
        Finite where a target has matured.
    horizons : tuple of n_horizons ints
        Sessions.

    Returns
    -------
    array of shape (n_horizons,)
        Between 0 and 1.

    Examples
    --------
    Forty matured sessions at a horizon of one session: 40 / (40 + 20).

    >>> credibility(np.zeros((40, 1)), (1,)).round(4).tolist()
    [0.6667]
    """
    samples = np.isfinite(table).sum(axis=0) / np.array(horizons)
    return samples / (samples + settings.PRIOR_SAMPLES)


def validated_share(loss_reduction: np.ndarray, horizons: tuple[int, ...]) -> np.ndarray:
    """Compute, per horizon, how much of a network's move away from the reference validation supports.

    Parameters
    ----------
    loss_reduction : array of shape (n_sessions, n_horizons)
        Loss of the reference minus the network's, on rows it was not trained on; NaN where not matured.
    horizons : tuple of n_horizons ints
        Sessions.

    Returns
    -------
    array of shape (n_horizons,)
        Zero if the total is not positive or no row has matured; otherwise the `credibility` of the validation
        rows.
    """
    matured = np.isfinite(loss_reduction)
    total = np.where(matured, loss_reduction, 0.0).sum(axis=0)
    return np.where(total > 0, credibility(loss_reduction, horizons), 0.0)


def pinball(target: torch.Tensor, quantiles: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Compute the pinball loss, averaged over levels.

    Source: Koenker and Bassett (1978), Econometrica 46(1), 33-50.

    Parameters
    ----------
    target : tensor of shape (n_sessions, n_horizons)
        Standardised returns; NaN where not matured.
    quantiles : tensor of shape (n_sessions, n_horizons, n_levels)
        Standardised returns.
    levels : tensor of shape (n_levels,)
        Between 0 and 1.

    Returns
    -------
    tensor of shape (n_sessions, n_horizons)
        In the unit of the target; NaN where not matured.
    """
    missed = target[..., None] - quantiles
    return torch.maximum(levels * missed, (levels - 1.0) * missed).mean(dim=-1)


def matured_mean(loss: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Compute the mean of a loss over matured targets, weighted by horizon.

    Parameters
    ----------
    loss : tensor of shape (n_sessions, n_horizons)
        NaN where not matured.
    weight : tensor of shape (n_horizons,)
        Non-negative.

    Returns
    -------
    scalar tensor
        In the unit of the loss.

    Examples
    --------
    >>> loss = torch.tensor([[1.0, 4.0], [3.0, float("nan")]])
    >>> float(matured_mean(loss, torch.tensor([1.0, 2.0])))
    3.0
    """
    matured = ~loss.isnan()
    weight = weight.expand_as(loss)[matured]
    return (weight * loss[matured]).sum() / weight.sum()


class AdditiveAttention(nn.Module):
    """Weights over the steps of a sequence by their match with a query.

    Source: Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and
    translate, ICLR.
    """

    def __init__(self, width: int):
        super().__init__()
        self.key = nn.Linear(width, width)
        self.query = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, steps: torch.Tensor, query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the weighted mean of the steps.

        Parameters
        ----------
        steps : tensor of shape (n, n_steps, width)
        query : tensor of shape (n, width)

        Returns
        -------
        tuple of two tensors
            Weighted mean of shape (n, width), and weights of shape (n, n_steps) with sum one per row.
        """
        score = self.score(torch.tanh(self.key(steps) + self.query(query)[:, None]))
        weights = torch.softmax(score.squeeze(-1), dim=1)
        return (weights[:, :, None] * steps).sum(dim=1), weights


class Head(nn.Module):
    """Joins the summary of a sequence and the features at the origin; outputs zero before training.

    The last layer starts at zero, so that `anchored_quantiles` of the output equals the anchor.
    """

    def __init__(self, width: int, n_features: int, n_horizons: int, n_levels: int, dropout: float):
        super().__init__()
        self.shape = (n_horizons, n_levels)
        self.features = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_features, width), nn.ELU())
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * width, n_horizons * n_levels)
        start_at_zero(self.last)

    def forward(self, summary: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Compute the raw output.

        Parameters
        ----------
        summary : tensor of shape (n, width)
        features : tensor of shape (n, n_features)
            Standardised.

        Returns
        -------
        tensor of shape (n, n_horizons, n_levels)
            See `anchored_quantiles`.
        """
        joined = torch.cat([summary, self.features(features)], dim=1)
        return self.last(self.dropout(joined)).unflatten(1, self.shape)


class RecurrentAttention(nn.Module):
    """A recurrent encoder of the look-back with additive attention over its steps; the last state is the query.

    The last state is added to the attention's output. Without it, a thousand sessions are too few to learn the
    weights. The weights stay flat if the last state holds all relevant information.
    """

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU], n_channels: int, width: int, head: Head):
        super().__init__()
        self.encoder = cell(n_channels, width, batch_first=True)
        self.attention = AdditiveAttention(width)
        self.head = head

    def forward(self, path: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Compute raw outputs and attention weights.

        Parameters
        ----------
        path : tensor of shape (n, CHANNEL_LAGS, n_channels)
            Standardised, oldest first.
        features : tensor of shape (n, n_features)
            Standardised.

        Returns
        -------
        tuple of tensor and dict of tensors
            Raw output of shape (n, n_horizons, n_levels), see `anchored_quantiles`, and 'attention' of shape
            (n, CHANNEL_LAGS).
        """
        steps, _ = self.encoder(path)
        context, weights = self.attention(steps, steps[:, -1])
        return self.head(context + steps[:, -1], features), {"attention": weights}


def start_at_zero(layer: nn.Linear) -> None:
    """Initialise a layer so that its output is zero until it is trained.

    Parameters
    ----------
    layer : Linear
        Changed in place.
    """
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class Batch:
    """Scaled inputs and targets; tensors with one entry per session along the first axis."""

    path: torch.Tensor
    features: torch.Tensor
    target: torch.Tensor

    def __len__(self) -> int:
        return len(self.path)

    def __getitem__(self, entries) -> "Batch":
        return Batch(self.path[entries], self.features[entries], self.target[entries])


@dataclass(frozen=True)
class Anchor:
    """The reference from which a network departs, and how far the network is trusted.

    Attributes
    ----------
    quantiles : float64 tensor of shape (n_horizons, n_levels)
        Standardised returns.
    levels : float64 tensor of shape (n_levels,)
    trust : float64 tensor of shape (n_horizons,)
        From 0 to 1; multiplies the network's output.
    weight : float64 tensor of shape (n_horizons,)
        Weights of the horizons in the loss: `credibility` of the training targets, which is also the trust
        during training.
    """

    quantiles: torch.Tensor
    levels: torch.Tensor
    trust: torch.Tensor
    weight: torch.Tensor

    def forecast(self, raw: torch.Tensor, horizon: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Convert raw outputs into quantiles.

        Parameters
        ----------
        raw : tensor of shape (..., n_levels)
            See `anchored_quantiles`.
        horizon : integer tensor or slice
            Positions of the horizons that the outputs belong to.

        Returns
        -------
        float64 tensor of shape (..., n_levels)
            Standardised returns, ascending.
        """
        middle = int((self.levels - 0.5).abs().argmin())
        return anchored_quantiles(raw.double() * self.trust[horizon, None], self.quantiles[horizon], middle)

    def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
        """Compute the mean pinball loss of a network's forecasts.

        Parameters
        ----------
        network : Module
            As in `train`.
        batch : Batch

        Returns
        -------
        scalar tensor
            Standardised returns.
        """
        raw, _ = network(batch.path, batch.features)
        return matured_mean(pinball(batch.target, self.forecast(raw), self.levels), self.weight)


def train(
    network: nn.Module,
    anchor: Anchor,
    data: Batch,
    validation: Batch | None,
    *,
    epochs: int,
    patience: int,
    learning_rate: float,
    weight_decay: float,
) -> int:
    """Train by AdamW on mini-batches of sessions, and keep the epoch with the lowest validation loss.

    Parameters
    ----------
    network : Module
        Maps (path, features) to a tuple whose first element is the raw output of shape (n_sessions, n_horizons,
        n_levels). Changed in place.
    anchor : Anchor
    data : Batch
        Training sessions.
    validation : Batch, optional
        Without it, exactly `epochs` epochs are trained.
    epochs : int
        Largest number of epochs.
    patience : int
        Training ends after this many epochs without a lower validation loss.
    learning_rate, weight_decay : float

    Returns
    -------
    int
        The best epoch. 0 is the untrained network, which equals the reference.

    Notes
    -----
    Uses torch's global random generator.
    Source: AdamW, Loshchilov and Hutter (2019), ICLR.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    best_epoch, best_loss, best_weights = 0, np.inf, None
    for epoch in range(epochs + 1):
        if epoch > 0:
            network.train()
            for entries in torch.randperm(len(data)).split(BATCH_SESSIONS):
                optimiser.zero_grad()
                anchor.loss(network, data[entries]).backward()
                nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
                optimiser.step()
        if validation is None:
            best_epoch = epoch
            continue
        network.eval()
        with torch.inference_mode():
            validated = float(anchor.loss(network, validation))
        if validated < best_loss:
            best_epoch, best_loss = epoch, validated
            best_weights = {name: value.clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= patience:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    network.eval()
    return best_epoch


@contextmanager
def torch_to_itself(seed: int) -> Iterator[None]:
    """Run torch on the threads of one fit with its own random generator; restore both afterwards.

    Parameters
    ----------
    seed : int

    Yields
    ------
    None
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.THREADS_PER_FIT)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


class SequenceModel(QuantileModel):
    """AutoGluon adapter; a subclass chooses the network.

    A network maps (path, features) to its raw output of shape (n_sessions, n_horizons, n_levels), and to
    weights by name, each of shape (n_sessions, n_columns) or (n_sessions, n_horizons, n_columns).
    """

    seed_name = "seed"
    weight_names: ClassVar[tuple[str, ...]] = ("attention",)

    def build(
        self, n_channels: int, n_features: int, horizons: tuple[int, ...], width: int, dropout: float
    ) -> nn.Module:
        """Build the untrained network, whose raw output is zero. A subclass must implement it.

        Parameters
        ----------
        n_channels, n_features : int
            Number of inputs per session of the path, and at the origin.
        horizons : tuple of int
            Sessions.
        width : int
            Size of the hidden layers.
        dropout : float in [0, 1)

        Returns
        -------
        Module
            See the class.

        Raises
        ------
        NotImplementedError
            In this base class.
        """
        raise NotImplementedError

    def _fit(
        self,
        X: pd.DataFrame,
        y: pd.Series,
        X_val: pd.DataFrame | None = None,
        y_val: pd.Series | None = None,
        **kwargs,
    ) -> None:
        params = self._get_model_params()
        sequences = read_sequences(X)
        self.horizons = tuple(int(horizon) for horizon in np.unique(X["horizon_days"]))
        self.path_scaling = Scaling.learn(sequences.path)
        self.feature_scaling = Scaling.learn(sequences.features)
        own = X["horizon_days"].to_numpy()
        data = self._batch(sequences, X, y)
        quantiles = [
            centred_quantiles(y.to_numpy(float)[own == horizon], self.quantile_levels) for horizon in self.horizons
        ]
        weight = torch.from_numpy(credibility(data.target.numpy(), self.horizons))
        self.anchor = Anchor(
            torch.from_numpy(np.stack(quantiles)),
            torch.tensor(self.quantile_levels, dtype=torch.float64),
            trust=weight,
            weight=weight,
        )
        validated = params.pop("validated", (1.0,) * len(self.horizons))  # at the refit: result of the first fit
        validation = None if X_val is None else self._batch(read_sequences(X_val), X_val, y_val)
        with torch_to_itself(params.pop("seed")):
            self.model = self.build(
                len(sequences.channel_names),
                len(sequences.feature_names),
                self.horizons,
                params.pop("width"),
                params.pop("dropout"),
            )
            epochs = train(self.model, self.anchor, data, validation, **params)
            if validation is not None:
                validated = tuple(self._validated_share(validation).tolist())
        self.anchor = replace(self.anchor, trust=weight * torch.tensor(validated, dtype=torch.float64))
        self.model.double()  # float32 products depend on the batch size; forecasts must not
        self.params_trained |= {"epochs": epochs, "validated": validated}

    def _validated_share(self, validation: Batch) -> np.ndarray:
        anchor = self.anchor
        with torch.inference_mode():
            raw, _ = self.model(validation.path, validation.features)
            own, reference = (pinball(validation.target, anchor.forecast(r), anchor.levels) for r in (raw, 0.0 * raw))
        return validated_share((reference - own).numpy(), self.horizons)

    def _batch(self, sequences: Sequences, X: pd.DataFrame, y: pd.Series | None = None) -> Batch:
        z_return = np.full(len(X), np.nan) if y is None else y.to_numpy(float)
        table = target_table(z_return, sequences.session, self._horizon_positions(X))
        target = np.full((len(sequences.path), len(self.horizons)), np.nan)
        target[:, : table.shape[1]] = table
        return Batch(
            self.path_scaling.apply(sequences.path),
            self.feature_scaling.apply(sequences.features),
            torch.from_numpy(target),
        )

    def _horizon_positions(self, X: pd.DataFrame) -> np.ndarray:
        position = {horizon: n for n, horizon in enumerate(self.horizons)}
        return np.array([position[int(horizon)] for horizon in X["horizon_days"]])

    def run(self, X: pd.DataFrame) -> tuple[np.ndarray, dict[str, np.ndarray], Sequences]:
        """Run the fitted network on rows.

        Parameters
        ----------
        X : DataFrame of n_rows rows
            Rows as the family reads them, with look-back.

        Returns
        -------
        tuple of array, dict of arrays and Sequences
            Raw output of shape (n_rows, n_levels), weights by name, each of shape (n_rows, n_columns), and the
            inputs.
        """
        sequences = read_sequences(X)
        batch = self._batch(sequences, X)
        with torch_to_itself(0), torch.inference_mode():
            parts = [
                self.model(path.double(), features.double())
                for path, features in zip(
                    batch.path.split(SCORE_SESSIONS), batch.features.split(SCORE_SESSIONS), strict=True
                )
            ]
        horizon = self._horizon_positions(X)

        def rows(values: list[torch.Tensor]) -> np.ndarray:
            table = torch.cat(values).numpy()
            return table[sequences.session, horizon] if table.ndim == 3 else table[sequences.session]

        return rows([raw for raw, _ in parts]), {w: rows([by[w] for _, by in parts]) for w in parts[0][1]}, sequences

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        raw, _, _ = self.run(X)
        rounded = torch.from_numpy(raw.round(6))  # the last digits of a sum depend on the other rows
        return self.anchor.forecast(rounded, torch.from_numpy(self._horizon_positions(X))).numpy()


class RecurrentModel(SequenceModel):
    """AutoGluon adapter of `RecurrentAttention`; a subclass chooses the cell."""

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def build(self, n_channels, n_features, horizons, width, dropout) -> nn.Module:
        """Return an untrained `RecurrentAttention`."""
        head = Head(width, n_features, len(horizons), len(self.quantile_levels), dropout)
        return RecurrentAttention(self.cell, n_channels, width, head)


RECURRENT = {
    "seed": settings.SEED,
    "width": 24,
    "dropout": 0.3,
    "epochs": 15,
    "patience": 3,
    "learning_rate": 3e-3,
    "weight_decay": 1e-2,
}


def explain_attention(model: SequenceModel, X: pd.DataFrame) -> list[Explanation]:
    """Return the attention weight of each session in the look-back: one column per session, with sum one per row."""
    _, weights, _ = model.run(X)
    return [Explanation("attention", pd.DataFrame(weights["attention"], index=X.index, columns=ATTENTION_COLUMNS))]
