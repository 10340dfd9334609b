"""The model in the page is the model: `engine.js` in a worker against PyTorch, and against files that are no model's."""

import json
import struct

import numpy as np
import pytest
import torch

from povid_lib import models
from povid_lib.analysis import attention
from povid_lib.models import end_bias
from povid_lib.models.llava import load_tuned
from povid_lib.pocket import export
from povid_lib.world.scenes import draw
from tests.book.conftest import SCENES, served
from tests.support.page_files import read_back

TEXTS = ("", "There is a", "I can see a large fork on the left. There", "Sehr wohl: ☕ 12's", "A red")
QUESTIONS = ("Describe this image.", "Is there a fork in the image?", "What can you see in this picture?")
READY = """async () => {
    const { engine, adapter } = await import("./client.js");
    const spec = await (await fetch("lab.json")).json(), { paint, sheetOf } = await import("./paint.js");
    const image = new Image();
    image.src = "sprites.png";
    await image.decode();
    const { pixelValues } = await import("./engine.js"), sprite = sheetOf(image, spec.sprites);
    window.lab = await engine();
    window.bytes = (scene) => paint(spec.scenes[scene], spec, sprite);
    window.pixels = (scene) => pixelValues(lab.model, bytes(scene));
    await adapter();
}"""


@pytest.fixture(scope="module")
def page(browser, lab_folder):
    with served(lab_folder) as address:
        page = browser.new_page()
        page.goto(address)
        page.evaluate(READY)
        yield page


@pytest.fixture(scope="module")
def both(vlm):
    return (vlm, load_tuned())


def row(vlm, scene, question, text):
    return models.encode(vlm, [scene.image()], [f"{models.chat(vlm, question)} {text}".strip()])


def test_the_files_are_small_enough_and_hold_no_part_twice(lab_folder):
    assert (lab_folder / export.MODEL).stat().st_size <= 8_000_000
    assert (lab_folder / export.DIFFERENCE).stat().st_size <= 1_000_000
    others = [path for path in lab_folder.iterdir() if path.suffix != ".safetensors"]
    assert sum(path.stat().st_size for path in others) <= 500_000


def test_a_drawn_scene_has_pythons_pixels_and_pixel_values(page, vlm):
    for number, scene in enumerate(SCENES):
        found = np.array(page.evaluate("n => Array.from(bytes(n))", number), dtype=np.uint8).reshape(96, 96, 4)
        assert (found[..., :3] == draw(scene)[0]).all(), scene.names
        assert (found[..., 3] == 255).all()
        values = np.array(page.evaluate("n => Array.from(pixels(n))", number)).reshape(3, 96, 96)
        assert np.abs(values - row(vlm, scene, "", "")["pixel_values"][0].numpy()).max() < 1e-6


@pytest.mark.parametrize("share", [0, 1])
def test_logits_equal_pytorch(page, both, share):
    """Every token of the text, read at once and token by token."""
    worst = 0.0
    for number, scene in enumerate(SCENES):
        text, question = TEXTS[number % len(TEXTS)], QUESTIONS[number % len(QUESTIONS)]
        batch = row(both[share], scene, question, text)
        with torch.inference_mode():
            want = both[share].model(**batch).logits[0].numpy()
        ids = batch["input_ids"][0].tolist()
        ask = """async ([n, ids, adapter, wanted]) =>
            Array.from((await lab.ask("read", { pixels: pixels(n), ids, adapter, wanted })).logits)"""
        whole = np.array(page.evaluate(ask, [number, ids, share, len(ids)])).reshape(want.shape)
        spoken = np.array(ids) != export.architecture(both[share])["image_token"]
        worst = max(worst, np.abs(whole - want)[spoken].max())
        for length in range(len(ids) - 3, len(ids) + 1):  # through the cache
            last = np.array(page.evaluate(ask, [number, ids[:length], share, 1]))
            worst = max(worst, np.abs(last - want[length - 1]).max())
    assert 0 < worst <= export.TOLERANCE


