"""Saving, finding and loading trained models, and what happens when they are damaged."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file

import rfwarp
from rfwarp import Generator, pretrained
from rfwarp.files import write_atomically

CONFIG = {"pose_channels": 3, "width": 1 / 64, "image_size": 64}


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(**CONFIG)


@pytest.fixture
def folder(tmp_path, generator) -> Path:
    return generator.save_pretrained(tmp_path / "model")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever asks the Hub in a test must have said what it answers."""

    def refuse(*args, **kwargs):
        raise AssertionError("a test asked the Hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(v, theirs[k]) for k, v in a.state_dict().items())


# ------------------------------------------------------------------ round trip


def test_round_trip_is_bit_exact(folder, generator):
    again = Generator.from_pretrained(folder)
    assert again.config == generator.config
    assert again.state_dict().keys() == generator.state_dict().keys()
    assert same_weights(again, generator)
    assert not again.training
    assert all(p.requires_grad for p in again.parameters())
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert json.loads((folder / "config.json").read_text()) == generator.config.to_dict()


def test_saved_twice_gives_the_same_bytes(folder, tmp_path, generator):
    other = generator.save_pretrained(str(tmp_path / "deep" / "other"))
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_others_may_read_the_files(folder):
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_odd_memory_layouts_are_saved(tmp_path, generator):
    folder = generator.to(memory_format=torch.channels_last).save_pretrained(tmp_path / "m")
    assert same_weights(Generator.from_pretrained(folder), generator)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype(folder, tmp_path, generator, dtype):
    loaded = Generator.from_pretrained(folder, dtype=dtype)
    for name, parameter in loaded.named_parameters():
        wide = any(part in name for part in ("heads8", "heads4", "residual"))
        assert parameter.dtype == (torch.promote_types(dtype, torch.float32) if wide else dtype)
    head = loaded.flow.heads8.flow.weight
    assert torch.equal(head, generator.flow.heads8.flow.weight.to(head.dtype))
    # The file's own type is kept when none is asked for.
    again = Generator.from_pretrained(loaded.save_pretrained(tmp_path / "narrow"))
    assert same_weights(again, loaded)


@pytest.mark.parametrize("storage", [torch.float16, torch.bfloat16])
def test_weights_stored_in_fewer_bits_come_back_in_their_own(folder, tmp_path, generator, storage):
    small = generator.save_pretrained(tmp_path / "small", storage=storage)
    sizes = [(where / "model.safetensors").stat().st_size for where in (small, folder)]
    assert sizes[0] < 0.75 * sizes[1]  # of this small network the float32 heads are a large part
    loaded = Generator.from_pretrained(small)
    for name, given in generator.named_parameters():
        found = loaded.get_parameter(name)
        assert found.dtype == given.dtype
        assert torch.equal(found, given) or torch.equal(found, given.to(storage).to(given.dtype))
    assert Generator.from_pretrained(small, dtype=storage).appearance.down2.conv1.weight.dtype == (
        storage
    )


def test_wrong_storage(folder, tmp_path, generator):
    with pytest.raises(ValueError, match=r"storage must be one of .* got torch\.int8"):
        generator.save_pretrained(tmp_path / "m", storage=torch.int8)
    assert not (tmp_path / "m").exists()
    state = load_file(folder / "model.safetensors")
    save_file(state, folder / "model.safetensors", metadata={"saved_from": "float12"})
    with pytest.raises(ValueError, match=r"model\.safetensors says saved_from 'float12'"):
        Generator.from_pretrained(folder)


def test_device(folder):
    loaded = Generator.from_pretrained(folder, device="meta")
    assert {p.device.type for p in loaded.parameters()} == {"meta"}
    loaded = Generator.from_pretrained(folder, device=torch.device("cpu"))
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e5m2])
def test_dtypes_that_do_not_compute(folder, dtype):
    with pytest.raises(ValueError, match=f"dtype must be one of .* got {dtype}"):
        Generator.from_pretrained(folder, dtype=dtype)


