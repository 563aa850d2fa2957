"""The encoders: a ResNet-18 for images, a small convolutional network for captions, an MLP for vectors.

Read from top to bottom; the comment beside a line is the shape of what that line makes. B is the batch,
H x W the image, L the number of tokens, E the embedding, D the encoding.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from m3di.errors import UsageError
from m3di.learn.models.registry import register_image_encoder, register_text_encoder

_CAPTION_CELLS = 3  # what the three convolutions leave of 24 to 31 tokens
_DOWNSAMPLING = 8  # three convolutions of stride 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016, figure 2).

    Args:
        n_in: Channels coming in.
        n_out: Channels going out.
        stride: Of the first convolution; the shortcut is a strided 1x1 convolution where the shape changes.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(n_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, H, W] -> [B, n_out, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)  # in place: a pass over memory less
        y = self.bn2(self.conv2(y))
        return F.relu(y.add_(shortcut), inplace=True)


class ResNet18(nn.Module):
    """ResNet-18 (He et al., 2016, table 1), then a hidden layer, then the encoding.

    Every state-dict key but `head.*` is that of torchvision's `resnet18`, with the same shape, except that `fc`
    goes to `hidden_size` rather than to 1,000 classes: published trunk weights load with `strict=False` once
    their `fc` is left out.

    Args:
        encoding_size: D, how many numbers an image becomes.
        hidden_size: Width of `fc`, the layer between trunk and encoding.
        small_images: Made for images of about 64 px, where the published trunk sees an object of ten pixels in two or
            three cells: the first convolution is 3x3 and no pooling follows it (in the manner of He et al., 2016,
            section 4.2), which gives four times as many cells, and all layers have half the channels.
    """

    def __init__(self, encoding_size: int, hidden_size: int = 100, *, small_images: bool = False) -> None:
        super().__init__()
        self.small_images = small_images
        width, kernel_size = (32, 3) if small_images else (64, 7)
        self.conv1 = nn.Conv2d(3, width, kernel_size, stride=2, padding=kernel_size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(BasicBlock(width, width), BasicBlock(width, width))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, stride=2), BasicBlock(2 * width, 2 * width))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, stride=2), BasicBlock(4 * width, 4 * width))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, stride=2), BasicBlock(8 * width, 8 * width))
        self.fc = nn.Linear(8 * width, hidden_size)
        self.head = nn.Linear(hidden_size, encoding_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Encode normalised images.

        Args:
            image: [B, 3, H, W] float, any H and W.

        Returns:
            [B, D] float.
        """
        x = F.relu(self.bn1(self.conv1(image)), inplace=True)  # [B, 64, H/2, W/2]
        if not self.small_images:
            x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # [B, 64, H/4, W/4]
        x = self.layer1(x)  # [B, 64, H/4, W/4]
        x = self.layer2(x)  # [B, 128, H/8, W/8]
        x = self.layer3(x)  # [B, 256, H/16, W/16]
        x = self.layer4(x)  # [B, 512, H/32, W/32]
        x = x.mean(dim=(2, 3))  # [B, 512]
        x = F.leaky_relu(self.fc(x))  # [B, hidden]
        encoding: Tensor = self.head(x)  # [B, D]
        return encoding


