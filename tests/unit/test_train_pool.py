import pytest
import torch

from geotrans.train.pool import ImagePool


def images(ids):
    return torch.as_tensor(ids, dtype=torch.float32).view(-1, 1, 1, 1)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_pool_reproduces_the_official_code(golden, index):
    case = golden("cyclegan_image_pool")
    size, name = case.args[index]["size"], f"pool{index}"
    draws = iter(case.inputs.get(f"{name}_draws", torch.zeros(0, 2)).tolist())

    def replay(slots):
        assert slots == size
        uniform, slot = next(draws)
        return int(slot) if uniform > 0.5 else None

    pool = ImagePool(size, replay)
    for step, ids in enumerate(case.inputs[f"{name}_ids"]):
        assert pool(images(ids)).flatten().tolist() == case.outputs[f"{name}_returned"][step].tolist()
        if size:
            stored = [float(image) for image in pool.images]
            expected = case.outputs[f"{name}_stored"][step].tolist()
            assert stored + [-1.0] * (size - len(stored)) == expected
    assert next(draws, None) is None


def test_a_full_pool_swaps_half_of_the_time():
    pool = ImagePool(50)
    first = torch.arange(50)
    assert torch.equal(pool(images(first)), images(first))
    new = torch.arange(50, 2050)
    back = pool(images(new)).flatten()
    swapped = float((back != new).float().mean())
    assert 0.46 < swapped < 0.54
    everything = torch.cat([back, torch.stack(pool.images).flatten()])
    assert sorted(everything.tolist()) == list(range(2050))  # nothing is lost and nothing is handed out twice


def test_stored_images_are_copies_without_gradients():
    pool = ImagePool(2, lambda slots: 0)
    given = torch.zeros(2, 1, 1, 1, requires_grad=True)
    assert not pool(given).requires_grad
    assert not ImagePool(0)(given).requires_grad
    with torch.no_grad():
        given += 5
    assert pool(images([7])).item() == 0


def test_a_resumed_pool_goes_on_as_before():
    pool = ImagePool(3)
    assert pool.tensors() == {}
    pool(images(range(5)))
    resumed = ImagePool(3)
    resumed.load(pool.tensors())
    results = []
    for each in (pool, resumed):
        torch.manual_seed(1)
        results.append(each(images(range(10, 30))))
    assert torch.equal(*results)
    resumed.load({})
    assert resumed.images == []
    with pytest.raises(ValueError, match="a pool of 2 images cannot hold 3"):
        ImagePool(2).load(pool.tensors())


def test_a_size_below_zero_is_refused():
    with pytest.raises(ValueError, match="size: expected 0 or more images, got -1"):
        ImagePool(-1)