def test_weights_outlive_their_file(folder, generator):
    loaded = Generator.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    assert same_weights(loaded, generator)


def test_model_cards(tmp_path, generator):
    plain = (generator.save_pretrained(tmp_path / "a") / "README.md").read_text()
    assert "library_name: rfwarp" in plain
    assert "not recorded" in plain
    assert '"pose_channels": 3' in plain
    given = generator.save_pretrained(tmp_path / "a", card="# Mine\n")
    assert (given / "README.md").read_text() == "# Mine\n"


def test_a_missing_card_does_not_matter(folder, generator):
    (folder / "README.md").unlink()
    assert same_weights(Generator.from_pretrained(folder), generator)


# ------------------------------------------------------------------ writing


def test_a_failing_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_threads_may_write_one_file(tmp_path):
    """Each has a temporary file of its own, so the last to finish wins, with a whole file."""
    texts = [str(i) * 10_000 for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        writes = [
            pool.submit(write_atomically, tmp_path / "file", lambda f, t=t: f.write_text(t))
            for t in texts * 50
        ]
    for write in writes:
        write.result()
    assert (tmp_path / "file").read_text() in texts
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failing_save_leaves_the_old_model(folder, generator, monkeypatch):
    def fail(source, target):
        raise OSError("disk full")

    other = Generator(**CONFIG)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        other.save_pretrained(folder)
    assert same_weights(Generator.from_pretrained(folder), generator)
    assert len(list(folder.iterdir())) == 3


def test_saving_over_a_file_is_refused(tmp_path, generator):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(NotADirectoryError, match="file exists and is not a folder"):
        generator.save_pretrained(tmp_path / "file")


# ------------------------------------------------------------------ finding


def test_a_bundled_name_comes_first(monkeypatch, tmp_path, generator):
    bundled = generator.save_pretrained(tmp_path / "weights" / "tiny").parent
    (bundled / "unfinished").mkdir()
    (tmp_path / "elsewhere" / "tiny").mkdir(parents=True)
    monkeypatch.setattr(pretrained, "BUNDLED", bundled)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert rfwarp.list_models() == ["tiny"]
    assert same_weights(Generator.from_pretrained("tiny"), generator)


def test_a_relative_folder_comes_before_the_hub(monkeypatch, tmp_path, generator):
    generator.save_pretrained(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    assert same_weights(Generator.from_pretrained("owner/name"), generator)


def test_hub_options_are_passed_on(monkeypatch, folder, tmp_path, generator):
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **k: asked.append((name, k)) or folder
    )
    options = {
        "revision": "v1",
        "cache_dir": tmp_path,
        "token": "hf_x",
        "local_files_only": True,
        "force_download": True,
    }
    assert same_weights(Generator.from_pretrained("some-one/a_model.v2", **options), generator)
    allowed = {"allow_patterns": ["config.json", "model.safetensors", "README.md"]}
    assert asked == [("some-one/a_model.v2", {**options, **allowed})]


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("no connection and nothing in the cache"),
        ConnectionError("no connection and nothing in the cache"),
        PermissionError("no connection and nothing in the cache"),
    ],
)
def test_what_the_hub_does_not_deliver(monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(FileNotFoundError, match=r"no folder 'owner/name' here, and .* nothing in"):
        Generator.from_pretrained("owner/name")
    assert issubclass(RepositoryNotFoundError, OSError)  # so it is caught as well


class TestRealCache:
    """The Hub's own client and cache layout, without a network."""

    @pytest.fixture(autouse=True)
    def real(self, no_network, monkeypatch):
        from huggingface_hub._snapshot_download import snapshot_download

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    def cache(self, root: Path, generator: Generator) -> Path:
        commit = "0" * 40
        repository = root / "models--owner--name"
        generator.save_pretrained(repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        return root

    def test_cached_model(self, tmp_path, generator):
        cache = self.cache(tmp_path, generator)
        loaded = Generator.from_pretrained("owner/name", cache_dir=cache, local_files_only=True)
        assert same_weights(loaded, generator)

    def test_nothing_cached(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="Hugging Face Hub did not deliver that model"):
            Generator.from_pretrained("owner/name", cache_dir=tmp_path, local_files_only=True)

    def test_half_cached(self, tmp_path, generator):
        cache = self.cache(tmp_path, generator)
        next(cache.rglob("model.safetensors")).unlink()
        with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
            Generator.from_pretrained("owner/name", cache_dir=cache, local_files_only=True)

    @pytest.mark.parametrize("name", ["owner/na--me", "owner/name.", "owner/name.git"])
    def test_names_that_the_hub_forbids(self, name, tmp_path):
        with pytest.raises(FileNotFoundError, match="Hub did not deliver"):
            Generator.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)


@pytest.mark.parametrize(
    "name", ["chair-64x", "a/b/c", "../x", "./x", "/nowhere/at/all", "ö/x", "a b/c"]
)
def test_names_that_are_nothing(name):
    with pytest.raises(FileNotFoundError, match=r"no model .* it is no folder, no Hub id"):
        Generator.from_pretrained(name)
    with pytest.raises(FileNotFoundError, match="no model"):
        Generator.from_pretrained(Path(name))


# ------------------------------------------------------------------ damage


def rewrite(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)


KEY = "predictor.to_rgb.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(KEY), f"does not fit the model: missing {KEY}"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda s: s.update({KEY: torch.zeros(4)}), rf"{KEY} has shape \(4,\), .* needs \(3,\)"),
        (lambda s: s.update({KEY: torch.zeros(())}), rf"{KEY} has shape \(\)"),
        (lambda s: s.update({KEY: torch.zeros(3).int()}), f"{KEY} is torch.int32, not floating"),
        (lambda s: s.update({KEY: torch.zeros(3).bool()}), f"{KEY} is torch.bool, not floating"),
        (
            lambda s: s.update({KEY: torch.zeros(3).to(torch.float8_e5m2)}),
            "float8_e5m2, not floating point of 16 to 64 bits",
        ),
        (
            lambda s: s.update({KEY: s[KEY].half()}),
            f"{KEY} is torch.float16, beside .* in torch.float32 it must be torch.float32",
        ),
        (lambda s: s.clear() or s.update(a=torch.zeros(1)), r"missing .*; and \d+ more"),
    ],
)
def test_weights_that_do_not_fit(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=rf"model\.safetensors .*{message}"):
        Generator.from_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_truncated_weights(folder, keep):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or no safetensors file"):
        Generator.from_pretrained(folder)


