"""The REST API, as gradio's client and others call it."""

import http.client
import json
import os
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.app.clips import FRAMES
from rfwarp.app.studio import MAX_SOURCES, Model
from rfwarp.cli import main
from rfwarp.poses import FaceLandmarks, Viewpoint
from rfwarp.poses.keypoints import openpose_content

gradio_client = pytest.importorskip("gradio_client", reason="comes with rfwarp[app]")
ROOT = Path(__file__).parents[2]
handle_file = gradio_client.handle_file
AppError = gradio_client.exceptions.AppError


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    folder = tmp_path_factory.mktemp("downloads")
    return gradio_client.Client(
        address, verbose=False, analytics_enabled=False, download_files=str(folder)
    )


def opened(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def files(paths):
    return [handle_file(str(path)) for path in paths]


def test_it_listens_on_this_machine_alone(address):
    assert address.startswith("http://127.0.0.1:")
    port = int(address.rstrip("/").rpartition(":")[2])
    hexadecimal = f":{port:04X}"
    lines = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).is_file()
        for line in Path(table).read_text().splitlines()[1:]
    ]
    if not lines:
        pytest.skip("this system does not list its sockets in /proc/net")
    listening = {local for _, local, _, state, *_ in lines if state == "0A"}
    assert {local for local in listening if local.endswith(hexadecimal)} == {
        socket.inet_aton("127.0.0.1")[::-1].hex().upper() + hexadecimal
    }


