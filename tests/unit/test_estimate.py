"""Local token estimates: near a real tokenizer's counts, growing with the text, quick on large ones."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.providers.estimate import Tally, estimate_input_tokens, estimate_output_tokens, estimate_text_tokens
from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    FileBlock,
    ImageBlock,
    JsonBlock,
    Message,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import Tool

RECORDED = Path(__file__).parents[3] / "shared" / "recorded"

ENGLISH = """\
The daemon keeps one connection open to every provider and hands the words on as they arrive. When a client leaves, its
streams are cancelled within a fifth of a second, and nobody pays for an answer that nobody reads. A failed call says what went
wrong, whether trying again makes sense, and how long to wait before doing so. Most of the time you will not notice any of this:
you ask a question, and the reply appears. If the network is slow, the first word may take a while; if the provider is busy, the
daemon waits and tries again, at most twice, and tells you so. Nothing that you write is kept in a log."""

PYTHON = """def read_frames(stream, limit=32 * 1024 * 1024):
    \"\"\"Yield one message body after another; raise ValueError on a header that makes no sense.\"\"\"
    while True:
        header = stream.readline()
        if not header:
            return
        name, _, value = header.partition(b":")
        if name.strip().lower() != b"content-length":
            raise ValueError(f"unexpected header {name!r}")
        length = int(value)
        if not 0 <= length <= limit:
            raise ValueError(f"{length} bytes announced, {limit} allowed")
        while stream.readline() not in (b"\\r\\n", b"\\n"):
            pass
        body = stream.read(length)
        if len(body) < length:
            raise EOFError("the stream ended inside a message")
        yield body
"""

TYPESCRIPT = """export async function* events(response: Response): AsyncGenerator<StreamEvent> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    buffer += value;
    let end: number;
    while ((end = buffer.indexOf("\\n\\n")) >= 0) {
      const lines = buffer.slice(0, end).split("\\n");
      buffer = buffer.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length > 0 && data[0] !== "[DONE]") yield JSON.parse(data.join("\\n")) as StreamEvent;
    }
  }
}
"""

MIXED = """## 使用方法

先安装 `modeld`,然后运行 `modeld doctor`。如果没有配置文件,daemon 会读取环境变量 `OPENAI_API_KEY`:

```python
async with AsyncClient.connect() as client:
    reply = await client.complete(model="sonnet", messages="你好")
    print(reply.content[0].text)  # 打印回答
```

