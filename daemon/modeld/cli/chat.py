"""`modeld chat`: a conversation in the terminal."""

import argparse
import importlib
import sys

from modeld_client.errors import ModeldError, RequestFailed
from modeld_protocol.content import Message, TextBlock
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import TurnResult

from .conversation import Conversation, Stopped
from .explain import complain
from .figures import counted, summary, turn_summary
from .sessions import handoff_lines
from .terminal import note, say
from .transcript import session_named

_HELP = """\
/model NAME    go on with another model (its id or alias); without NAME: which one answers
/system TEXT   set the system prompt; without TEXT: none
/clear         forget the conversation
/models        the models there are
/quit          leave (or Ctrl-D)
A line that ends in \\ goes on in the next one. Ctrl-C stops an answer."""


class Chat:
    """The conversation so far, in memory only."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.history: list[Message] = []

    def turn(self, text: str) -> None:
        """Ask, and remember what was said; a call that failed before its first word leaves nothing behind."""
        self.history.append(Message("user", text))
        try:
            response = self.conversation.answer(self.history)
        except RequestFailed as error:
            complain(error, self.conversation.options)
            self._remember_part(error.partial)
            return
        except Stopped as stopped:
            note("stopped; the provider was told")
            self._remember_part(stopped.partial)
            return
        if response.content:
            self.history.append(Message("assistant", response.content))
        else:
            self.history.pop()
        if not self.conversation.options.quiet:
            note(summary(response))

    def _remember_part(self, partial: CanonicalResponse | None) -> None:
        """The words that came before the end stay; thinking without its end can't be given back."""
        blocks = partial.content if partial else []
        said = "".join(block.text for block in blocks if isinstance(block, TextBlock))
        if said:
            self.history.append(Message("assistant", said))
        else:
            self.history.pop()

    def command(self, line: str) -> bool:
        """Run a slash command; False to leave."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        if name in ("/quit", "/exit", "/q"):
            return False
        runs = {"/model": self._model, "/system": self._system, "/clear": self._clear, "/models": self._models}
        if name in runs:
            runs[name](rest)
        elif name in ("/help", "/?"):
            say(_HELP)
        else:
            say(f"there is no {name}; /help shows what there is")
        return True

    def _model(self, name: str) -> None:
        options = self.conversation.options
        if name:
            options.model, options.provider = name, None
        say(f"{options.model or options.provider or 'the default model'} answers", "dim")

    def _system(self, text: str) -> None:
        self.conversation.options.system = text or None
        say("the system prompt is set" if text else "no system prompt", "dim")

    def _clear(self, _rest: str) -> None:
        self.history.clear()
        say("forgotten", "dim")

    def _models(self, _rest: str) -> None:
        from .models import show

        show(self.conversation.client.models(), sys.stderr)


class SessionChat(Chat):
    """A conversation that the daemon keeps: other clients may follow it and go on with it."""

    def __init__(self, conversation: Conversation, session_id: str) -> None:
        super().__init__(conversation)
        sessions, options = conversation.client.sessions, conversation.options
        if session_id == "new":
            self._session = sessions.create(model=options.model, system_prompt=options.system)
            options.model = options.system = None
            say(f"session {self._session.id}", "dim")
        else:
            self._session = sessions.get(session_named(conversation.client, session_id))
            note(f"{counted(self._session.info.message_count, 'message')} so far")

    def turn(self, text: str) -> None:
        """Ask; the daemon remembers."""
        self._session = self.conversation.client.sessions.get(self._session.id)
        try:
            result = self.conversation.turn(self._session, text)
        except RequestFailed as error:
            complain(error, self.conversation.options)
        except Stopped:
            note("stopped; the provider was told")
        else:
            self._tell(result)

    def _tell(self, result: TurnResult) -> None:
        if (handoff := result.handoff) is not None:
            lost = [warning.message for warning in (*handoff.dropped, *handoff.degraded)]
            note(f"from {handoff.from_model} to {handoff.to_model}: {'; '.join(lost) or 'everything came along'}")
        if not self.conversation.options.quiet:
            note(turn_summary(result))

    def _model(self, name: str) -> None:
        """Another model goes on; what that changes and costs is said first."""
        if name:
            report = self._session.preview(name)
            self._session.update(model=name)
            for line in handoff_lines(report) if report.from_model != report.to_model else ():
                note(line)
        say(f"{name or self._session.info.model or 'the default model'} answers", "dim")

    def _system(self, text: str) -> None:
        self._session.update(system_prompt=text)
        say("the system prompt is set" if text else "no system prompt", "dim")

    def _clear(self, _rest: str) -> None:
        self._session = self.conversation.client.sessions.create(model=self._session.info.model)
        say(f"a new session: {self._session.id}", "dim")


def run(options: argparse.Namespace) -> int:
    """Read, answer, repeat, until the end of input."""
    conversation = Conversation(options)
    try:
        chat = SessionChat(conversation, options.session) if options.session else Chat(conversation)
        _prepare_terminal()
        while (line := _read()) is not None:
            if not line.strip():
                continue
            try:
                if not line.startswith("/"):
                    chat.turn(line)
                elif not chat.command(line):
                    break
            except ModeldError as error:  # the daemon went away: the next line starts another
                complain(error, options)
    finally:
        conversation.close()
    return 0


def _prepare_terminal() -> None:
    if not sys.stdin.isatty():
        return
    try:
        importlib.import_module("readline")  # gives input() line editing and a history
    except ImportError:
        pass
    note("/help shows the commands; Ctrl-D leaves")


def _read() -> str | None:
    """The next input, None at its end. Ctrl-C drops the line."""
    person = sys.stdin.isatty()
    text = ""
    while True:
        try:
            line = input(("… " if text else "› ") if person else "")
        except EOFError:
            if person:
                print(file=sys.stderr)
            return text or None
        except KeyboardInterrupt:
            note("\nCtrl-D leaves")
            return ""
        if not (line.endswith("\\") and person):
            return text + line
        text += line[:-1] + "\n"
