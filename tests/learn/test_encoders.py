"""Shapes, names, parameter counts, and what padding and pooling do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from m3di.errors import UsageError
from m3di.learn.models.encoders import MLP, BasicBlock, ResNet18, TextConvNet


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return ResNet18(encoding_size=4).eval()


def test_resnet_trunk_has_torchvisions_parameter_count(resnet):
    trunk = [p for name, p in resnet.named_parameters() if not name.startswith(("fc.", "head."))]
    assert sum(p.numel() for p in trunk) == 11_176_512


def test_resnet_state_dict_has_torchvisions_keys_and_shapes(resnet):
    # Written out from the published layout: 4 stages of 2 blocks; the first block of stages 2 to 4 downsamples.
    def batch_norm(name, n):
        shapes = {f"{name}.{key}": (n,) for key in ("weight", "bias", "running_mean", "running_var")}
        return shapes | {f"{name}.num_batches_tracked": ()}

    expected = {"conv1.weight": (64, 3, 7, 7)} | batch_norm("bn1", 64)
    n_in = 64
    for stage, n_out in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            expected |= {f"{name}.conv1.weight": (n_out, n_in, 3, 3)} | batch_norm(f"{name}.bn1", n_out)
            expected |= {f"{name}.conv2.weight": (n_out, n_out, 3, 3)} | batch_norm(f"{name}.bn2", n_out)
            if n_in != n_out:
                expected |= {f"{name}.downsample.0.weight": (n_out, n_in, 1, 1)}
                expected |= batch_norm(f"{name}.downsample.1", n_out)
            n_in = n_out
    expected |= {"fc.weight": (100, 512), "fc.bias": (100,)}
    assert len(expected) == 122  # as many entries as torchvision's resnet18 has
    expected |= {"head.weight": (4, 100), "head.bias": (4,)}
    assert {name: tuple(value.shape) for name, value in resnet.state_dict().items()} == expected


def shapes_within(resnet, size):
    """[channels, height, width] of what each part makes of an image."""
    shapes = {}
    hooks = [
        getattr(resnet, name).register_forward_hook(lambda _m, _i, y, name=name: shapes.update({name: y.shape[1:]}))
        for name in ("conv1", "layer1", "layer2", "layer3", "layer4")
    ]
    with torch.no_grad():
        assert resnet(torch.zeros(1, 3, size, size)).shape == (1, 4)
    for hook in hooks:
        hook.remove()
    return {name: tuple(shape) for name, shape in shapes.items()}


def test_resnet_strides_are_32_in_all(resnet):
    assert shapes_within(resnet, 224) == {
        "conv1": (64, 112, 112),
        "layer1": (64, 56, 56),
        "layer2": (128, 28, 28),
        "layer3": (256, 14, 14),
        "layer4": (512, 7, 7),
    }


def test_resnet_for_small_images_has_four_times_the_cells_and_half_the_channels():
    small = ResNet18(encoding_size=4, small_images=True).eval()
    assert shapes_within(small, 64) == {
        "conv1": (32, 32, 32),
        "layer1": (32, 32, 32),
        "layer2": (64, 16, 16),
        "layer3": (128, 8, 8),
        "layer4": (256, 4, 4),
    }
    assert small.conv1.kernel_size == (3, 3)
    assert shapes_within(small, 33)["layer4"] == (256, 3, 3)


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (1, 1)])
def test_resnet_takes_any_image_size(resnet, size):
    with torch.no_grad():
        assert resnet(torch.zeros(2, 3, *size)).shape == (2, 4)


def test_block_with_silent_convolutions_is_its_shortcut():
    block = BasicBlock(3, 3).eval()
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), x.relu())


def test_hidden_size_is_the_width_of_fc():
    assert ResNet18(2, hidden_size=7).fc.out_features == 7


def text_net(**kwargs):
    torch.manual_seed(0)
    return TextConvNet(20, 4, **kwargs).eval()


@pytest.mark.parametrize("n_tokens", [1, 5, 7, 8, 23, 24, 31, 32, 60])
def test_text_net_takes_any_length(n_tokens):
    net = text_net()
    tokens = torch.randint(0, 20, (3, n_tokens), generator=torch.Generator().manual_seed(0))
    encoding = net(tokens)
    assert encoding.shape == (3, 4)
    assert torch.isfinite(encoding).all()


def test_text_net_layers():
    net = text_net()
    assert [net.conv1.out_channels, net.conv2.out_channels, net.conv3.out_channels] == [25, 50, 100]
    assert {(c.kernel_size, c.stride, c.padding) for c in (net.conv1, net.conv2, net.conv3)} == {
        ((4, 4), (2, 2), (1, 1))
    }
    assert net.fc.in_features == 100 * 3 * 16
    assert net.embedding.embedding_dim == 128


@pytest.mark.parametrize("n_tokens", range(24, 32))
def test_pooling_does_nothing_from_24_to_31_tokens(n_tokens):
    net = text_net()
    tokens = torch.randint(0, 20, (2, n_tokens), generator=torch.Generator().manual_seed(0))
    x = net.embedding(tokens).unsqueeze(1)
    for conv, norm in ((net.conv1, net.bn1), (net.conv2, net.bn2), (net.conv3, net.bn3)):
        x = norm(conv(x)).relu()
    assert x.shape == (2, 100, 3, 16)
    assert torch.equal(net(tokens), net.fc(x.flatten(1)))


def test_short_captions_equal_captions_filled_up_to_eight():
    net = text_net(pad_index=3)
    short = torch.tensor([[5, 6], [7, 8]])
    filled = torch.full((2, 8), 3)
    filled[:, :2] = short
    assert torch.equal(net(short), net(filled))


def test_the_embedding_starts_and_trains_as_a_linear_layer_of_one_hot_tokens():
    torch.manual_seed(0)
    weight = TextConvNet(1200, 4).embedding.weight.detach()
    assert weight.abs().max() <= 1 / math.sqrt(1200)
    assert weight.std().item() == pytest.approx(1 / math.sqrt(3 * 1200), rel=0.01)
    linear = nn.Linear(1200, 128, bias=False).weight
    assert linear.std().item() == pytest.approx(weight.std().item(), rel=0.01)
    net = text_net(pad_index=3)
    net(torch.tensor([[5, 6, 3, 3], [7, 3, 3, 3]])).square().sum().backward()
    for token in (3, 5):  # padding as any other
        assert net.embedding.weight[token].count_nonzero() > 0
        assert net.embedding.weight.grad[token].count_nonzero() > 0


def test_words_and_their_order_matter():
    net = text_net()
    a, b = net(torch.arange(24)[None] % 20), net(torch.arange(24).flip(0)[None] % 20)
    assert not torch.allclose(a, b)


def test_too_small_an_embedding():
    with pytest.raises(UsageError, match="embedding is too small"):
        TextConvNet(20, 4, embedding_size=7)
    assert TextConvNet(20, 4, embedding_size=8)(torch.ones(2, 24, dtype=torch.long)).shape == (2, 4)


@pytest.mark.parametrize("pad_index", [-1, 20])
def test_pad_index_outside_the_vocabulary(pad_index):
    with pytest.raises(UsageError, match="padding index is not a token id"):
        TextConvNet(20, 4, pad_index=pad_index)


@pytest.mark.parametrize("shape", [(2, 0), (5,)])
def test_tokens_of_the_wrong_shape(shape):
    with pytest.raises(UsageError, match="must be a batch of token ids"):
        text_net()(torch.zeros(shape, dtype=torch.long))


def test_mlp_by_hand():
    mlp = MLP(2, 1, hidden_sizes=(2,), negative_slope=0.5)
    with torch.no_grad():
        mlp.layers[0].weight.copy_(torch.eye(2))
        mlp.layers[0].bias.zero_()
        mlp.layers[1].weight.fill_(1.0)
        mlp.layers[1].bias.fill_(10.0)
    assert mlp(torch.tensor([[3.0, -4.0]])).item() == 10 + 3 - 2
    assert len(list(MLP(3, 2, hidden_sizes=()).parameters())) == 2  # a linear map