class TextConvNet(nn.Module):
    """Captions as one-channel pictures: L tokens high, E wide, three strided convolutions, one linear layer.

    The linear layer sees three cells of the length axis, which is what the convolutions leave of 24 to 31
    tokens. Longer and shorter captions are brought to three by adaptive average pooling, which for 24 to 31
    does nothing. Fewer than eight tokens are padded to eight, the least the convolutions can take.

    The embedding starts as a linear layer of one-hot tokens does, uniform within 1 / sqrt(vocabulary_size), as in the
    published code. torch's own start, N(0, 1), is sqrt(3 vocabulary_size) times as wide; `benchmarks/RESULTS.md`
    compares the two.

    Args:
        vocabulary_size: How many token ids there are.
        encoding_size: D, how many numbers a caption becomes.
        embedding_size: E, how many numbers a token becomes; at least 8.
        pad_index: The id that fills up a short caption. It is embedded and trained as any other.

    Raises:
        UsageError: `embedding_size` is below 8, or `pad_index` is no id of the vocabulary.
    """

    def __init__(
        self, vocabulary_size: int, encoding_size: int, embedding_size: int = 128, *, pad_index: int = 0
    ) -> None:
        super().__init__()
        if embedding_size < _DOWNSAMPLING:
            raise UsageError(
                "the token embedding is too small for three convolutions of stride 2",
                where="embedding_size",
                got=embedding_size,
                expected=f"{_DOWNSAMPLING} or more",
            )
        if not 0 <= pad_index < vocabulary_size:
            raise UsageError(
                "the padding index is not a token id",
                where="pad_index",
                got=pad_index,
                expected=f"0 to {vocabulary_size - 1} (vocabulary_size is {vocabulary_size})",
            )
        self.pad_index = pad_index
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        nn.init.uniform_(self.embedding.weight, -(vocabulary_size**-0.5), vocabulary_size**-0.5)
        self.conv1 = nn.Conv2d(1, 25, kernel_size=4, stride=2, padding=1, bias=False)  # batch norm has the bias
        self.bn1 = nn.BatchNorm2d(25)
        self.conv2 = nn.Conv2d(25, 50, kernel_size=4, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(50)
        self.conv3 = nn.Conv2d(50, 100, kernel_size=4, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(100)
        self.fc = nn.Linear(100 * _CAPTION_CELLS * (embedding_size // _DOWNSAMPLING), encoding_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode captions.

        Args:
            tokens: [B, L] int64 token ids, L >= 1, short captions filled up with `pad_index`.

        Returns:
            [B, D] float.

        Raises:
            UsageError: `tokens` is not a batch of at least one token each.
        """
        if tokens.ndim != 2 or tokens.shape[1] < 1:
            raise UsageError(
                "captions must be a batch of token ids", got=f"shape {list(tokens.shape)}", expected="[B, L], L >= 1"
            )
        n_missing = max(0, _DOWNSAMPLING - tokens.shape[1])
        tokens = F.pad(tokens, (0, n_missing), value=self.pad_index)  # [B, L], L >= 8 from here on
        x = self.embedding(tokens).unsqueeze(1)  # [B, 1, L, E]
        x = F.relu(self.bn1(self.conv1(x)))  # [B, 25, L/2, E/2]
        x = F.relu(self.bn2(self.conv2(x)))  # [B, 50, L/4, E/4]
        x = F.relu(self.bn3(self.conv3(x)))  # [B, 100, L/8, E/8]
        x = F.adaptive_avg_pool2d(x, (_CAPTION_CELLS, x.shape[3]))  # [B, 100, 3, E/8]
        encoding: Tensor = self.fc(torch.flatten(x, start_dim=1))  # [B, D]
        return encoding


class MLP(nn.Module):
    """Fully connected layers with LeakyReLU between them, for views that are vectors.

    Args:
        n_in: Numbers coming in.
        encoding_size: D, how many numbers come out.
        hidden_sizes: Width of each hidden layer; none makes it a linear map.
        negative_slope: Of LeakyReLU.
    """

    def __init__(
        self, n_in: int, encoding_size: int, hidden_sizes: Sequence[int] = (100,), negative_slope: float = 0.01
    ) -> None:
        super().__init__()
        widths = [n_in, *hidden_sizes, encoding_size]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in] -> [B, D]."""
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), self.negative_slope)  # [B, hidden]
        encoding: Tensor = self.layers[-1](x)  # [B, D]
        return encoding


def _small_resnet18(encoding_size: int, hidden_size: int) -> nn.Module:
    """Half as wide, and without the first reductions: for images of about 64 pixels."""
    return ResNet18(encoding_size, hidden_size, small_images=True)


def _text_convnet(vocabulary_size: int, encoding_size: int, pad_index: int) -> nn.Module:
    """Convolutions over the tokens of a caption."""
    return TextConvNet(vocabulary_size, encoding_size, pad_index=pad_index)


register_image_encoder("resnet18", ResNet18)
register_image_encoder("resnet18-small", _small_resnet18)
register_text_encoder("convnet", _text_convnet)
