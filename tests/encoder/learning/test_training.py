import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from musicrec.config import ModelConfig, ModelExpert
from musicrec.encoder.learning import checkpoint, learner
from musicrec.encoder.learning.baselines import fit_discriminant
from musicrec.encoder.learning.batches import GroupIndex, Positives, Sampler, TrainingSet
from musicrec.encoder.learning.checkpoint import Checkpoints, name_training, seal, unseal
from musicrec.encoder.learning.inputs import InputLayout
from musicrec.encoder.learning.learner import find_device
from musicrec.encoder.learning.losses import contrastive_loss, proxy_loss
from musicrec.encoder.learning.model import embed
from musicrec.encoder.learning.training import Epoch, train_encoder
from musicrec.errors import ConfigError, QualityError
from musicrec.measures.retrieval import Collection, answer, by_cosine

LAYOUT = InputLayout(n_numeric=10, source=np.arange(10), is_mask=np.zeros(10, dtype=bool))
# With fewer frequencies what a few epochs learn here is no better than the linear map that they start from.
QUICK_EXPERT = ModelExpert(batch_size=128, n_threads=1, patience=15, n_frequencies=8)
QUICK = ModelConfig(hidden_layers=(32,), embedding_dim=8, n_epochs=15, expert=QUICK_EXPERT)


def loss_by_loops(vectors, positives, excluded, temperature):
    """The definition, pair by pair."""
    losses = []
    for i in range(len(vectors)):
        allowed = [j for j in range(len(vectors)) if not excluded[i, j]]
        weights = {j: positives[i, j] for j in allowed if positives[i, j] > 0}
        if weights:
            total = sum(np.exp(vectors[i] @ vectors[j] / temperature) for j in allowed)
            each = [w * -np.log(np.exp(vectors[i] @ vectors[j] / temperature) / total) for j, w in weights.items()]
            losses.append(sum(each) / sum(weights.values()))
    return np.mean(losses)


def test_loss_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    positives = rng.choice([0.0, 0.3, 1.0], (12, 12), p=[0.7, 0.15, 0.15])
    excluded = np.eye(12, dtype=bool) | (rng.random((12, 12)) < 0.1)
    found = contrastive_loss(
        torch.from_numpy(vectors),
        positives=torch.from_numpy(positives),
        excluded=torch.from_numpy(excluded),
        temperature=0.2,
    )
    assert float(found) == pytest.approx(loss_by_loops(vectors, positives, excluded, 0.2))


def test_loss_without_positives_is_zero_and_differentiable() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(5, 3), dim=1).requires_grad_()
    loss = contrastive_loss(
        vectors, positives=torch.zeros(5, 5), excluded=torch.eye(5, dtype=torch.bool), temperature=0.1
    )
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert torch.isfinite(vectors.grad).all()


def test_proxy_loss_equals_its_definition() -> None:
    rng = np.random.default_rng(1)
    vectors, proxies = rng.standard_normal((6, 4)), rng.standard_normal((5, 4)) * 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    row, column = np.array([0, 0, 2, 5, 5, 5]), np.array([1, 3, 0, 2, 3, 4])
    logits = vectors @ (proxies / np.linalg.norm(proxies, axis=1, keepdims=True)).T / 0.3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    songs = [[1, 3], [], [0], [], [], [2, 3, 4]]
    expected = np.mean(
        [np.mean([-np.log(shares[i, j]) for j in groups]) for i, groups in enumerate(songs) if groups]
    )
    found = proxy_loss(
        torch.from_numpy(vectors), torch.from_numpy(proxies),
        row=torch.from_numpy(row), column=torch.from_numpy(column), temperature=0.3,
    )  # fmt: skip
    assert float(found) == pytest.approx(expected)


def test_proxy_loss_has_the_gradients_of_its_values() -> None:
    """Against small differences, number by number."""
    torch.manual_seed(0)
    vectors = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    proxies = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    row, column = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([6, 2, 2, 0, 1, 5])
    assert torch.autograd.gradcheck(
        lambda v, p: proxy_loss(v, p, row=row, column=column, temperature=0.2), (vectors, proxies)
    )


