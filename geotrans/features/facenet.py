"""FaceNet: who is in the picture, as a vector of length 1.

Paper: Schroff et al. 2015, https://arxiv.org/abs/1503.03832. Networks and weights are those of facenet-pytorch, an
Inception-ResNet v1 trained to tell people apart, folded for speed; faces are found by its MTCNN, whose weights come
with the package (Zhang et al. 2016, https://arxiv.org/abs/1604.02878).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.features.external import PublishedWeights
from geotrans.features.inception import fold_batch_norms
from geotrans.ops.images import from_uint8
from registry import register_feature

People = Literal["vggface2", "casia"]

_RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
WEIGHTS: dict[People, PublishedWeights] = {
    "vggface2": PublishedWeights(
        name="20180402-114759-vggface2.pt",
        url=f"{_RELEASE}/20180402-114759-vggface2.pt",
        size=111_898_327,
        sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        variable="GEOTRANS_FACENET_VGGFACE2",
        folder="../checkpoints",
    ),
    "casia": PublishedWeights(
        name="20180408-102900-casia-webface.pt",
        url=f"{_RELEASE}/20180408-102900-casia-webface.pt",
        size=115_887_415,
        sha256="7a67afdbbc995fce5e10128675e318799a70698c2f433ba75dd7eb9a2f096e7d",
        variable="GEOTRANS_FACENET_CASIA",
        folder="../checkpoints",
    ),
}
SIDE = 160
SUB_BATCH = 16
_SMALLEST_FACE = 20  # pixels; MTCNN fails on pictures below it


class FaceNet(nn.Module):
    """Identity as a feature: uint8 (B, 3, H, W) -> unit vectors (B, 512), frozen. Whole pictures, resized to 160.

    For losses, `embed` does the same to float images and lets gradients through.

    Args:
        state: the state dict of facenet-pytorch's `InceptionResnetV1`, with or without its classifier; None leaves the
            weights random, for tests.

    Raises:
        ValueError: the weights are not those of this network.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        from facenet_pytorch import InceptionResnetV1

        net = InceptionResnetV1(pretrained=None, classify=False)
        if state is not None:
            try:
                net.load_state_dict({key: value for key, value in state.items() if not key.startswith("logits.")})
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise ValueError(f"expected the weights of facenet-pytorch's InceptionResnetV1: {reason}") from error
        net.double().eval()
        fold_batch_norms(net)
        self.net = net.float()
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 512) of uint8 (B, 3, H, W)."""
        return torch.cat([self.embed(from_uint8(part)) for part in torch.split(images, SUB_BATCH)])

    def embed(self, image: Tensor) -> Tensor:
        """(B, 512) of (B, 3, H, W) in [-1, 1]."""
        if image.shape[2:] != (SIDE, SIDE):
            image = F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        standardised = image * (127.5 / 128)  # (level - 127.5) / 128, as in training
        vectors: Tensor = self.net(standardised.contiguous(memory_format=torch.channels_last))
        return vectors


class AlignedFaceNet(nn.Module):
    """Identity of the face in a picture, found by MTCNN: uint8 (B, 3, H, W) -> (B, 512), zeros where there is no face.

    Of several faces the largest counts. Crop, size and levels are those of `facenet_pytorch.MTCNN()`.
    """

    def __init__(self, net: FaceNet) -> None:
        super().__init__()
        from facenet_pytorch import MTCNN

        self.net = net
        self.detector = MTCNN(device=torch.device("cpu"))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 512) of uint8 (B, 3, H, W).

        Raises:
            TypeError: the pictures are not uint8.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"expected uint8, got {images.dtype}; quantise pictures with geotrans.ops.images.to_uint8")
        crops = [self.crop(image) for image in images]
        vectors = torch.zeros(len(images), 512, device=images.device)
        seen = [row for row, crop in enumerate(crops) if crop is not None]
        if seen:
            vectors[seen] = self.net(torch.stack([crop for crop in crops if crop is not None]).to(images.device))
        return vectors

    def crop(self, image: Tensor) -> Tensor | None:
        """The largest face of a picture (3, H, W) uint8, resized to (3, 160, 160) uint8; None if there is none."""
        from facenet_pytorch import extract_face
        from PIL import Image

        if min(image.shape[1:]) < _SMALLEST_FACE:
            return None
        self.detector.device = next(self.detector.parameters()).device
        picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
        boxes, _ = self.detector.detect(picture)
        if boxes is None:
            return None
        face: Tensor = extract_face(picture, boxes[0], SIDE)
        return face.to(torch.uint8)


@register_feature(dim=512, licence="MIT", sha256=WEIGHTS["vggface2"].sha256)
def facenet_vggface2() -> FaceNet:
    """Identity of whole pictures, by FaceNet trained on VGGFace2.

    Raises:
        FileNotFoundError: the weights are not on this machine; the message says what to put where.
    """
    return FaceNet(WEIGHTS["vggface2"].load())


@register_feature(dim=512, licence="MIT", sha256=WEIGHTS["casia"].sha256)
def facenet_casia() -> FaceNet:
    """Identity of whole pictures, by FaceNet trained on CASIA-WebFace; otherwise as `facenet_vggface2`."""
    return FaceNet(WEIGHTS["casia"].load())


@register_feature(dim=512, licence="MIT", sha256=WEIGHTS["vggface2"].sha256)
def facenet_vggface2_aligned() -> AlignedFaceNet:
    """Identity of the largest face that MTCNN finds, by FaceNet trained on VGGFace2; zeros where it finds none."""
    return AlignedFaceNet(facenet_vggface2())


@register_feature(dim=512, licence="MIT", sha256=WEIGHTS["casia"].sha256)
def facenet_casia_aligned() -> AlignedFaceNet:
    """As `facenet_vggface2_aligned`, by FaceNet trained on CASIA-WebFace."""
    return AlignedFaceNet(facenet_casia())
