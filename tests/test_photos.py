"""Every kind of photo and video comes in as a viewer shows it, or is refused by one line."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxalign import photos
from jaxalign.errors import InputError


UPRIGHT = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
# EXIF orientation -> what a camera stores of UPRIGHT under it
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


def refused(path):
    with pytest.raises(InputError) as caught:
        photos.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_exif_rotation_is_applied(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    stored.save(tmp_path / f"a.{kind}", exif=exif, lossless=True)
    np.testing.assert_array_equal(photos.read(tmp_path / f"a.{kind}"), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P", "CMYK"])
def test_exif_rotation_of_every_mode(tmp_path, orientation, mode):
    """Of TIFFs, which Pillow maps into memory in these modes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = mode in ("L", "I;16", "P")
    upright = UPRIGHT[..., [0, 0, 0]] if grey else UPRIGHT
    stored = np.ascontiguousarray(STORED[orientation])
    if mode == "I;16":
        image = Image.fromarray(stored[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(stored[..., 0] if grey else stored).convert(mode)
    image.save(tmp_path / "a.tiff", exif=exif)
    np.testing.assert_array_equal(photos.read(tmp_path / "a.tiff"), upright)


@pytest.mark.parametrize("orientation", STORED)
def test_exif_rotation_of_a_jpeg(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.ascontiguousarray(STORED[orientation].repeat(16, 0).repeat(16, 1))
    Image.fromarray(blocks).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    found = photos.read(tmp_path / "a.jpg")[8::16, 8::16].astype(int)
    assert abs(found - UPRIGHT).max() < 8


def test_damaged_exif_is_passed_over(tmp_path):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    assert photos.read(tmp_path / "a.jpg").shape == UPRIGHT.shape


class TestPixels:
    def read(self, tmp_path, image, **options):
        image.save(tmp_path / "a.png", **options)
        return photos.read(tmp_path / "a.png")

    def test_grey(self, tmp_path):
        found = self.read(tmp_path, Image.fromarray(UPRIGHT[..., 0]))
        np.testing.assert_array_equal(found, UPRIGHT[..., [0, 0, 0]])

    def test_black_and_white(self, tmp_path):
        found = self.read(tmp_path, Image.fromarray(UPRIGHT[..., 0] > 127))
        np.testing.assert_array_equal(found[..., 1], 255 * (UPRIGHT[..., 0] > 127))

    def test_transparency_is_white(self, tmp_path):
        opacity = np.full((5, 8, 1), 255, np.uint8)
        opacity[0], opacity[1] = 0, 51
        found = self.read(tmp_path, Image.fromarray(np.concatenate([UPRIGHT, opacity], 2)))
        assert (found[0] == 255).all()
        assert abs(found[1] - (0.2 * UPRIGHT[1] + 204)).max() <= 1
        np.testing.assert_array_equal(found[2:], UPRIGHT[2:])
        found = self.read(tmp_path, Image.fromarray(opacity[..., 0]).convert("LA"))
        assert found.shape == UPRIGHT.shape

    def test_palette(self, tmp_path):
        image = Image.fromarray(UPRIGHT).quantize(40)
        np.testing.assert_array_equal(self.read(tmp_path, image), UPRIGHT)
        hidden = np.asarray(image) == 3
        found = self.read(tmp_path, image, transparency=3)
        np.testing.assert_array_equal(found, np.where(hidden[..., None], 255, UPRIGHT))

    @pytest.mark.parametrize("kind", ["png", "tiff"])
    def test_sixteen_bits_of_grey(self, tmp_path, kind):
        deep = UPRIGHT[..., 0].astype(np.uint16) * 257
        Image.fromarray(deep).save(tmp_path / f"a.{kind}")
        found = photos.read(tmp_path / f"a.{kind}")
        np.testing.assert_array_equal(found, UPRIGHT[..., [0, 0, 0]])

    def test_sixteen_bits_of_colour(self, tmp_path):
        deep = UPRIGHT[..., ::-1].astype(np.uint16) * 257
        assert cv2.imwrite(str(tmp_path / "a.png"), deep)
        np.testing.assert_array_equal(photos.read(tmp_path / "a.png"), UPRIGHT)

    def test_cmyk_jpeg(self, tmp_path):
        plain = Image.new("RGB", (16, 16), (200, 60, 20))
        plain.convert("CMYK").save(tmp_path / "a.jpg", quality=100)
        assert abs(photos.read(tmp_path / "a.jpg")[8, 8].astype(int) - (200, 60, 20)).max() < 6

    def test_one_pixel(self, tmp_path):
        found = self.read(tmp_path, Image.new("RGB", (1, 1), (1, 2, 3)))
        assert found.tolist() == [[[1, 2, 3]]]

    def test_8k(self, tmp_path):
        image = np.zeros((4320, 7680), np.uint8)
        image[4319, 7679] = 9
        found = self.read(tmp_path, Image.fromarray(image), compress_level=1)
        assert found.shape == (4320, 7680, 3) and found[-1, -1].tolist() == [9, 9, 9]

    @pytest.mark.parametrize("kind", ["gif", "webp", "png"])
    def test_first_frame_of_an_animation(self, tmp_path, kind):
        first, second = (Image.new("RGB", (8, 5), colour) for colour in ("red", "blue"))
        options = {"save_all": True, "append_images": [second], "lossless": True}
        first.save(tmp_path / f"a.{kind}", **options)
        np.testing.assert_array_equal(photos.read(tmp_path / f"a.{kind}"), np.asarray(first))


class TestRefusals:
    @pytest.mark.parametrize("kind", ["jpg", "png", "gif", "webp", "tiff", "bmp"])
    def test_truncated(self, tmp_path, kind):
        path = tmp_path / f"a.{kind}"
        Image.fromarray(UPRIGHT.repeat(9, 0).repeat(9, 1)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert "give another file" in refused(path)

    @pytest.mark.parametrize("content", [b"", b"no photo at all", b"\xff\xd8\xff", b"\x89PNG\r\n"])
    def test_no_photo(self, tmp_path, content):
        (tmp_path / "a.jpg").write_bytes(content)
        assert "convert it to JPEG or PNG" in refused(tmp_path / "a.jpg")

    def test_no_file(self, tmp_path):
        assert "No such file" in refused(tmp_path / "a.jpg")
        assert "directory" in refused(tmp_path)

    def test_fractions(self, tmp_path):
        Image.fromarray(UPRIGHT[..., 0] / np.float32(255)).save(tmp_path / "a.tiff")
        assert "8 or 16 bits" in refused(tmp_path / "a.tiff")

    def test_too_many_pixels(self, tmp_path):
        header = b"IHDR" + struct.pack(">2I5B", 20_000, 20_000, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        end = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + end)
        assert "more than 178 million pixels; reduce it" in refused(tmp_path / "a.png")

    def test_too_long(self, tmp_path):
        Image.new("L", (40_000, 2)).save(tmp_path / "a.png")
        assert "side of more than 32,766" in refused(tmp_path / "a.png")


class TestArrays:
    def test_kinds(self):
        np.testing.assert_array_equal(photos.as_rgb(UPRIGHT), UPRIGHT)
        grey = photos.as_rgb(UPRIGHT[..., 0])
        np.testing.assert_array_equal(grey, UPRIGHT[..., [0, 0, 0]])
        clear = np.concatenate([UPRIGHT, np.zeros((5, 8, 1), np.uint8)], 2)
        assert (photos.as_rgb(clear) == 255).all()

    @pytest.mark.parametrize(
        "image",
        [UPRIGHT / 255, UPRIGHT[..., :2], UPRIGHT[None], UPRIGHT[:0], UPRIGHT.astype(np.uint16), 3],
    )
    def test_refused(self, image):
        with pytest.raises(InputError, match="give uint8"):
            photos.as_rgb(image)

    def test_reduced(self):
        wide = np.zeros((10, 400, 3), np.uint8)
        assert photos.reduced(wide, 400) is wide
        assert photos.reduced(wide, 100).shape == (2, 100, 3)
        assert photos.reduced(wide, 10).shape == (1, 10, 3)


class TestFind:
    def test_files_folders_and_patterns(self, tmp_path):
        names = ["b.JPG", "a b ä 顔.png", "deep/c.jpg", "note.txt", "x[1].jpg"]
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        files = {name: tmp_path / name for name in names}
        inside = sorted([files["a b ä 顔.png"], files["b.JPG"], files["x[1].jpg"]])
        assert photos.find([tmp_path]) == inside
        assert photos.find([files["note.txt"], files["x[1].jpg"]]) == [
            files["note.txt"],
            files["x[1].jpg"],
        ]
        assert photos.find([f"{tmp_path}/**/*.jpg", tmp_path / "deep"]) == [
            files["deep/c.jpg"],
            files["x[1].jpg"],
        ]

    def test_nothing_there(self, tmp_path):
        with pytest.raises(InputError, match="holds no photo"):
            photos.find([tmp_path])
        with pytest.raises(InputError, match="none.jpg: no such file"):
            photos.find([tmp_path / "none.jpg"])


class TestFrames:
    def test_times_and_pictures(self, tmp_path):
        path = str(tmp_path / "ein Film.avi")
        video = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
        for red in (0, 100, 200):
            video.write(np.full((48, 64, 3), (0, 0, red), np.uint8))
        video.release()
        seconds, images = zip(*photos.frames(path), strict=True)
        np.testing.assert_allclose(seconds, [0, 0.04, 0.08], atol=1e-6)
        for image, red in zip(images, (0, 100, 200), strict=True):
            assert abs(image.reshape(-1, 3).mean(0) - (red, 0, 0)).max() < 4

    def test_no_video(self, tmp_path):
        (tmp_path / "a.mp4").write_text("no video")
        for name, reason in (("a.mp4", "no video"), ("b.mp4", "no such file")):
            with pytest.raises(InputError, match=f"{name}: {reason}"):
                list(photos.frames(tmp_path / name))
