"""Images and frames: where they are looked for, what is refused, and what is decoded."""

import base64
import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from r1reward.core.media import ImageError, check_media, frames, locate, open_image
from r1reward.core.pair import Media

RED = (255, 0, 0)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    """The beginning of a grey PNG, as far as its size: what a decompression bomb shows first."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    size, crc = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + size + chunk + crc + b"\x00\x00\x00\x00IDAT"


# --- where


@pytest.mark.parametrize("uri", ["a.jpg", "./a.jpg", "sub/../a.jpg", "{root}/a.jpg"])
def test_paths_start_from_the_root(tmp_path, uri):
    assert locate(uri.format(root=tmp_path), tmp_path) == f"{tmp_path}/a.jpg"
    assert locate(uri.format(root=tmp_path), f"{tmp_path}/") == f"{tmp_path}/a.jpg"


def test_without_a_root_paths_start_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("sub/a.jpg", None) == f"{tmp_path}/sub/a.jpg"
    assert locate("sub/a.jpg", "sub") == f"{tmp_path}/sub/sub/a.jpg"


@pytest.mark.parametrize(
    "uri", ["../a.jpg", "sub/../../a.jpg", "/etc/passwd", "{root}/../a.jpg", "{root}2/a.jpg", ".."]
)
def test_no_path_leaves_the_root(tmp_path, uri):
    with pytest.raises(ImageError, match=r"outside the media folder .*data\.media_root"):
        locate(uri.format(root=tmp_path / "root"), tmp_path / "root")


@pytest.mark.parametrize(
    "uri",
    ["http://a/b.jpg", "https://a/b.jpg", "HTTPS://a/b.jpg", "s3://a/b", "file:///etc/passwd"],
)
def test_remote_addresses_are_never_fetched(tmp_path, uri):
    with pytest.raises(ImageError, match="remote address"):
        open_image(uri, tmp_path)


# --- what is refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an image"),
        (b"This is a text, whatever its name says.", "not an image"),
        (encoded(Image.new("RGB", (64, 64), RED), "JPEG")[:-300], "damaged"),
        (encoded(Image.new("RGB", (64, 64), RED), "JPEG")[:4], "not an image"),
        (encoded(Image.effect_noise((64, 64), 50))[:-500], "damaged"),
        (png_header(50_000, 50_000), "more than 100,000,000 pixels"),
        (png_header(10_001, 10_000), "10001 x 10000 is more than 100,000,000 pixels"),
        (encoded(Image.new("L", (201, 1))), "201 x 1; one side is over 200 times"),
        (encoded(Image.new("L", (2, 401))), "2 x 401; one side is over 200 times"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, says):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"photo\.jpg: .*{says}"):
        open_image("photo.jpg", tmp_path)


def test_the_longest_shape_that_the_processor_takes_is_taken(tmp_path):
    (tmp_path / "long.png").write_bytes(encoded(Image.new("L", (400, 2))))
    assert open_image("long.png", tmp_path).size == (400, 2)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("missing.jpg", r"missing\.jpg: no such image"),
        ("folder", "folder: not an image"),
        ("a\0b.jpg", "damaged"),
        ("x" * 5000, r"\(\d+ characters\)"),
        ("data:image/png;base64,@@@@", "not base64"),
        ("data:image/png;base64,iVBORw0KG", "not base64"),
        ("data:image/png;base64,ünïcödé=", "not base64"),
        ("data:image/png;base64,", "not an image"),
        ("data:image/png;base64,aGVsbG8=", "not an image"),
        ("data:image/svg+xml,<svg/>", "without base64"),
        ("data:text/plain;base64,aGVsbG8=", "begin it with data:image"),
        ("data:image/png;base64," + "A" * 10_000_000, r"\(10000022 characters\)"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_shortly(tmp_path, uri, says):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match=says) as caught:
        open_image(uri, tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.filterwarnings("ignore")  # Pillow's, about the damage
def test_damage_is_an_image_error_whatever_it_hits(tmp_path, kind):
    rng = random.Random(0)
    whole = encoded(Image.effect_noise((24, 24), 50).convert("RGB"), kind)
    refused = 0
    for _ in range(150):
        content = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(min(4, len(content))):
            content[rng.randrange(min(len(content), 80))] = rng.randrange(256)
        (tmp_path / "photo").write_bytes(content)
        try:
            assert open_image("photo", tmp_path).mode == "RGB"
        except ImageError:
            refused += 1
    assert refused > 0


# --- what is decoded


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("RGB", RED, "PNG", RED),
        ("RGB", RED, "BMP", RED),
        ("RGBA", (255, 0, 0, 128), "PNG", RED),
        ("L", 128, "PNG", (128, 128, 128)),
        ("LA", (128, 10), "PNG", (128, 128, 128)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), "TIFF", RED),
        ("P", 1, "PNG", (10, 20, 30)),
        ("P", 1, "GIF", (10, 20, 30)),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, mode, colour, kind, expected):
    image = Image.new(mode, (5, 3), colour)
    if mode == "P":
        image.putpalette([0, 0, 0, 10, 20, 30])
    (tmp_path / "image").write_bytes(encoded(image, kind))
    found = open_image("image", tmp_path)
    assert (found.mode, found.size) == ("RGB", (5, 3))
    assert set(map(tuple, np.asarray(found).reshape(-1, 3))) == {expected}


def test_sixteen_bit_images_become_rgb(tmp_path):
    """Only their form: Pillow clips the values, here as in qwen_vl_utils."""
    (tmp_path / "image.png").write_bytes(encoded(Image.new("I;16", (5, 3), 200)))
    found = open_image("image.png", tmp_path)
    assert (found.mode, found.size) == ("RGB", (5, 3))


def test_a_rotated_photo_stays_as_stored(tmp_path):
    """As qwen_vl_utils shows it to the model: it does not read the orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photo.jpg").write_bytes(
        encoded(Image.new("RGB", (40, 20), RED), "JPEG", exif=exif)
    )
    found = open_image("photo.jpg", tmp_path)
    assert (found.mode, found.size) == ("RGB", (40, 20))


