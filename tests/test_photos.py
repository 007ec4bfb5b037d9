"""Every kind of photo and video comes in as a viewer shows it, or is refused by one line."""

import io
import os
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxalign import photos, pipeline
from jaxalign.datasets.faces import photo_size
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
    pixels = photos.decode(photos.encoded(tmp_path / f"a.{kind}"))
    np.testing.assert_array_equal(pixels, STORED[orientation])
    height, width = STORED[orientation].shape[:2]
    assert photos.sides(tmp_path / f"a.{kind}") == ((width, height), (8, 5), orientation > 1)


@pytest.mark.parametrize(("bits", "inverted"), [(12, False), (16, False), (16, True)])
def test_grey_tiffs_of_any_depth(bits, inverted):
    """0, a third, two thirds and all of white; of 12 bits two pixels share three bytes."""
    white = 2**bits - 1
    values = [white * part // 3 for part in range(4)]
    if bits == 12:
        data = b"".join(
            (a << 12 | b).to_bytes(3, "big") for a, b in zip(values[::2], values[1::2], strict=True)
        )
    else:
        data = np.array(values, "<u2").tobytes()
    tags = {256: 4, 257: 1, 258: bits, 259: 1, 262: 0 if inverted else 1, 273: 134, 277: 1, 278: 1,
            279: len(data), 284: 1}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    photo = header.ljust(134, b"\0") + data
    grey = np.array([0, 85, 170, 255], np.uint8)
    expected = (255 - grey if inverted else grey)[None, :, None].repeat(3, 2)
    np.testing.assert_array_equal(photos.decode(photo), expected)


def test_too_little_memory_is_no_damage(monkeypatch):
    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(photos, "_rgb", fails)
    out = io.BytesIO()
    Image.fromarray(UPRIGHT).save(out, "PNG")
    with pytest.raises(InputError, match="^not enough memory to decode it; reduce it$"):
        photos.decode(out.getvalue())


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

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "empty (0 bytes); give another file"),
            (b"no photo at all", "convert it to JPEG or PNG"),
            (b"\xff\xd8\xff", "its header is truncated"),
            (b"\x89PNG\r\n", "its header is truncated"),
        ],
    )
    def test_no_photo(self, tmp_path, content, reason):
        (tmp_path / "a.jpg").write_bytes(content)
        assert reason in refused(tmp_path / "a.jpg")

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

    def test_a_small_file_of_many_pixels(self, tmp_path, monkeypatch):
        """By its header, before a pixel is decoded, in prediction and in preparation."""
        Image.new("1", (30_000, 30_000)).save(tmp_path / "a.png")
        monkeypatch.setattr(Image.Image, "load", None)
        monkeypatch.setattr(cv2, "imdecode", None)
        assert "178 million pixels" in refused(tmp_path / "a.png")
        with pytest.raises(InputError, match="178 million pixels"):
            photo_size((tmp_path / "a.png").read_bytes())

    def test_the_same_limits_in_preparation(self, tmp_path):
        Image.new("L", (32_767, 2)).save(tmp_path / "a.png")
        with pytest.raises(InputError, match="side of more than 32,766"):
            photo_size((tmp_path / "a.png").read_bytes())

    @pytest.mark.parametrize("name", ["a.eps", "a.jpg", "a.png"])
    def test_a_photo_runs_no_program(self, tmp_path, monkeypatch, name):
        """PostScript is no photo, whatever it is called; Pillow would hand it to Ghostscript."""
        started = []
        for function in ("Popen", "call", "check_call", "run"):
            monkeypatch.setattr(f"subprocess.{function}", lambda *a, **k: started.append(a))
        script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
        (tmp_path / name).write_bytes(script)
        assert "convert it to JPEG or PNG" in refused(tmp_path / name)
        for way in (pipeline.decode, lambda photo, _: photo_size(photo)):
            with pytest.raises(InputError):
                way(script, "x")
        assert photos.plain(script, upright=True) == script and not started

    @pytest.mark.parametrize("kind", ["ICO", "PCX", "TGA", "SGI", "EPS", "PDF", "IM"])
    def test_formats_that_are_not_listed(self, tmp_path, kind):
        Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", kind)
        refused(tmp_path / "a.jpg")

    def test_only_files_are_opened(self, tmp_path):
        os.mkfifo(tmp_path / "a.jpg")
        assert "not a file" in refused(tmp_path / "a.jpg")
        assert "not a file" in refused("/dev/zero")

    def test_pixels_of_32_bits(self, tmp_path):
        Image.fromarray(UPRIGHT[..., 0].astype(np.int32)).save(tmp_path / "a.tiff")
        assert "8 or 16 bits" in refused(tmp_path / "a.tiff")
        with pytest.raises(InputError, match="8 or 16 bits"):
            photo_size((tmp_path / "a.tiff").read_bytes())
        with pytest.raises(InputError, match="8 or 16 bits"):
            photos.as_rgb(Image.open(tmp_path / "a.tiff"))


