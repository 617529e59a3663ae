"""An upload whose store dies half-way leaves nothing behind; then the same file goes through."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
from rich.markup import escape

from commands.narrator import Hear, Narrator
from commands.object_sandbox import INSTALL, ObjectSandbox
from commands.remains import Places, Remains
from saga import Status

TINY = Path(__file__).with_name("tiny.apk")

_UPLOAD = "app_upload.upload_to_object_store"
_FOR_LONG = 1_000
_SLOW_SECONDS = 1.5
_PATIENCE_SECONDS = 30


class UploadStory:
    """Uploads one APK twice. ``apps`` is what users can have, ``left`` what nobody owns."""

    def __init__(self, narrator: Narrator) -> None:
        stack = narrator.stage.stack()
        self._narrator = narrator
        self._sandbox = narrator.stage.sandbox
        self._api_url: str = stack.facts["apiUrl"]
        self._headers = {"Authorization": f"Bearer {stack.facts['apiKey']}"}
        self._places = Places(
            narrator.database,
            staging=Path(stack.environment["STAGING_FOLDER"]),
            objects=Path(stack.environment["OBJECT_STORE_FOLDER"]),
            sandbox=self._sandbox,
        )
        self._sha256 = hashlib.sha256(TINY.read_bytes()).hexdigest()
        self.apps: list[dict[str, Any]] = []
        self.left: Remains | None = None

    def tell(self) -> None:
        self._narrator.title("5. An app is uploaded while the store dies half-way")
        if self._sandbox is None:
            self._narrator.line(
                "Left out, as the S3 server that dies on demand is not installed: "
                f"{escape(INSTALL)}"
            )
        else:
            self._one_cut_off(self._sandbox)
        self._narrator.title("6. The same file again: it goes through, as nothing is in its way")
        self._one_through()

    def _one_cut_off(self, sandbox: ObjectSandbox) -> None:
        # Once in the middle of the bytes, and what was begun cannot be cleared away either.
        half = TINY.stat().st_size // 2
        sandbox.order({"operation": "put", "kind": "cut", "afterBytes": half, "times": _FOR_LONG})
        sandbox.order({"operation": "delete", "kind": "down", "times": _FOR_LONG})
        left: list[Remains] = []

        def hear(event: dict[str, Any]) -> None:
            if event["kind"] == "attempt_failed" and not left:
                left.append(self._places.count())
                sandbox.order({"operation": "any", "kind": "down", "times": _FOR_LONG})
                self._narrator.line(
                    "[bold red]the store is gone[/], in the middle of the file. Now there are: "
                    f"{left[0]}"
                )
            elif event["kind"] == "compensating":
                sandbox.heal()
                self._narrator.line("[bold]the store is back[/]")

        self._upload("cut off", end=Status.COMPENSATED, on_event=hear)
        sandbox.heal()
        if not left or not left[0].uploads:
            self._narrator.wrong.append("nothing was cut off: the store had no unfinished upload")
        self._count()

    def _one_through(self) -> None:
        if self._sandbox is not None:
            # So that there is some progress to tell of such a small file.
            slow = {"operation": "complete", "kind": "slow", "seconds": _SLOW_SECONDS}
            self._sandbox.order(slow)
        self._read_back(self._upload("through", end=Status.COMPLETED))
        self._count()

    def _upload(self, name: str, *, end: Status, on_event: Hear | None = None) -> str:
        """Send the file as any client does; gives the saga's id, once it rests."""
        self._narrator.line(f"curl -F file=@commands/{TINY.name} -F name=Tiny $API/api/apps")
        with TINY.open("rb") as file:
            answer = httpx.post(
                f"{self._api_url}/api/apps",
                headers=self._headers,
                files={"file": file},
                data={"name": "Tiny"},
                timeout=_PATIENCE_SECONDS,
                trust_env=False,
            )
        if answer.status_code != httpx.codes.ACCEPTED:
            self._narrator.wrong.append(f"upload {name!r} was not accepted: {answer.text}")
            return ""
        saga_id: str = answer.json()["sagaId"]
        self._narrator.follow(name, saga_id, end=end, on_event=on_event)
        return saga_id

    def _read_back(self, app_id: str) -> None:
        """Tell what users can have now, as the store gives it."""
        with httpx.Client(
            headers=self._headers, timeout=_PATIENCE_SECONDS, trust_env=False
        ) as client:
            url = f"{self._api_url}/api/apps/{app_id}"
            record = client.get(url)
            file = client.get(f"{url}/download", follow_redirects=True)
        if not (record.is_success and file.is_success):
            self._narrator.wrong.append(f"nobody can have the application: {file.status_code}")
            return
        app = record.json()
        sha256 = hashlib.sha256(file.content).hexdigest()
        self.apps.append({**app, "readBack": {"sizeBytes": len(file.content), "sha256": sha256}})
        self._narrator.line(
            f"latest version of {app['packageName']}: {app['versionName']} "
            f"(code {app['versionCode']}); read back from the store: {len(file.content):,} bytes, "
            f"SHA-256 {sha256}"
        )
        if not app["isLatest"] or sha256 != self._sha256:
            self._narrator.wrong.append("the latest version is not the file that was sent")

    def _count(self) -> None:
        """Tell what is left over; staging is cleared within a moment of a saga's end."""
        with self._narrator.busy("beat clears staging"):
            self._narrator.until(lambda: self._places.count().total == 0)
        self.left = self._places.count()
        self._narrator.line(f"[bold]Left over[/]: {self.left}")
        if self.left.total:
            self._narrator.wrong.append(f"an upload left something behind: {self.left}")
