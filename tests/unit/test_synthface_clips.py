"""`synthface_clips`: paths without jumps, one face a clip, and motion that is true to the pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geotrans.data.synthface import synthface
from geotrans.data.synthface_clips import BEAT, MOVING, synthface_clips
from geotrans.ops.face_structure import CHANNELS, face_structure
from geotrans.ops.warp import warp
from geotrans.types import Sample

BLINK = 16  # column of AU45


def aus(sample: Sample) -> Tensor:
    assert sample.target is not None
    assert sample.target.aus is not None
    return sample.target.aus


def test_two_references_with_their_structures_and_the_wanted_frame():
    sample = synthface_clips("test", 32, frames=5).clip(1)
    assert sample.image.shape == (4, 2, 3, 32, 32)
    assert sample.source.structure.shape == (4, 2, CHANNELS, 32, 32)
    assert sample.target.structure.shape == (4, CHANNELS, 32, 32)
    assert sample.truth.shape == sample.reference.shape == (4, 3, 32, 32)
    assert sample.flow.shape == (4, 2, 32, 32)
    assert sample.id == tuple(f"synthface_clips-test-00001-{frame:03d}" for frame in (1, 2, 3, 4))


def test_the_frame_before_and_the_first_frame_are_those_of_the_clip():
    sample = synthface_clips("test", 32, frames=6).clip(0)
    before, first = sample.image.unbind(1)
    torch.testing.assert_close(before[1:], sample.truth[:-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(before[0], first[0])
    torch.testing.assert_close(first[1:], first[:1].expand_as(first[1:]), atol=1e-5, rtol=0)
    shown_before, shown_first = sample.source.structure.unbind(1)
    torch.testing.assert_close(shown_before[1:], sample.target.structure[:-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(shown_before[0], shown_first[0])
    assert (sample.truth[1:] - sample.truth[:-1]).abs().amax((1, 2, 3)).min() > 0


def test_one_reference_is_the_first_frame():
    one, two = (synthface_clips("val", 32, frames=5, references=count).clip(2) for count in (1, 2))
    torch.testing.assert_close(one.image, two.image[:, 1])
    torch.testing.assert_close(one.truth, two.truth)
    torch.testing.assert_close(one.source.structure, two.source.structure[:, 1])
    assert one.source.landmarks.shape == one.target.landmarks.shape == (4, 68, 2)
    torch.testing.assert_close(face_structure(one.source.landmarks, 32, 32), one.source.structure)


def test_a_start_has_the_first_frame_twice():
    plain, starts = (synthface_clips("train", 16, frames=9, starts=share) for share in (0.0, 1.0))
    sample = starts.clip(0)
    torch.testing.assert_close(sample.image[:, 0], sample.image[:, 1])
    torch.testing.assert_close(sample.truth, plain.clip(0).truth)
    some = synthface_clips("train", 16, frames=9, starts=0.5).batch(range(64))
    same = (some.image[:, 0] == some.image[:, 1]).flatten(1).all(1)
    assert 16 < same.sum() < 56  # a half, and the first sample of each clip


@pytest.mark.parametrize("references", [1, 2])
def test_the_flow_carries_the_reference_to_the_truth(references):
    sample = synthface_clips("test", 128, frames=7, references=references).batch(range(2, 96, 6))
    error = (warp(sample.reference, sample.flow, padding="border") - sample.truth).abs()
    seen = sample.visible > 0
    moved = seen & (sample.flow.norm(dim=1, keepdim=True) > (2 if references == 1 else 1) * 2 / 128)
    assert moved.sum() > 500
    still = (sample.reference - sample.truth).abs()[moved.expand_as(error)].mean()
    assert error[moved.expand_as(error)].mean() < 0.3 * still
    assert error[seen.expand_as(error)].mean() < 0.004
    wrong = (warp(sample.reference, -sample.flow, padding="border") - sample.truth).abs()
    assert wrong[moved.expand_as(error)].mean() > still


def test_landmarks_of_frames_follow_the_flow():
    sample = synthface_clips("test", 128, frames=9, references=1).batch(range(0, 64, 7))
    rigid = [*range(17), *range(27, 36)]  # jaw and nose: lids and inner lips are painted
    points = sample.target.landmarks[:, rigid]
    flow = torch.nn.functional.grid_sample(sample.flow, points[:, None], align_corners=False, padding_mode="border")[
        :, :, 0
    ].mT
    assert (points + flow - sample.source.landmarks[:, rigid]).abs().max() < 0.006


def test_expressions_are_eased_and_held():
    found = torch.cat([aus(synthface_clips("train", 16, frames=25, references=1).clip(clip)) for clip in range(12)])
    steps = (found.view(12, 24, 17)[:, 1:] - found.view(12, 24, 17)[:, :-1]).abs()[..., :BLINK]
    assert steps.max() < 0.3  # of an intensity of 1; a beat moves for six frames
    assert steps.max() > 0.15
    held = steps[:, int(BEAT * MOVING) : BEAT - 1]  # from frame 7 to frame 8
    assert held.max() < 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


def test_faces_blink_and_open_their_eyes_again():
    lids = torch.stack([aus(synthface_clips("train", 16, references=1).clip(clip))[:, BLINK] for clip in range(20)])
    assert (lids > 0.5).any(1).sum() > 8
    assert (lids > 0).float().mean() < 0.3


@pytest.mark.parametrize("references", [1, 2])
def test_a_run_wants_several_frames_one_after_the_other(references):
    plain, run = (synthface_clips("test", 32, frames=9, references=references, run=frames) for frames in (1, 4))
    single, several = plain.clip(2), run.clip(2)
    assert several.truth.shape == (5, 4, 3, 32, 32)
    assert several.target.structure.shape == (5, 4, CHANNELS, 32, 32)
    assert several.id == single.id[:5]
    for time in range(4):
        torch.testing.assert_close(several.truth[:, time], single.truth[time : time + 5])
        torch.testing.assert_close(several.target.structure[:, time], single.target.structure[time : time + 5])
    for got, there in ((several.image, single.image), (several.source.structure, single.source.structure)):
        torch.testing.assert_close(got, there[:5])
    torch.testing.assert_close(several.flow, single.flow[:5])
    assert torch.equal(several.visible, single.visible[:5])
    torch.testing.assert_close(several.target.landmarks, single.target.landmarks[:5])


def test_a_run_may_start_with_the_first_frame():
    sample = synthface_clips("train", 16, frames=9, run=5, starts=1.0).clip(0)
    torch.testing.assert_close(sample.image[:, 0], sample.image[:, 1])
    torch.testing.assert_close(sample.truth[2, 0], sample.truth[0, 2])


def test_a_frame_does_not_depend_on_how_long_its_clip_is():
    short, long = (synthface_clips("test", 32, frames=frames) for frames in (4, 12))
    torch.testing.assert_close(short.clip(3).truth, long.clip(3).truth[:3])


def test_clips_differ_and_no_face_is_in_two_splits():
    first = [synthface_clips(split, 16, frames=2).batch([0, 1]).image[:, 1] for split in ("train", "val", "test")]
    pictures = torch.cat([*first, synthface_clips("train", 16, frames=2, seed=1).batch([0, 1]).image[:, 1]])
    far = (pictures[:, None] - pictures[None]).abs().mean((2, 3, 4))
    assert (far + torch.eye(8)).min() > 0.02


def test_defaults():
    dataset = synthface_clips()
    assert (len(dataset), dataset.resolution, dataset.frames) == (20_000, 64, 25)
    assert dataset.spec.structure == CHANNELS
    assert not dataset.spec.aus
    assert synthface_clips(references=1).spec.aus == synthface().spec.aus
    assert len(synthface_clips("test", size=7)) == 7


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"split": "dev"}, "expected split to be one of train, val, test, got 'dev'"),
        ({"resolution": 8}, "resolution of 16 or more, got 8"),
        ({"frames": 1}, "expected 2 to 65535 frames, got 1"),
        ({"references": 3}, "1 or 2 references, got 3"),
        ({"starts": 1.5}, "share in .0, 1., got 1.5"),
        ({"size": 0}, "size between 1"),
        ({"run": 0}, "a run of 1 to 24 frames, got 0"),
        ({"frames": 6, "run": 6}, "a run of 1 to 5 frames, got 6"),
    ],
)
def test_mistakes_are_named(options, told):
    with pytest.raises(ValueError, match=told):
        synthface_clips(**options)


def test_an_index_outside_raises():
    with pytest.raises(IndexError, match=r"outside the dataset's 0\.\.6"):
        synthface_clips(size=7).batch([7])
    with pytest.raises(IndexError):
        synthface_clips(size=7, frames=5).clip(1)