def jpeg(image=None, mode="RGB", **options):
    """A photo with patterns everywhere, as a JPEG."""
    if image is None:
        image = cv2.resize(UPRIGHT, (96, 80), interpolation=cv2.INTER_CUBIC)
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()


JPEGS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "RGB": {"keep_rgb": True},
    "fine": {"quality": 100, "subsampling": 0},
}


class TestPartsOfJpegs:
    @pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
    def test_of_any_kind(self, options):
        whole = jpeg(**options)
        part = photos.decode(whole)[16:, 32:]
        stored = photos.jpeg_like(whole, part)
        assert abs(photos.decode(stored).astype(int) - part).mean() < 1
        modes = [Image.open(io.BytesIO(photo)).mode for photo in (whole, stored)]
        assert modes[1] == ("L" if modes[0] == "L" else "RGB")

    def test_cut_along_its_blocks_it_stays_as_it_was(self):
        """Anywhere else, it loses once more what its quality loses."""
        whole = jpeg(quality=60)
        pixels = photos.decode(whole)
        apart = []
        for y, x in ((16, 32), (19, 37)):
            stored = photos.jpeg_like(whole, pixels[y:, x:])
            assert len(stored) < len(whole)
            apart.append(abs(photos.decode(stored).astype(int) - pixels[y:, x:]).mean())
        assert apart[0] < 0.5 < 2 < apart[1]