def test_weights_that_are_a_pickle(folder, generator):
    torch.save(generator.state_dict(), folder / "model.safetensors")
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        Generator.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_files(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {name} in"):
        Generator.from_pretrained(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[" * 200_000, "is not valid JSON"),
        (b"\xff\xfe\x00", "is not valid JSON"),
        ("[]", "must hold a JSON object, got list"),
        ("3", "must hold a JSON object, got int"),
        ("{}", "field pose_channels is missing"),
        ('{"pose_channels": 3, "heads": 8}', "unknown field heads"),
        ('{"pose_channels": "3"}', "pose_channels must be a valid integer"),
        ('{"pose_channels": 3, "width": null}', "width must be a valid number, got None"),
        ('{"pose_channels": 3, "width": NaN}', "width must be a finite number, got nan"),
        (
            '{"pose_channels": 3, "attention": "yes"}',
            "attention must be a valid boolean, got 'yes'",
        ),
    ],
)
def test_bad_config(folder, text, message):
    path = folder / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"config\.json:? .*{message}"):
        Generator.from_pretrained(folder)


def test_a_config_that_asks_for_another_width(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "width": 16.0}))
    with pytest.raises(ValueError, match=r"has shape .* the config needs .*; and \d+ more"):
        Generator.from_pretrained(folder)


def test_importing_does_not_need_the_hub():
    # The client is imported when a Hub id is asked for.
    code = "import sys, rfwarp.pretrained; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