def test_a_sample_of_the_proxies_stands_for_all_of_them() -> None:
    """The weighted sum over a batch's own groups and a draw of the others is, on average, that over all."""
    rng = np.random.default_rng(4)
    n_groups, own = 200, np.array([7, 3, 7, 199])
    values = rng.exponential(size=n_groups)
    songs = np.arange(2 * n_groups)
    pairs = Positives("playlists", 1.0, songs, songs // 2)
    index = GroupIndex(pairs, allowed=np.ones(len(songs), dtype=bool), n_max=n_groups)
    sums = []
    for _ in range(2000):
        groups, weights = index.draw(own, n_others=20, rng=rng)
        assert (np.diff(groups) > 0).all()
        assert len(groups) == 23
        assert np.isin(own, groups).all()
        np.testing.assert_array_equal(weights[np.isin(groups, own)], 1.0)
        sums.append(float(weights @ values[groups]))
    assert np.mean(sums) == pytest.approx(values.sum(), rel=0.02)
    assert np.std(sums) > 0.0
    groups, weights = index.draw(own, n_others=200, rng=rng)
    np.testing.assert_array_equal(groups, np.arange(n_groups))
    np.testing.assert_array_equal(weights, np.ones(n_groups))


def test_batches_meet_their_own_proxies_and_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of a batch, and where its gradient goes, against the definition with the same draw."""
    monkeypatch.setattr(learner, "N_OTHERS", 3)
    rng = np.random.default_rng(5)
    data, _ = planted()
    group = rng.integers(0, 50, len(data.inputs))
    data = replace(data, positives=(Positives("playlists", 1.0, np.arange(len(group)), group),))
    taught = learner.Learner(data, QUICK)
    (kind,), (proxies,) = taught._kinds, taught._proxies
    batch = np.flatnonzero(~data.validation)[:8]
    vectors = torch.nn.functional.normalize(torch.randn(8, QUICK.embedding_dim), dim=1)
    again = np.random.default_rng()
    again.bit_generator.state = taught._rng.bit_generator.state
    loss = taught._proxy_loss(vectors, kind, proxies, batch)
    loss.backward()
    row, own = kind.pairs(batch)
    drawn, weights = kind.draw(own, n_others=3, rng=again)
    assert len(drawn) == len(np.unique(own)) + 3 < kind.n_groups
    unit = torch.nn.functional.normalize(proxies.detach(), dim=1).numpy()
    powers = np.exp(vectors.numpy() @ unit.T / QUICK.expert.proxy_temperature)
    shares = powers[row, own] / (powers[:, drawn] @ weights)[row]
    # A song is of one group here.
    assert float(loss.detach()) == pytest.approx(-np.log(shares).mean(), rel=1e-5)
    touched = proxies.grad.abs().sum(dim=1) > 0
    np.testing.assert_array_equal(np.flatnonzero(touched.numpy()), drawn)


def test_weights_count_a_proxy_several_times() -> None:
    torch.manual_seed(0)
    vectors, proxies = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    row, column = torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1, 1, 0])
    weighted = proxy_loss(
        vectors, proxies, row=row, column=column, temperature=0.2, weights=torch.tensor([1.0, 1.0, 2.0, 3.0])
    )
    repeated = torch.cat([proxies, proxies[2:], proxies[3:]])
    assert float(weighted) == pytest.approx(float(proxy_loss(vectors, repeated, row=row, column=column,
                                                             temperature=0.2)))  # fmt: skip


def test_proxies_stand_for_the_largest_groups_of_training_songs() -> None:
    song = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5])
    group = np.array([7, 8, 7, 8, 7, 9, 9, 9, 6])
    allowed = np.array([True, True, True, False, True, True])
    index = GroupIndex(Positives("playlists", 1.0, song, group), allowed=allowed, n_max=2)
    # Of the training songs, 7 has three, 8 and 9 have two; 6 has one and gets no proxy.
    assert index.n_groups == 2
    row, column = index.pairs(np.array([0, 2, 5]))
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]


def test_some_songs_keep_what_they_share() -> None:
    data, style = planted()
    rows = np.flatnonzero(style < 3)
    some = data.take(rows)
    np.testing.assert_array_equal(some.inputs, data.inputs[rows])
    pairs = {(rows[s], g) for s, g in zip(some.positives[0].song, some.positives[0].group, strict=True)}
    whole = data.positives[0]
    assert pairs == {(s, g) for s, g in zip(whole.song, whole.group, strict=True) if style[s] < 3}
    assert (np.diff(some.positives[0].song) >= 0).all()


@pytest.mark.parametrize("rich", [True, False])
def test_batches_hold_no_validation_song(rich: bool) -> None:
    data, _ = planted()
    sampler = Sampler(data, batch_size=100, rich=rich)
    batches = list(sampler.draw(np.random.default_rng(0)))
    drawn = np.concatenate(batches)
    assert not data.validation[drawn].any()
    assert all((np.diff(batch) > 0).all() for batch in batches)
    if not rich:
        np.testing.assert_array_equal(np.sort(drawn), np.flatnonzero(~data.validation))


def planted(n: int = 600, *, labeled: bool = True) -> tuple[TrainingSet, np.ndarray]:
    """Songs whose style hides in two of ten inputs; the other eight are louder noise."""
    rng = np.random.default_rng(3)
    style = rng.integers(0, 6, n)
    inputs = rng.normal(0, 1.5, (n, 10)).astype(np.float32)
    angle = 2 * np.pi * style / 6
    inputs[:, 0], inputs[:, 1] = np.cos(angle) + rng.normal(0, 0.15, n), np.sin(angle) + rng.normal(0, 0.15, n)
    song = np.arange(n)
    group = style * 1000 + rng.integers(0, 8, n)
    positives = (Positives("playlists", 1.0, song, group),) if labeled else ()
    return TrainingSet(inputs, LAYOUT, song, song, rng.random(n) < 0.2, positives), style


def precision(vectors: np.ndarray, style: np.ndarray) -> float:
    rows = np.arange(len(style))
    candidates = Collection.make(rows, song=rows, group=style)
    return float(
        answer(by_cosine(vectors.astype(np.float32)), candidates, k=10, own_artist=False).measures.precision.mean()
    )


@pytest.mark.parametrize("is_half", [False, True], ids=["float32", "bfloat16"])
def test_learns_the_style_that_the_playlists_share(is_half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In half precision, as on a GPU, too."""
    monkeypatch.setattr(learner, "has_bf16", lambda device: is_half)
    seen, linear = set(), torch.nn.functional.linear

    def watched(*arguments: torch.Tensor) -> torch.Tensor:
        product = linear(*arguments)
        seen.add(("training" if product.requires_grad else "validation", product.dtype))
        return product

    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    data, style = planted()
    lines = []
    encoder, history = train_encoder(data, settings=QUICK, on_epoch=lines.append)
    validation = data.validation
    before, after = (
        precision(data.inputs[validation], style[validation]),
        precision(embed(encoder, data.inputs[validation]), style[validation]),
    )
    assert after > 1.6 * before
    assert history == lines
    assert seen == {("training", torch.bfloat16 if is_half else torch.float32), ("validation", torch.float32)}
    assert all(weights.dtype == torch.float32 for weights in encoder.parameters())


def test_training_begins_at_the_linear_discriminant() -> None:
    data, _ = planted()
    begun = learner.Learner(data, QUICK).encoder.eval()
    rows = np.flatnonzero(~data.validation)
    some = data.take(rows)
    fitted = fit_discriminant(some.inputs.astype(np.float64), some.positives, n_components=QUICK.embedding_dim)
    directions = fitted(data.inputs.astype(np.float64))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(begun, data.inputs)[:, : unit.shape[1]], unit, atol=2e-3)
    # And where no epoch is better, it ends there.
    lost = QUICK.model_copy(
        update={"n_epochs": 2, "expert": QUICK.expert.model_copy(update={"learning_rate": 0.5})}
    )
    ended, history = train_encoder(data, settings=lost, on_epoch=lambda _: None)
    assert not any(epoch.best for epoch in history)
    np.testing.assert_array_equal(embed(ended, data.inputs), embed(begun, data.inputs))


