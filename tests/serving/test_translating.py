"""`serve`: the same pixels as `translate`, what can be asked for, and what is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.models import BACK, HEADER, save_model
from fixtures.pictures import encoded, png
from PIL import Image
from serving.service import (
    Gate,
    Service,
    coded,
    negative,
    opened,
    running,
    save_negative,
)

from imgtranslate import cli
from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import METADATA_KEY, ModelHeader, header_json
from imgtranslate.serving.limits import Limits
from imgtranslate.serving.models import list_models, load_models
from imgtranslate.serving.request import MEDIA_TYPES, PARAMETERS

CODED = replace(coded(HEADER, 3), source="edges", target="shoes")
CHANNELS = replace(HEADER, in_channels=1, out_channels=1, source="grey", target="maps")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, header in {"plain": HEADER, "coded": CODED, "grey": CHANNELS}.items():
        save_model(folder / f"{name}.safetensors", header)
    save_negative(folder / "plain.onnx")
    return folder


NAMES = {
    "plain.safetensors": "horses2zebras",
    "plain.onnx": "horses2zebras-2",
    "coded.safetensors": "edges2shoes",
    "grey.safetensors": "grey2maps",
}


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    paths = list_models([folder / name for name in NAMES])
    models = load_models(paths, device="cpu", notice=lambda _: None)
    assert [model.name for model in models] == list(NAMES.values())
    with running(models, limits=Limits(max_pixels=40_000)) as service:
        yield service


def pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (23, 37, 4), np.uint8)
    colour, clear = Image.fromarray(values[..., :3]), Image.fromarray(values)
    exif = Image.Exif()
    exif[274] = 6  # on its side
    frames = [Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8)) for _ in range(3)]
    return {
        "png": encoded(colour, "PNG"),
        "one": encoded(colour.crop((0, 0, 1, 1)), "PNG"),
        "jpg": encoded(colour, "JPEG", exif=exif),
        "clear": encoded(clear, "WEBP", lossless=True),
        "deep": encoded(Image.fromarray(values[..., 0].astype(np.uint16) * 257), "TIFF"),
        "gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=70),
    }


QUERIES = {
    "": (),
    "?format=jpg&quality=60": ("--format", "jpg", "--quality", "60"),
    "?format=webp": ("--format", "webp"),
    "?format=TIF&alpha=matte": ("--format", "TIF", "--alpha", "matte"),
    "?resize=8": ("--resize", "8"),
}


def translated(
    folder: Path, place: Path, content: bytes, model: str, options: tuple[str, ...]
) -> bytes:
    """What ``translate - -o -`` writes."""
    (place / "in").write_bytes(content)
    name = next((options[i + 1].lower() for i, o in enumerate(options) if o == "--format"), "png")
    out = place / f"out.{name}"
    command = ["translate", str(place / "in"), "--model", str(folder / model), "-o", str(out)]
    assert cli.run([*command, *options, "--overwrite", "--device", "cpu"]) == 0
    return out.read_bytes()


@pytest.mark.parametrize("name", pictures())
def test_the_bytes_are_those_of_translate(
    service: Service, folder: Path, tmp_path: Path, name: str
) -> None:
    content = pictures()[name]
    for query, options in QUERIES.items():
        status, body, headers = service.translate(content, query)
        assert status == 200, body
        assert body == translated(folder, tmp_path, content, "plain.safetensors", options), query
        assert headers["content-length"] == str(len(body))
        if "resize" not in query and name == "jpg":
            assert opened(body).size == (23, 37)


@pytest.mark.parametrize("model", NAMES)
def test_every_model_answers_by_its_name(
    service: Service, folder: Path, tmp_path: Path, model: str
) -> None:
    content = pictures()["png"]
    status, body, _ = service.translate(content, f"?model={NAMES[model]}")
    assert (status, body) == (200, translated(folder, tmp_path, content, model, ()))


def test_looks_are_those_of_translate(service: Service, folder: Path, tmp_path: Path) -> None:
    content, seen = pictures()["png"], set()
    for query, options in {
        "": (),
        "&seed=0": (),
        "&seed=4": ("--seed", "4"),
        "&z=0.5,-1,2": ("--z", "0.5,-1,2"),
        "&z=0.5%20-1%202&seed=": ("--z", "0.5,-1,2"),
    }.items():
        status, body, _ = service.translate(content, f"?model=edges2shoes{query}")
        expected = translated(folder, tmp_path, content, "coded.safetensors", options)
        assert (status, body) == (200, expected), query
        seen.add(body)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("text/html, image/webp;q=0.2, image/avif;q=0, image/jpeg;q=0.5", "image/jpeg"),
        ("application/json, */*;q=0.1", "image/png"),
    ],
)
def test_accept_chooses_the_format(service: Service, accept: str, kind: str) -> None:
    status, body, headers = service.translate(png(), Accept=accept)
    assert (status, headers["content-type"]) == (200, kind)
    assert opened(body).get_format_mimetype() == kind


def test_every_format_is_called_what_it_is(service: Service) -> None:
    for suffix, kind in MEDIA_TYPES.items():
        status, body, headers = service.translate(png(), f"?format={suffix[1:]}")
        assert (status, headers["content-type"]) == (200, kind)
        assert opened(body).get_format_mimetype() == kind


REFUSED = {
    "?model=zebras2horses": (404, "model zebras2horses: not served. Choose from horses2z"),
    "?modell=x": (400, "query modell: no such name. Did you mean model?"),
    "?seed=1": (400, "seed: the model has no latent code"),
    "?model=edges2shoes&seed=-1": (400, "seed -1: not a whole number from 0 to"),
    "?model=edges2shoes&seed=1e3": (400, "seed 1e3: not a whole number"),
    "?model=edges2shoes&seed=%D9%A3": (400, "not a whole number"),
    "?model=edges2shoes&seed=1_0": (400, "seed 1_0: not a whole number"),
    "?model=edges2shoes&seed=1.0": (400, "seed 1.0: not a whole number"),
    "?model=edges2shoes&seed=%2B1": (400, "seed +1: not a whole number"),
    "?model=edges2shoes&seed=99999999999999999999": (400, "not a whole number"),
    "?model=edges2shoes&seed=1&z=1,2,3": (400, "seed, z: both choose the latent code"),
    "?model=edges2shoes&z=1,2": (400, "z: 2 numbers, but the code has 3"),
    "?model=edges2shoes&z=1,2,nan": (400, "z: contains numbers that are not finite"),
    "?model=edges2shoes&z=a": (400, "z: not numbers. Write them like"),
    "?model=edges2shoes&z=" + "1," * 9000: (400, "z: longer than 16,384 characters"),
    "?format=exe": (400, "format exe: no such name"),
    "?format=pngg": (400, "format pngg: no such name. Did you mean png?"),
    "?quality=0": (400, "quality 0: not a whole number from 1 to 100"),
    "?resize=0": (400, "resize 0: not a whole number from 1"),
    "?resize=60000": (422, "body: "),
    "?alpha=gone": (400, "alpha gone: no such name. Choose from keep, drop, matte"),
    "?format=png&format=jpg": (400, "format: given twice"),
    "?%0D%0AX-Evil:1=1": (400, r"query \r\nX-Evil:1: no such name"),
}


@pytest.mark.parametrize("query", REFUSED)
def test_a_wrong_query_is_one_line(service: Service, query: str) -> None:
    status, line = service.error(png(), query)
    assert status == REFUSED[query][0], line
    assert REFUSED[query][1] in line
    assert not line.startswith("-")


BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "body: empty. Send the bytes of a picture"),
    "a text": (b"hello, world\n" * 20, 415, "body: not a picture of a known format"),
    "a pickle": (b"\x80\x04\x95" + bytes(99), 415, "body: not a picture of a known format"),
    "a half": (png((64, 64))[:-4000], 422, "body: damaged: "),
    "too many pixels": (
        encoded(Image.new("1", (9000, 9000)), "PNG"),
        422,
        "81,000,000 pixels, more than the limit of 40,000. Resize it",
    ),
    "too many frames": (
        encoded(
            Image.new("RGB", (150, 150)),
            "GIF",
            save_all=True,
            append_images=[Image.new("RGB", (150, 150), (n, 0, 0)) for n in (99, 199)],
        ),
        422,
        "body: 45,000 pixels or more in all its frames, over the limit of 40,000",
    ),
    "a program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        422,
        "EPS is not supported",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_wrong_body_is_one_line(service: Service, name: str) -> None:
    content, status, line = BODIES[name]
    found = service.error(content)
    assert found[0] == status
    assert line in found[1]


def test_wrong_headers_are_one_line(service: Service) -> None:
    for headers, status, line in [
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415, "Send its bytes as the body"),
        ({"Content_Type": "application/json"}, 415, "Content-Type application/json: not a pict"),
        ({"Content_Encoding": "gzip"}, 415, "Content-Encoding gzip: not supported"),
        ({"Accept": "text/html, image/png;q=0"}, 406, "Accept: none of its types is available"),
        ({"Accept": "image/jpeg;q=nan"}, 406, "Accept: none of its types is available"),
    ]:
        found = service.error(png(), **headers)
        assert found[0] == status
        assert line in found[1]


def test_larger_pictures_than_are_translated_may_be_made_smaller(service: Service) -> None:
    content = png((400, 300))
    assert service.error(content)[0] == 422
    status, body, _ = service.translate(content, "?resize=100")
    assert (status, opened(body).size) == (200, (133, 100))


def test_models_tell_of_themselves_without_their_folder(service: Service, folder: Path) -> None:
    status, body, _ = service.ask("GET", "/models")
    models = json.loads(body)["models"]
    assert status == 200
    assert str(folder) not in body.decode()
    assert [(model["name"], model["file"]) for model in models] == [
        (name, file) for file, name in NAMES.items()
    ]
    assert [model["latent_dim"] for model in models] == [0, 0, 3, 0]
    assert {model["max_pixels"] for model in models} == {40_000}


def test_the_document_says_what_is_answered(service: Service) -> None:
    status, body, _ = service.ask("GET", "/openapi.json")
    document = json.loads(body)
    assert (status, document["openapi"]) == (200, "3.1.0")
    post = document["paths"]["/translate"]["post"]
    assert [each["name"] for each in post["parameters"]] == list(PARAMETERS)
    schemas = {each["name"]: each["schema"] for each in post["parameters"]}
    assert schemas["model"]["enum"] == list(NAMES.values())
    assert {"png", "jpg", "tif"} <= set(schemas["format"]["enum"])
    assert schemas["alpha"]["enum"] == ["keep", "drop", "matte"]
    for name, least, most in (("seed", 0, 2**63 - 1), ("resize", 1, 2**16), ("quality", 1, 100)):
        assert schemas[name].items() >= {
            ("type", "integer"), ("minimum", least), ("maximum", most),
        }  # fmt: skip
    assert {int(status) for status in post["responses"]} >= {
        200, *(status for status, _ in REFUSED.values()), *(each[1] for each in BODIES.values()),
    }  # fmt: skip
    model = json.loads(service.ask("GET", "/models")[1])["models"][0]
    assert document["components"]["schemas"]["Model"]["required"] == list(model)
    health = json.loads(service.ask("GET", "/healthz")[1])
    content = document["paths"]["/healthz"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Health"}
    assert document["components"]["schemas"]["Health"]["required"] == list(health)
    for path, methods in document["paths"].items():
        assert service.ask("DELETE", path)[0] == 405
        assert service.ask("HEAD", path)[0] == (200 if "get" in methods else 405)


def test_the_page_and_nothing_else_is_shown(service: Service) -> None:
    status, body, headers = service.ask("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'"engine":"server"' in body
    assert b'"name":"edges2shoes"' in body
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    status, body, headers = service.ask("GET", "/page.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    for path in ("/nothing", "/../pyproject.toml", "/%2e%2e/__init__.py", "/__init__.py", "//"):
        assert service.ask("GET", path)[0] == 404
    assert service.ask("GET", "/translate")[0] == 405


def test_a_hostile_name_is_a_name(tmp_path: Path) -> None:
    header = replace(HEADER, source='a"</script>\r\nX-Evil: 1', target="../../etc/passwd")
    with running([Gate(header=header).served(), *_named(header, tmp_path)]) as service:
        names = [m["name"] for m in json.loads(service.ask("GET", "/models")[1])["models"]]
        assert names[1] == "a-script-X-Evil-12etc-passwd"
        page = service.ask("GET", "/")[1]
        assert b"</script>\r\n" not in page.replace(b"</script>\n", b"")
        status, body, headers = service.translate(png(), f"?model={names[1]}")
        assert (status, "x-evil" in headers) == (200, False)
        assert opened(body).size == (12, 10)


def _named(header: ModelHeader, folder: Path) -> list:  # type: ignore[type-arg]
    path = save_model(folder / "evil.safetensors", header)
    return load_models([path], device="cpu", notice=lambda _: None)


def test_a_bug_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Gate):
        def run(self, values: Values, z: Codes | None = None) -> Values:
            raise ZeroDivisionError((values, z))

    with running([Broken().served()]) as service:
        status, line = service.error(png())
        assert (status, line) == (
            500,
            "server: ZeroDivisionError, a bug. See the stderr of the server",
        )
        assert service.taken() == 0
    assert "ZeroDivisionError" in caplog.text


def test_both_ways_of_a_run_are_served(tmp_path: Path) -> None:
    (tmp_path / "run/best").mkdir(parents=True)
    for path, header in {"ab": HEADER, "ba": BACK, "best/ab": HEADER, "best/ba": BACK}.items():
        save_model(tmp_path / f"run/{path}.safetensors", header)
    paths = list_models([tmp_path / "run"])
    assert paths == [tmp_path / f"run/best/{name}.safetensors" for name in ("ab", "ba")]
    models = load_models(paths, device="cpu", notice=lambda _: None)
    assert [model.name for model in models] == ["horses2zebras", "zebras2horses"]


def test_a_folder_for_openvino_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "model.xml").touch()
    (tmp_path / "imgtranslate.json").write_text(json.dumps({METADATA_KEY: header_json(HEADER)}))
    assert list_models([tmp_path]) == [tmp_path]


def test_gates_turn_pictures_negative() -> None:
    with running([Gate().served()]) as service:
        status, body, _ = service.translate(png())
    assert (status, opened(body).tobytes()) == (200, negative(png()))
    assert [(each.status, each.size) for each in service.answered] == [(200, (12, 10))]
