"""What a transformer does in training only: hiding tokens, skipping blocks."""

import pytest
import torch

from lineament.core.errors import InvalidArgument
from lineament.train.backbones.vit import TOKENS, Block, vit

CROPS = 2


def tiny(**options: float):
    torch.manual_seed(3)
    return vit(16, 2, dimension=8, **options)


def test_tokens_are_patches_row_by_row():
    network = tiny()
    crops = torch.zeros(1, 3, 112, 112)
    crops[0, :, 9 * 2 : 9 * 3, 9 * 5 : 9 * 6] = 1.0
    with torch.no_grad():
        empty = network.body.patches(torch.zeros(1, 3, 112, 112)).flatten(2).transpose(1, 2)
        tokens = network.body.patches(crops).flatten(2).transpose(1, 2)
    assert (tokens != empty).any(2)[0].nonzero().ravel().tolist() == [2 * 12 + 5]
    assert network.tail.compress.in_features == TOKENS * 16


def test_attention_is_the_weighted_mean_of_values():
    """One head at a time, one picture at a time."""
    network = tiny().eval()
    attention = network.body.blocks[0].attention
    x = torch.randn(CROPS, 5, 16)
    query, key, value = (x @ attention.inputs.weight.T).split(16, 2)
    expected = torch.zeros(CROPS, 5, 16)
    for picture in range(CROPS):
        for head in range(8):
            part = slice(2 * head, 2 * head + 2)
            scores = query[picture, :, part] @ key[picture, :, part].T / 2**0.5
            expected[picture, :, part] = scores.softmax(1) @ value[picture, :, part]
    expected = expected @ attention.output.weight.T + attention.output.bias
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-6)


def test_hidden_tokens_come_back_in_their_places_as_one_token():
    network = tiny(mask_ratio=0.1)
    lengths: list[int] = []
    network.body.blocks[0].register_forward_hook(lambda _m, x, _y: lengths.append(x[0].shape[1]))
    crops = torch.randn(CROPS, 3, 112, 112)
    # Without blocks in between, tokens that were kept must come out where they were.
    network.body.blocks[0].forward = network.body.blocks[1].forward = lambda x: x
    with torch.no_grad():
        shown = network.body(crops)
        every = network.eval().body(crops)
    assert lengths == [129, TOKENS]
    hidden = (shown == network.body.mask).all(2)
    assert hidden.sum(1).tolist() == [TOKENS - 129] * CROPS
    assert not torch.equal(hidden[0], hidden[1])
    torch.testing.assert_close(shown[~hidden], every[~hidden])


def test_the_masking_token_learns_and_exists_only_with_masking():
    network = tiny(mask_ratio=0.25)
    network(torch.randn(CROPS, 3, 112, 112)).square().sum().backward()
    assert network.body.mask.grad.abs().sum() > 0
    assert "body.mask" not in tiny().state_dict()


def test_skipped_blocks_keep_the_mean_and_stay_out_of_inference():
    torch.manual_seed(4)
    block = Block(16, 0.0, 0.25)
    x = torch.randn(1, 3, 16)
    with torch.no_grad():
        full = block.eval()._skipped(x)
        many = block.train()._skipped(x.expand(4000, 3, 16))
    assert torch.equal(full, x)
    whole = (many != 0).flatten(1)
    assert (whole.all(1) | ~whole.any(1)).all()
    assert whole.any(1).float().mean().item() == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(many.mean(0), x[0], rtol=0.05, atol=0)


def test_later_blocks_are_skipped_more_often():
    network = vit(16, 3, dimension=8, drop_path=0.1)
    assert [b.drop_path for b in network.body.blocks] == pytest.approx([0.0, 0.05, 0.1])


def test_crops_of_another_size_are_refused():
    with pytest.raises(InvalidArgument):
        tiny()(torch.zeros(1, 3, 108, 108))