def test_same_seed_same_weights() -> None:
    data, _ = planted()
    settings = QUICK.model_copy(update={"n_epochs": 2})
    first, second, other = (
        embed(
            train_encoder(data, settings=settings.model_copy(update={"seed": seed}), on_epoch=lambda _: None)[0],
            data.inputs,
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_validation_songs_do_not_change_the_weights() -> None:
    data, _ = planted()
    inputs = data.inputs.copy()
    inputs[data.validation] = 9.0
    changed = replace(data, inputs=inputs)
    # One epoch: with more, the validation songs decide which one is the best.
    settings = QUICK.model_copy(update={"n_epochs": 1})
    one, other = (train_encoder(d, settings=settings, on_epoch=lambda _: None)[0] for d in (data, changed))
    np.testing.assert_array_equal(embed(one, data.inputs), embed(other, data.inputs))


def test_stops_early() -> None:
    data, _ = planted()
    rng = np.random.default_rng(0)
    noise = replace(data, inputs=rng.normal(size=data.inputs.shape).astype(np.float32))
    expert = QUICK_EXPERT.model_copy(update={"patience": 2, "learning_rate": 0.02})
    settings = QUICK.model_copy(update={"n_epochs": 60, "expert": expert})
    _, history = train_encoder(noise, settings=settings, on_epoch=lambda _: None)
    assert len(history) < 60
    best = max(e.number for e in history if e.best)
    assert history[-1].number - best == 2


def test_learns_without_labels() -> None:
    data, _ = planted(labeled=False)
    _, history = train_encoder(data, settings=QUICK, on_epoch=lambda _: None)
    assert history[-1].loss < history[0].loss - 0.3


def test_without_validation_songs_the_last_epoch_counts() -> None:
    data, _ = planted()
    everything = replace(data, validation=np.zeros(len(data.inputs), dtype=bool))
    _, history = train_encoder(
        everything, settings=QUICK.model_copy(update={"n_epochs": 3}), on_epoch=lambda _: None
    )
    assert [e.best for e in history] == [True, True, True]


def test_a_training_that_goes_astray_ends_with_a_sentence() -> None:
    data, _ = planted()
    rate = QUICK.expert.model_copy(update={"learning_rate": 1e38})
    with pytest.raises(QualityError, match="went astray in epoch"):
        train_encoder(data, settings=QUICK.model_copy(update={"expert": rate}), on_epoch=lambda _: None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_not_replaced_in_silence() -> None:
    assert find_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no CUDA device"):
        find_device("cuda")


def test_hidden_songs_teach_to_do_with_less() -> None:
    data, style = planted()
    inputs = np.concatenate([data.inputs, data.inputs[:, :2], np.zeros((len(style), 12))], axis=1).astype(
        np.float32
    )
    # The style stands twice, from sources of its own; each source has a mask.
    layout = InputLayout(12, np.concatenate([np.arange(12), np.arange(12)]), np.arange(24) >= 12)
    doubled = replace(data, inputs=inputs, layout=layout)
    gaps = inputs[data.validation].copy()
    gaps[:, :2], gaps[:, 12:14] = 0, 1
    found = {}
    for share in (0.0, 0.5):
        expert = QUICK_EXPERT.model_copy(update={"hidden_songs": share, "patience": 60})
        settings = QUICK.model_copy(update={"n_epochs": 60, "expert": expert})
        encoder, _ = train_encoder(doubled, settings=settings, on_epoch=lambda _: None)
        found[share] = precision(embed(encoder, gaps), style[data.validation])
    assert found[0.5] > found[0.0] + 0.02


def test_a_single_group_is_learned_too() -> None:
    # One playlist has no other to be told apart from; its songs are near each other all the same.
    data, style = planted()
    song = np.flatnonzero(style == 2)
    alone = replace(data, positives=(Positives("playlists", 1.0, song, np.zeros(len(song), dtype=np.int64)),))
    encoder, history = train_encoder(alone, settings=QUICK, on_epoch=lambda _: None)
    chosen = (style == 2) & data.validation

    def contrast(vectors: np.ndarray) -> float:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = unit[chosen] @ unit.T
        return float(cosines[:, chosen].mean() - cosines[:, style != 2].mean())

    assert history[-1].loss < history[0].loss
    assert contrast(embed(encoder, data.inputs).astype(np.float64)) > contrast(data.inputs) + 0.1


class CutError(Exception):
    """What stops a training in the middle."""


def test_a_training_that_was_cut_goes_on_as_if_it_had_not_been() -> None:
    data, _ = planted()
    whole, history = train_encoder(data, settings=QUICK, on_epoch=lambda _: None)
    kept: dict[str, bytes] = {}
    checkpoints = Checkpoints(kept.get, kept.__setitem__, seconds=0)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 6:
            raise CutError

    with pytest.raises(CutError):
        train_encoder(data, settings=QUICK, on_epoch=stop, checkpoints=checkpoints)
    seen: list[int] = []
    restored: list[bool] = []
    checkpoints = replace(checkpoints, on_restored=lambda: restored.append(True))
    again, resumed = train_encoder(
        data, settings=QUICK, on_epoch=lambda epoch: seen.append(epoch.number), checkpoints=checkpoints
    )
    assert restored == [True]
    assert seen == list(range(6, QUICK.n_epochs + 1))
    assert [epoch.held_out_score for epoch in resumed] == [epoch.held_out_score for epoch in history]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_no_other_training_goes_on_from_a_checkpoint() -> None:
    data, _ = planted()
    names = {
        name_training(songs, settings)
        for songs in (data, replace(data, inputs=data.inputs + 1), replace(data, positives=()))
        for settings in (QUICK, QUICK.model_copy(update={"seed": 5}))
    }
    assert len(names) == 6


def test_a_broken_checkpoint_costs_no_training() -> None:
    data, _ = planted()
    quick = QUICK.model_copy(update={"n_epochs": 3})
    whole, _ = train_encoder(data, settings=quick, on_epoch=lambda _: None)
    kept: dict[str, bytes] = {}
    train_encoder(
        data,
        settings=quick,
        on_epoch=lambda _: None,
        checkpoints=Checkpoints(kept.get, kept.__setitem__, seconds=0),
    )
    (content,) = kept.values()
    (name,) = kept
    # Cut short, another width, and no file of this kind at all; the same below a digest that is right.
    wider = quick.model_copy(update={"embedding_dim": 9})
    others: dict[str, bytes] = {}
    train_encoder(
        data,
        settings=wider,
        on_epoch=lambda _: None,
        checkpoints=Checkpoints(others.get, others.__setitem__, seconds=0),
    )
    ((other, wide),) = others.items()
    resealed = [seal(name, unseal(other, wide)), *(seal(name, each) for each in odd_fields(unseal(name, content)))]
    for broken in (content[:-100], wide, b"nothing", b"", seal(name, b"nothing"), *resealed):
        whys: list[str] = []
        checkpoints = Checkpoints(
            lambda _, broken=broken: broken,
            lambda *_: None,
            on_restored=pytest.fail,
            on_broken=lambda _, why, whys=whys: whys.append(why),
        )
        encoder, history = train_encoder(data, settings=quick, on_epoch=lambda _: None, checkpoints=checkpoints)
        assert len(whys) == 1
        assert len(history) == 3
        for key, tensor in whole.state_dict().items():
            assert torch.equal(encoder.state_dict()[key], tensor), key


def odd_fields(content: bytes) -> Iterator[bytes]:
    """Yield a state with a tensor, a plain field or a field of an epoch more or less."""
    tensors = load(content)
    yield save({**tensors, "encoder/more": torch.zeros(1)})
    yield save({key: tensor for key, tensor in tensors.items() if key != sorted(tensors)[0]})
    text = json.loads(bytes(tensors["plain"].tolist()))
    (first, *rest) = text["history"]
    less = {key: value for key, value in first.items() if key != "best"}
    for other in (
        {**text, "more": 1},
        {key: value for key, value in text.items() if key != "history"},
        {key: value for key, value in text.items() if key != "n_taken"},
        {**text, "history": [{**first, "more": 1}, *rest]},
        {**text, "history": [less, *rest]},
        {**text, "generator": {}},
    ):
        yield save({**tensors, "plain": torch.tensor(list(json.dumps(other).encode()), dtype=torch.uint8)})


@given(st.data())
def test_no_flipped_bit_is_read(data: st.DataObject) -> None:
    content = bytes(range(256)) * 3
    sealed = seal("a" * 64, content)
    assert unseal("a" * 64, sealed) == content
    changed = bytearray(sealed)
    changed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="its digest is another"):
        unseal("a" * 64, bytes(changed))
    with pytest.raises(ValueError, match="its digest is another"):
        unseal("a" * 64, sealed[: data.draw(st.integers(0, len(sealed) - 1))])


def test_a_checkpoint_of_other_code_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = seal("a" * 64, b"content")
    with pytest.raises(ValueError, match="another version or training"):
        unseal("b" * 64, sealed)
    monkeypatch.setattr(checkpoint, "__version__", "0.0.0")
    with pytest.raises(ValueError, match="another version or training"):
        unseal("a" * 64, sealed)