def test_the_engine_reads_the_numbers_that_the_file_holds(page, vlm, lab_folder):
    """Beside PyTorch with the file's own numbers nothing is left but the rounding of sums."""
    batch = row(vlm, SCENES[1], QUESTIONS[0], TEXTS[2])
    kept = {f"model.{name}": tensor for name, tensor in read_back(lab_folder / export.MODEL)[0].items()}
    with torch.inference_mode():
        want = torch.func.functional_call(vlm.model, kept, kwargs=dict(batch), tie_weights=True).logits[0, -1].numpy()
    ask = "async (ids) => Array.from((await lab.ask('read', { pixels: pixels(1), ids })).logits)"
    assert np.abs(np.array(page.evaluate(ask, batch["input_ids"][0].tolist())) - want).max() < 1e-4


@pytest.mark.parametrize(("n", "rows", "cols"), [(1, 5, 7), (3, 2, 6), (4, 1, 1), (5, 3, 9), (8, 4, 8), (13, 7, 3)])
def test_products_of_any_size(page, n, rows, cols):
    rng = np.random.default_rng(n)
    x, w, y = rng.normal(size=(n, cols)), rng.normal(size=(rows, cols)), rng.normal(size=(n, rows))
    found = page.evaluate(
        """async ([y, x, n, weight, rows, cols]) => {
            const { addProduct } = await import("./engine.js"), out = Float32Array.from(y);
            addProduct(out, Float32Array.from(x), n, { weight: Float32Array.from(weight), rows, cols }, 0.5);
            return Array.from(out);
        }""",
        [y.ravel().tolist(), x.ravel().tolist(), n, w.ravel().tolist(), rows, cols],
    )
    assert np.allclose(np.reshape(found, (n, rows)), y + 0.5 * x @ w.T, atol=1e-5)


def test_half_of_the_adapter_is_half_of_what_training_added(page, vlm, both):
    batch = row(vlm, SCENES[0], QUESTIONS[0], TEXTS[2])
    tuned = dict(both[1].model.named_parameters())
    half = {name: (tensor + tuned[name]) / 2 for name, tensor in vlm.model.named_parameters()}
    with torch.inference_mode():
        want = torch.func.functional_call(vlm.model, half, kwargs=dict(batch)).logits[0, -1].numpy()
    ask = "async ([ids, adapter]) => Array.from((await lab.ask('read', { pixels: pixels(0), ids, adapter })).logits)"
    found = {share: np.array(page.evaluate(ask, [batch["input_ids"][0].tolist(), share])) for share in (0, 0.5, 1)}
    assert np.abs(found[0.5] - want).max() <= export.TOLERANCE
    assert np.abs(found[0.5] - found[0]).max() > 0.01 < np.abs(found[0.5] - found[1]).max()


def test_attention_to_the_picture_equals_pytorch(page, vlm):
    text = "There is a large"
    reading = attention.read(vlm, SCENES[1].image(), QUESTIONS[0], f"{text} fork")
    want = reading.rows[:, :, -1, reading.image].numpy()
    ids = row(vlm, SCENES[1], QUESTIONS[0], text)["input_ids"][0].tolist()
    ask = "async (ids) => Array.from((await lab.ask('read', { pixels: pixels(1), ids })).attention)"
    found = np.array(page.evaluate(ask, ids)).reshape(want.shape)
    assert np.abs(found - want).max() < 1e-4
    assert want.max() > 0.05


ANSWER = """async ([n, ids, adapter, endBias, seed, limit]) => {
    const parts = [], wanted = { pixels: pixels(n), ids, adapter, endBias, seed, limit };
    const whole = await lab.ask("answer", wanted, (part) => parts.push(part));
    return { tokens: whole.tokens, told: parts.map((p) => p.token), chances: parts.map((p) => p.probs[p.token]) };
}"""


@pytest.mark.parametrize("share", [0, 1])
def test_greedy_answers_equal_pytorch_also_with_a_constant_on_the_end(page, both, share):
    vlm = both[share]
    prompts = [row(vlm, scene, QUESTIONS[0], "")["input_ids"][0].tolist() for scene in SCENES]
    for constant in (0.0, 1.5):
        want = end_bias.generate(vlm, [s.image() for s in SCENES], [QUESTIONS[0]] * len(SCENES), constant)
        for number, answer in enumerate(want):
            found = page.evaluate(ANSWER, [number, prompts[number], share, constant, None, 128])
            assert vlm.processor.tokenizer.decode(found["tokens"]).strip() == answer.text
            assert found["told"] == [*found["tokens"], vlm.processor.tokenizer.eos_token_id]
            if constant == 0:
                assert np.allclose(found["chances"][:-1], np.exp(answer.logprobs), atol=1e-3)