def test_a_port_that_is_taken(address, capsys):
    port = address.rstrip("/").rpartition(":")[2]
    assert main(["app", "-w", "chairs-64", "--port", port]) == 1
    assert capsys.readouterr().err == (
        f"rfwarp: error: the app cannot be served: port {port} of 127.0.0.1 is taken\n"
    )


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("elsewhere.example", 400)])
def test_it_answers_under_its_own_name(address, host, status):
    port = int(address.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/config", headers={"Host": f"{host}:{port}"})
    assert connection.getresponse().status == status
    connection.close()


def test_the_documented_call(address, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "guides" / "app.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python skip=server\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    assert blocks[0].count("http://127.0.0.1:7860/") == 1
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(blocks[0].replace("http://127.0.0.1:7860/", address), names)
    assert opened("view.png").shape == (64, 64, 3)
    assert names["notices"] == []


def test_only_the_documented_functions_are_offered(client):
    offered = client.view_api(return_format="dict", print_info=False)
    assert set(offered["named_endpoints"]) == {
        *("/models", "/generate", "/animate", "/find_pose"),
    }
    assert offered["unnamed_endpoints"] == {}


def test_models(client, untrained):
    assert client.predict(api_name="/models") == {
        "viewpoint": ["chairs-64"],
        "keypoints": ["people-64"],
        **{kind: [folder] for kind, folder in untrained.items()},
    }


def test_an_image_as_the_library_draws_it(client, chairs, chair_files):
    image, origins, maps, notices = client.predict(
        "chairs-64", files(chair_files), ["120:10", "320:10"], "60:10", api_name="/generate"
    )
    expected = chairs.generator.generate(
        chair_files, [Viewpoint(120, 10), Viewpoint(320, 10)], Viewpoint(60, 10)
    )
    np.testing.assert_array_equal(opened(image), np.asarray(expected))
    assert opened(origins).shape == (64, 64, 3)
    assert opened(maps).shape[1] > 8 * 64
    assert notices == []


def test_people(client, people, person_files):
    example = people.example(0)
    poses = [openpose_content([pose]) for pose in example.poses]
    target = openpose_content([example.target])
    image, *_, notices = client.predict(
        "people-64", files(person_files), poses, target, api_name="/generate"
    )
    expected = people.generator.generate(person_files, example.poses, example.target)
    np.testing.assert_array_equal(opened(image), np.asarray(expected))
    assert notices == []


def as_json(pose) -> object:
    """A face or a camera as the API takes it."""
    if isinstance(pose, FaceLandmarks):
        return {"landmarks": pose.points.tolist()}
    return "camera:" + ",".join(map(str, (*pose.rotation, *pose.translation)))


@pytest.mark.parametrize("kind", ["landmarks", "camera"])
def test_faces_and_streets(client, untrained, kind, tmp_path):
    model = Model(untrained[kind], torch.device("cpu"))
    example = model.example(0)
    paths = [tmp_path / f"{source.name}.png" for source in example.sources]
    for source, path in zip(example.sources, paths, strict=True):
        source.image.save(path)
    poses, target = [as_json(pose) for pose in example.poses], as_json(example.target)
    given = [model.name, files(paths), poses, target]
    image, *_ = client.predict(*given, api_name="/generate")
    expected = model.draw(example.sources, example.poses, example.target).image
    np.testing.assert_array_equal(opened(image), np.asarray(expected))
    with Image.open(client.predict(*given, api_name="/animate")) as animation:
        assert animation.n_frames == 2 * FRAMES - 2
    wanted = {"landmarks": "an object with landmarks", "camera": "a camera such as 'camera:0,0.1"}
    with pytest.raises(AppError, match=f"target must be {wanted[kind]}"):
        client.predict(*given[:3], 7, api_name="/generate")
    bad = {"landmarks": {"landmarks": [[1, 2]]}, "camera": "camera:1,2"}[kind]
    with pytest.raises(AppError, match=r"target: (points must be \(68, 2\)|a camera motion is)"):
        client.predict(*given[:3], bad, api_name="/generate")


@pytest.mark.parametrize("kind", ["chairs", "people"])
def test_animations(client, kind, people, chair_files, person_files):
    if kind == "chairs":
        path = client.predict(
            "chairs-64", files(chair_files), ["120:10", "320:10"], "0:20", api_name="/animate"
        )
        frames = len(Viewpoint.AZIMUTHS)
    else:
        example = people.example(0)
        poses = [openpose_content([pose]) for pose in example.poses]
        target = openpose_content([example.target])
        path = client.predict("people-64", files(person_files), poses, target, api_name="/animate")
        frames = 2 * FRAMES - 2
    with Image.open(path) as animation:
        assert animation.format == "GIF"
        assert animation.n_frames == frames


def test_photographs_are_framed_and_noticed(client, tmp_path):
    Image.new("RGB", (300, 200), (90, 140, 60)).save(tmp_path / "meadow.jpg")
    *_, notices = client.predict(
        "chairs-64", files([tmp_path / "meadow.jpg"]), ["0:10"], "0:45", api_name="/generate"
    )
    assert notices == [
        "meadow.jpg: 100 % of its border is not white, as it is in what this model learned from, "
        "procedural chairs",
        "elevation 45: this model learned from 0 to 20 degrees",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": "../people-64"},
            "no model '../people-64' here; there are chairs-64,",
        ),
        ({"model": "/etc"}, "no model '/etc' here"),
        ({"sources": []}, f"1 to {MAX_SOURCES} source images are needed, got 0"),
        ({"poses": ["120:10"]}, "2 sources need a list of as many poses, got 1"),
        ({"poses": "120:10"}, "2 sources need a list of as many poses, got '120:10'"),
        ({"poses": ["120:10", "/etc/passwd"]}, "a viewpoint is AZIMUTH:ELEVATION in degrees"),
        ({"poses": ["120:10", {"people": []}]}, r"poses\[1\] must be a viewpoint such as"),
        ({"target": "table.csv:row"}, "a viewpoint is AZIMUTH:ELEVATION in degrees"),
        ({"target": None}, "target must be a viewpoint such as '120:10', got None"),
        ({"target": "0:91"}, r"elevation must lie in -90..90 degrees"),
        ({"fit": "stretch"}, "fit must be one of pad, crop, got 'stretch'"),
        ({"model": "people-64"}, r"poses\[0\] must be the object of an OpenPose file"),
    ],
)
def test_what_is_refused(client, chair_files, change, message):
    given = {
        "model": "chairs-64",
        "sources": files(chair_files),
        "poses": ["120:10", "320:10"],
        "target": "60:10",
        "fit": "pad",
    }
    with pytest.raises(AppError, match=message):
        client.predict(**given | change, api_name="/generate")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"people": []}, "target: OpenPose found nobody"),
        (
            {"people": [{"pose_keypoints_2d": [0] * 54}]},
            "target_pose has no joint inside",
        ),
        ({"people": [{"pose_keypoints_2d": [1] * 5}]}, "a person has 54 or 75 numbers, got 5"),
        ({"canvas_height": 10**9, "people": []}, "its canvas of 1000000000 x 64 is no size"),
        ({"canvas_width": "/etc", "people": []}, "its canvas of 64 x '/etc' is no size"),
    ],
)
def test_malformed_people(client, people, person_files, target, message):
    poses = [openpose_content([pose]) for pose in people.example(0).poses]
    with pytest.raises(AppError, match=message):
        client.predict("people-64", files(person_files), poses, target, api_name="/generate")


def test_files_that_are_no_images(client, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    with pytest.raises(AppError) as caught:
        client.predict("chairs-64", files([bad]), ["0:10"], "0:10", api_name="/generate")
    assert "bad.png cannot be read as an image: it is none of PNG, JPEG" in str(caught.value)
    assert os.sep + "gradio" not in str(caught.value)  # where files are kept is nobody's business


def test_limits(client, tmp_path, chair_files):
    many = files([chair_files[0]] * (MAX_SOURCES + 1))
    with pytest.raises(AppError, match=f"1 to {MAX_SOURCES} source images are needed, got 17"):
        client.predict("chairs-64", many, ["0:10"] * len(many), "0:10", api_name="/generate")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(21 * 2**20))
    with pytest.raises(urllib.error.HTTPError, match="413"):
        upload(client, large)
    wide = tmp_path / "wide.png"
    Image.new("1", (8001, 8001)).save(wide)
    with pytest.raises(AppError, match="more than 64,000,000"):
        client.predict("chairs-64", files([wide]), ["0:10"], "0:10", api_name="/generate")


# ------------------------------------------------------------------ files that were not uploaded


