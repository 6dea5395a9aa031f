import json

import numpy as np
import pytest
import torch

from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.inputs import Encodings
from musicrec.encoder.learning.model import (
    Architecture,
    Dropout,
    Encoder,
    as_files,
    embed,
    from_files,
    make_linear,
)
from musicrec.encoder.learning.song_inputs import SongEncodings
from musicrec.encoder.learning.texts import TextEncoding

IDENTITY = Affine(np.zeros(27), np.eye(27))
ENCODINGS = SongEncodings(
    Encodings(("popularity",), (0.0,), (1.0,), 2020.5),
    with_artists=True,
    texts=TextEncoding(np.eye(8, 3, dtype=np.int16), np.ones(3, dtype=np.float32), np.arange(8, dtype=np.int32)),
)


def make_encoder() -> Encoder:
    torch.manual_seed(0)
    numbers = {"n_numeric": 14, "n_frequencies": 8, "frequency_scale": 0.3, "numeric_width": 8}
    return Encoder(Architecture(27, (256, 256), 64, dropout=0.1, **numbers))


def make_inputs(n: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 27)).astype(np.float32)


def test_unit_length() -> None:
    lengths = np.linalg.norm(embed(make_encoder(), make_inputs(100)).astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=5e-4)


@pytest.mark.parametrize("n", [1, 7, 1023, 1025, 3000])
def test_a_vector_does_not_depend_on_its_batch(n: int) -> None:
    encoder, inputs = make_encoder(), make_inputs(3000)
    whole = embed(encoder, inputs)
    np.testing.assert_array_equal(embed(encoder, inputs[-n:]), whole[-n:])
    order = np.random.default_rng(2).permutation(3000)
    np.testing.assert_array_equal(embed(encoder, inputs[order]), whole[order])


def test_numbers_pass_as_they_are_and_as_sines_and_cosines() -> None:
    """The first layer, number by number, in double precision."""
    encoder, inputs = make_encoder(), make_inputs(5)
    numerical, first = encoder.numerical, encoder.layers[0]
    frequencies, weight, bias = (
        getattr(numerical, name).detach().double().numpy() for name in ("frequencies", "weight", "bias")
    )
    expected = []
    for row in inputs.astype(np.float64):
        embedded = []
        for i, number in enumerate(row[:14]):
            angles = 2 * np.pi * frequencies[i] * number
            waves = np.concatenate([np.sin(angles), np.cos(angles)])
            embedded.append(np.maximum(waves @ weight[i] + bias[i, :, 0], 0))
        both = np.concatenate([row, *embedded])
        expected.append(first.weight.detach().double().numpy() @ both + first.bias.detach().double().numpy())
    found = []
    encoder.layers[1].register_forward_pre_hook(lambda _, given: found.append(given[0].detach().numpy()))
    encoder.eval()(torch.from_numpy(inputs))
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)


def test_files_bring_back_the_same_encoder() -> None:
    encoder, inputs = make_encoder(), make_inputs(50)
    again, encodings = from_files(*as_files(encoder, encodings=ENCODINGS))
    np.testing.assert_array_equal(embed(again, inputs), embed(encoder, inputs))
    assert encodings == ENCODINGS
    assert encodings.texts is not None
    np.testing.assert_array_equal(encodings.texts.table, np.eye(8, 3))
    np.testing.assert_array_equal(encodings.texts.squares, np.arange(8))


def test_files_that_do_not_fit_are_refused() -> None:
    weights, description = as_files(make_encoder(), encodings=ENCODINGS)
    plain = json.loads(description)
    plain["architecture"]["embedding_dim"] = 32
    with pytest.raises(ValueError, match="do not fit"):
        from_files(weights, json.dumps(plain).encode())


def test_texts_that_another_version_cut_are_refused() -> None:
    weights, description = as_files(make_encoder(), encodings=ENCODINGS)
    plain = json.loads(description)
    plain["encodings"]["texts"]["longest"] += 1
    with pytest.raises(ValueError, match="as this version"):
        from_files(weights, json.dumps(plain).encode())


def test_the_identity_keeps_the_order_of_the_inputs() -> None:
    inputs = make_inputs(40)
    vectors = embed(make_linear(IDENTITY), inputs).astype(np.float64)
    extended = np.concatenate([inputs, np.full((40, 1), 0.1)], axis=1)
    extended /= np.linalg.norm(extended, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, extended, atol=1e-3)


def test_linear_maps_give_average_songs_a_direction() -> None:
    vector = embed(make_linear(IDENTITY), np.zeros((1, 27), dtype=np.float32))
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1.0, abs=1e-3)


def test_a_linear_map_ranks_as_its_projection() -> None:
    rng = np.random.default_rng(4)
    inputs, projection = make_inputs(300), Affine(rng.standard_normal(27), 3 * rng.standard_normal((27, 5)))
    vectors = embed(make_linear(projection), inputs).astype(np.float64)
    expected = np.concatenate([projection(inputs.astype(np.float64)), np.full((300, 1), 0.1)], axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_dropout_hides_its_share_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    layer, units = Dropout(share), torch.ones(1001, 257, requires_grad=True)
    found = layer.train()(units)
    hidden = found == 0
    assert float(hidden.float().mean()) == pytest.approx(min(share, 255 / 256), abs=0.003)
    assert float(found.detach().mean()) == pytest.approx(1.0, rel=0.03 if share < 0.9 else 0.2)
    assert len(found.detach().unique()) == (2 if share else 1)
    found.sum().backward()
    assert torch.equal(units.grad, found.detach())
    # Neighbors in a row are hidden independently of each other.
    both = (hidden[:, 1:] & hidden[:, :-1]).float().mean()
    assert float(both) == pytest.approx(min(share, 255 / 256) ** 2, abs=0.005)
    assert torch.equal(layer.eval()(units), units)


def test_dropout_is_drawn_from_the_seed() -> None:
    layer, units = Dropout(0.3).train(), torch.ones(7, 5)
    first, second, again = [], [], []
    for drawn, seed in ((first, 1), (second, 2), (again, 1)):
        torch.manual_seed(seed)
        drawn += [layer(units), layer(units)]
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert not torch.equal(torch.stack(first), torch.stack(second))
    assert not torch.equal(first[0], first[1])