class TestLostData:
    """A decoder makes up what a JPEG has lost, in grey, and says nothing."""

    @pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
    def test_truncated_and_closed(self, options):
        whole = jpeg(**options)
        photos.decode(whole, whole=True)
        scan = whole.index(b"\xff\xda")
        for cut in np.linspace(scan, len(whole) - 8, 25).astype(int):
            for ending in (b"", whole[-2:], bytes(len(whole) - cut)):
                with pytest.raises(InputError, match="cut short|truncated|damaged"):
                    photos.decode(whole[:cut] + ending, whole=True)

    def test_lost_between_restarts(self):
        whole = jpeg(restart_marker_blocks=3)
        first, second = whole.index(b"\xff\xd1"), whole.index(b"\xff\xd2")
        with pytest.raises(InputError, match="lacks data"):
            photos.decode(whole[: first + 3] + whole[second:], whole=True)
        with pytest.raises(InputError, match="lacks a part"):
            photos.decode(whole[:first] + whole[second:], whole=True)
        with pytest.raises(InputError, match="lacks data"):
            photos.decode(whole[:second] + whole[-2:], whole=True)

    def test_a_scan_is_lost(self):
        whole = jpeg(progressive=True)
        last = whole.rindex(b"\xff\xda")
        with pytest.raises(InputError, match="lacks a scan"):
            photos.decode(whole[:last] + b"\xff\xd9", whole=True)

    @pytest.mark.parametrize("grey", [0, 128, 255])
    @pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
    def test_plain_photos_are_whole(self, options, grey):
        """Also grey ones, as what is lost would be, and those with more behind their data."""
        plain = jpeg(np.full((37, 41, 3), grey, np.uint8), **options)
        photos.decode(plain, whole=True)
        photos.decode(plain[:-2] + b"\0\0\0" + plain[-2:] + b"trailing", whole=True)

    def test_of_several_pictures(self, tmp_path):
        images = [Image.fromarray(UPRIGHT.repeat(9, 0).repeat(9, 1)) for _ in range(2)]
        images[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=images[1:])
        assert photos.read(tmp_path / "a.jpg").shape == (45, 72, 3)

    def test_too_many_scans(self):
        whole = jpeg(progressive=True)
        last = whole[whole.rindex(b"\xff\xda") : -2]
        with pytest.raises(InputError, match="scans"):
            photos.decode(whole[:-2] + 600 * last + b"\xff\xd9", whole=True)

    def test_a_png_with_a_wrong_checksum(self, tmp_path):
        Image.fromarray(UPRIGHT).save(tmp_path / "a.png")
        photo = bytearray((tmp_path / "a.png").read_bytes())
        photo[photo.index(b"IDAT") + 30] ^= 1
        (tmp_path / "a.png").write_bytes(photo)
        assert "checksum" in refused(tmp_path / "a.png")

    def test_in_every_place(self, tmp_path):
        cut = jpeg()[:-300] + b"\xff\xd9"
        (tmp_path / "a.jpg").write_bytes(cut)
        assert "lacks data" in refused(tmp_path / "a.jpg")
        with pytest.raises(InputError, match="lacks data"):
            photo_size(cut)


class TestTrainingSeesWhatPredictionSees:
    """Photos without an EXIF rotation are the same array on both ways."""

    @pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
    def test_jpeg(self, tmp_path, options):
        (tmp_path / "a.jpg").write_bytes(jpeg(**options))
        found = pipeline.decode((tmp_path / "a.jpg").read_bytes(), "a")
        np.testing.assert_array_equal(found, photos.read(tmp_path / "a.jpg"))

    @pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.webp", "a.gif", "a.bmp", "a.jp2"])
    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
    def test_formats(self, tmp_path, name, mode):
        image = Image.fromarray(UPRIGHT)
        if mode == "I;16":
            if name in ("a.webp", "a.gif", "a.bmp"):
                pytest.skip("8 bits at most")
            image = Image.fromarray(UPRIGHT[..., 0].astype(np.uint16) * 257)
        try:
            image.convert(mode).save(tmp_path / name)
        except (OSError, ValueError):
            pytest.skip("no such files")
        found = pipeline.decode((tmp_path / name).read_bytes(), "a")
        np.testing.assert_array_equal(found, photos.read(tmp_path / name))
        assert found.std() > 10

    @pytest.mark.parametrize("kind", [b"P5", b"P6"])
    def test_a_ppm_of_other_maximum(self, tmp_path, kind):
        values = UPRIGHT.astype(int) * 1023 // 255
        values = values if kind == b"P6" else values[..., 0]
        data = values.astype(">u2").tobytes()
        (tmp_path / "a.ppm").write_bytes(kind + b"\n8 5\n1023\n" + data)
        expected = UPRIGHT if kind == b"P6" else UPRIGHT[..., [0, 0, 0]]
        for found in (
            photos.read(tmp_path / "a.ppm"),
            pipeline.decode((tmp_path / "a.ppm").read_bytes(), "a"),
        ):
            assert abs(found.astype(int) - expected).max() <= 1