def test_drawn_answers_follow_the_probabilities_and_their_seed(page, vlm):
    ids = row(vlm, SCENES[0], QUESTIONS[0], "There is a")["input_ids"][0].tolist()
    with torch.inference_mode():
        want = vlm.model(**row(vlm, SCENES[0], QUESTIONS[0], "There is a")).logits[0, -1].softmax(-1).numpy()
    drawn = [page.evaluate(ANSWER, [0, ids, 0, 0, seed, 1])["told"][0] for seed in range(100)]
    for token in np.argsort(-want)[:3]:
        spread = (want[token] * (1 - want[token]) / len(drawn)) ** 0.5
        assert abs(np.mean(np.array(drawn) == token) - want[token]) < 4 * spread
    again = [page.evaluate(ANSWER, [0, ids, 0, 0, 7, 40])["tokens"] for _ in range(2)]
    assert again[0] == again[1] != page.evaluate(ANSWER, [0, ids, 0, 0, 8, 40])["tokens"]


def test_noise_takes_away_what_the_schedule_says(page):
    from povid_lib.data.corrupt_image import alpha_bars

    bars = page.evaluate("async () => Array.from((await import('./paint.js')).alphaBars())")
    assert np.allclose(bars, alpha_bars().numpy(), rtol=1e-9)
    grey = page.evaluate(
        """async () => { const { noised } = await import("./paint.js"), { chance } = await import("./engine.js");
        return Array.from(noised(new Uint8ClampedArray(4 * 96 * 96).fill(128), 100, chance(3))); }"""
    )
    rgb, alpha = np.split(np.array(grey).reshape(-1, 4), [3], 1)
    left = float(alpha_bars()[100])
    assert (alpha == 128).all()
    assert abs(rgb.mean() - 128 * left**0.5) < 1.5
    assert abs(rgb.std() - 255 * (1 - left) ** 0.5) < 2


def test_the_tokenizer_is_the_tokenizer(page, vlm):
    texts = [
        *QUESTIONS,
        *TEXTS,
        "  two  spaces\n\tand \x00",
        "can't we'll",
        "é日本 🍴",
        "constructor __proto__",
        "<s>a</s><image>b",
        "",
    ]
    ids, prompts, vocabulary = page.evaluate(
        """async (texts) => { const { tokenizer } = await import("./tokenizer.js"), own = tokenizer(lab.model.tokenizer);
        return [texts.map(own.encode), texts.map(own.prompt), own.text]; }""",
        texts,
    )
    own = vlm.processor.tokenizer
    assert ids == [own.encode(text, add_special_tokens=False) for text in texts]
    assert vocabulary == [own.decode([i]) for i in range(len(own))]
    for text, prompt in zip(QUESTIONS, prompts, strict=False):
        assert prompt == row(vlm, SCENES[0], text, "")["input_ids"][0].tolist()
    assert [prompts[texts.index("<s>a</s><image>b")].count(i) for i in (1, 2, 3)] == [1, 0, 36]


# --- files that are no model's ---


