"""The ensemble methods, what is done to every combination, and that no block knows what came later."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from zl_forecast import settings, workers
from zl_forecast.ensembles import METHODS, Rows
from zl_forecast.ensembles.base import EnsembleMethod
from zl_forecast.ensembles.controls import EqualWeights, ReferenceAlone
from zl_forecast.ensembles.shrinkage import share_of_combination, small_sample_factor, widen
from zl_forecast.ensembles.stacking import Stacking
from zl_forecast.ensembles.tournament import QUANTILES, run_ensembles
from zl_forecast.ensembles.weighted_ensemble import WeightedEnsemble
from zl_forecast.errors import TournamentError
from zl_forecast.scoring import diebold_mariano, pinball
from zl_forecast.tournament.fit import KEY

NORMAL = stats.norm.ppf(settings.QUANTILE_LEVELS)
SCORED = [settings.QUANTILE_LEVELS.index(level) for level in settings.SCORED_LEVELS]
HORIZONS = (5, 20)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)  # as in a worker


def _loss(z: np.ndarray, quantiles: np.ndarray) -> float:
    return pinball(z, quantiles[:, SCORED]).mean()


def _rows(n: int, seed: int, **centre_of) -> Rows:
    """Independent rows: z is two signals and noise; an input is a normal forecast around its own centre."""
    rng = np.random.default_rng(seed)
    first, second, noise = rng.standard_normal((3, n))
    z = first + second + 0.5 * noise
    centres = {"reference": 0 * z, **{name: centre(first, second) for name, centre in centre_of.items()}}
    inputs = tuple(sorted(centres))
    spread = {"reference": 1.5}
    quantiles = np.stack([centres[i][:, None] + spread.get(i, 0.5) * NORMAL for i in inputs], axis=1)
    days = pd.bdate_range("2000-01-03", periods=n)
    return Rows(pd.DataFrame({"as_of_date": days, "horizon_days": 5}), inputs, quantiles, z)


# ---------- methods


def test_the_reference_alone_is_the_reference():
    rows = _rows(50, 1, a=lambda f, s: f)
    np.testing.assert_array_equal(ReferenceAlone().fit(rows).predict(rows), rows.input("reference"))


def test_equal_weights_are_the_mean_of_the_inputs_level_by_level():
    rows = _rows(1, 1, a=lambda f, s: f)
    quantiles = np.stack([np.arange(7.0), 10 * np.arange(7.0)])[None]
    rows = Rows(rows.key, rows.inputs, quantiles, rows.z)
    assert EqualWeights().fit(rows).predict(rows).tolist() == [[0, 5.5, 11, 16.5, 22, 27.5, 33]]


def test_weighted_ensemble_gives_all_to_the_perfect_input():
    rows = _rows(400, 2, perfect=lambda f, s: f + s, useless=lambda f, s: np.roll(f + s, 1))
    weights = WeightedEnsemble().fit(rows).weights()
    assert weights["5/perfect"] > 0.9
    assert sum(weights.values()) == pytest.approx(1)


def test_weighted_ensemble_recovers_a_half_and_half_mixture():
    centres = {"first": lambda f, s: 2 * f, "second": lambda f, s: 2 * s}  # their mean is the signal
    method, new = WeightedEnsemble().fit(_rows(600, 3, **centres)), _rows(600, 4, **centres)
    assert method.weights()["5/first"] == pytest.approx(0.5, abs=0.1)
    assert method.weights()["5/second"] == pytest.approx(0.5, abs=0.1)
    assert _loss(new.z, method.predict(new)) < 0.7 * min(_loss(new.z, new.input(name)) for name in new.inputs)


def test_weighted_ensemble_learns_each_horizon_by_itself():
    rows = [_rows(300, seed, good=lambda f, s: f + s, bad=lambda f, s: -f) for seed in (5, 6)]
    swapped = rows[1].quantiles[:, [1, 0, 2]]  # at the other horizon 'bad' carries the good forecasts
    both = Rows(
        pd.concat([rows[0].key, rows[1].key.assign(horizon_days=20)], ignore_index=True),
        rows[0].inputs,
        np.concatenate([rows[0].quantiles, swapped]),
        np.concatenate([rows[0].z, rows[1].z]),
    )
    weights = WeightedEnsemble().fit(both).weights()
    assert weights["5/good"] > 0.9
    assert weights["20/bad"] > 0.9


def test_weighted_ensemble_works_with_the_reference_as_its_only_input():
    rows = _rows(200, 7)
    np.testing.assert_allclose(WeightedEnsemble().fit(rows).predict(rows), rows.input("reference"))


def test_weighted_ensemble_can_use_more_inputs_than_two():
    thirds = {
        name: (lambda f, s, i=i: (3 if i == 0 else 0) * f + (3 if i == 1 else 0) * s) for i, name in enumerate("abc")
    }
    weights = WeightedEnsemble().fit(_rows(600, 14, **thirds)).weights()  # the mean of a, b and c is the signal
    assert len([w for w in weights.values() if w > 0.1]) >= 3


def test_stacking_beats_two_inputs_that_each_carry_half_of_the_signal():
    centres = {"first": lambda f, s: f, "second": lambda f, s: s}
    rows, new = _rows(3000, 8, **centres), _rows(1000, 9, **centres)
    stacked = np.sort(Stacking().fit(rows).predict(new), axis=1)
    assert stacked.shape == (1000, len(QUANTILES))
    assert _loss(new.z, stacked) < min(_loss(new.z, new.input(name)) for name in new.inputs)


# ---------- pulled towards the reference


def _shares(n_samples: int, horizon: int = 20) -> float:
    rng = np.random.default_rng(10)
    z = np.repeat(rng.standard_normal(n_samples), horizon)
    combined = z[:, None] + 0.1 * NORMAL
    return share_of_combination(z, combined, np.tile(NORMAL, (len(z), 1)), horizon)


def test_without_evidence_the_combination_has_no_share():
    nothing = np.empty((0, len(QUANTILES)))
    assert share_of_combination(np.array([]), nothing, nothing, 20) == 0


def test_the_share_of_a_perfect_combination_grows_with_the_evidence_and_stays_below_one():
    shares = [_shares(count) for count in (2, 4, 20, 400)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(2 / (2 + settings.PRIOR_SAMPLES))  # too few samples for a test: the prior alone
    assert shares[-1] < 1


def test_a_share_is_what_the_prior_leaves_or_what_the_evidence_earns_whichever_is_more():
    rng = np.random.default_rng(15)
    for gain in (0.0, 0.1, 0.3):
        z = rng.standard_normal(400)
        combined, reference = gain * z[:, None] + NORMAL, np.tile(NORMAL, (400, 1))
        losses = [pinball(z, (x * combined + (1 - x) * reference)[:, SCORED]) for x in np.linspace(0, 1, 21)]
        best = int(np.argmin([loss.mean() for loss in losses])) if gain else 0
        t = diebold_mariano(losses[best], losses[0], overlap=20).statistic
        factor = max(20 / (20 + settings.PRIOR_SAMPLES), 1 - 1 / t**2 if t > 1 else 0)
        assert share_of_combination(z, combined, reference, 20) == pytest.approx(best / 20 * factor)


def test_overlapping_rows_count_once_a_horizon():
    z = np.random.default_rng(11).standard_normal(120)
    combined, reference = z[:, None] + 0.1 * NORMAL, np.tile(NORMAL, (120, 1))
    assert share_of_combination(z, combined, reference, 120) == pytest.approx(1 / (1 + settings.PRIOR_SAMPLES))
    assert share_of_combination(z, combined, reference, 1) > 120 / (120 + settings.PRIOR_SAMPLES) - 1e-9


def test_on_noise_the_average_share_is_small():
    rng, shares = np.random.default_rng(16), []
    for _ in range(100):
        z, wrong = (
            np.convolve(rng.standard_normal(1019), np.ones(20) / np.sqrt(20), "valid"),
            0.2 * rng.standard_normal(),
        )
        reference = np.tile(NORMAL, (1000, 1))
        shares.append(share_of_combination(z, reference + wrong, reference, 20))
    assert np.mean(shares) < 0.3


def test_a_worse_combination_gets_nothing_and_so_does_an_equal_one():
    z = np.random.default_rng(12).standard_normal(500)
    reference = np.tile(NORMAL, (500, 1))
    assert share_of_combination(z, -3 * z[:, None] + NORMAL, reference, 5) == 0
    assert share_of_combination(z, reference.copy(), reference, 5) == 0


# ---------- widened for few samples


def _factor(n_independent: int, horizon: int, seed: int) -> float:
    z = np.repeat(np.random.default_rng(seed).standard_t(5, n_independent), horizon)
    return small_sample_factor(z, np.quantile(z, settings.QUANTILE_LEVELS) - np.median(z), horizon)


def test_bands_are_never_narrowed_and_hardly_touched_with_thousands_of_samples():
    assert all(_factor(n, horizon, seed) >= 1 for n in (3, 12, 100) for horizon in (1, 20) for seed in range(20))
    assert _factor(5000, 1, 0) == pytest.approx(1, abs=0.005)


def test_bands_are_wider_the_fewer_samples_there_were():
    mean = [np.mean([_factor(n, 20, seed) for seed in range(50)]) for n in (6, 12, 50, 200)]
    assert mean == sorted(mean, reverse=True)
    assert mean[1] > 1.1


def test_widening_brings_the_coverage_of_twelve_samples_closer_to_80_percent():
    plain, widened = [], []
    for seed in range(300):
        z = np.random.default_rng(seed).standard_t(5, 12)
        reference = np.quantile(z, settings.QUANTILE_LEVELS) - np.median(z)
        low, high = reference[SCORED[0]], reference[SCORED[2]]
        factor = small_sample_factor(z, reference, horizon_days=1)
        plain.append(stats.t.cdf(high, 5) - stats.t.cdf(low, 5))
        widened.append(stats.t.cdf(factor * high, 5) - stats.t.cdf(factor * low, 5))
    assert np.mean(plain) < 0.75
    assert abs(np.mean(widened) - 0.8) < 0.6 * abs(np.mean(plain) - 0.8)  # the rest is the quantiles' own noise


def test_widen_stretches_about_the_median_worked_by_hand():
    quantiles = np.array([[-3.0, -2, -1, 1, 2, 3, 5]] * 2)
    assert widen(quantiles, np.array([1, 1.5])).tolist() == [
        [-3, -2, -1, 1, 2, 3, 5],
        [-5, -3.5, -2, 1, 2.5, 4, 7],
    ]


# ---------- the tournament


def _market(seed: int = 13, years: tuple[int, ...] = (2018, 2019, 2020)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A good, a bad and the reference input over three yearly blocks and a live month; and targets."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2016-01-04", f"{years[-1]}-12-18")
    beyond = days.append(pd.bdate_range(days[-1], periods=max(HORIZONS) + 1)[1:])
    targets, inputs = [], []
    for horizon in HORIZONS:
        signal, noise = rng.standard_normal((2, len(days)))
        is_matured = np.arange(len(days)) < len(days) - horizon
        frame = pd.DataFrame(
            {
                "as_of_date": days,
                "horizon_days": horizon,
                "target_date": beyond[horizon : horizon + len(days)],
            }
        )
        targets.append(frame.assign(z=np.where(is_matured, signal + 0.5 * noise, np.nan), is_matured=is_matured))
        live = pd.Timestamp(years[-1], 12, 1)
        blocks = [("oof", pd.Timestamp(year, 1, 1), frame["as_of_date"].dt.year == year) for year in years]
        for kind, start, tested in [*blocks, ("live", live, frame["as_of_date"] >= live)]:
            until = days[days < start][-settings.EMBARGO_SESSIONS]
            for name, centre, spread in (
                ("reference", 0 * signal, 1.1),
                ("good", signal, 0.5),
                ("bad", -signal, 0.5),
            ):
                part = frame.loc[tested, KEY].assign(input=name, kind=kind, fold_start=start, trained_until=until)
                part[QUANTILES] = centre[tested.to_numpy(), None] + spread * NORMAL
                inputs.append(part)
    return pd.concat(inputs, ignore_index=True), pd.concat(targets, ignore_index=True)


class _Failing(EnsembleMethod):
    def fit(self, rows):
        raise ValueError("no convergence")

    def predict(self, rows):
        raise NotImplementedError


def _run(inputs, targets, folder, methods=("reference_alone", "equal_weights", "weighted_ensemble")):
    """Forecasts, and the blocks that were fitted for them."""
    fitted = []

    def here(work, tasks):
        for task in tasks:
            fitted.append(str(task))
            yield task, work(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", here)
        return run_ensembles(inputs, targets, methods), fitted


@pytest.fixture(scope="module")
def market():
    return _market()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ensembles")


@pytest.fixture(scope="module")
def forecasts(market, folder):
    return _run(*market, folder)[0]


def _block(forecasts, kind, year, method=None):
    rows = forecasts[(forecasts["kind"] == kind) & (forecasts["fold_start"].dt.year == year)]
    return (rows if method is None else rows[rows["ensemble_method"] == method]).reset_index(drop=True)


def test_every_method_forecasts_every_row_of_every_block_once(market, forecasts):
    rows = market[0][market[0]["input"] == "reference"]
    assert not forecasts.duplicated(["ensemble_method", "kind", *KEY]).any()
    assert (forecasts.groupby("ensemble_method").size() == len(rows)).all()


def test_final_quantiles_ascend_and_prob_up_lies_between_the_outer_levels(forecasts):
    done = forecasts[forecasts["status"] == "ok"]
    assert (np.diff(done[QUANTILES], axis=1) >= 0).all()
    assert done["prob_up"].between(0.05, 0.95).all()


def test_too_few_matured_rows_step_a_method_aside_in_the_first_block_only(forecasts):
    weighted = forecasts[forecasts["ensemble_method"] == "weighted_ensemble"]
    first = weighted["fold_start"] == "2018-01-01"
    assert set(weighted.loc[first, "status"]) == {"stepped_aside"}
    assert weighted.loc[first, "reason"].str.contains("0 matured rows at a horizon, 100 are needed").all()
    assert weighted.loc[first, QUANTILES].isna().all(axis=None)
    assert set(weighted.loc[~first, "status"]) == {"ok"}


def test_the_first_block_has_no_share_for_a_combination_and_later_ones_have(forecasts):
    assert (_block(forecasts, "oof", 2018)["share"] == 0).all()
    assert (_block(forecasts, "oof", 2020, "weighted_ensemble")["share"] > 0.2).all()
    assert (forecasts.loc[forecasts["ensemble_method"] == "reference_alone", "share"] == 0).all()


def test_final_quantiles_are_the_blend_widened(market, forecasts):
    inputs, _ = market
    own = _block(forecasts, "oof", 2019, "equal_weights").merge(
        inputs[inputs["kind"] == "oof"], on=KEY, suffixes=("", "_in")
    )
    stacked = own.pivot_table(index=KEY, columns="input", values="q90_in")
    share, widening = (own.groupby(KEY)[name].first() for name in ("share", "widening"))
    median = own.pivot_table(index=KEY, columns="input", values="q50_in")
    blend, centre = (share * v.mean(axis=1) + (1 - share) * v["reference"] for v in (stacked, median))
    final = own.groupby(KEY)["q90"].first()
    np.testing.assert_allclose(final, centre + (blend - centre) * widening)


def test_what_had_not_matured_before_a_blocks_fit_changes_nothing_in_it(market, forecasts, tmp_path):
    inputs, targets = market
    until = _block(forecasts, "oof", 2020)["trained_until"].iloc[0]
    shaken = targets.copy()
    late = shaken["target_date"] >= until
    shaken.loc[late, "z"] = -4 * shaken.loc[late, "z"] + 2
    again, _ = _run(inputs, shaken, tmp_path)
    pd.testing.assert_frame_equal(
        _comparable(_block(forecasts, "oof", 2020)), _comparable(_block(again, "oof", 2020)), check_exact=True
    )
    live = [_block(frame, "live", 2020)[[*QUANTILES, "share"]] for frame in (forecasts, again)]
    assert not live[0].equals(live[1])  # the shaking was felt where it should be


def test_the_newest_rows_that_had_matured_do_change_the_block(market, forecasts, tmp_path):
    inputs, targets = market
    until = _block(forecasts, "oof", 2020)["trained_until"].iloc[0]
    shaken = targets.copy()
    newest = shaken["target_date"].between(until - pd.DateOffset(days=60), until, inclusive="left")
    shaken.loc[newest, "z"] = -4 * shaken.loc[newest, "z"] + 2
    again, _ = _run(inputs, shaken, tmp_path)
    assert not _comparable(_block(forecasts, "oof", 2020)).equals(_comparable(_block(again, "oof", 2020)))


def _comparable(block: pd.DataFrame) -> pd.DataFrame:
    return block.drop(columns=["fit_seconds", "score_seconds", "fingerprint"])


def test_a_second_call_fits_nothing_and_says_the_same(market, forecasts, folder):
    again, fitted = _run(*market, folder)
    assert fitted == []
    pd.testing.assert_frame_equal(again, forecasts)


def test_where_an_input_is_missing_the_reference_stands_in(market, forecasts, tmp_path):
    inputs, targets = market
    lost = (inputs["input"] == "good") & (inputs["kind"] == "live")
    without, _ = _run(inputs[~lost], targets, tmp_path)
    stood_in = inputs.copy()
    stood_in.loc[lost, QUANTILES] = stood_in.loc[lost.to_numpy(), KEY].assign(
        **dict(zip(QUANTILES, 1.1 * NORMAL, strict=True))
    )[QUANTILES]
    expected, _ = _run(stood_in, targets, tmp_path / "expected")
    columns = ["ensemble_method", "kind", *KEY, *QUANTILES]
    pd.testing.assert_frame_equal(without[columns], expected[columns])
    assert np.isfinite(_block(without, "live", 2020, "weighted_ensemble")[QUANTILES]).all(axis=None)


def test_a_method_that_raises_leaves_failed_rows_with_its_reason_and_the_others_go_on(monkeypatch, market, tmp_path):
    monkeypatch.setitem(METHODS, "failing", _Failing)
    result, _ = _run(*market, tmp_path, methods=("reference_alone", "failing", "equal_weights"))
    failed = result[(result["ensemble_method"] == "failing") & (result["fold_start"] > "2018-01-01")]
    assert set(failed["status"]) == {"failed"}
    assert set(failed["reason"]) == {"ValueError: no convergence"}
    assert failed[QUANTILES].isna().all(axis=None)
    others = result[result["ensemble_method"] != "failing"]
    assert set(others["status"]) == {"ok"}
    assert others[QUANTILES].notna().all(axis=None)


def test_a_method_that_is_not_registered_is_refused_by_name(market, tmp_path):
    with pytest.raises(TournamentError, match="ensemble method alchemy of seeds"):
        _run(*market, tmp_path, methods=("reference_alone", "alchemy"))


def test_a_row_without_reference_is_refused_with_the_way_out(market, tmp_path):
    inputs, targets = market
    torn = inputs.drop(index=inputs.index[(inputs["input"] == "reference") & (inputs["kind"] == "live")][0])
    with pytest.raises(TournamentError, match=r"rebuild core_zl \(dbt build -s core_zl\+\)"):
        _run(torn, targets, tmp_path)