@pytest.mark.parametrize("head", ["data:image/png;base64,", "data:image;base64,"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_data_uris_are_decoded(tmp_path, head, wrapped):
    content = encoded(Image.effect_noise((40, 20), 50).convert("RGB"))
    encode = base64.encodebytes if wrapped else base64.b64encode  # encodebytes breaks the lines
    found = open_image(head + encode(content).decode(), tmp_path)
    assert np.array_equal(np.asarray(found), np.asarray(Image.open(io.BytesIO(content))))


# --- videos


@pytest.fixture
def video(tmp_path):
    """Make a folder of ``count`` empty frames, numbered from 1 without leading zeros."""

    def make(count):
        folder = tmp_path / f"clip{count}"
        folder.mkdir()
        for number in range(1, count + 1):
            (folder / f"frame_{number}.jpg").touch()
        return folder

    return make


def test_frames_are_in_the_order_of_their_numbers(tmp_path, video):
    folder = video(12)
    (folder / "thumbs.db").touch()
    (folder / "frame_13.PNG").touch()
    names = [path.name for path in frames("clip12", tmp_path)]
    assert names == [*(f"frame_{n}.jpg" for n in range(1, 13)), "frame_13.PNG"]


def test_scenes_come_before_their_frames(tmp_path):
    names = ["c2_0001.jpeg", "c1_0010.jpeg", "c1_0002.jpeg", "c10_0001.jpeg"]
    for name in names:
        (tmp_path / name).touch()
    order = [path.name for path in frames(".", tmp_path)]
    assert order == ["c1_0002.jpeg", "c1_0010.jpeg", "c2_0001.jpeg", "c10_0001.jpeg"]


@pytest.mark.parametrize("count", [1, 31, 32])
def test_short_videos_are_whole(tmp_path, video, count):
    assert len(frames(video(count).name, tmp_path)) == count


@pytest.mark.parametrize("count", [33, 62, 63, 100, 301])
def test_long_videos_give_the_32_frames_of_the_release(tmp_path, video, count):
    found = frames(video(count).name, tmp_path)
    expected = np.linspace(0, count - 1, 32, dtype=int)  # the released example's own line
    assert [path.name for path in found] == [f"frame_{index + 1}.jpg" for index in expected]
    assert len(set(found)) == 32


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("missing", "missing: no such folder"),
        ("file.mp4", r"file\.mp4: no such folder"),
        ("empty", r"empty: no frames in it \(\.bmp, \.jpeg, \.jpg, \.png, \.webp\)"),
        ("../", "outside the media folder"),
        ("data:image;base64," + "A" * 9000, "no such folder"),
        ("https://a/b.mp4", "remote address"),
    ],
)
def test_a_video_that_cannot_be_used_is_named(tmp_path, uri, says):
    (tmp_path / "file.mp4").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=says) as caught:
        frames(uri, tmp_path)
    assert len(str(caught.value)) < 400


def test_all_media_of_a_record_are_checked(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(encoded(Image.new("RGB", (8, 8))))
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (8, 8))))
    media = (Media("image", "a.png"), Media("video", "clip"))
    check_media((), tmp_path)
    check_media(media, tmp_path)
    with pytest.raises(ImageError, match=r"b\.png: no such image"):
        check_media((*media, Media("image", "b.png")), tmp_path)
    (folder / "2.png").write_bytes(b"cut")
    with pytest.raises(ImageError, match=r"clip/2\.png: not an image"):
        check_media(media, tmp_path)