def test_one_file_in_several_threads(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    alone, wrong = photos.read(tmp_path / "a.jpg"), []

    def work():
        for _ in range(5):
            if (photos.read(tmp_path / "a.jpg") != alone).any():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class TestArrays:
    def test_kinds(self):
        np.testing.assert_array_equal(photos.as_rgb(UPRIGHT), UPRIGHT)
        grey = photos.as_rgb(UPRIGHT[..., 0])
        np.testing.assert_array_equal(grey, UPRIGHT[..., [0, 0, 0]])
        clear = np.concatenate([UPRIGHT, np.zeros((5, 8, 1), np.uint8)], 2)
        assert (photos.as_rgb(clear) == 255).all()

    def test_files_and_images_of_pillow(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.ascontiguousarray(np.rot90(UPRIGHT))).save(tmp_path / "a.png", exif=exif)
        for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.open(tmp_path / "a.png")):
            np.testing.assert_array_equal(photos.as_rgb(image), UPRIGHT)
        deep = Image.fromarray(np.full((3, 4), 65535, np.uint16))
        assert photos.as_rgb(deep).tolist() == np.full((3, 4, 3), 255).tolist()

    def test_a_cut_image_of_pillow(self, tmp_path):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "a.png")
        data = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match="a.png: cannot be read .*; open it again"):
            photos.as_rgb(Image.open(tmp_path / "a.png"))

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

    def capture(self, monkeypatch, times, rate):
        """OpenCV's reader of a video whose frames have these times, in seconds."""
        going = iter([*times, None])

        class Capture:
            def __init__(self, name):
                self.time = None

            def read(self):
                self.time = next(going)
                return self.time is not None, np.zeros((4, 4, 3), np.uint8)

            def get(self, what):
                return {cv2.CAP_PROP_POS_MSEC: 1000 * self.time, cv2.CAP_PROP_FPS: rate}[what]

            def release(self):
                pass

        monkeypatch.setattr(cv2, "VideoCapture", Capture)

    @pytest.mark.parametrize(
        ("times", "expected"),
        [
            ([0, 0, 0, 0], [0, 0.04, 0.08, 0.12]),
            ([0, np.nan, 0.1, 0.1], [0, 0.04, 0.1, 0.14]),
            ([5, 5.5, 1, 1.5], [5, 5.5, 5.54, 5.58]),
            ([-1, 0.5, np.inf], [0, 0.5, 0.54]),
        ],
    )
    def test_times_that_are_none(self, tmp_path, monkeypatch, times, expected):
        """Raw streams have none, which OpenCV tells as 0; smoothing would stand still."""
        (tmp_path / "a.h264").write_bytes(b"\0\0\0\x01g")
        self.capture(monkeypatch, times, 25)
        seconds = [seconds for seconds, _ in photos.frames(tmp_path / "a.h264")]
        np.testing.assert_allclose(seconds, expected)

    @pytest.mark.parametrize("rate", [0, np.nan, np.inf])
    def test_neither_times_nor_a_rate(self, tmp_path, monkeypatch, rate):
        (tmp_path / "a.h264").write_bytes(b"\0\0\0\x01g")
        self.capture(monkeypatch, [0, 0], rate)
        with pytest.raises(InputError, match="a.h264: gives no times"):
            list(photos.frames(tmp_path / "a.h264"))

    @pytest.mark.parametrize(
        "content",
        [
            b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n",
            b"ffconcat version 1.0\nfile a\n",
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
            b"<?xml version='1.0'?><MPD></MPD>",
            b"",
        ],
    )
    def test_lists_of_other_files_are_not_opened(self, tmp_path, monkeypatch, content):
        (tmp_path / "a.mp4").write_bytes(content)
        monkeypatch.setattr(cv2, "VideoCapture", None)
        with pytest.raises(InputError, match="a.mp4: no video that can be read here"):
            photos.frames(tmp_path / "a.mp4")

    def test_no_video(self, tmp_path):
        (tmp_path / "a.mp4").write_text("no video")
        for name, reason in (("a.mp4", "no video"), ("b.mp4", "no such file")):
            with pytest.raises(InputError, match=f"{name}: {reason}"):
                list(photos.frames(tmp_path / name))