def head_of(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_head(head, body):
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


def changed(name, **values):
    return lambda head, body: with_head(head | {name: head[name] | values}, body)


def with_meta(change):
    def damaged(head, body):
        meta = json.loads(head["__metadata__"]["povid"])
        change(meta)
        return with_head(head | {"__metadata__": {"povid": json.dumps(meta)}}, body)

    return damaged


EMBED = "language_model.embed_tokens.weight"
NOT_FINITE = np.array([np.nan], np.float32).tobytes()


def not_a_number(head, body):
    at = head[f"{EMBED}.scale"]["data_offsets"][0]
    return with_head(head, body[:at] + NOT_FINITE + body[at + 4 :])


DAMAGE = {
    "empty": (lambda head, body: b"", "shorter than a header"),
    "text": (lambda head, body: b"version https://git-lfs.example/spec", "ends inside its header"),
    "a header beyond the end": (lambda head, body: struct.pack("<Q", 2**63) + body, "ends inside its header"),
    "no json": (lambda head, body: struct.pack("<Q", 8) + b"{{{{{{{{" + body, "not the JSON"),
    "json of a list": (lambda head, body: with_head([], body), "not the JSON"),
    "json of null": (lambda head, body: with_head(None, body), "not the JSON"),
    "no metadata": (lambda head, body: with_head({n: v for n, v in head.items() if n != "__metadata__"}, body), "not the JSON"),
    "another format": (with_meta(lambda meta: meta.update(format="povid-pocket 9")), "povid-pocket 9"),
    "no sizes": (with_meta(lambda meta: meta.pop("vision")), "lacks the sizes"),
    "a size that is a word": (with_meta(lambda meta: meta["text"].update(layers="4")), "lacks the sizes"),
    "an endless number of layers": (with_meta(lambda meta: meta["text"].update(layers=1e9)), "lacks the sizes"),
    "no tokens": (with_meta(lambda meta: meta["tokenizer"].pop("tokens")), "lacks the sizes"),
    "one layer more": (with_meta(lambda meta: meta["text"].update(layers=5)), "layers.4.input_layernorm.weight is missing"),
    "cut short": (lambda head, body: with_head(head, body[:-1000]), "does not fit its place"),
    "another type": (changed(EMBED, dtype="F64"), "does not fit its place"),
    "a type that every object has": (changed(EMBED, dtype="constructor"), "does not fit its place"),
    "offsets beyond the end": (changed(EMBED, data_offsets=[0, 10**12]), "does not fit its place"),
    "offsets the wrong way": (changed(EMBED, data_offsets=[100, 0]), "does not fit its place"),
    "offsets that are no numbers": (changed(EMBED, data_offsets=["0", None]), "does not fit its place"),
    "a shape of nothing": (changed(EMBED, shape=[0, 192]), "does not fit its place"),
    "a shape with other sides": (changed(EMBED, shape=[192, 827]), "is 192 x 827 and not 827 x 192"),
    "scales of another tensor": (changed(f"{EMBED}.scale", shape=[192], data_offsets=[0, 768]), "its scales do not fit"),
    "a number that is none": (not_a_number, "not finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_gives_a_sentence(browser, lab_folder, tmp_path, name):
    damage, said = DAMAGE[name]
    (tmp_path / export.MODEL).write_bytes(damage(*head_of(lab_folder / export.MODEL)))
    for path in lab_folder.iterdir():
        if path.name != export.MODEL:
            (tmp_path / path.name).symlink_to(path)
    with served(tmp_path) as address:
        page = browser.new_page()
        page.goto(address)
        start = """async () => (await import('./client.js')).engine().then(() => 'ran', (error) => error.message)"""
        message = page.evaluate(start)
        assert said in message
        assert "povid pocket export" in message
        (tmp_path / export.MODEL).unlink()
        assert "is not on this server" in page.evaluate(start)
        (tmp_path / export.MODEL).symlink_to(lab_folder / export.MODEL)
        assert page.evaluate(start) == "ran"  # after a failure the same page tries again
        page.close()


def test_wrong_requests_give_sentences(page, vlm):
    ask = """([ids, side]) => lab.ask("read", { pixels: pixels(0).subarray(0, side), ids }).then(() => "ran", (e) => e.message)"""
    prompt = row(vlm, SCENES[0], QUESTIONS[0], "")["input_ids"][0].tolist()
    assert "no token 5000" in page.evaluate(ask, [[*prompt, 5000], 27648])
    assert "no token null" in page.evaluate(ask, [[*prompt, None], 27648])
    assert "longer than the model's 512 places" in page.evaluate(ask, [[*prompt, *[5] * 500], 27648])
    assert "longer" in page.evaluate(ask, [[], 27648])
    assert "more than 36 picture tokens" in page.evaluate(ask, [[*prompt, 3], 27648])
    assert page.evaluate(ask, [prompt, 27648]) == "ran"
