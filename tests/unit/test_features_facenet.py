"""FaceNet against facenet-pytorch's own, on the same weights; faces that are found and pictures without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage.data
import torch
from facenet_pytorch import MTCNN, InceptionResnetV1
from torch import Tensor, nn

from geotrans.features.facenet import SIDE, WEIGHTS, AlignedFaceNet, FaceNet, facenet_casia, facenet_vggface2


@pytest.fixture(scope="module")
def official() -> InceptionResnetV1:
    """Random weights with batch norms that are far from the identity."""
    torch.manual_seed(0)
    net = InceptionResnetV1(pretrained=None, classify=False).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    return net


@pytest.fixture(scope="module")
def feature(official: InceptionResnetV1) -> FaceNet:
    return FaceNet(official.state_dict())


def portrait(side: int = 160) -> Tensor:
    """A real face, uint8 (1, 3, side, side)."""
    photograph = torch.from_numpy(skimage.data.astronaut()[:256, 96:352]).permute(2, 0, 1)[None]
    return nn.functional.interpolate(photograph.float(), (side, side), mode="area").to(torch.uint8)


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_same_vectors_as_facenet_pytorch(official: InceptionResnetV1, feature: FaceNet) -> None:
    pictures = torch.cat([portrait(), noise(1, 3, SIDE, SIDE)])
    with torch.no_grad():
        expected = official((pictures.float() - 127.5) / 128)
    torch.testing.assert_close(feature(pictures), expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in feature.modules())


def test_the_face_is_cropped_as_mtcnn_does(feature: FaceNet) -> None:
    from PIL import Image

    picture = portrait(200)
    expected = MTCNN(post_process=False)(Image.fromarray(picture[0].permute(1, 2, 0).numpy()))
    crop = AlignedFaceNet(feature).crop(picture[0])
    assert crop is not None
    assert torch.equal(crop.float(), expected)


def test_pictures_without_a_face_are_rows_of_zeros(feature: FaceNet) -> None:
    aligned = AlignedFaceNet(feature)
    grey = torch.full((1, 3, 120, 120), 128, dtype=torch.uint8)
    vectors = aligned(torch.cat([grey, portrait(120), grey]))
    assert not vectors[[0, 2]].any()
    assert float(vectors[1].norm()) == pytest.approx(1, abs=1e-5)
    assert not aligned(portrait(16)).any()  # too small for the detector
    with pytest.raises(TypeError, match="expected uint8"):
        aligned(portrait().float())


def test_weights_of_another_network_are_refused(official: InceptionResnetV1) -> None:
    state = official.state_dict()
    assert FaceNet({**state, "logits.weight": torch.zeros(1)}) is not None
    del state["last_linear.weight"]
    with pytest.raises(ValueError, match=r"facenet-pytorch's InceptionResnetV1: .*last_linear") as error:
        FaceNet(state)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("people", "factory"), [("vggface2", facenet_vggface2), ("casia", facenet_casia)])
def test_missing_weights_name_file_address_size_and_place(
    people: str, factory: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder where facenet-pytorch keeps them: beside the torch hub's, not in it."""
    file = WEIGHTS[people]  # type: ignore[index]
    monkeypatch.delenv(file.variable, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(FileNotFoundError) as error:
        factory()
    message = str(error.value)
    assert "\n" not in message
    for part in (str(tmp_path / "checkpoints" / file.name), file.url, f"{file.size / 1e6:.0f} MB", file.variable):
        assert part in message


def test_weights_from_the_named_path(
    official: InceptionResnetV1, feature: FaceNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(official.state_dict(), tmp_path / "weights.pt")
    monkeypatch.setenv("GEOTRANS_FACENET_VGGFACE2", str(tmp_path / "weights.pt"))
    assert torch.equal(facenet_vggface2()(portrait()), feature(portrait()))
