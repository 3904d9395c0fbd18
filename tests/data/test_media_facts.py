"""Facts about images: format, size, content, damage."""

import base64

import pytest
from support.broken import encoded, photo

from r1reward.core.pair import Media
from r1reward.data import media_facts as pictures
from r1reward.data.media_facts import examine


@pytest.mark.parametrize(
    ("name", "kind", "warned"),
    [
        ("a.jpg", "JPEG", False), ("a.JPEG", "JPEG", False), ("a.jpg", "MPO", False),
        ("a.png", "PNG", False), ("a", "PNG", False), ("a.what", "WEBP", False),
        ("a.webp", "WEBP", False), ("a.tif", "TIFF", False), ("a.jpg", "WEBP", True),
        ("a.png", "JPEG", True), ("a.gif", "BMP", True),
    ],
)  # fmt: skip
def test_a_name_that_promises_another_format(tmp_path, name, kind, warned):
    (tmp_path / name).write_bytes(encoded(photo(), kind))
    notes = [note for note, _ in examine(Media("image", name), tmp_path).notes]
    assert notes == ["extension"] * warned


@pytest.mark.parametrize(
    ("size", "warned"), [((28, 28), False), ((27, 300), True), ((300, 27), True), ((2, 2), True)]
)
def test_pictures_under_one_patch_are_enlarged(tmp_path, size, warned):
    (tmp_path / "a.png").write_bytes(encoded(photo(size)))
    seen = examine(Media("image", "a.png"), tmp_path)
    assert (seen.width, seen.height) == size
    assert [note for note, _ in seen.notes] == ["small"] * warned


def test_the_same_content_is_the_same_picture_wherever_it_lies(tmp_path):
    content = encoded(photo())
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "c.png").write_bytes(encoded(photo()))
    uris = ["a.png", "b.png", "data:image;base64," + base64.b64encode(content).decode(), "c.png"]
    digests = [examine(Media("image", uri), tmp_path).digest for uri in uris]
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_cut_image_is_found_wherever_it_is_cut(tmp_path, kind):
    whole = encoded(photo((120, 90)), kind)
    for share in (0.3, 0.6, 0.9):
        (tmp_path / f"{share}").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(pictures.ImageError):
            examine(Media("image", str(share)), tmp_path)