def paths_that_were_not_uploaded(private: Path) -> list[str]:
    return [
        "/etc/passwd",
        str(private),
        os.path.relpath(private),
        f"../../../../../../../..{private}",
        "examples/assets/900008_020_00.png",
        "file:///etc/passwd",
        "http://127.0.0.1:1/image.png",
    ]


def test_the_largest_is_found(client, crowd, tmp_path):
    """As the page on the app documents it."""
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    pose = client.predict(handle_file(str(tmp_path / "a.png")), api_name="/find_pose")
    assert (pose["canvas_height"], pose["canvas_width"]) == (48, 64)
    (person,) = pose["people"]
    assert person["pose_keypoints_2d"][:3] == [1, 1, 1]
    assert person["pose_keypoints_2d"][30:33] == [40, 40, 1]  # the right ankle
    face = client.predict(handle_file(str(tmp_path / "a.png")), "landmarks", api_name="/find_pose")
    assert (face["canvas_height"], face["canvas_width"]) == (48, 64)
    assert len(face["landmarks"]) == 68
    assert face["landmarks"][-1] == [40, 40]


@pytest.fixture
def private(chair_files: list[Path], tmp_path: Path) -> Path:
    """An image on the server that no one uploaded."""
    path = tmp_path / "private.png"
    path.write_bytes(chair_files[0].read_bytes())
    return path


def test_an_upload_is_read(client, chair_files):
    (path,) = upload(client, chair_files[0])
    given = ["chairs-64", [as_file(path)], ["0:10"], "0:10", "pad"]
    assert call(client, "/generate", given).startswith("event: complete\n")


@pytest.mark.parametrize("number", range(7))
def test_a_path_is_no_upload(client, chair_files, private, number):
    file = as_file(paths_that_were_not_uploaded(private)[number])
    good = [as_file(upload(client, chair_files[0])[0])]
    for endpoint, given in (
        ("/generate", ["chairs-64", [file], ["0:10"], "0:10", "pad"]),
        ("/generate", ["chairs-64", good, [file], "0:10", "pad"]),
        ("/generate", ["chairs-64", good, ["0:10"], file, "pad"]),
        ("/animate", ["chairs-64", [file], ["0:10"], "0:10", "pad"]),
        ("/find_pose", [file, "keypoints"]),
    ):
        text = call(client, endpoint, given)
        assert text.startswith("event: error\n"), text
        assert "not uploaded by a user" in text or "files are uploaded, not fetched" in text, text


@pytest.mark.parametrize("number", range(7))
def test_nor_is_it_for_the_pages(client, private, number):
    """Their events are in no documentation, but whoever looks can call them."""
    file = as_file(paths_that_were_not_uploaded(private)[number])
    tried = 0
    components = {component["id"]: component for component in client.config["components"]}
    for event in client.config["dependencies"]:
        inputs = [components[number] for number in event["inputs"]]
        if event["api_visibility"] == "public" or "file" not in [x["type"] for x in inputs]:
            continue
        data = [x["props"].get("value") if x["type"] != "file" else file for x in inputs]
        for place, x in enumerate(inputs):
            if x["props"].get("file_count") == "multiple":
                data[place] = [file]
        message = call_event(client, event["id"], data)
        assert not message["success"]
        assert "not uploaded" in str(message) or "are uploaded" in str(message), message
        tried += 1
    assert tried >= 3


def as_file(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def post(url: str, content: dict) -> dict:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def call(client, endpoint: str, data: list) -> str:
    """The stream of an endpoint's answer."""
    url = f"{client.src}gradio_api/call{endpoint}"
    with urllib.request.urlopen(f"{url}/{post(url, {'data': data})['event_id']}") as answer:
        return answer.read().decode()


def call_event(client, number: int, data: list) -> dict:
    """The last message about an event of the pages."""
    session = uuid4().hex
    url = f"{client.src}gradio_api/queue"
    post(f"{url}/join", {"data": data, "fn_index": number, "session_hash": session})
    with urllib.request.urlopen(f"{url}/data?session_hash={session}") as answer:
        for line in answer:
            if line.startswith(b"data:") and b"process_completed" in line:
                return json.loads(line.removeprefix(b"data:"))
    raise AssertionError("the event was never answered")


def upload(client, path: Path, name: str | None = None) -> list[str]:
    boundary = "---------------------------rfwarp"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; '
        f'filename="{name or path.name}"\r\nContent-Type: image/png\r\n\r\n'
    )
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{client.src}gradio_api/upload",
        body,
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", range(5))
def test_no_path_is_served(client, private, number):
    path = paths_that_were_not_uploaded(private)[number]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{client.src}gradio_api/file={path}")
    assert caught.value.code in (403, 404)


def test_the_name_of_an_upload_cannot_leave_its_folder(client, chair_files):
    (path,) = upload(client, chair_files[0], "../../../../escaped.png")
    assert Path(path).is_relative_to(os.environ["GRADIO_TEMP_DIR"])
    assert Path(path).resolve() == Path(path)
    assert Path(path).is_file()