The reply is a `CanonicalResponse`; 如果调用失败,会抛出 ProviderError(其中包含 error_class 和 retry_after_seconds)。
"""

CHINESE = (
    "守护进程与每个提供商保持一个连接,并在文字到达时立即转发。当客户端离开时,它的流会在五分之一秒内被取消,没有人会为无人阅"
    "读的回答付费。失败的调用会说明出了什么问题、重试是否有意义以及需要等待多久。大多数时候你不会注意到这些:你提出问题,回答"
    "就会出现。如果网络很慢,第一个字可能需要一段时间;如果提供商很忙,守护进程会等待并重试,最多两次,并告诉你。你写的任何内"
    "容都不会保存在日志中。"
)

JAPANESE = (
    "デーモンは各プロバイダーへの接続を一つずつ開いたままにし、言葉が届くとすぐに渡します。クライアントが離れると、そのストリ"
    "ームは五分の一秒以内に取り消され、誰も読まない回答に料金を払う人はいません。失敗した呼び出しは、何が悪かったのか、もう一"
    "度試す意味があるのか、どれくらい待つべきかを伝えます。ほとんどの場合、あなたはこれに気づかないでしょう。質問をすると、答"
    "えが現れます。"
)

KOREAN = (
    "데몬은 모든 제공자에 대한 연결을 하나씩 열어 두고 단어가 도착하는 대로 전달합니다. 클라이언트가 떠나면 그"
    " 스트림은 5분의 1초 안에 취소되며, 아무도 읽지 않는 답변에 돈을 내는 사람은 없습니다. 실패한 호출은 "
    "무엇이 잘못되었는지, 다시 시도하는 것이 의미가 있는지, 그 전에 얼마나 기다려야 하는지 알려 줍니다. 대부"
    "분의 경우 이 모든 것을 알아차리지 못할 것입니다."
)

MODEL = {
    "aliases": ["small", "quick"],
    "tier": "fast",
    "limits": {"max_context_tokens": 131072, "max_output_tokens": 8192},
    "capabilities": {"tools": True, "images": False, "thinking": None},
}
JSON = json.dumps({"models": [{"id": f"local:model-{number}", **MODEL} for number in range(4)]}, indent=2)

# Counts of the o200k_base tokenizer. Estimates lie a little above it: other tokenizers in use make more of the same text.
COUNTED = [
    ("english", ENGLISH, 138),
    ("python", PYTHON, 175),
    ("typescript", TYPESCRIPT, 178),
    ("json", JSON, 365),
    ("chinese", CHINESE, 138),
    ("japanese", JAPANESE, 144),
    ("korean", KOREAN, 118),
    ("mixed", MIXED, 108),
]


@pytest.mark.parametrize(("name", "text", "tokens"), COUNTED)
def test_near_a_tokenizers_count(name: str, text: str, tokens: int) -> None:
    assert 0.9 * tokens <= estimate_text_tokens(text) <= 1.2 * tokens


def test_near_what_providers_counted() -> None:
    """Answers that were recorded with their usage, where text is all there is to count."""
    if not RECORDED.is_dir():
        pytest.skip("no recordings beside the tree")
    ratios = [estimate_text_tokens(text) / tokens for text, tokens in _recorded_answers() if tokens >= 80]
    assert len(ratios) >= 8
    assert 0.9 <= sum(ratios) / len(ratios) <= 1.1
    assert min(ratios) >= 0.75 and max(ratios) <= 1.35


def _recorded_answers() -> list[tuple[str, int]]:
    answers: list[tuple[str, int]] = []
    for path in sorted(RECORDED.glob("*/*.json")):
        body = json.loads(path.read_text())["response"]["body"].strip()
        try:
            whole = json.loads(body)
        except ValueError:
            continue
        if not isinstance(whole, dict) or not whole.get("choices") or not whole.get("usage"):
            continue
        message, usage = whole["choices"][0].get("message") or {}, whole["usage"]
        thought = message.get("reasoning_content") or message.get("reasoning") or message.get("tool_calls")
        hidden = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
        if isinstance(message.get("content"), str) and not thought and not hidden:
            answers.append((message["content"], usage["completion_tokens"]))
    return answers


text = st.text(max_size=400) | st.text(alphabet="aB3 .\n你é😀", max_size=400)


@settings(max_examples=300, deadline=None)
@given(text, text)
def test_adding_text_never_lowers_the_estimate(one: str, other: str) -> None:
    assert estimate_text_tokens(one + other) >= max(estimate_text_tokens(one), estimate_text_tokens(other))


@pytest.mark.parametrize("piece", ["word ", "x", "你好", "1,2;", "\n"])
def test_growth_goes_on_where_sampling_begins(piece: str) -> None:
    sizes = [60_000, 65_536, 65_537, 69_632, 69_700, 131_072, 131_080, 400_000, 5_000_000]
    long = piece * (5_000_000 // len(piece) + 1)
    estimates = [estimate_text_tokens(long[:size]) for size in sizes]
    assert estimates == sorted(estimates)
    assert estimates[-1] / sizes[-1] == pytest.approx(estimates[0] / sizes[0], rel=0.02)


@pytest.mark.parametrize("piece", [ENGLISH, CHINESE, PYTHON])
def test_five_megabytes_take_milliseconds(piece: str) -> None:
    long = (piece * (5_000_000 // len(piece) + 1))[:5_000_000]

    def once_s() -> float:
        start = time.perf_counter()
        estimate_text_tokens(long)
        return time.perf_counter() - start

    assert min(once_s() for _ in range(5)) < 0.03  # three times the target, for slow machines


def test_nothing_is_nothing_and_half_a_surrogate_pair_is_something() -> None:
    assert estimate_text_tokens("") == 0
    assert estimate_text_tokens("\ud83d") >= 1


def tokens(messages: Any, **fields: Any) -> int:
    return estimate_input_tokens(TokenCountParams(messages, **fields))


BLOCKS = [
    TextBlock("some words"),
    ThinkingBlock("some words"),
    JsonBlock({"a": [1, 2, 3]}),
    ImageBlock(Base64Source("aGk=")),
    ImageBlock(UrlSource("https://example.org/a.png")),
    AudioBlock(Base64Source("a" * 10_000)),
    AudioBlock(UrlSource("https://example.org/a.mp3")),
    FileBlock(Base64Source("a" * 1_000), "application/pdf"),
    FileBlock(Base64Source("a" * 1_000), "text/plain"),
    FileBlock(UrlSource("https://example.org/a.pdf")),
    ToolUseBlock("tu_1", "add", {"a": 1}),
    ToolResultBlock("tu_1", "3"),
    ToolResultBlock("tu_1", [TextBlock("3"), ImageBlock(Base64Source("aGk="))]),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_counts(block: Any) -> None:
    assert tokens([Message("user", [TextBlock("hi"), block])]) > tokens([Message("user", [TextBlock("hi")])])


def test_images_are_flat_and_files_grow() -> None:
    small, large = (tokens([Message("user", [ImageBlock(Base64Source("a" * size))])]) for size in (10, 1_000_000))
    assert small == large
    short, long = (tokens([Message("user", [FileBlock(Base64Source("a" * size))])]) for size in (1_000, 1_000_000))
    assert long > 100 * short
    inside = [Message("tool", [ToolResultBlock("tu_1", [ImageBlock(Base64Source("aGk="))])])]
    assert tokens(inside) > 1_000


def test_opaque_state_is_not_charged_as_text() -> None:
    opaque = [OpaqueBlock({"data": "x" * 10_000}), RedactedThinkingBlock({"data": "x" * 10_000})]
    assert tokens([Message("assistant", [*opaque])]) == tokens([Message("assistant", "")])


def test_a_request_is_more_than_its_text() -> None:
    bare = tokens("hi")
    assert bare >= 1
    assert tokens("hi") == tokens([Message("user", "hi")]) == tokens([Message("user", [TextBlock("hi")])])
    assert tokens("hi", system_prompt="be kind") > bare
    tool = Tool("add", "adds", {"type": "object", "properties": {"a": {"type": "number"}}})
    assert tokens("hi", tools=[tool, tool]) - tokens("hi", tools=[tool]) == tokens("hi", tools=[tool]) - bare > 20


def test_a_value_that_is_no_json_costs_nothing_rather_than_the_call() -> None:
    assert tokens([Message("user", [JsonBlock(object())])]) == tokens([Message("user", [])])


def test_a_models_own_scale() -> None:
    params = TokenCountParams(ENGLISH)
    assert estimate_input_tokens(params, 1.3) == round(estimate_input_tokens(params) * 1.3)
    assert estimate_output_tokens(ENGLISH, 1.3) == round(estimate_output_tokens(ENGLISH) * 1.3)
    assert estimate_output_tokens([TextBlock(ENGLISH)]) == estimate_output_tokens(ENGLISH)


def test_a_tally_is_the_estimate_of_a_history_that_grows() -> None:
    image = ImageBlock(UrlSource("https://example.com/a.png"))
    history = [
        Message("user", "What is in the file?"),
        Message("assistant", [ThinkingBlock("I had better look."), TextBlock("I look."), ToolUseBlock("tu_1", "look", {"a": 1})]),
        Message("tool", [ToolResultBlock("tu_1", "an image")]),
        Message("tool", [ToolResultBlock("tu_1", [image])]),
        Message("user", [image]),
    ]
    tally = Tally()
    for count, media in ((1, False), (2, False), (3, False), (4, True), (5, True)):
        params = TokenCountParams(history[:count], system_prompt="Be brief.")
        assert estimate_input_tokens(params, 1.5, tally) == estimate_input_tokens(params, 1.5)
        assert tally.media == media
    assert tally.reasoning == estimate_text_tokens("I had better look.")
    for other in ([Message("user", "Something else.")], [*history[:1], Message("user", "More.")], []):
        params = TokenCountParams(other)
        assert estimate_input_tokens(params, tally=tally) == estimate_input_tokens(params)
        assert not tally.media
        assert tally.reasoning == 0


def test_a_tally_counts_what_is_new() -> None:
    history = [Message("user", "a"), Message("assistant", "b")]
    tally = Tally()
    before = tally.add_up(history).tokens
    history[0].content = "not looked at again"
    assert tally.add_up([*history, Message("user", "c")]).tokens - before == Tally().add_up([Message("user", "c")]).tokens
